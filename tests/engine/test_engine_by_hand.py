"""What both engines promise, one behaviour a test, each with numbers that a reader can redo."""

import numpy as np
import pytest

from accelsim.accounting.ledger import UnitLedger, ledgers
from accelsim.base.errors import DeadlockError
from accelsim.dataflows.pipeline import Pipeline
from accelsim.engine import Network, Requests, Room, Stage, program_order
from accelsim.mapping import slot_releases
from tests.helpers.engines import run_everywhere
from tests.helpers.random_networks import member_of


def ints(*values):
    return np.array(values, np.int64)


def room(consumer, jobs, *, slots, buffer="memory"):
    """A buffer of so many tiles, refilled in every job."""
    tiles = np.arange(jobs)
    return Room(consumer, slot_releases(np.ones(jobs, bool), tiles, slots), buffer)


def run(*stages, order=None):
    return run_everywhere(Network(tuple(stages), order or {}))


def test_one_stage_serves_jobs_back_to_back():
    # 0-3, nothing, 3-8; the last result is visible 4 cycles after that: 12.
    times = run(Stage("only", ints(3, 0, 5), latency=4))
    assert times.stages["only"].start.tolist() == [0, 3, 3]
    assert times.stages["only"].finish.tolist() == [3, 3, 8]
    assert times.cycles == 12


def test_a_consumer_starts_when_its_input_is_there_and_it_is_free():
    # first: 0-2, 2-4, 4-6. second: 2-5, then job 1 (there at 4) waits until 5: 5-6, 6-9.
    times = run(Stage("first", ints(2, 2, 2)), Stage("second", ints(3, 1, 3), inputs=("first",)))
    assert times.stages["second"].ready.tolist() == [2, 5, 6]
    assert times.stages["second"].start.tolist() == [2, 5, 6]
    assert times.stages["second"].finish.tolist() == [5, 6, 9]
    assert times.cycles == 9


def test_a_join_waits_for_the_later_input():
    # left visible at 4, 8; right at 1 + 6 = 7, 2 + 6 = 8: the join runs 7-8 and 8-9.
    times = run(
        Stage("left", ints(4, 4)),
        Stage("right", ints(1, 1), latency=6),
        Stage("join", ints(1, 1), inputs=("left", "right")),
    )
    assert times.stages["join"].start.tolist() == [7, 8]
    assert times.cycles == 9


def test_latency_does_not_eat_throughput():
    # 100 jobs of one cycle: the last ends at 100, is visible at 110, consumed at 111.
    # A stage that stayed occupied for its latency would need 100 × 11 cycles.
    ones = np.ones(100, np.int64)
    times = run(Stage("pipeline", ones, latency=10), Stage("sink", ones, inputs=("pipeline",)))
    assert times.stages["pipeline"].finish[-1] == 100
    assert times.cycles == 111


def test_throughput_is_that_of_the_slowest_stage():
    # Fill 2 + 3, then 50 jobs of 7, then 4 of the last stage.
    jobs = np.ones(50, np.int64)
    times = run(
        Stage("a", 2 * jobs),
        Stage("b", 3 * jobs, inputs=("a",)),
        Stage("c", 7 * jobs, inputs=("b",)),
        Stage("d", 4 * jobs, inputs=("c",)),
    )
    assert times.cycles == 2 + 3 + 50 * 7 + 4


@pytest.mark.parametrize(
    ("slots", "load_finish", "cycles"),
    [
        # Loads take 1, uses 10. One slot: the next load waits for the use to end, 11 a job.
        (1, [1, 12, 23, 34], 44),
        # Two slots: the third load waits for the first use (1-11), the fourth for the second
        # (11-21); uses run back to back from cycle 1.
        (2, [1, 2, 12, 22], 41),
        # Four slots: nothing waits.
        (4, [1, 2, 3, 4], 41),
    ],
)
def test_shallow_buffer_blocks_producer(slots, load_finish, cycles):
    times = run(
        Stage("load", ints(1, 1, 1, 1), rooms=(room("use", 4, slots=slots),)),
        Stage("use", ints(10, 10, 10, 10), inputs=("load",)),
    )
    assert times.stages["load"].finish.tolist() == load_finish
    assert times.cycles == cycles


@pytest.mark.parametrize(("load", "use"), [(8, 10), (10, 10), (10, 8)])
def test_double_buffering_overlaps_loads_with_uses(load, use):
    # Six jobs: fill with one load, then the slower of the two each time, then the last use.
    times = run(
        Stage("load", np.full(6, load), rooms=(room("use", 6, slots=2),)),
        Stage("use", np.full(6, use), inputs=("load",)),
    )
    assert times.cycles == load + 5 * max(load, use) + use


