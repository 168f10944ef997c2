"""The network of one piece of work: a diagram with the service times of a machine's units."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from accelsim.dataflows.diagram import Diagram, Part, Role, Stage, remaining
from accelsim.engine import Network, Requests, Room, check_cycles, program_order
from accelsim.engine import Stage as ServedStage
from accelsim.hardware import READ, Buffer, Direction, Resource, Unit
from accelsim.mapping import Ints, Stores, Work, slot_releases
from accelsim.mapping.datapath import stacked
from accelsim.mapping.tiling import store_lag


class Drawn(Protocol):
    """What a pipeline is made of: a machine as a layer finds it."""

    @property
    def diagram(self) -> Diagram:
        """The block diagram."""

    @property
    def units(self) -> Mapping[str, Unit]:
        """The units that the machine has, by the names of the diagram."""

    @property
    def stores(self) -> Stores:
        """The buffers as the tiling sees them."""


@dataclass(frozen=True, slots=True)
class Member:
    """A unit, a stream or the port of a buffer in a stage, with its service times.

    Attributes:
        unit: whose ledger its cycles go to.
        busy: `[jobs]`, or `[runs, jobs]`: cycles in which it works.
        role: what it is there for.
        resource: of a stream, what it shares with others.
        direction: of a stream.
        is_charged: false for the port of a buffer that only limits; the other one is charged.
    """

    unit: str
    busy: Ints
    role: Role = Role.UNIT
    resource: str = ""
    direction: Direction = READ
    is_charged: bool = True

    @property
    def cause(self) -> str:
        """Who is to blame where the others of the stage wait for it: of a stream, its resource."""
        return self.resource or self.unit

    @property
    def is_still(self) -> bool:
        """Whether it is a stream that moves nothing."""
        return self.role is Role.STREAM and not self.busy.any()


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A network, and the members of each of its stages in the order of the data flow.

    Attributes:
        network: what the engines run.
        members: by stage.
        once: the stage that serves the first job only, before all others, if there is one.
    """

    network: Network
    members: dict[str, tuple[Member, ...]]
    once: str = ""

    @property
    def units(self) -> tuple[str, ...]:
        """Every name that has a ledger: resources, then the charged members in order of flow."""
        return (*self.network.order, *self.stage_of)

    @property
    def stage_of(self) -> dict[str, str]:
        """The stage in which each member is charged."""
        return {
            member.unit: stage
            for stage, members in self.members.items()
            for member in members
            if member.is_charged
        }

    @property
    def array(self) -> tuple[str, Member]:
        """The stage with the array, and the array: a run is told as seen from there."""
        return next(
            (stage, member)
            for stage, members in self.members.items()
            for member in members
            if member.role is Role.COMPUTE
        )


def build_pipeline(machine: Drawn, work: Work) -> Pipeline:
    """Return the pipeline of a machine for one piece of work.

    Raises:
        InputError: its runs may take more cycles than are counted.
    """
    stages = list(present_stages(machine, work))
    members = {stage.name: tuple(stage_members(machine, work, stage)) for stage in stages}
    network = connected(
        machine,
        work,
        stages,
        busy={name: slowest(found) for name, found in members.items()},
        latency={name: latency_of(machine, work, found) for name, found in members.items()},
        resource={name: resource_of(found) for name, found in members.items()},
    )
    check_cycles(float(np.sum(network.bound_cycles * work.repeats)))
    once = next((stage.name for stage in stages if stage.is_once), "")
    return Pipeline(network, members, once)


def connected(  # noqa: PLR0913, PLR0917 - what a network is made of
    machine: Drawn,
    work: Work,
    stages: list[Stage],
    busy: Mapping[str, Ints],
    latency: Mapping[str, int],
    resource: Mapping[str, str | None],
) -> Network:
    """Return the network of stages with these service times, for tiles in the order of `work`.

    Args:
        machine: its buffers give the rooms.
        work: tiling and jobs; times are not asked for.
        stages: those that are present.
        busy: by stage, `[jobs]` or `[runs, jobs]`.
        latency: by stage.
        resource: by stage, what it shares with others.
    """
    served = {
        stage.name: ServedStage(
            stage.name,
            busy=busy[stage.name],
            inputs=tuple(wait.stage for wait in stage.after),
            rooms=tuple(_rooms(machine, work, stage, stages)),
            latency=latency[stage.name],
            resource=resource.get(stage.name),
        )
        for stage in stages
    }
    orders = {name: _order(machine, work, name, stages, served) for name in _shared(stages)}
    return Network(tuple(served.values()), orders)


def slowest(members: Iterable[Member]) -> Ints:
    """Return the cycles in which a stage serves each job: those of its slowest member."""
    busy: Ints = stacked([member.busy for member in members]).max(axis=-2)
    return busy


def present_stages(machine: Drawn, work: Work) -> Iterator[Stage]:
    """Yield the stages that a machine has in this work, with what they wait for and read there."""
    return remaining(
        machine.diagram.stages,
        exists=lambda stage: _exists(machine, work, stage),
        applies=lambda wait: wait.applies(work),
    )


def _exists(machine: Drawn, work: Work, stage: Stage) -> bool:
    if not stage.has_place(machine.units):
        return False
    return not stage.is_once or bool(_moved(machine, work, stage.stream).any())


def _moved(machine: Drawn, work: Work, stream: Part | None) -> Ints:
    """Return the bytes that a stream moves, `[jobs]` or `[runs, jobs]`; none of what is there."""
    assert stream is not None
    if stream.operand in work.on_chip:
        return np.zeros(len(work.jobs), np.int64)
    return resource_named(machine, stream.resource).moved_bytes(stream.operand, work)


