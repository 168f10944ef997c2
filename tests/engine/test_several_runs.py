"""Several runs of one network at once are those runs one by one, whatever is summed over them."""

from collections import Counter
from dataclasses import asdict, replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import simulate
from accelsim.accounting.blame import blame
from accelsim.accounting.breakdown import breakdown, busy_totals
from accelsim.accounting.ledger import UnitLedger, ledgers
from accelsim.base.errors import DeadlockError, InputError
from accelsim.dataflows.pipeline import Pipeline, build_pipeline
from accelsim.engine import Network, Requests, Room, Stage
from accelsim.run import layers
from accelsim.run.layers import TiledProduct
from accelsim.run.runner import Runner
from accelsim.run.simulation import selections
from accelsim.selection.decode import decode_batches
from tests.helpers.engines import outcome, run_everywhere
from tests.helpers.random_machines import batches, machines, shapes
from tests.helpers.random_networks import machines_of, member_of, several_runs
from tests.helpers.small import (
    ARCHITECTURES,
    SELECTING,
    cramped,
    gemm_of,
    load,
    machine_for,
    trace_of,
    works_of,
)

KINDS = ("ready", "roomy", "start", "finish")
PHASES = [("prefill", None), ("decode", 1), ("decode", 4)]


def ints(*values):
    return np.array(values, np.int64)


def alone(network, run):
    """Return one run of a network by itself."""
    stages = [
        replace(stage, busy=stage.busy[run] if stage.busy.ndim == 2 else stage.busy)
        for stage in network.stages
    ]
    return Network(tuple(stages), network.order)


def machine_alone(machine, run):
    members = {
        stage: tuple(
            replace(member, busy=member.busy[run] if member.busy.ndim == 2 else member.busy)
            for member in group
        )
        for stage, group in machine.members.items()
    }
    return Pipeline(alone(machine.network, run), members)


def waiting_for_no_turn(network):
    """Return the stages whose waits can be followed: those that, like compute, share nothing."""
    return [stage for stage in network.stages if stage.resource is None]


def weighted(parts, repeats):
    """Add up nested mappings of numbers, each as often as its repeats; zeros are left out."""
    total = Counter()

    def add(prefix, value, times):
        if isinstance(value, int):
            total[prefix] += times * value
            return
        assert isinstance(value, dict)
        for key, inner in value.items():
            add((*prefix, key), inner, times)

    for part, times in zip(parts, repeats, strict=True):
        add((), part, int(times))
    return {key: count for key, count in total.items() if count}


# By hand ---------------------------------------------------------------------------------------


def test_two_runs_by_hand():
    """Loads take 2 or 5, uses 3, and there is one slot: the next load waits for the use.

    Run 0: load 0-2, use 2-5, load 5-7, use 7-10. Run 1: load 0-5, use 5-8, load 8-13, use 13-16.
    """
    load_stage = Stage(
        "load", np.array([[2, 2], [5, 5]]), rooms=(Room("use", ints(-1, 0), "memory"),)
    )
    use = Stage("use", ints(3, 3), inputs=("load",))
    times = run_everywhere(Network((load_stage, use)))
    assert times.table.shape == (2, 4, 2, 2)  # runs, kinds of times, stages, jobs
    assert times.stages["load"].finish.tolist() == [[2, 7], [5, 13]]
    assert times.stages["use"].start.tolist() == [[2, 7], [5, 13]]
    assert times.cycles.tolist() == [10, 16]


def test_one_run_in_a_row_of_its_own_is_still_several():
    times = run_everywhere(Network((Stage("only", np.array([[4, 5]]), latency=2),)))
    assert times.cycles.tolist() == [11]
    assert run_everywhere(Network((Stage("only", ints(4, 5), latency=2),))).cycles == 11


