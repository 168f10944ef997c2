"""Synthetic traces: true shapes, values drawn when read, the same whoever reads first."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from accelsim.base.errors import InputError
from accelsim.trace import load_trace
from accelsim.trace.shapes import model_shapes, synthesise
from accelsim.trace.synthetic import DISTRIBUTIONS

SHARED = Path(__file__).parents[3] / "shared" / "reference"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir() and not os.environ.get("CI"), reason="../shared is not here"
)
QUANTILE_ARRAYS = ("attn_in", "o_proj_in", "mlp_in", "down_proj_in")
MODEL = "llama-3.2-1b"  # the smallest: hidden 2048
FIRST = "model.layers.0.self_attn.q_proj"


@pytest.fixture
def synth(tmp_path):
    """Write and open a synthetic trace of one block of the smallest model."""

    def _synth(name="s.npz", **changes):
        options = {"tokens": 16, "layers": 1} | changes
        return synthesise(options.pop("model", MODEL), tmp_path / name, **options)

    return _synth


# --- shapes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "linears", "macs"),
    [
        # A block: q, o: 4096²; k, v: 4096 × 1024; gate, up, down: 4096 × 14336. 32 blocks.
        ("llama-3-8b", 224, 32 * (2 * 4096**2 + 2 * 4096 * 1024 + 3 * 4096 * 14336)),
        ("llama-2-7b", 224, 32 * (4 * 4096**2 + 3 * 4096 * 11008)),
        ("qwen2.5-7b", 196, 28 * (2 * 3584**2 + 2 * 3584 * 512 + 3 * 3584 * 18944)),
        # Heads of 256 make q and o 2560 × 2048, k and v 2560 × 1024.
        ("gemma-3-4b", 238, 34 * (2 * 2560 * 2048 + 2 * 2560 * 1024 + 3 * 2560 * 10240)),
    ],
)
def test_linears_and_macs_of_public_models(model, linears, macs):
    table = list(model_shapes()[model].linears())
    assert len(table) == linears
    assert sum(linear.in_features * linear.out_features for linear in table) == macs


def test_features_of_llama_3_8b():
    block = {
        x.kind: (x.in_features, x.out_features) for x in model_shapes()["llama-3-8b"].linears()
    }
    assert block == {
        "q_proj": (4096, 4096),
        "k_proj": (4096, 1024),
        "v_proj": (4096, 1024),
        "o_proj": (4096, 4096),
        "gate_proj": (4096, 14336),
        "up_proj": (4096, 14336),
        "down_proj": (14336, 4096),
    }


def test_linears_that_read_the_same_activations_share_an_input():
    linears = list(model_shapes()["llama-3-8b"].linears())
    assert len({linear.input for linear in linears}) == 4 * 32
    readers = {}
    for linear in linears[:7]:
        readers.setdefault(linear.input, []).append(linear.kind)
    assert list(readers.values()) == [
        ["q_proj", "k_proj", "v_proj"],
        ["o_proj"],
        ["gate_proj", "up_proj"],
        ["down_proj"],
    ]


@pytest.mark.parametrize("name", sorted(model_shapes()))
def test_every_model_makes_a_trace(synth, name):
    trace = synth(model=name, tokens=2)
    shapes = {
        linear.input: (trace.meta.rows(linear.input), linear.in_features)
        for linear in trace.linears
    }
    assert all(trace.values(key).shape == shape for key, shape in shapes.items())
    assert {rows for rows, _ in shapes.values()} <= {1, 2}  # 1: of an expert


def test_blocks_can_be_left_out(synth):
    assert len(synth(layers=3).linears) == 21
    assert len(synth(layers=None).linears) == 16 * 7


@pytest.mark.parametrize(
    ("tokens", "seq_len", "lengths"),
    [(16, None, (16,)), (16, 4, (4, 4, 4, 4)), (10, 4, (4, 4, 2)), (3, 4, (3,)), (4, 4, (4,))],
)
def test_sequences(synth, tokens, seq_len, lengths):
    trace = synth(tokens=tokens, seq_len=seq_len)
    assert trace.meta.sequence_lengths == lengths
    assert trace.values(FIRST).shape == (tokens, 2048)


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("distribution", sorted(DISTRIBUTIONS))
def test_a_full_size_workload_is_a_small_file(tmp_path, distribution):
    path = tmp_path / "t.npz"
    trace = synthesise("llama-3-8b", path, tokens=2048, distribution=distribution)
    assert len(trace.linears) == 224
    assert path.stat().st_size < 100_000
    assert load_trace(path).describe()["synthetic"] is True


def test_the_same_recipe_gives_the_same_bytes(synth):
    assert synth("1.npz").path.read_bytes() == synth("2.npz").path.read_bytes()
    assert synth("1.npz").path.read_bytes() != synth("3.npz", seed=1).path.read_bytes()


# --- values --------------------------------------------------------------------------------------


def test_values_do_not_depend_on_who_reads_first(synth):
    forward, backward = synth("1.npz"), synth("2.npz")
    keys = list(forward.meta.inputs)
    first = {key: forward.values(key) for key in keys}
    second = {key: backward.values(key) for key in reversed(keys)}
    assert all(np.array_equal(first[key], second[key]) for key in keys)
    assert all(np.array_equal(first[key], forward.values(key)) for key in keys)


def test_inputs_and_seeds_differ(synth):
    trace = synth(layers=2)
    other = synth("2.npz", layers=2, seed=1)
    a, b = (trace.values(f"model.layers.{i}.self_attn.q_proj") for i in (0, 1))
    assert not np.array_equal(a, b)
    assert not np.array_equal(a, other.values(FIRST))


@pytest.mark.parametrize(
    ("distribution", "mean", "deviation", "zeros"),
    [
        ("gaussian", 0, 1, 0),
        ("laplace", 0, math.sqrt(2), 0),  # an exponential of mean 1 has E[x²] = 2
        ("uniform", 0, math.sqrt(1 / 3), 0),  # on -1 … 1
        ("relu", 1 / math.sqrt(2 * math.pi), math.sqrt(0.5 - 1 / (2 * math.pi)), 0.5),
    ],
)
def test_moments(synth, distribution, mean, deviation, zeros):
    values = synth(tokens=64, distribution=distribution).values(FIRST)  # 131,072 draws
    assert np.isfinite(values).all()
    assert values.mean() == pytest.approx(mean, abs=0.02)
    assert values.std() == pytest.approx(deviation, rel=0.02)
    assert np.mean(values == 0) == pytest.approx(zeros, abs=0.01)


def tables(rows=1, points=65, **changes):
    """Return a quantile file's arrays: a logistic, of its own width and centre for each."""
    share = np.linspace(0.001, 0.999, points)
    made = {
        name: np.array([(1 + i) * np.log(share / (1 - share)) + row for row in range(rows)])
        for i, name in enumerate(QUANTILE_ARRAYS)
    }
    return made | changes


