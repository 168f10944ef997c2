"""Machines that gather rows: decode by what some token keeps; prefill dense, where it is."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import load_trace, simulate
from accelsim.base.errors import InputError
from accelsim.config import load_arch
from accelsim.rtl.design import parameters
from accelsim.run import gathered_rows
from accelsim.run.verify import verify
from accelsim.selection.sparsify import select_input
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.policy import Method, Policy
from accelsim.testing.traces import trace_of
from tests.helpers.decode import layer_bytes, steps_of
from tests.helpers.small import ROOT, ROW_GATHER, SHIPPED_TRACE, load, tile

PHASES = [("prefill", None), ("decode", 1), ("decode", 3), ("decode", 8)]
SHAPES = [(100, 72), (72, 40)]


def machine(name="teal", **changes):
    """A shipped machine with the tiles of the estimate; `changes`: key with __ for dots."""
    return load(name, {key.replace("__", "."): value for key, value in changes.items()})


def trace_with(*rows, width=64, columns=64):
    """One layer; each row says which of its positions are large, all others are 1."""
    values = np.ones((len(rows), width), np.int8)
    for token, large in enumerate(rows):
        values[token, list(large)] = 100
    return trace_of([(width, columns)], lengths=(len(rows),), arrays={"layers.0.x": values})


# By hand ------------------------------------------------------------------------------------------

ROWS = [{0, 1, 2, 40}, set(range(30, 44)), set(range(20)), {63}]
"""Fewer than half of the values are large, so that the median is 1, and what is above it is 100."""


@pytest.mark.parametrize(
    ("batch", "rows", "steps"),
    [
        (1, [4, 14, 20, 1], [1, 1, 2, 1]),  # 20 rows through 16 lanes: two steps
        (2, [17, 21], [2, 2]),  # 0, 1, 2 and 30 … 43, which has 40; 0 … 19 and 63
        (4, [35], [3]),
    ],
)
def test_bytes_and_steps_are_those_of_the_union(batch, rows, steps):
    """64 columns of int8 are a row of one burst; 64 columns are 8 blocks of the array."""
    result = simulate(machine(), trace_with(*ROWS), phase="decode", batch=batch)
    (layer,) = result.layers
    x_bytes = len(rows) * batch * 64
    assert layer.units["dram"].actions["read_bytes"] == x_bytes + 64 * sum(rows)
    assert layer.units["weight_buffer"].actions["write_bytes"] == 64 * sum(rows)
    assert layer.units["weight_buffer"].actions["read_bytes"] == 64 * sum(rows)
    assert layer.units["mac_array"].ledger.busy_cycles == 8 * sum(steps)
    kept = sum(map(len, ROWS))
    assert layer.macs_executed == 64 * kept
    assert layer.units["mac_array"].actions["mac"] == 64 * kept
    # Each token holds the positions of the union, and a tile its mask of 64 bits, once.
    stored = batch * sum(rows) + 8 * len(rows)
    assert layer.units["compressed_buffer"].actions["write_bytes"] == stored
    assert layer.units["selector"].actions == {"compare": 4 * 64, "move": 4 * 64}
    assert layer.needed_rows_ratio == sum(rows) / len(rows) / 64


def test_weights_of_four_bits_take_half_the_bytes_and_the_scales_of_groups():
    """128 columns of int4 are a row of 64 bytes; the only group has scales of 2 bytes a column."""
    trace = trace_with(*ROWS, columns=128)
    result = simulate(machine("teal_w4"), trace, phase="decode", batch=1)
    read = result.layers[0].units["weight_buffer"].actions["write_bytes"]
    scale_bytes = 128 * machine("teal_w4").path.w.scale_bits // 8
    assert read == 64 * (4 + 14 + 20 + 1) + 4 * scale_bytes


def test_topk_reads_x_twice_and_searches_bit_by_bit():
    """Half of 64 values of each of four tokens; 8 passes through the lanes of the search."""
    arch = machine("qsparse")
    result = simulate(arch, trace_with(*ROWS), phase="decode", batch=4)
    (layer,) = result.layers
    assert layer.macs_executed == 4 * 32 * 64
    rows = 64 * layer.needed_rows_ratio
    assert layer.units["dram"].actions["read_bytes"] == 2 * 4 * 64 + rows * 64
    lanes = 128  # as many as the activation buffer gives bytes a cycle
    assert layer.units["statistics"].ledger.busy_cycles == 8 * 4 * -(-64 // lanes)
    assert layer.units["statistics"].actions["level"] == 8 * 4 * 64


# Against other oracles ---------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    sparsity=st.sampled_from([0.1, 0.5, 0.9]),
    batch=st.integers(1, 9),
    columns=st.sampled_from([16, 40, 72]),
    reduction=st.sampled_from([16, 48, 100]),
    burst=st.sampled_from([16, 64]),
    seed=st.integers(0, 99),
)
def test_bytes_are_the_bursts_of_the_union(  # noqa: PLR0917 - drawn by name
    sparsity, batch, columns, reduction, burst, seed
):
    """Brute force over masks that numpy's quantile gives, with sets of bytes."""
    trace = trace_of([(100, 72)], lengths=(9, 5), seed=seed)
    chosen = tile(16, reduction, columns)
    arch = load("teal", {"pattern": f"threshold:{sparsity}", "dram.burst_bytes": burst})
    arch = arch.model_copy(update={"tiling": chosen})
    values = np.abs(trace.values("layers.0.x"))
    mask = values > np.float32(np.quantile(values, sparsity))
    expected = 0
    for step in steps_of((9, 5), batch):
        needed = set(np.flatnonzero(mask[step].any(axis=0)).tolist())
        expected += layer_bytes(needed, (100, 72), chosen, 1, burst)
    result = simulate(arch, trace, phase="decode", batch=batch)
    assert result.units["weight_buffer"].actions["write_bytes"] == expected