def test_blame_of_two_runs_by_hand():
    """The second load waits for room until the other consumer is done, at 10 or at 20.

    load 0-1, use 1-2, load 10-11 or 20-21: of its wait since 2, the second use owes 8 or 18 cycles
    to the shelf and 1 to the load. The first run takes place three times, the second five times.
    """
    load_stage = Stage("load", ints(1, 1), rooms=(Room("other", ints(-1, 0), "shelf"),))
    other = Stage("other", np.array([[10, 1], [20, 1]]))
    use = Stage("use", ints(1, 1), inputs=("load",))
    network = Network((load_stage, other, use), {"dram": Requests.of([])})
    machine = Pipeline(network, {s.name: (member_of(s),) for s in network.stages})
    times = run_everywhere(network)
    causes = blame(machine, times, "use", ints(3, 5))
    assert causes == {"buffers.shelf": 3 * 8 + 5 * 18, "load": 3 + 5}
    ledger = ledgers(machine, times, ints(3, 5))
    # Runs of 12 and 22 cycles; use works for 2, and starves 1 + 9 or 1 + 19.
    assert ledger["use"] == UnitLedger(busy_cycles=8 * 2, starved_cycles=3 * 10 + 5 * 20)
    # load works for 2, is blocked from 1 to 10 or 20, and idles in the last cycle.
    assert ledger["load"] == UnitLedger(16, 0, blocked_cycles=3 * 9 + 5 * 19, idle_cycles=8)
    assert busy_totals(machine, ints(3, 5)) == {"load": 16, "other": 3 * 11 + 5 * 21, "use": 16}


# Random networks -------------------------------------------------------------------------------


@given(several_runs())
@settings(max_examples=150)
def test_each_run_takes_the_times_that_it_takes_alone(network):
    singles = list(network.single_runs())
    assert len(singles) == network.busy.shape[0]
    times, message = outcome(run_everywhere, network)
    for run, single in enumerate(singles):
        assert np.array_equal(single.busy, network.busy[run])
        expected, complaint = outcome(run_everywhere, single)
        if message is not None:  # a deadlock depends on which jobs have work, not on how much
            assert complaint is not None
            continue
        assert times.cycles[run] == expected.cycles
        assert np.array_equal(times.table[run], expected.table)
        for stage in network.stages:
            for kind in KINDS:
                found = getattr(times.stages[stage.name], kind)[run]
                assert np.array_equal(found, getattr(expected.stages[stage.name], kind))
    if message is not None:
        assert message == outcome(run_everywhere, singles[0])[1]  # the first run that is stuck


@given(data=st.data(), network=several_runs())
@settings(max_examples=100)
def test_causes_are_those_of_the_runs_each_as_often_as_it_is_repeated(data, network):
    times, message = outcome(run_everywhere, network)
    if message is not None:
        return
    machine = data.draw(machines_of(network))
    count = network.busy.shape[0]
    repeats = ints(*data.draw(st.lists(st.integers(1, 1000), min_size=count, max_size=count)))
    machines_alone = [machine_alone(machine, run) for run in range(count)]
    pairs = [(single, run_everywhere(single.network)) for single in machines_alone]

    charged = {unit: asdict(ledger) for unit, ledger in ledgers(machine, times, repeats).items()}
    of_each = [
        {unit: asdict(ledger) for unit, ledger in ledgers(single, of_run).items()}
        for single, of_run in pairs
    ]
    assert weighted([charged], [1]) == weighted(of_each, repeats)
    assert charged.keys() == of_each[0].keys()
    cycles = int((times.cycles * repeats).sum())
    for unit, ledger in charged.items():
        assert sum(ledger.values()) == cycles, unit

    needs = [busy_totals(single) for single in machines_alone]
    assert weighted([busy_totals(machine, repeats)], [1]) == weighted(needs, repeats)
    for stage in waiting_for_no_turn(network):
        causes = [dict(blame(single, of_run, stage.name)) for single, of_run in pairs]
        found = dict(blame(machine, times, stage.name, repeats))
        assert weighted([found], [1]) == weighted(causes, repeats)


