"""Who is to blame where a stage fills two buffers, and where two channels are shared, by hand."""

import numpy as np
import pytest
from hypothesis import given

from accelsim.accounting.blame import blame
from accelsim.accounting.ledger import UnitLedger, ledgers
from accelsim.base.errors import DeadlockError
from accelsim.dataflows.diagram import Role
from accelsim.dataflows.pipeline import Member, Pipeline
from accelsim.engine import Network, Requests, Room, Stage, recurrence, simpy_engine
from tests.helpers.random_networks import networks


def ints(*values):
    return np.array(values, np.int64)


def pipeline_of(*stages, orders=None):
    """A pipeline of stages with one member each, called like its stage."""
    members = {
        stage.name: (
            Member(
                stage.name,
                stage.busy,
                Role.STREAM if stage.resource else Role.COMPUTE,
                stage.resource or "",
            ),
        )
        for stage in stages
    }
    requests = {name: Requests.of(order) for name, order in (orders or {}).items()}
    return Pipeline(Network(stages, requests), members)


def run(pipeline):
    """Return times on which both engines agree."""
    times = recurrence.run(pipeline.network)
    assert np.array_equal(times.table, simpy_engine.run(pipeline.network).table)
    return times


def two_rooms(slow, quick):
    """`make` fills two buffers of one slot; `left` and `right` take what it makes out of one each.

    make0 0-2, left 2-2+slow, right 2-2+quick. Job 1 needs the slots that both have held for job 0.
    """
    make = Stage(
        "make",
        ints(2, 2),
        rooms=(Room("left", ints(-1, 0), "l"), Room("right", ints(-1, 0), "r")),
    )
    left = Stage("left", ints(slow, 1), inputs=("make",))
    right = Stage("right", ints(quick, 1), inputs=("make",))
    return pipeline_of(make, left, right)


@pytest.mark.parametrize(("slow", "quick", "cause"), [(9, 4, "left"), (4, 9, "right")])
def test_of_two_rooms_the_one_that_is_free_last_is_to_blame(slow, quick, cause):
    """make waits from 2, when its job 0 is done, to 11, when the slower of the two is."""
    pipeline = two_rooms(slow, quick)
    times = run(pipeline)
    assert times.stages["make"].start.tolist() == [0, 11]
    assert blame(pipeline, times, "make") == {cause: 9}


def test_the_first_of_two_rooms_is_to_blame_if_both_are_free_at_once():
    pipeline = two_rooms(6, 6)
    assert blame(pipeline, run(pipeline), "make") == {"left": 6}


def test_a_room_that_is_free_already_is_not_to_blame():
    """Only the second room waits in job 1; the first has two slots, and waits in job 2."""
    make = Stage(
        "make",
        ints(1, 1, 1),
        rooms=(Room("left", ints(-1, -1, 0), "l"), Room("right", ints(-1, 0, 1), "r")),
    )
    # make0 0-1; left0 1-13, right0 1-4; make1 4-5, right1 5-6; make2 waits for left0: 13-14.
    left = Stage("left", ints(12, 1, 1), inputs=("make",))
    right = Stage("right", ints(3, 1, 1), inputs=("make",))
    pipeline = pipeline_of(make, left, right)
    times = run(pipeline)
    assert times.stages["make"].start.tolist() == [0, 4, 13]
    assert blame(pipeline, times, "make") == {"right": 3, "left": 8}


def test_a_wait_downstream_of_two_rooms_is_followed_through_the_binding_one():
    """`use` waits for `make`, which waits for room that `slow` holds: `slow` is to blame.

    make0 0-1, use0 1-2, slow0 1-11, make1 11-12, use1 12-13: `use` waits from 2 to 12, of which
    make works 1.
    """
    make = Stage(
        "make",
        ints(1, 1),
        rooms=(Room("use", ints(-1, 0), "u"), Room("slow", ints(-1, 0), "s")),
    )
    use = Stage("use", ints(1, 1), inputs=("make",))
    slow = Stage("slow", ints(10, 10), inputs=("make",))
    pipeline = pipeline_of(make, use, slow)
    times = run(pipeline)
    assert times.stages["use"].start.tolist() == [1, 12]
    assert blame(pipeline, times, "use") == {"buffers.s": 9, "make": 1}


@given(network=networks())
def test_blame_covers_every_wait_of_random_networks(network):
    """Also with several rooms and resources, as many as there are."""
    try:
        times = recurrence.run(network)
    except DeadlockError:
        return
    pipeline = pipeline_of_network(network)
    for name, stage in times.stages.items():
        waits = int((stage.start[1:] - stage.finish[:-1]).sum())
        assert blame(pipeline, times, name).total() == waits


def pipeline_of_network(network):
    alone = pipeline_of(*network.stages)
    return Pipeline(network, alone.members)


# --- two resources -------------------------------------------------------------------------------


def two_channels():
    """x and y over one channel, w over another; `use` needs x and w.

    near: x0 0-3, x1 3-6, then y0 and y1, each a cycle; far: w0 0-5, w1 5-10.
    use0 5-7, use1 10-12; y0 waits for x1 (6), then for use0 (7): 7-8; y1 12-13.
    """
    x = Stage("x", ints(3, 3), resource="near")
    w = Stage("w", ints(5, 5), resource="far")
    use = Stage("use", ints(2, 2), inputs=("x", "w"))
    y = Stage("y", ints(1, 1), inputs=("use",), resource="near")
    near = [("x", 0), ("x", 1), ("y", 0), ("y", 1)]
    return pipeline_of(x, w, use, y, orders={"near": near, "far": [("w", 0), ("w", 1)]})


def test_each_resource_has_a_ledger_in_its_own_order():
    pipeline = two_channels()
    times = run(pipeline)
    assert times.stages["use"].start.tolist() == [5, 10]
    found = ledgers(pipeline, times)
    # near: 3 + 3 + 1 + 1 busy; it starves 6-7 and 8-12 for what it is to store.
    assert found["near"] == UnitLedger(busy_cycles=8, starved_cycles=1 + 4)
    # far: 5 + 5 busy, then nothing left to do.
    assert found["far"] == UnitLedger(busy_cycles=10, idle_cycles=3)
    assert found["x"] == UnitLedger(busy_cycles=6, idle_cycles=7)
    assert found["w"] == UnitLedger(busy_cycles=10, idle_cycles=3)
    assert found["y"] == UnitLedger(busy_cycles=2, starved_cycles=7 + 4)
    assert all(ledger.total_cycles == times.cycles == 13 for ledger in found.values())


def test_the_resource_that_is_late_is_to_blame():
    """use waits from 7 to 10 for w, on the far channel."""
    pipeline = two_channels()
    assert blame(pipeline, run(pipeline), "use") == {"far": 3}


def test_in_one_channel_all_wait_for_each_other():
    """The same streams on one: x0 0-3, w0 3-8, x1 8-11, w1 11-16; use0 8-10, use1 16-18."""
    alone = two_channels().network.stages
    stages = [
        Stage(s.name, s.busy, s.inputs, s.rooms, s.latency, "one" if s.resource else None)
        for s in alone
    ]
    order = [("x", 0), ("w", 0), ("x", 1), ("w", 1), ("y", 0), ("y", 1)]
    pipeline = pipeline_of(*stages, orders={"one": order})
    times = run(pipeline)
    assert times.stages["use"].start.tolist() == [8, 16]
    assert ledgers(pipeline, times)["one"] == UnitLedger(busy_cycles=18, starved_cycles=1)
    assert blame(pipeline, times, "use") == {"one": 6}