def test_the_masks_are_those_of_accuracy():
    """Rounded values, times their token's scale, against the quantile of what was captured."""
    trace = trace_of([(64, 8)], lengths=(6,))
    held, real = trace.operands("layers.0.x", "int8")
    rounded = held * trace.token_scales("layers.0.x", real, "int8")
    for sparsity in (0.25, 0.5):
        pattern = parse_pattern(f"threshold:{sparsity}")
        (found,) = select_input(trace, "layers.0.x", "int8", [pattern], with_masks=True)
        level = np.quantile(np.abs(real), sparsity)
        assert np.array_equal(found.kept_mask, np.abs(rounded) > np.float32(level))
        assert found.kept_counts.tolist() == found.kept_mask.sum(axis=1).tolist()


@pytest.mark.parametrize("name", ROW_GATHER)
@pytest.mark.parametrize(("phase", "batch"), PHASES)
@pytest.mark.parametrize("layers", ["chained", "isolated"])
def test_cycles_are_conserved_and_the_engines_agree(name, phase, batch, layers):
    trace = trace_of(SHAPES, lengths=(7, 9))
    runs = [
        simulate(machine(name), trace, phase=phase, batch=batch, engine=engine, layers=layers)
        for engine in ("recurrence", "simpy")
    ]
    plain = [replace(run, engine="") for run in runs]
    assert plain[0].to_dict() == plain[1].to_dict()
    for layer in runs[0].layers:
        assert {unit.ledger.total_cycles for unit in layer.units.values()} == {layer.cycles}
        assert layer.breakdown.total_cycles == layer.cycles
        array = layer.units["mac_array"]
        lane_cycles = array.ledger.busy_cycles * 1024
        assert array.actions["mac"] + array.actions["mac_idle"] == lane_cycles
        assert array.actions["mac_idle"] >= 0


@pytest.mark.parametrize("name", ROW_GATHER)
def test_steps_that_run_together_are_those_that_run_one_by_one(name):
    """With tiles that are cut, some of which no token needs a row of."""
    trace = trace_of([(100, 73)], lengths=(11,))
    arch = machine(name, pattern="topk:0.02" if name == "qsparse" else "threshold:0.98")
    arch = arch.model_copy(update={"tiling": tile(4, 32, 24)})
    together = simulate(arch, trace, phase="decode", batch=2)
    apart = simulate(arch, trace, phase="decode", batch=2, observer=lambda *_: None)
    assert together.to_dict() == apart.to_dict()


@pytest.mark.parametrize("name", ROW_GATHER)
def test_the_machine_computes_what_numpy_does(name):
    checks = list(verify(machine(name), trace_of(SHAPES, lengths=(7, 9))))
    assert [check.is_exact for check in checks] == [True, True]


def test_a_row_that_is_not_fetched_is_missed():
    """The check can fail: without the first row that some token keeps, products are missing."""

    def first_row_lost(mask):
        needed = mask.any(axis=0)
        needed[np.argmax(needed)] = False
        return needed

    with patch.object(gathered_rows, "_needed", first_row_lost):
        checks = list(verify(machine(), trace_of(SHAPES, lengths=(7, 9))))
    assert not any(check.passed for check in checks)


# What it must show -------------------------------------------------------------------------------