def test_random_networks_run_several_times_with_waits_to_blame():
    """A guard: there are runs that differ, they wait in every way, and somebody is to blame."""
    seen = set()

    @given(several_runs(), st.data())
    @settings(max_examples=300)
    def look(network, data):
        times, message = outcome(run_everywhere, network)
        if message is None and len(set(np.atleast_1d(times.cycles).tolist())) > 1:
            machine = data.draw(machines_of(network))
            for stage in waiting_for_no_turn(network):
                seen.update(blame(machine, times, stage.name))
            for ledger in ledgers(machine, times).values():
                seen.update(cause for cause, cycles in asdict(ledger).items() if cycles)

    look()
    assert {"s0.slow", "s0.fast"} & seen
    assert {"starved_cycles", "blocked_cycles", "contended_cycles", "idle_cycles"} <= seen


# Decode steps ----------------------------------------------------------------------------------


def steps_of(arch, shape, batch):
    """Return the decode steps of a layer one by one, and all like ones together."""
    tokens, in_features, out_features = shape
    trace = trace_of([(in_features, out_features)], lengths=(tokens,))
    ((linear, (selection,)),) = selections([arch], trace, with_masks=True)
    steps = decode_batches((tokens,), batch)
    tiled = TiledProduct.of(
        arch.running(),
        gemm_of(arch, linear, selection, steps),
        is_decode=True,
    )
    singles = list(tiled.works(selection, steps, one_by_one=True))
    return singles, list(tiled.works(selection, steps))


def counted(tally):
    """Return a tally as mappings of numbers; what a nonzero activation adds is no sum."""
    plain = asdict(tally)
    del plain["nonzero_actions"]
    return plain


def assert_together_is_one_by_one(arch, singles, together):
    runner = Runner(arch)
    of_each = [runner.run(work).tally for work in singles]
    of_all = [runner.run(work).tally for work in together]
    assert sum(int(np.sum(work.repeats)) for work in together) == len(singles)
    assert sum(work.nonzero for work in together) == sum(work.nonzero for work in singles)
    ones = [1] * len(singles)
    found = weighted([counted(tally) for tally in of_all], [1] * len(together))
    assert found == weighted([counted(tally) for tally in of_each], ones)
    for tally in of_all:
        assert tally.nonzero_actions == of_each[0].nonzero_actions
    # With the zeros of the trace: what each unit counts for each step by itself.
    for name, unit in arch.units.items():
        expected = weighted([dict(unit.actions(work)) for work in singles], ones)
        whole = [
            tally.actions_with(name, work.nonzero)
            for tally, work in zip(of_all, together, strict=True)
        ]
        assert weighted(whole, [1] * len(together)) == expected, name


@given(arch=machines(), shape=shapes(), batch=st.sampled_from([1, 1, 2, 3]))
@settings(max_examples=100)
def test_like_steps_together_are_the_steps_one_by_one(arch, shape, batch):
    try:
        singles, together = steps_of(arch, shape, min(batch, shape[0]))
    except DeadlockError:
        raise
    except InputError:
        return  # not even the smallest tile fits
    assert_together_is_one_by_one(arch, singles, together)


def test_like_dense_steps_together_are_the_steps_one_by_one():
    """37 × 9 weights are 333 bytes, six bursts of 64, in each of five steps: 5 × 384 = 1920.

    No run of the package is so: dense steps are run once and multiplied, or one by one.
    """
    arch = load("dense")
    singles, together = steps_of(arch, (5, 37, 9), 1)
    assert len(together) == 1
    assert sum(int(arch.dram.weight_bytes(work).sum()) for work in singles) == 1920
    assert_together_is_one_by_one(arch, singles, together)


