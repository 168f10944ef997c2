"""Layers that see some of the tokens only, as experts do: each runs the rows that it has."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from accelsim.base.errors import InputError
from accelsim.cli import app
from accelsim.run.simulation import decode_steps, layer_steps, simulate
from accelsim.run.verify import verify
from accelsim.sweeps.totals import Workload, new_memory, totals_of
from accelsim.trace import InputInfo, Linear, TraceMeta, TraceWriter, load_trace
from accelsim.trace.coverage import Coverage, LeftOut
from tests.helpers.small import load

WIDTH, OUTPUTS = 64, 48
VALUES = np.random.default_rng(0).standard_normal((6, WIDTH)).astype(np.float16)
COVERAGE = Coverage(
    parameters=10,
    multiplications=1000,
    captured_parameters=4,
    captured_multiplications=238,
    activation_multiplications=7,
    left_out=(LeftOut(name="lstm", reason="LSTM", parameters=6, multiplications=762),),
)


def write(path, inputs, lengths, **more):
    """Write a trace of `{layer: (values, InputInfo fields, token numbers)}`."""
    with TraceWriter(path) as writer:
        for key, (values, _, tokens) in inputs.items():
            writer.add(key, values)
            if tokens is not None:
                writer.add_tokens(key, np.array(tokens))
        writer.finish(
            TraceMeta(
                model="mixture",
                sequence_lengths=lengths,
                linears=tuple(
                    Linear(name=key, input=key, in_features=WIDTH, out_features=OUTPUTS)
                    for key in inputs
                ),
                inputs={
                    key: InputInfo(dtype="float16", **info) for key, (_, info, _) in inputs.items()
                },
                **more,
            )
        )
    return load_trace(path)


@pytest.fixture
def mixture(tmp_path):
    """Two sequences of three tokens; tokens 0, 3 and 4 are routed to the expert."""
    chosen = [0, 3, 4]
    info = {"sequence_lengths": (1, 2), "tokens": "expert"}
    inputs = {"dense": (VALUES, {}, None), "expert": (VALUES[chosen], info, chosen)}
    return write(tmp_path / "t.npz", inputs, (3, 3), coverage=COVERAGE)


def plain(path, rows, lengths):
    return write(path, {"expert": (VALUES[rows], {}, None)}, lengths)


def facts(*layers):
    names = ("tokens", "cycles", "macs_dense", "macs_executed", "dram_bytes")
    sums = {name: sum(getattr(layer, name) for layer in layers) for name in names}
    return sums | {"energy_pj": pytest.approx(sum(layer.energy_pj for layer in layers), rel=1e-12)}


@pytest.mark.parametrize("name", ["dense", "nm816"])
@pytest.mark.parametrize("engine", ["recurrence", "simpy"])
def test_prefill_runs_the_rows_of_each_layer(mixture, tmp_path, name, engine):
    arch = load(name)
    options = {"engine": engine, "layers": "isolated"}
    alone = simulate(arch, plain(tmp_path / "a.npz", [0, 3, 4], (3,)), **options)
    dense, expert = simulate(arch, mixture, **options).layers
    assert dense.tokens == 6
    assert facts(expert) == facts(*alone.layers)
    assert expert.dropped_squared_magnitude_ratio == alone.layers[0].dropped_squared_magnitude_ratio


@pytest.mark.parametrize("name", ["dense", "nm816"])
def test_decode_runs_the_rows_that_are_routed_in_each_step(mixture, tmp_path, name):
    """Batch 2: tokens 0 3, then 1 4, then 2 5; the expert runs 0 3, then 4, then nothing."""
    arch = load(name)
    two = simulate(arch, plain(tmp_path / "a.npz", [0, 3], (1, 1)), phase="decode", batch=2)
    one = simulate(arch, plain(tmp_path / "b.npz", [4], (1,)), phase="decode", batch=1)
    dense, expert = simulate(arch, mixture, phase="decode", batch=2).layers
    assert dense.tokens == 6
    assert facts(expert) == facts(*one.layers, *two.layers)
    ratios = [run.layers[0].needed_rows_ratio for run in (one, two)]
    assert expert.needed_rows_ratio == pytest.approx(sum(ratios) / 2)


def test_a_layer_that_no_step_reaches_is_not_run(tmp_path):
    """Of five tokens, batch 2 drops the last, which is the only one of the expert."""
    info = {"sequence_lengths": (1,), "tokens": "expert"}
    inputs = {"dense": (VALUES[:5], {}, None), "expert": (VALUES[4:5], info, [4])}
    trace = write(tmp_path / "t.npz", inputs, (5,))
    result = simulate(load("nm816"), trace, phase="decode", batch=2)
    assert [layer.name for layer in result.layers] == ["dense"]
    trace = write(tmp_path / "t.npz", {"expert": inputs["expert"]}, (5,))
    with pytest.raises(InputError, match="no token of any decode step reaches a layer"):
        simulate(load("nm816"), trace, phase="decode", batch=2)


@pytest.mark.parametrize("batch", [None, 1, 2])
@pytest.mark.parametrize("name", ["dense", "nm816"])
def test_sweeps_find_the_same(mixture, name, batch):
    arch = load(name)
    options = {} if batch is None else {"phase": "decode", "batch": batch}
    result = simulate(arch, mixture, **options)
    found = totals_of(arch, Workload(mixture, None), None, batch, new_memory())
    assert found == result.totals() | {
        "dropped_squared_magnitude_ratio": result.dropped_squared_magnitude_ratio
    }


def test_rows_that_are_no_tokens_have_no_decode_step(tmp_path):
    inputs = {
        "dense": (VALUES, {}, None),
        "patches": (VALUES[:4], {"sequence_lengths": (2, 2)}, None),
    }
    trace = write(tmp_path / "t.npz", inputs, (6,))
    assert [layer.tokens for layer in simulate(load("nm816"), trace).layers] == [6, 4]
    with pytest.raises(InputError, match=r"layer 'patches' has 4 rows that are not tokens .*\(6\)"):
        simulate(load("nm816"), trace, phase="decode")


def test_every_token_of_every_batch_is_run_once(mixture):
    expert = mixture.linears[1]
    for batch in (1, 2, 3):
        steps = decode_steps(mixture, "decode", batch)
        rows = np.concatenate([x.ravel() for x in layer_steps(mixture, expert, steps)])
        assert sorted(rows) == [0, 1, 2]


def test_what_the_machine_computes_is_right(mixture):
    assert all(check.passed for check in verify(load("nm816"), mixture))


LINE = "covers 23.8% of the model's multiplications; left out: lstm (76.2%)"


@pytest.mark.parametrize(
    "command",
    [
        ["inspect", "{}"],
        ["run", "arch_configs/nm816.yaml", "--trace", "{}"],
        ["compare", "arch_configs/dense.yaml", "arch_configs/nm816.yaml", "--trace", "{}"],
    ],
    ids=lambda command: command[0],
)
def test_what_a_trace_covers_is_said(command, mixture):
    arguments = [part.format(mixture.path) for part in command]
    assert LINE in CliRunner().invoke(app, arguments).stdout.splitlines()
    done = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    coverage = done["trace"]["coverage"]
    assert coverage["multiplications_ratio"] == 0.238
    assert [part["name"] for part in coverage["left_out"]] == ["lstm"]


@pytest.mark.parametrize(
    ("info", "tokens", "message"),
    [
        ({"sequence_lengths": (1, 2), "tokens": "x"}, None, "array 't/x' is missing"),
        ({"sequence_lengths": (2, 2), "tokens": "x"}, [0, 3, 4], "expected"),
        ({"sequence_lengths": (0, 0)}, None, "input 'x' has 0 rows"),
        ({"sequence_lengths": (1, 1, 1), "tokens": "x"}, [0, 3, 4], "3 sequences, the trace 2"),
        ({"tokens": "x"}, [0, 3, 4], "names its tokens, but no sequence_lengths"),
        ({"sequence_lengths": (1, 2), "tokens": "x"}, [0, 4, 3], "must rise within the 6 tokens"),
        ({"sequence_lengths": (1, 2), "tokens": "x"}, [0, 1, 4], "as many of each sequence"),
        ({"sequence_lengths": (1, 2), "tokens": "x"}, [-1, 3, 4], "must rise within"),
        ({"sequence_lengths": (1, 2), "tokens": "x"}, [0, 3, 9], "must rise within"),
    ],
)
def test_tokens_that_cannot_be_are_refused(tmp_path, info, tokens, message):
    def run():
        trace = write(tmp_path / "t.npz", {"x": (VALUES[:3], info, tokens)}, (3, 3))
        simulate(load("dense"), trace, phase="decode")

    with pytest.raises(InputError, match=message) as caught:
        run()
    assert str(tmp_path / "t.npz") in str(caught.value)