@pytest.mark.parametrize(("load", "use"), [(8, 10), (10, 8)])
def test_a_single_buffer_overlaps_nothing(load, use):
    times = run(
        Stage("load", np.full(6, load), rooms=(room("use", 6, slots=1),)),
        Stage("use", np.full(6, use), inputs=("load",)),
    )
    assert times.cycles == 6 * (load + use)


def test_two_streams_share_one_channel():
    """The second load of x waits for room, and w behind it in the order waits with it.

    x0 0-2, w0 2-5 (in the queue from 0: 2 contended), use 0 5-15, x1 has one slot and waits for it
    until 15: 15-17, w1 (in the queue from 5: 12 contended) 17-20, use 1 20-30.
    """
    x = Stage("x", ints(2, 2), rooms=(room("use", 2, slots=1),), resource="dram")
    w = Stage("w", ints(3, 3), resource="dram")
    use = Stage("use", ints(10, 10), inputs=("x", "w"))
    network = Network((x, w, use), {"dram": program_order([(x, 0), (w, 0)])})
    times = run_everywhere(network)
    assert times.stages["x"].start.tolist() == [0, 15]
    assert times.stages["w"].start.tolist() == [2, 17]
    assert times.cycles == 30

    machine = Pipeline(network, {s.name: (member_of(s),) for s in network.stages})
    ledger = ledgers(machine, times)
    assert ledger["x"] == UnitLedger(busy_cycles=4, blocked_cycles=13, idle_cycles=13)
    assert ledger["w"] == UnitLedger(busy_cycles=6, contended_cycles=14, idle_cycles=10)
    assert ledger["use"] == UnitLedger(busy_cycles=20, starved_cycles=10)
    # The channel itself is busy 2 + 3 + 2 + 3, and waits for x1's slot from 5 to 15.
    assert ledger["dram"] == UnitLedger(busy_cycles=10, blocked_cycles=10, idle_cycles=10)


def test_a_job_without_work_passes_at_once_and_asks_for_no_resource():
    # bus: a0 0-4, b0 4-10, b1 10-16, a2 16-20 (job 1 of a has no place in the order).
    # a1 passes at 4 and is visible at 4, without the latency of 5; a0 only at 9.
    a = Stage("a", ints(4, 0, 4), latency=5, resource="bus")
    b = Stage("b", ints(6, 6, 0), resource="bus")
    order = program_order([(a, 0), (b, 0)])
    assert tuple(order) == (("a", 0), ("b", 0), ("b", 1), ("a", 2))
    times = run(a, b, Stage("sink", ints(1, 1, 1), inputs=("a",)), order={"bus": order})
    assert times.stages["a"].finish.tolist() == [4, 4, 20]
    assert times.stages["b"].finish.tolist() == [10, 16, 16]
    assert times.stages["sink"].start.tolist() == [9, 10, 25]


def test_program_order_places_lagged_requests_behind_later_loads():
    x, w, s = (Stage(name, ints(1, 1, 1)) for name in "xws")
    # Position i holds x of job i, w of job i - 1, s of job i - 2, in this order.
    assert tuple(program_order([(x, 0), (w, 1), (s, 2)])) == (
        ("x", 0),
        *(("x", 1), ("w", 0)),
        *(("x", 2), ("w", 1), ("s", 0)),
        *(("w", 2), ("s", 1)),
        ("s", 2),
    )


def test_program_order_leaves_out_jobs_without_work():
    x, s = Stage("x", ints(1, 0, 1)), Stage("s", ints(0, 0, 1))
    assert tuple(program_order([(x, 0), (s, 1)])) == (("x", 0), ("x", 2), ("s", 2))


def test_deadlock_names_the_stuck_stages_and_the_buffer():
    # One slot, which is free only after use 1; but use 1 needs load 1, which needs the slot.
    # Cycle 9: load 0 ended at 2, use 0 at 9.
    pantry = Room("use", ints(-1, 1), "pantry")
    with pytest.raises(DeadlockError) as caught:
        run(
            Stage("load", ints(2, 2), rooms=(pantry,)),
            Stage("use", ints(7, 7), inputs=("load",)),
            Stage("bystander", ints(1, 1)),
        )
    assert str(caught.value) == (
        "deadlock at cycle 9: load waits for room in pantry (tile 1); use waits for load (tile 1)"
    )


def test_deadlock_names_the_shared_resource():
    # The store of job 0 stands before its load in the order of the bus.
    load = Stage("load", ints(3), resource="bus")
    store = Stage("store", ints(3), inputs=("load",), resource="bus")
    with pytest.raises(DeadlockError, match=r"load waits for its turn on bus \(tile 0\)"):
        run(load, store, order={"bus": Requests.of((("store", 0), ("load", 0)))})