def resource_named(machine: Drawn, name: str) -> Resource:
    """Return the unit that moves tiles, by the name that the streams on it give."""
    resource = machine.units[name]
    assert isinstance(resource, Resource)
    return resource


def resource_cycles(machine: Drawn, name: str, work: Work) -> Ints:
    """Return the cycles in which each job occupies a shared resource, over all of its streams."""
    resource, clock_mhz = resource_named(machine, name), work.path.clock_mhz
    moved = (_moved(machine, work, part) for part in _streams_on(machine, name))
    cycles = [resource.transfer_cycles(size_bytes, clock_mhz=clock_mhz) for size_bytes in moved]
    return sum(cycles, start=np.zeros(len(work.jobs), np.int64))


def _streams_on(machine: Drawn, resource: str) -> list[Part]:
    """Return the streams on a resource; those of stages that a machine lacks move nothing."""
    stages = (stage for stage in machine.diagram.stages if stage.has_place(machine.units))
    streams = (stage.stream for stage in stages if stage.stream)
    return [part for part in streams if part.resource == resource]


def actions_of(machine: Drawn, name: str, work: Work) -> Mapping[str, int]:
    """Count the actions of a unit in a whole layer; of a resource, those of its streams."""
    found = machine.units[name]
    if isinstance(found, Resource):
        streams = [s for s in _streams_on(machine, name) if s.operand not in work.on_chip]
        return found.actions_of([(s.operand, s.direction) for s in streams], work)
    return found.actions(work)


def stage_members(machine: Drawn, work: Work, stage: Stage) -> Iterator[Member]:
    """Yield the members of a stage: ports that give, its parts, the port that takes."""
    for name in stage.reads:
        yield _port(machine, work, name, "read")
    for part in stage.parts:
        if part.role is Role.STREAM:
            resource = resource_named(machine, part.resource)
            moved = _moved(machine, work, part)
            cycles = resource.transfer_cycles(moved, clock_mhz=work.path.clock_mhz)
            yield Member(part.name, cycles, part.role, part.resource, part.direction)
        elif part.name in machine.units and machine.units[part.name].serves(work.path):
            yield Member(part.name, machine.units[part.name].busy_cycles(work), part.role)
    if stage.fills:
        yield _port(machine, work, stage.fills, "write")


def _buffer(machine: Drawn, name: str) -> Buffer:
    buffer = machine.units[name]
    assert isinstance(buffer, Buffer)
    return buffer


def _port(machine: Drawn, work: Work, name: str, port: str) -> Member:
    """Return one side of a buffer; the side towards the array is charged."""
    buffer = _buffer(machine, name)
    is_near = buffer.near_port == port
    busy = buffer.busy_cycles(work) if is_near else buffer.far_cycles(work)
    return Member(name, busy, Role.PORT, is_charged=is_near)


def latency_of(machine: Drawn, work: Work, members: tuple[Member, ...]) -> int:
    """Return the pipeline depth of a stage: the sum over its members. Nobody waits for a store.

    A stream that moves nothing has none.
    """
    return sum(
        machine.units[member.cause].latency_cycles(work.path)
        for member in members
        if member.is_charged and member.direction is READ and not member.is_still
    )


def resource_of(members: tuple[Member, ...]) -> str | None:
    """Return what a stage shares with others: that of its stream, if that moves anything."""
    streams = (m for m in members if m.role is Role.STREAM and not m.is_still)
    return next((member.resource for member in streams), None)


def _rooms(machine: Drawn, work: Work, stage: Stage, stages: list[Stage]) -> Iterator[Room]:
    """Yield the buffer slots that a stage must find free."""
    if not stage.fills:
        return
    buffer, jobs = _buffer(machine, stage.fills), work.jobs
    reader = next(other.name for other in stages if stage.fills in other.reads)
    releases = slot_releases(
        buffer.fills(jobs),
        buffer.tile(jobs),
        slots=buffer.store.slots(buffer.tile_bytes(work)),
        uses=buffer.uses(work),
    )
    yield Room(reader, releases, buffer.key)


def _shared(stages: Iterable[Stage]) -> tuple[str, ...]:
    """Return the resources of these stages, in the order of their first stream."""
    return tuple(dict.fromkeys(stage.stream.resource for stage in stages if stage.stream))


def _order(
    machine: Drawn,
    work: Work,
    resource: str,
    stages: list[Stage],
    served: Mapping[str, ServedStage],
) -> Requests:
    """Return the program order of a resource: for each job its streams, as the diagram has them.

    A load that waits for another stage, as weights that depend on a selection, follows the loads of
    the next tile, so that the selection of the next tile overlaps the fetch for this one. Stores
    lag behind all loads of the machine.
    """
    loads, store = _load_lags(stages), store_lag_jobs(machine, work, stages)
    return program_order(
        [
            (served[stage.name], loads.get(stage.name, store))
            for stage in stages
            if served[stage.name].resource == resource
        ]
    )


def store_lag_jobs(machine: Drawn, work: Work, stages: Iterable[Stage]) -> int:
    """Return how many jobs' loads go before the store of a job."""
    behind = store_lag(work.tiling, work.gemm, work.path, machine.stores)
    return behind + max(_load_lags(stages).values(), default=0)


def _load_lags(stages: Iterable[Stage]) -> dict[str, int]:
    """Return by how many jobs the loads of each stage lag behind those of the others."""
    loading = (s for s in stages if s.stream and s.stream.direction is READ)
    return {stage.name: 1 if stage.after else 0 for stage in loading}
