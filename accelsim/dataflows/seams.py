"""The seam between two layers that follow each other on a machine.

The next layer's first weights load while this one computes. What depends on this layer's outputs
waits for its end, when all of its work is done. So a layer has a window of time of its own, from
the end of the one before to its own end, and two things cross the seams at its sides: first loads
of its weights are there, or under way, when its window begins, and within the window first loads
of the next layer are made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from accelsim.dataflows.diagram import Role, Stage
from accelsim.dataflows.pipeline import (
    Drawn,
    Member,
    Pipeline,
    build_pipeline,
    present_stages,
    store_lag_jobs,
)
from accelsim.engine import Network, Requests
from accelsim.engine import Stage as ServedStage
from accelsim.hardware import READ, WRITE, Buffer
from accelsim.mapping import Ints, Work
from accelsim.mapping.datapath import stacked
from accelsim.mapping.jobs import last_uses

Table = tuple[tuple[int, ...], ...]
"""Cycles of each member of the stage that loads weights, for each of some loads."""


@dataclass(frozen=True, slots=True)
class Seams:
    """What crosses the seams before and behind a layer: first loads of weights.

    Attributes:
        left_cycles: what is still to be done of this layer's first loads; 0 for those finished.
        arrival_cycles: when each of those finished is visible, counted from this layer's begin; 0
            for those under way.
        ahead_cycles: the first loads of the next layer, to be made in this one's window.
        ahead_bytes: room that each of them takes.
    """

    left_cycles: Table = ()
    arrival_cycles: tuple[int, ...] = ()
    ahead_cycles: Table = ()
    ahead_bytes: int = 0

    @property
    def ahead(self) -> int:
        """Number of loads for the next layer."""
        return len(self.ahead_cycles[0]) if self.ahead_cycles else 0

    def without(self, loads: int) -> Seams:
        """Return the same with so many of the last loads for the next layer left out."""
        kept = self.ahead - loads
        return replace(self, ahead_cycles=tuple(row[:kept] for row in self.ahead_cycles))

    def then(self, next_layer: Seams) -> Seams:
        """Return the same with what another one says of the next layer."""
        ahead, size = next_layer.ahead_cycles, next_layer.ahead_bytes
        return replace(self, ahead_cycles=ahead, ahead_bytes=size)


NO_SEAMS = Seams()
"""Those of a layer by itself."""


def weight_stage(machine: Drawn, work: Work) -> Stage | None:
    """Return the stage that loads weights, if it may do so before the layer begins.

    It may not where it waits for another one, as weights that depend on a selection do.
    """
    stages = [
        stage
        for stage in present_stages(machine, work)
        if stage.stream and (stage.stream.operand, stage.stream.direction) == ("w", READ)
    ]
    if len(stages) != 1 or stages[0].after or stages[0].is_once or not stages[0].fills:
        return None
    return stages[0]


def most_ahead(machine: Drawn, work: Work, lag: int | None) -> int:
    """Return how many first loads of a layer are made in the window of the layer before.

    With stores in that layer, no more than stand in front of its last one: what stands behind it
    would hold up the loads of the next input. They leave one slot, so that loading goes on while
    the first tile of the next layer is on its way through the machine.

    Args:
        machine: as the layer finds it.
        work: the layer, or a part of it.
        lag: jobs by which the stores of the layer before lag; None: it stores nothing.
    """
    drawn = weight_stage(machine, work)
    if drawn is None:
        return 0
    buffer = _buffer(machine, drawn)
    slots = buffer.store.slots(buffer.tile_bytes(work))
    return slots if lag is None else min(lag, max(1, slots - 1))


def first_loads(machine: Drawn, work: Work, most: int) -> Seams:
    """Return the first loads of a layer's weights, as the layer before it sees them.

    Args:
        machine: as the layer finds it.
        work: the layer, or so much of its beginning that it makes `most` loads.
        most: of `most_ahead`.
    """
    drawn = weight_stage(machine, work)
    if drawn is None:
        return NO_SEAMS
    members = build_pipeline(machine, work).members[drawn.name]
    jobs = _loads(members)[:most]
    if not len(jobs):
        return NO_SEAMS
    cycles = tuple(tuple(member.busy[jobs].tolist()) for member in members)
    return Seams(ahead_cycles=cycles, ahead_bytes=_buffer(machine, drawn).tile_bytes(work))


def joined_pipeline(machine: Drawn, work: Work, seams: Seams) -> Pipeline:
    """Return the pipeline of a layer with what crosses its seams.

    Loads for the next layer are jobs of their own behind those of this one, in the stage that loads
    weights; the other stages have no work in them. In the program order they stand where loads of
    further tiles of this layer would: in front of the stores that lag so far behind.
    """
    alone, drawn = build_pipeline(machine, work), weight_stage(machine, work)
    if drawn is None or seams == NO_SEAMS:
        return alone
    members = {
        name: tuple(_extended(seams, found, is_loading=name == drawn.name))
        for name, found in alone.members.items()
    }
    waits = _room_waits(machine, work, drawn, seams)
    arrival = _arrival(drawn, members[drawn.name], alone, seams)
    stages = [_stage(s, members[s.name], drawn, waits) for s in alone.network.stages]
    if arrival is not None:
        stages = [_behind(stage, drawn, arrival) for stage in stages] + [arrival]
        stream = next(m for m in members[drawn.name] if m.role is Role.STREAM)
        unit = replace(stream, busy=arrival.busy, role=Role.UNIT, is_charged=False)
        members[arrival.name] = (unit,)
    order = _order(machine, work, drawn, alone, seams, members[drawn.name])
    return Pipeline(Network(tuple(stages), order), members, alone.once)


def _buffer(machine: Drawn, drawn: Stage) -> Buffer:
    buffer = machine.units[drawn.fills]
    assert isinstance(buffer, Buffer)
    return buffer


def _loads(members: Iterable[Member]) -> Ints:
    """Return the jobs that load a tile."""
    return np.flatnonzero(stacked([member.busy for member in members]).max(axis=-2))


def _extended(seams: Seams, members: tuple[Member, ...], *, is_loading: bool) -> Iterable[Member]:
    """Yield the members of a stage with what is left of the first loads, and those ahead."""
    first = _loads(members)[: len(seams.arrival_cycles)]
    for row, member in enumerate(members):
        busy = np.pad(member.busy, [(0, 0)] * (member.busy.ndim - 1) + [(0, seams.ahead)])
        if is_loading and len(first):
            busy[first] = seams.left_cycles[row]
        if is_loading and seams.ahead:
            busy[-seams.ahead :] = seams.ahead_cycles[row]
        yield replace(member, busy=busy)


def _stage(
    stage: ServedStage, members: tuple[Member, ...], drawn: Stage, waits: Ints
) -> ServedStage:
    """Return a stage of the network for the extended jobs."""
    more = waits if stage.name == drawn.name else np.full(len(waits), -1, np.int64)
    rooms = [replace(room, frees=np.append(room.frees, more)) for room in stage.rooms]
    busy = stacked([member.busy for member in members]).max(axis=-2)
    return replace(stage, busy=busy, rooms=tuple(rooms))


def _room_waits(machine: Drawn, work: Work, drawn: Stage, seams: Seams) -> Ints:
    """Return the job that must be over before each load ahead has room, `[ahead]`; -1: none.

    The loads ahead fill the buffer from the start; the last tiles of this layer leave it meanwhile,
    and what they still take must fit beside. A single-buffered one must be empty.
    """
    buffer = _buffer(machine, drawn)
    ends = last_uses(buffer.fills(work.jobs), buffer.tile(work.jobs), buffer.uses(work))
    ends = np.maximum.accumulate(ends)
    store = buffer.store
    free_bytes = store.capacity_bytes - seams.ahead_bytes * np.arange(1, seams.ahead + 1)
    beside = free_bytes // max(1, buffer.tile_bytes(work)) * store.double_buffered
    last = len(ends) - 1 - beside
    waits: Ints = np.where(last < 0, -1, ends[np.maximum(last, 0)])
    return waits


def _arrival(
    drawn: Stage, members: tuple[Member, ...], alone: Pipeline, seams: Seams
) -> ServedStage | None:
    """Return a stage for loads that were finished in time, but are not visible yet, if any are."""
    if not any(seams.arrival_cycles):
        return None
    jobs = _loads(alone.members[drawn.name])[: len(seams.arrival_cycles)]
    seen = np.maximum.accumulate(np.array(seams.arrival_cycles, np.int64))
    busy = np.zeros(members[0].busy.shape[-1], np.int64)
    busy[jobs] = np.diff(seen, prepend=0)
    return ServedStage(f"{drawn.name} before", busy)


def _behind(stage: ServedStage, drawn: Stage, arrival: ServedStage) -> ServedStage:
    """Return a stage that waits for what was loaded before, if it waits for loads at all."""
    if drawn.name not in stage.inputs:
        return stage
    return replace(stage, inputs=(*stage.inputs, arrival.name))


def _order(  # noqa: PLR0913, PLR0917
    machine: Drawn,
    work: Work,
    drawn: Stage,
    alone: Pipeline,
    seams: Seams,
    members: tuple[Member, ...],
) -> Mapping[str, Requests]:
    """Return the program orders with the loads ahead, and what is left of the first loads first."""
    assert drawn.stream is not None
    name = drawn.stream.resource
    order = alone.network.order[name]
    row = order.names.index(drawn.name)
    first = _loads(alone.members[drawn.name])[: len(seams.arrival_cycles)]
    is_first = (order.stage == row) & np.isin(order.job, first)
    keep = ~is_first | np.isin(order.job, _loads(members))
    by_turn = np.flatnonzero(keep)[np.argsort(~is_first[keep], kind="stable")]
    stage, job = order.stage[by_turn], order.job[by_turn]
    storing = [
        place
        for place, other in enumerate(order.names)
        if any(member.direction is WRITE for member in alone.members[other])
    ]
    is_store, jobs = np.isin(stage, storing), len(work.jobs)
    lag = store_lag_jobs(machine, work, list(present_stages(machine, work)))
    after = np.flatnonzero(~is_store).max(initial=-1) + 1
    ahead = jobs + np.arange(seams.ahead)
    places = [_place(np.flatnonzero(is_store & (job >= k - lag)), after, len(job)) for k in ahead]
    orders = dict(alone.network.order)
    orders[name] = Requests(
        order.names, np.insert(stage, places, row), np.insert(job, places, ahead)
    )
    return orders


def _place(stores: Ints, after: int, end: int) -> int:
    """Return where a load ahead stands: before these stores, behind all other requests."""
    return max(int(stores[0]) if len(stores) else end, after)
