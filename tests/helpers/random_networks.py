"""Random networks of a few stages: chains and graphs, shallow buffers, shared resources."""

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from accelsim.dataflows.diagram import Role
from accelsim.dataflows.pipeline import Member, Pipeline
from accelsim.engine import Network, Room, Stage, program_order
from accelsim.mapping import slot_releases

RESOURCES = ("dram", "port")


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
        resource=draw(st.sampled_from([None, "dram", "dram", "port"])),
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
    for resource in RESOURCES:
        sharing = [stage for stage in stages if stage.resource == resource]
        streams = [(stage, draw(st.integers(0, 3))) for stage in draw(st.permutations(sharing))]
        order[resource] = program_order(streams)
    return Network(tuple(stages), order)


@st.composite
def several_runs(draw):
    """A network with the service times of one to four runs; some stages are the same in all.

    A job has work in every run or in none.
    """
    network = draw(networks())
    runs = draw(st.integers(1, 4))

    def redrawn(busy):
        longer = draw(st.lists(st.integers(0, 9), min_size=runs * len(busy), max_size=4 * 8))
        return (busy + np.reshape(longer[: runs * len(busy)], (runs, -1))) * (busy > 0)

    stages = [
        replace(stage, busy=redrawn(stage.busy)) if draw(st.booleans()) else stage
        for stage in network.stages
    ]
    if all(stage.busy.ndim == 1 for stage in stages):
        stages[0] = replace(stages[0], busy=redrawn(stages[0].busy))
    return Network(tuple(stages), network.order)


def member_of(stage, name=None):
    """The only member of a stage: a stream where the stage shares a resource."""
    role = Role.STREAM if stage.resource else Role.UNIT
    return Member(name or stage.name, stage.busy, role, stage.resource or "")


@st.composite
def machines_of(draw, network):
    """A machine around a network: in each stage a unit that sets its pace, one that may be faster.

    The faster one stands before or after the other, and may be the far port of a buffer.
    """
    members = {}
    for stage in network.stages:
        name = stage.name
        slack = draw(st.integers(0, 5))
        busy = np.maximum(0, stage.busy - slack)
        slower = member_of(stage, f"{name}.slow")
        faster = Member(f"{name}.fast", busy, is_charged=draw(st.booleans()))
        members[name] = draw(st.permutations([slower, faster]))
    return Pipeline(network, {name: tuple(units) for name, units in members.items()})
