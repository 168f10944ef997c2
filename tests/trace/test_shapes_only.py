"""Traces of shapes only: everything that does not depend on values is as if there were some."""

import numpy as np
import pytest

from accelsim.base.errors import InputError
from accelsim.run.simulation import simulate
from accelsim.trace import load_trace
from accelsim.trace.shapes import synthesise
from accelsim.trace.statistics import statistics
from tests.helpers.small import ARCHITECTURES, changed, load, tile

MODEL = "llama-3.2-1b"  # hidden 2048, intermediate 8192, 8 of 32 heads for keys and values
FIRST = "model.layers.0.self_attn.q_proj"
OF_VALUES = {
    "dropped_energy_ratio",
    "dropped_squared_magnitude_ratio",
    "energy_pj",
    "unit_energy_pj",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Write and open a trace of one block."""
    folder = tmp_path_factory.mktemp("shapes")

    def _made(distribution="none", tokens=20, **options):
        path = folder / f"{distribution}-{tokens}-{len(list(folder.iterdir()))}.npz"
        options = {"layers": 1, "distribution": distribution} | options
        return synthesise(MODEL, path, tokens=tokens, **options)

    return _made


@pytest.fixture(scope="module")
def pair(made):
    """The same shapes without values, and with values of which none is zero."""
    shapes, values = made("none", seq_len=5), made("gaussian", seq_len=5)
    for key in values.meta.inputs:
        assert values.values(key).all()
    return shapes, values


def in_bfloat16(name):
    """A machine on which no value is rounded to zero."""
    return load(name, {"precision": "bf16", "clock_mhz": 100})


# --- the trace -----------------------------------------------------------------------------------


def test_it_knows_that_it_has_no_values(pair):
    shapes, values = pair
    assert not shapes.has_values
    assert values.has_values
    assert not load_trace(shapes.path).has_values


def test_a_captured_trace_has_values(good):
    assert load_trace(good).has_values


def test_shapes_are_all_there(pair):
    shapes, values = pair
    assert shapes.linears == values.linears
    assert shapes.meta.inputs == values.meta.inputs
    assert shapes.meta.sequence_lengths == (5, 5, 5, 5)
    assert (shapes.tokens, shapes.features(FIRST)) == (20, 2048)
    assert shapes.sha256 != values.sha256


@pytest.mark.parametrize(
    "ask",
    [
        lambda trace: trace.values(FIRST),
        lambda trace: trace.row_reader(FIRST),
        lambda trace: trace.operands(FIRST, "int8"),
        lambda trace: trace.source.read(FIRST),
        lambda trace: list(statistics(trace, ["2:4"])),
    ],
)
def test_asking_for_values_is_an_error_that_says_so(made, ask):
    trace = made()
    with pytest.raises(InputError, match="has shapes only, no values") as caught:
        ask(trace)
    assert str(caught.value).startswith(f"{trace.path}: ")


def test_the_seed_is_only_a_name(made):
    assert not made(seed=7).has_values
    assert made(seed=7).meta.synthetic["seed"] == 7


def test_quantiles_replace_it_as_any_distribution(made, tmp_path):
    names = ("attn_in", "o_proj_in", "mlp_in", "down_proj_in")
    np.savez(tmp_path / "q.npz", **{name: np.array([[1.0, 2.0, 4.0]]) for name in names})
    trace = made("none", quantiles=tmp_path / "q.npz")
    assert trace.has_values
    assert trace.path.read_bytes() == made(quantiles=tmp_path / "q.npz").path.read_bytes()
    values = trace.values(FIRST)
    assert values.shape == (20, 2048)
    assert 1 <= values.min() < 1.01
    assert 3.99 < values.max() <= 4
    with pytest.raises(InputError, match=r"at most .* are drawn"):  # values have a size
        made("none", tokens=2 * 10**9, quantiles=tmp_path / "q.npz")


# --- prefill -------------------------------------------------------------------------------------


def assert_timed_alike(without, with_values):
    """Compare all but what values decide: which MACs are idle, and what that saves."""
    assert without.cycles == with_values.cycles
    for one, other in zip(without.layers, with_values.layers, strict=True):
        ours, theirs = one.to_dict(), other.to_dict()
        assert {key: ours[key] for key in ours.keys() - OF_VALUES} == {
            key: theirs[key] for key in theirs.keys() - OF_VALUES
        }
        assert one.units.keys() == other.units.keys()
        for name, unit in one.units.items():
            assert unit.ledger == other.units[name].ledger
            assert unit.leakage_pj == other.units[name].leakage_pj
            if name != "mac_array":
                assert unit.actions == other.units[name].actions
                assert unit.action_pj == other.units[name].action_pj


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_prefill_takes_the_same_time_and_moves_the_same_bytes(pair, name):
    without, with_values = (simulate(load(name), trace) for trace in pair)
    assert_timed_alike(without, with_values)
    # Values rounded to zero by int8 save work; without values none is zero.
    for one, other in zip(without.layers, with_values.layers, strict=True):
        ours, theirs = one.units["mac_array"].actions, other.units["mac_array"].actions
        assert ours["mac"] == one.macs_executed >= theirs["mac"]
        assert ours["mac"] + ours["mac_idle"] == theirs["mac"] + theirs["mac_idle"]


@pytest.mark.parametrize("name", ["dense", "nm24", "nm816", "nm1632"])
def test_prefill_costs_the_same_where_no_value_is_zero(pair, name):
    without, with_values = (simulate(in_bfloat16(name), trace) for trace in pair)
    assert_timed_alike(without, with_values)
    for one, other in zip(without.layers, with_values.layers, strict=True):
        assert one.units["mac_array"].actions == other.units["mac_array"].actions
    assert without.energy_pj == with_values.energy_pj
    assert without.totals() == with_values.totals()


def test_what_is_dropped_is_unknown(pair):
    for name in ("dense", "nm816"):
        without, with_values = (simulate(load(name), trace) for trace in pair)
        assert without.dropped_squared_magnitude_ratio is None
        assert [layer.dropped_squared_magnitude_ratio for layer in without.layers] == [None] * 7
        assert with_values.dropped_squared_magnitude_ratio is not None


# --- decode --------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 3])
def test_a_dense_machine_decodes(pair, batch):
    runs = [simulate(in_bfloat16("dense"), t, phase="decode", batch=batch) for t in pair]
    assert_timed_alike(*runs)
    assert runs[0].totals() == runs[1].totals()
    assert runs[0].layers[0].tokens == 20 // batch * batch


@pytest.mark.parametrize("name", ["nm24", "nm816", "nm1632", "nm816_bf16"])
def test_a_sparse_machine_that_decodes_needs_values(made, name):
    trace = made()
    with pytest.raises(InputError, match=r"shapes only; .* pattern .* depends on") as caught:
        simulate(load(name), trace, phase="decode")
    assert str(caught.value).startswith(f"{trace.path}: ")
    assert "\n" not in str(caught.value)


# --- size ----------------------------------------------------------------------------------------


def test_a_huge_trace_is_a_small_file(made):
    trace = made(tokens=10_000_000, seq_len=4096)
    assert trace.path.stat().st_size < 20_000
    assert trace.tokens == 10_000_000
    assert len(trace.meta.sequence_lengths) == 2442  # 2441 × 4096 = 9,998,336, and a rest


@pytest.mark.parametrize("name", ["dense", "nm816"])
def test_ten_million_tokens_run(made, name):
    arch = changed(load(name), {"tiling": tile(32, 512, 128)})
    millions = [simulate(arch, made(tokens=count * 10**6)) for count in (4, 7, 10)]
    # 10^6 tokens are 31,250 tiles of 32: in the steady state each million takes as long.
    few, some, many = (run.cycles for run in millions)
    assert many - some == some - few
    block = 2 * 2048 * 2048 + 2 * 2048 * 512 + 3 * 2048 * 8192
    macs = millions[2].totals()["macs_dense"]
    assert macs == 10**7 * block
    assert millions[2].units["mac_array"].actions["mac"] == macs // (1 if name == "dense" else 2)
    assert many >= macs // (1024 if name == "dense" else 2048)


def test_ten_million_tokens_decode_on_a_dense_machine(made):
    trace = made(tokens=10_000_000, seq_len=4096)
    result = simulate(load("dense"), trace, phase="decode", batch=64)
    (one,) = {layer.tokens for layer in result.layers}
    assert one == 10_000_000 // 64 * 64
    single = simulate(load("dense"), made(tokens=64), phase="decode", batch=64)
    assert result.cycles == 10_000_000 // 64 * single.cycles  # steps are alike


@pytest.mark.parametrize("tokens", [0, -1])
def test_there_is_at_least_one_token(made, tokens):
    with pytest.raises(InputError, match="at least 1"):
        made(tokens=tokens)


def test_more_tokens_than_a_sequence_may_have(made):
    with pytest.raises(InputError, match="tokens"):
        made(tokens=3 * 10**9)