@pytest.fixture
def quantile_file(tmp_path):
    def _write(**changes):
        path = tmp_path / "q.npz"
        np.savez(path, **{k: v for k, v in tables(**changes).items() if v is not None})
        return path

    return _write


def distance(values, table):
    """Return the largest gap between the empirical distribution and the table's (as in KS)."""
    ordered = np.sort(values, axis=None)
    expected = np.interp(ordered, table, np.linspace(0, 1, len(table)))
    return np.abs(expected - np.linspace(0, 1, len(ordered))).max()


def test_draws_follow_the_quantiles_of_their_own_layer_and_input(synth, quantile_file):
    trace = synth(tokens=64, layers=2, quantiles=quantile_file(rows=2))
    made = tables(rows=2)
    kinds = {"q_proj": "attn_in", "o_proj": "o_proj_in", "gate_proj": "mlp_in"}
    kinds["down_proj"] = "down_proj_in"
    for key in trace.meta.inputs:
        layer, kind = int(key.split(".")[2]), key.rsplit(".", 1)[-1]
        values, own = trace.values(key), made[kinds[kind]][layer]
        # 131,072 draws: KS says 1.95 / sqrt(n) = 0.0054 at p = 0.001; float16 adds a little.
        assert distance(values, own) < 0.007
        assert distance(values, made[kinds[kind]][1 - layer]) > 0.02
        assert own[0] - 0.01 <= values.min()
        assert values.max() <= own[-1] + 0.01


def test_two_quantiles_are_a_uniform_distribution(synth, quantile_file):
    path = quantile_file(**{name: np.array([[-2.0, 6.0]]) for name in QUANTILE_ARRAYS})
    values = synth(tokens=64, quantiles=path).values(FIRST)
    assert distance(values, [-2, 6]) < 0.007


def test_a_quantile_file_may_have_more_layers_than_the_trace(synth, quantile_file):
    assert len(synth(quantiles=quantile_file(rows=5)).linears) == 7


