"""Runs of different work are not drawn into one figure, whatever the kind."""

import copy

import pytest

from accelsim.base.errors import InputError
from accelsim.report.plots import PLOTS, draw
from accelsim.report.saved import captions, labels
from accelsim.run.simulation import simulate, simulate_all
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.policy import Method, Policy
from tests.helpers.small import load, trace_of

pytest.importorskip("matplotlib")
from accelsim.report import style

SHARED = sorted(kind for kind in PLOTS if not PLOTS[kind].is_of_one_run)
ACCURACY = {
    "rows": [
        {"pattern": p, "criterion": "act", "mitigation": "none", "perplexity_increase_ratio": d}
        for p, d in (("2:4", 0.8), ("8:16", 0.4))
    ]
}


@pytest.fixture(scope="module")
def runs(small_trace):
    """A dense and two sparse machines, with baselines, so that each could be drawn alone."""
    machines = [load(name) for name in ("dense", "nm24", "nm816")]
    results = simulate_all(machines, small_trace, phase="decode", batch=1)
    return [result.to_dict() for result in results]


def other(run, part):
    """A run of the same machine on other work."""
    run = copy.deepcopy(run)
    if part == "trace":
        run["trace"] |= {"sha256": "f" * 64, "path": "other.npz"}
    else:
        run[part] = {"phase": "prefill", "batch": 2}[part]
    return run


def options_of(kind):
    return {"accuracy": ACCURACY} if kind == "front" else {}


@pytest.mark.parametrize("kind", SHARED)
@pytest.mark.parametrize("part", ["trace", "phase", "batch"])
def test_runs_of_other_work_are_refused(runs, kind, part):
    mixed = [runs[0], other(runs[0], part), runs[1], other(runs[2], part)]
    _, (ax,) = style.figure()
    if part in PLOTS[kind].same:
        with pytest.raises(InputError, match=f"plot '{kind}' shows runs of the same {part}, these"):
            draw(kind, mixed, ax, **options_of(kind))
    elif (kind, part) == ("decode", "phase"):
        with pytest.raises(InputError, match="needs sparse runs of phase decode"):
            draw(kind, mixed, ax)
    else:  # batches are an axis of `decode`; areas do not depend on phase and batch
        assert draw(kind, mixed, ax)


@pytest.mark.parametrize("kind", SHARED)
def test_every_kind_asks_for_the_same_trace_and_draws_it(runs, kind):
    assert "trace" in PLOTS[kind].same
    _, (ax,) = style.figure()
    assert draw(kind, runs, ax, **options_of(kind))


def test_the_message_names_both_runs_and_traces(runs):
    _, (ax,) = style.figure()
    with pytest.raises(InputError, match=r"out/a: .*, nm24: other\.npz \(sha256 ffffffff\)"):
        draw("cost", [runs[2] | {"folder": "out/a"}, other(runs[1], "trace")], ax)


def test_panels_say_what_they_are_of(runs):
    assert captions(runs) == ["dense", "2:4", "8:16"]
    told = captions([runs[1], other(runs[2], "trace"), other(runs[2], "batch")])
    assert [text.split(", ")[1:] for text in told] == [
        *(["drawn.npz", "batch 1"], ["other.npz", "batch 1"], ["drawn.npz", "batch 2"])
    ]


def test_a_policy_is_marked_and_matched():
    trace = trace_of([(64, 32), (64, 16)], lengths=(4,))
    machine = load("nm816")
    rules = Policy(machine.method, (("*", Method(parse_pattern("dense"))),), "p.yaml")
    plain, ruled = (simulate(machine, trace, policy=p).to_dict() for p in (None, rules))
    dense = simulate(load("dense"), trace).to_dict()
    assert labels([plain, ruled]) == ["8:16", "8:16 + rules"]
    rows = PLOTS["front"].numbers([dense, plain, ruled], accuracy=ACCURACY)
    assert len([row for row in rows if row["value"] is not None]) == 1  # not that of the policy
    measured = {"rows": [{**row, "policy": rules.to_dict()} for row in ACCURACY["rows"][1:]]}
    (row,) = PLOTS["front"].numbers([dense, plain, ruled], accuracy=measured)
    assert row["value"] > rows[1]["value"]  # dense layers take more energy


def test_accuracy_of_another_phase_is_refused(runs):
    measured = ACCURACY | {"settings": {"phase": "prefill"}}
    with pytest.raises(
        InputError, match="accuracy was measured in prefill, nm24 is a run of decod"
    ):
        PLOTS["front"].numbers(runs, accuracy=measured)
