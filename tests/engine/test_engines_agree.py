"""Both engines against the longest path, on random networks and on shipped machines."""

from dataclasses import replace

import pytest
from hypothesis import given, settings

from accelsim import simulate
from accelsim.base.errors import DeadlockError
from tests.helpers.engines import loops, run_everywhere
from tests.helpers.random_networks import networks
from tests.helpers.recurrence import solve
from tests.helpers.small import ARCHITECTURES, cramped, layer_runs, load

KINDS = ("ready", "roomy", "start", "finish")
PHASES = [("prefill", None), ("decode", 1), ("decode", 4)]


def assert_same(network):
    """Engines and oracle agree on every time; or on who is stuck."""
    expected = solve(network)
    if expected.stuck:
        with pytest.raises(DeadlockError) as caught:
            run_everywhere(network)
        named = {reason.split()[0] for reason in str(caught.value).split(": ", 1)[1].split("; ")}
        assert named == expected.stuck
        return
    times = run_everywhere(network)
    for stage in network.stages:
        for kind in KINDS:
            found = getattr(times.stages[stage.name], kind).tolist()
            assert found == expected.of(kind, stage.name), (stage.name, kind)
    assert times.cycles == expected.cycles


@given(networks())
@settings(max_examples=300)
def test_random_networks_take_the_longest_path(network):
    assert_same(network)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("batch", [None, 2])
def test_shipped_machines_take_the_longest_path(name, batch):
    arch = load(name, {"buffers.weights.capacity_kib": 8, "buffers.activations.capacity_kib": 4})
    for _, run in layer_runs(arch, (24, 256, 96), batch=batch)[:2]:
        assert run.pipeline.network.jobs > 4
        assert_same(run.pipeline.network)


def test_the_comparison_sees_deadlocks_and_waits_of_every_kind():
    """A guard: the random networks would pass trivially if none of them ever waited."""
    seen = set()

    @given(networks())
    @settings(max_examples=150)
    def look(network):
        solution = solve(network)
        if solution.stuck:
            seen.add("deadlock")
            return
        for stage in network.stages:
            ready, roomy, start, _ = (solution.of(kind, stage.name) for kind in KINDS)
            seen.update(["room"] if roomy != ready else [])
            seen.update(["turn"] if start != roomy else [])

    look()
    assert seen == {"deadlock", "room", "turn"}


# Whole results ---------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[*ARCHITECTURES, *(f"{n}-cramped" for n in ARCHITECTURES)])
def arch(request):
    name, _, is_cramped = request.param.partition("-")
    return cramped(name) if is_cramped else load(name)


@pytest.fixture(scope="module", params=PHASES, ids=lambda phase: f"{phase[0]}-{phase[1]}")
def phase(request):
    return dict(zip(("phase", "batch"), request.param, strict=True))


@pytest.fixture(scope="module")
def result(arch, phase, small_trace):
    """What the recurrence says, with whatever loops the process has come to use."""
    return simulate(arch, small_trace, engine="recurrence", **phase)


def assert_equal_but_for_the_engine(found, expected):
    assert replace(found, engine=expected.engine) == expected
    # The same for what `--json` writes, so that no number is of another type either.
    assert replace(found, engine=expected.engine).to_json() == expected.to_json()


def test_both_engines_give_one_result(arch, phase, small_trace, result):
    by_events = simulate(arch, small_trace, engine="simpy", **phase)
    assert (by_events.engine, result.engine) == ("simpy", "recurrence")
    assert by_events != result
    assert_equal_but_for_the_engine(by_events, result)


@pytest.mark.parametrize("are_compiled", [True, False], ids=["compiled", "interpreted"])
def test_compiled_and_interpreted_loops_give_one_result(
    arch, phase, small_trace, result, are_compiled
):
    with loops(are_compiled=are_compiled) as seen:
        again = simulate(arch, small_trace, **phase)
    assert seen.called  # the loops asked
    assert_equal_but_for_the_engine(again, result)


def test_whole_results_are_of_layers_with_waits_of_every_kind(result, arch):
    """A guard: on a machine where nothing waits, engines would agree whatever they do."""
    if arch != cramped(arch.name):
        return
    ledgers = [unit.ledger for unit in result.units.values()]
    assert sum(ledger.starved_cycles for ledger in ledgers) > 0
    assert sum(ledger.contended_cycles for ledger in ledgers) > 0
    if result.phase == "prefill":
        assert sum(ledger.blocked_cycles for ledger in ledgers) > 0