@needs_shared
@pytest.mark.shared
@pytest.mark.parametrize("model", ["llama-2-7b", "llama-3-8b"])
def test_the_quantiles_of_real_models(tmp_path, model):
    source = SHARED / f"activation_quantiles_{model}.npz"
    trace = synthesise(model, tmp_path / "t.npz", tokens=16, quantiles=source)
    with np.load(source) as archive:
        table = archive["down_proj_in"][31]
    assert distance(trace.values("model.layers.31.mlp.down_proj"), table) < 0.01
    assert trace.path.stat().st_size < 2_000_000


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "llama-3-9b"}, "unknown model 'llama-3-9b' .did you mean 'llama-3-8b'.*allowed"),
        ({"distribution": "normal"}, "unknown distribution 'normal'.*allowed: gaussian"),
        ({"distribution": "laplac"}, "did you mean 'laplace'"),
        ({"tokens": 0}, "tokens .* at least 1"),
        ({"tokens": -5}, "tokens .* at least 1"),
        ({"seq_len": 0}, "sequence length .* at least 1"),
        ({"layers": 0}, "layers 0: llama-3.2-1b has 1 to 16 blocks"),
        ({"layers": 17}, "layers 17: llama-3.2-1b has 1 to 16 blocks"),
        # A distribution of that name is what a quantile file makes; without one there is nothing.
        ({"distribution": "quantiles"}, "quantiles"),
    ],
)
def test_options_that_make_no_sense(synth, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        synth(**options)
    assert list(tmp_path.iterdir()) == []


def refused(synth, path, *parts):
    with pytest.raises(InputError) as caught:
        synth(quantiles=path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    for part in parts:
        assert part in message
    assert not (path.parent / "s.npz").exists()


def test_a_missing_quantile_file(synth, tmp_path):
    refused(synth, tmp_path / "none.npz", "No such file")


@pytest.mark.parametrize("contents", [b"", b"text", b"PK\x03\x04", b"PK\x05\x06" + b"\0" * 18])
def test_a_quantile_file_that_is_no_npz(synth, tmp_path, contents):
    path = tmp_path / "q.npz"
    path.write_bytes(contents)
    refused(synth, path)


def test_a_truncated_quantile_file(synth, quantile_file):
    path = quantile_file()
    path.write_bytes(path.read_bytes()[:-50])
    refused(synth, path, "damaged")


def test_a_plain_npy_instead_of_an_npz(synth, tmp_path):
    np.save(tmp_path / "q.npy", np.zeros((1, 3)))
    refused(synth, tmp_path / "q.npy")


ROW = np.linspace(-1, 1, 9)[None]


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"mlp_in": None}, "array 'mlp_in' is missing"),
        ({"mlp_in": ROW[0]}, "array 'mlp_in' has shape [9]"),
        ({"mlp_in": ROW[:0]}, "at least 1 rows"),
        ({"mlp_in": ROW[:, :1]}, "at least 2 quantiles"),
        ({"mlp_in": -ROW}, "ascending"),
        ({"mlp_in": ROW * np.nan}, "finite"),
        ({"mlp_in": ROW + np.inf}, "finite"),
        ({"mlp_in": ROW * 1e6}, "array 'mlp_in'"),  # float16 ends at 65,504
        ({"mlp_in": ROW * 1e300}, "array 'mlp_in'"),  # and float32 at 3.4e38
        ({"mlp_in": ROW.astype(str)}, "array 'mlp_in'"),
        ({"mlp_in": ROW * 1j}, "array 'mlp_in'"),
        ({"mlp_in": np.array([[None, None]])}, "object array"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_quantiles_that_make_no_sense(synth, quantile_file, changes, part):
    refused(synth, quantile_file(**changes), part)


def edited(path, **changes):
    """Rewrite the recipe inside a synthetic trace."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    meta = json.loads(str(arrays.pop("meta")))
    meta["synthetic"].update(changes)
    np.savez(path, meta=np.array(json.dumps(meta)), **arrays)
    return path


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"distribution": "cauchy"}, "distribution 'cauchy'"),
        ({"seed": -1}, "field synthetic.seed"),
        ({"seed": "x"}, "field synthetic.seed"),
        ({"generator": "mt19937"}, "field synthetic.generator"),
        ({"colour": "red"}, "field synthetic.colour"),
    ],
)
def test_a_recipe_that_makes_no_sense(synth, changes, part):
    path = edited(synth().path, **changes)
    with pytest.raises(InputError) as caught:
        load_trace(path)
    assert str(path) in str(caught.value)
    assert part in str(caught.value)


def test_a_recipe_without_its_quantiles_says_which(synth):
    path = edited(synth().path, distribution="quantiles")
    with pytest.raises(InputError, match=f"q/{FIRST}"):
        load_trace(path).values(FIRST)


def test_a_size_that_no_memory_holds_is_an_input_error(synth):
    # 10^12 tokens × 2048: refused by size, before anything is drawn.
    with pytest.raises(InputError, match=r"s\.npz"):
        synth(tokens=10**12).values(FIRST)
