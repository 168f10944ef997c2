"""Both engines against the longest path, on random networks and on shipped machines."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle.engines import run_everywhere
from oracle.recurrence import solve
from oracle.small import ARCHITECTURES, layer_runs, load

from accelsim.engine import Network, Room, Stage, program_order
from accelsim.errors import DeadlockError
from accelsim.workload import slot_releases

KINDS = ("ready", "roomy", "start", "finish")


@st.composite
def tile_walks(draw, jobs):
    """Which tile each job works on, and which jobs bring it in; the first user always does."""
    tile = draw(st.lists(st.integers(0, 3), min_size=jobs, max_size=jobs))
    again = draw(st.lists(st.booleans(), min_size=jobs, max_size=jobs))
    fills = [again[job] or tile[job] not in tile[:job] for job in range(jobs)]
    return np.array(fills), np.array(tile)


@st.composite
def stages_of(draw, names, position, jobs, *, is_chain):
    """One stage: inputs from before it, rooms freed by stages after it, or by any at all."""
    earlier = names[:position]
    inputs = tuple(earlier[-1:])
    if not is_chain and earlier:
        inputs = tuple(sorted(draw(st.sets(st.sampled_from(earlier), max_size=3))))
    busy = np.array(draw(st.lists(st.integers(0, 9), min_size=jobs, max_size=jobs)))
    rooms = []
    for consumer in draw(st.lists(st.sampled_from([*names[position + 1 :], None]), max_size=2)):
        if consumer is not None:
            fills, tile = draw(tile_walks(jobs))
            slots = draw(st.integers(1, 4))
            uses = draw(st.none() | st.just(fills))
            rooms.append(Room(consumer, slot_releases(fills, tile, slots, uses), "memory"))
            busy = busy * fills
    if draw(st.integers(0, 7)) == 0:  # any wait at all: many of these can never be met
        frees = np.array(draw(st.lists(st.integers(-1, jobs - 1), min_size=jobs, max_size=jobs)))
        rooms.append(Room(draw(st.sampled_from(names)), frees, "memory"))
    return Stage(
        names[position],
        busy=busy.astype(np.int64),
        inputs=inputs,
        rooms=tuple(rooms),
        latency=draw(st.integers(0, 7)),
        resource=draw(st.sampled_from([None, "bus", "bus", "port"])),
    )


@st.composite
def networks(draw):
    """Chains and graphs with joins; buffers of a few tiles; shared resources with lags."""
    jobs, is_chain = draw(st.integers(1, 8)), draw(st.booleans())
    names = [f"s{position}" for position in range(draw(st.integers(1, 5)))]
    stages = [
        draw(stages_of(names, position, jobs, is_chain=is_chain)) for position in range(len(names))
    ]
    order = {}
    for resource in ("bus", "port"):
        sharing = [stage for stage in stages if stage.resource == resource]
        streams = [(stage, draw(st.integers(0, 3))) for stage in draw(st.permutations(sharing))]
        order[resource] = program_order(streams)
    return Network(tuple(stages), order)


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
        assert run.machine.network.jobs > 4
        assert_same(run.machine.network)


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