@pytest.mark.parametrize("pattern", ["2:4", "8:16"])
@given(shape=shapes(), batch=batches())
def test_like_steps_are_run_in_parts_of_any_size(pattern, shape, batch):
    """65,536 values at once, or so few that every run is a part by itself, or two of three are."""
    arch = machine_for(pattern)
    batch = min(batch or 1, shape[0])
    singles, together = steps_of(arch, shape, batch)
    kinds = len({work.weight_bytes.tobytes() for work in singles})
    assert len(together) == 1
    assert together[0].weight_bytes.shape == (kinds, len(together[0].jobs))
    for values in (1, 2 * len(together[0].jobs)):
        with patch.object(layers, "_VALUES_AT_ONCE", values):
            _, parts = steps_of(arch, shape, batch)
        at_once = max(1, values // len(together[0].jobs))
        assert [len(part.repeats) for part in parts[:-1]] == [at_once] * (len(parts) - 1)
        assert sum(len(part.repeats) for part in parts) == kinds
        assert_together_is_one_by_one(arch, singles, parts)


def test_like_steps_by_hand():
    """1:2, three tokens: the first two keep row 0 (64 bytes, a burst), the third keeps row 1.

    Whichever row it is, a step fetches one burst: three steps in one run.
    """
    arch = machine_for("1:2")
    values = np.array([[9, 1], [7, 2], [1, 5]], np.int8)
    trace = trace_of([(2, 64)], lengths=(3,), arrays={"layers.0.x": values})
    ((linear, (selection,)),) = selections([arch], trace, with_masks=True)
    steps = decode_batches((3,), 1)
    tiled = TiledProduct.of(
        arch.running(),
        gemm_of(arch, linear, selection, steps),
        is_decode=True,
    )
    (work,) = tiled.works(selection, steps)
    assert (work.weight_bytes.tolist(), work.repeats.tolist()) == ([[64]], [3])
    # Batch 2 of tokens 0 and 1: still row 0 only. Of tokens 0 and 2 both rows: 128 bytes.
    one = works_of(arch, trace, batch=2)
    assert [work.weight_bytes.tolist() for work in one] == [[64]]


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("name", SELECTING)
def test_breakdown_of_steps_together_is_the_sum_of_theirs(name, batch, small_trace):
    """The parts of `Tally.of`, on machines with many tiles and steps that differ."""
    arch = cramped(name)
    for layer, linear in enumerate(small_trace.linears):
        singles = works_of(arch, small_trace, batch=batch, layer=layer)
        _, (selection,) = list(selections([arch], small_trace, with_masks=True))[layer]
        steps = decode_batches(small_trace.meta.sequence_lengths, batch)
        tiled = TiledProduct.of(
            arch.running(),
            gemm_of(arch, linear, selection, steps),
            is_decode=True,
        )
        (work,) = tiled.works(selection, steps)
        machine = build_pipeline(arch, work)
        found = asdict(breakdown(machine, run_everywhere(machine.network), work))
        expected = []
        for single in singles:
            of_step = build_pipeline(arch, single)
            times = run_everywhere(of_step.network)
            expected.append(asdict(breakdown(of_step, times, single)))
        assert weighted([found], [1]) == weighted(expected, [1] * len(singles)), linear.name


@pytest.mark.parametrize(("phase", "batch"), PHASES)
@pytest.mark.parametrize("make", [load, cramped], ids=["shipped", "cramped"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_watched_run_gives_the_result_of_an_unwatched_one(make, name, phase, batch, small_trace):
    """Watched, every step is run by itself and whole; unwatched, like ones are run once."""
    seen = []
    options = {"phase": phase, "batch": batch}
    watched = simulate(make(name), small_trace, **options, observer=lambda *run: seen.append(run))
    assert len(seen) == 4 * (1 if batch is None else 21 // batch)  # layers × steps of 21 tokens
    assert watched == simulate(make(name), small_trace, **options)
    with patch.object(layers, "_VALUES_AT_ONCE", 1):
        assert watched == simulate(make(name), small_trace, **options)