def test_the_gain_shrinks_with_the_batch_like_the_union():
    """DRAM is what decode waits for: bytes follow the union of the real masks, cycles the bytes."""
    gains, trace = [], load_trace(SHIPPED_TRACE)
    first_block = trace.meta.model_copy(update={"linears": trace.linears[:7]})
    for batch in (1, 2, 4, 16):
        sparse, dense = (
            simulate(load(name), replace(trace, meta=first_block), phase="decode", batch=batch)
            for name in ("teal", "dense")
        )
        sizes = [layer.in_features * layer.out_features for layer in sparse.layers]
        union = np.average([layer.needed_rows_ratio for layer in sparse.layers], weights=sizes)
        moved = [run.units["weight_buffer"].actions["write_bytes"] for run in (sparse, dense)]
        assert moved[0] / moved[1] == pytest.approx(union, rel=0.01)
        gains.append(dense.cycles / sparse.cycles)
        assert gains[-1] == pytest.approx(1 / union, rel=0.08)
    assert gains == sorted(gains, reverse=True)
    assert gains[0] > 1.8
    assert gains[-1] < 1.0  # rows are known late, which costs a little, for nothing


@pytest.mark.parametrize("name", ["teal", "teal_w4"])
def test_prefill_is_that_of_the_dense_machine_and_says_so(name):
    trace = trace_of(SHAPES, lengths=(7, 9))
    sparse, dense = (simulate(arch, trace) for arch in (machine(name), machine(name).dense()))
    assert sparse.cycles == dense.cycles
    assert sparse.totals()["dram_bytes"] == dense.totals()["dram_bytes"]
    assert any("prefill runs dense" in note for note in sparse.notes)
    assert not dense.notes


def test_all_values_of_a_token_need_all_rows():
    result = simulate(machine("qsparse", pattern="topk:1.0"), trace_with({0}), phase="decode")
    assert result.layers[0].needed_rows_ratio == 1


def test_layers_have_shares_of_their_own_by_a_policy():
    trace = trace_of([(64, 64), (64, 64)], lengths=(8,))
    few, none = (Method(parse_pattern(text)) for text in ("threshold:0.9", "dense"))
    policy = Policy(few, (("layers.1.*", none),))
    first, second = simulate(machine(), trace, policy=policy, phase="decode").layers
    assert first.needed_rows_ratio == pytest.approx(0.1, abs=0.02)
    assert (second.needed_rows_ratio, second.density) == (1, 1)


# What is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["pattern=8:16"], "knows no groups"),
        (["pattern=topk:0.5"], "does not select by 'topk:0.5'"),
        (["pattern=greedy-threshold:0.5"], "whose levels need a model"),
        (["weight_pattern=2:4"], "dense W"),
        (["weight_pattern=threshold:0.5"], "has no groups"),
        (["format=index"], "allowed: bitmask"),
        (["precision=nvfp4"], "have none in common"),
        (["mitigation=rsparse8"], "does not keep"),
        (["mitigation=var"], "has no place"),
        (["criterion=clact"], "has no place"),
        (["selector={kind: rank}"], "'threshold', got 'rank'"),
    ],
)
def test_what_it_cannot_run_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        load_arch(ROOT / "arch_configs" / "teal.yaml", changes)


def test_there_is_no_rtl():
    with pytest.raises(InputError, match="dataflow 'row_gather' has no RTL"):
        parameters(machine())


# Levels by layer ---------------------------------------------------------------------------------


def test_each_layer_keeps_what_its_own_level_leaves():
    """Levels as `accelsim policy levels` writes them: a share a layer, dense where none is dropped.

    Decode of one sequence multiplies, and fetches rows of W for, just the values above the level;
    codes that equal it drop, so that shares are met to a hundredth.
    """
    shares = {"q_proj": 0.6125, "o_proj": 0.25, "up_proj": 0.4, "down_proj": 0.75, "k_proj": 0.0}
    rules = tuple(
        (f"*.{part}", Method(parse_pattern(f"threshold:{share}" if share else "dense")))
        for part, share in shares.items()
    )
    policy = Policy(Method(parse_pattern("threshold:0.5")), rules, "levels.yaml")
    result = simulate(load("teal"), load_trace(SHIPPED_TRACE), policy=policy, phase="decode")
    for layer in result.layers:
        kept = 1 - shares.get(layer.name.rsplit(".")[-1], 0.5)
        assert layer.macs_executed / layer.macs_dense == pytest.approx(kept, abs=0.01)
        if kept < 1:
            assert layer.needed_rows_ratio == pytest.approx(kept, abs=0.01)
    assert "of the share that the policy gives it" in " ".join(result.notes)
