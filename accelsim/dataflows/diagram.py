"""Block diagrams as values: which units stream into each other, and what joins them.

A diagram is a list of stages in the order of the data flow. The parts of a stage work in lockstep,
word by word, so they share one start and one end a tile and the slowest sets the pace. Buffers join
the stages: one stage fills a buffer, another reads it. A stream moves tiles over a shared resource,
such as a DRAM channel, which serves one request after the other.

Everything else follows from the diagram: which units a machine has and in which order tables show
them, its streams, the machine without sparsity that it is compared with, the network that the
engines run, and what each cycle is charged to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from itertools import chain

from accelsim.base.errors import InputError, shown
from accelsim.base.registry import Named, did_you_mean
from accelsim.hardware import READ, WRITE, Direction, Unit
from accelsim.mapping import Work

_INPUTS = ("tables", "x", "w")


class Role(Enum):
    """What a member of a stage is there for. Reports read roles, never positions or names."""

    STREAM = "stream"  # moves tiles over a shared resource
    PORT = "port"  # one side of a buffer
    COMPUTE = "compute"  # the array: a run is told as seen from here
    SELECT = "select"  # decides which values survive
    UNIT = "unit"  # works on the words that pass

    @property
    def leads(self) -> bool:
        """Whether the stage exists for such a member: at equal pace, the others just keep up."""
        return self in (Role.STREAM, Role.COMPUTE, Role.SELECT)


@dataclass(frozen=True, slots=True)
class Part:
    """One box of a stage.

    Attributes:
        name: of the unit, or of the stream; its ledger and its line in tables have it too.
        role: what it is there for.
        is_sparse: whether only selection needs it, so that the dense counterpart has none.
        resource: of a stream, the unit that moves its tiles: `dram`.
        direction: of a stream.
        operand: of a stream, what it moves: `tables` of a method, `x`, `w` or `y`.
    """

    name: str
    role: Role = Role.UNIT
    is_sparse: bool = False
    resource: str = ""
    direction: Direction = READ
    operand: str = ""


def unit(name: str, *, is_sparse: bool = False) -> Part:
    """Return a unit that works on the words that pass; left out of machines that have none."""
    return Part(name, is_sparse=is_sparse)


def compute(name: str) -> Part:
    """Return the array."""
    return Part(name, Role.COMPUTE)


def select(name: str) -> Part:
    """Return the unit that decides which values survive."""
    return Part(name, Role.SELECT, is_sparse=True)


def stream(name: str, direction: Direction, operand: str, *, resource: str = "dram") -> Part:
    """Return a stream: tiles of an operand on their way over a shared resource."""
    return Part(name, Role.STREAM, resource=resource, direction=direction, operand=operand)


@dataclass(frozen=True, slots=True)
class Condition:
    """When a stage waits for another: a property of the work, and how it is called in print."""

    about: str
    holds: Callable[[Work], bool]


@dataclass(frozen=True, slots=True)
class Wait:
    """That a stage starts a job after another stage has finished it, always or on a condition."""

    stage: str
    when: Condition | None = None

    def applies(self, work: Work) -> bool:
        """Return whether the stage waits in this work."""
        return self.when is None or self.when.holds(work)


@dataclass(frozen=True, slots=True)
class Stage:
    """Parts in lockstep, between the buffers that they read and the one that they fill.

    Attributes:
        name: of the stage.
        parts: in the order of the data flow; at most one is a stream.
        after: stages, by name or `Wait`, whose result for a job this one needs.
        reads: buffers, as units, that its words come from.
        fills: the buffer that its words go to.
        needs: a part without which the stage does not exist. Who waits for it then waits for what
            it waits for, and reads what it reads.
        is_once: whether it serves the first job only, and only in work that moves something there.
    """

    name: str
    parts: tuple[Part, ...]
    after: tuple[Wait, ...] = ()
    reads: tuple[str, ...] = ()
    fills: str = ""
    needs: str = ""
    is_once: bool = False

    @property
    def stream(self) -> Part | None:
        """The part that moves tiles over a shared resource, if there is one."""
        return next((part for part in self.parts if part.role is Role.STREAM), None)

    def has_place(self, units: Collection[str]) -> bool:
        """Return whether a machine with these units has the stage."""
        return not self.needs or self.needs in units


def stage(  # noqa: PLR0913 - one word for each line of a box
    name: str,
    *parts: Part,
    after: tuple[str | Wait, ...] = (),
    reads: tuple[str, ...] = (),
    fills: str = "",
    needs: str = "",
    is_once: bool = False,
) -> Stage:
    """Return a stage; a name in `after` means always."""
    waits = tuple(Wait(other) if isinstance(other, str) else other for other in after)
    return Stage(name, parts, waits, reads, fills, needs, is_once)


@dataclass(frozen=True)
class Diagram:
    """A dataflow: its stages in the order of the data flow, and what belongs to them.

    Attributes:
        name: in the YAML key `dataflow`.
        about: one line on what stays where.
        stages: every stage after those that it waits for.
        classes: unit classes of this dataflow, by unit, in place of the shipped ones.
        has_rtl: whether `accelsim rtl` describes it.
        colours: of units in plots, as names of the palette (`accelsim.report.style`).

    Raises:
        InputError: the stages do not make a diagram; the message says which rule is broken.
    """

    name: str
    about: str
    stages: tuple[Stage, ...]
    classes: Mapping[str, type[Unit]] = field(default_factory=dict)
    has_rtl: bool = False
    colours: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for problem in _problems(self.stages):
            raise InputError(f"dataflow '{self.name}': {problem}")

    @property
    def parts(self) -> Iterator[Part]:
        """Every part, stage by stage."""
        return chain.from_iterable(stage.parts for stage in self.stages)

    @cached_property
    def streams(self) -> tuple[Part, ...]:
        """Every stream, in the order of the data flow, which is their order in a program, too."""
        return tuple(part for part in self.parts if part.role is Role.STREAM)

    @cached_property
    def resources(self) -> tuple[str, ...]:
        """The shared resources, in the order of their first stream."""
        return tuple(dict.fromkeys(part.resource for part in self.streams))

    def streams_on(self, resource: str) -> tuple[Part, ...]:
        """Return the streams that share a resource."""
        return tuple(part for part in self.streams if part.resource == resource)

    def resource_of(self, operand: str) -> str:
        """Return the resource that moves an operand, that of its first stream; empty if none."""
        return next((part.resource for part in self.streams if part.operand == operand), "")

    @cached_property
    def units(self) -> tuple[str, ...]:
        """Every unit that a machine may have: resources, then in the order of the data flow."""
        names = list(self.resources)
        for stage in self.stages:
            names += stage.reads
            names += [part.name for part in stage.parts if part.role is not Role.STREAM]
            names += [stage.fills] if stage.fills else []
        return tuple(dict.fromkeys(names))

    @cached_property
    def sparse_units(self) -> frozenset[str]:
        """Units that only selection needs.

        These are parts said to be so, and all of a stage that does not exist without such a part:
        its other units, and the buffer that it fills.
        """
        names = {part.name for part in self.parts if part.is_sparse}
        for stage in self.stages:
            if stage.needs in names:
                names |= {part.name for part in stage.parts if part.role is not Role.STREAM}
                names |= {stage.fills} - {""}
        return frozenset(names)

    def part(self, name: str) -> Part:
        """Return a part by name; raise InputError with the known ones otherwise."""
        for part in self.parts:
            if part.name == name:
                return part
        known = [part.name for part in self.parts]
        raise InputError(
            f"dataflow '{self.name}' has no part '{shown(name)}'{did_you_mean(name, known)}; "
            f"allowed: {', '.join(known)}"
        )

    def with_part(self, stage: str, part: Part, *, before: str = "") -> Diagram:
        """Return the diagram with one more part in a stage: before another one, or last.

        Raises:
            InputError: there is no such stage, or no such part in it.
        """
        if stage not in {drawn.name for drawn in self.stages}:
            known = ", ".join(drawn.name for drawn in self.stages)
            raise InputError(f"dataflow '{self.name}' has no stage '{stage}'; allowed: {known}")
        names = next([part.name for part in s.parts] for s in self.stages if s.name == stage)
        if before:
            self.part(before)
            if before not in names:
                known = ", ".join(names)
                raise InputError(f"stage '{stage}' has no part '{before}'; allowed: {known}")
        place = names.index(before) if before else len(names)

        def widened(drawn: Stage) -> Stage:
            if drawn.name != stage:
                return drawn
            return replace(drawn, parts=(*drawn.parts[:place], part, *drawn.parts[place:]))

        return replace(self, stages=tuple(map(widened, self.stages)))

    def with_stream_on(self, name: str, resource: str) -> Diagram:
        """Return the diagram with a stream on another resource: a channel of its own, a link.

        Raises:
            InputError: there is no such stream.
        """
        moved = self.part(name)
        if moved.role is not Role.STREAM:
            known = ", ".join(part.name for part in self.streams)
            raise InputError(f"part '{name}' is no stream; allowed: {known}")

        def rerouted(drawn: Stage) -> Stage:
            parts = tuple(
                replace(part, resource=resource) if part is moved else part for part in drawn.parts
            )
            return replace(drawn, parts=parts)

        return replace(self, stages=tuple(map(rerouted, self.stages)))


def _problems(stages: tuple[Stage, ...]) -> Iterator[str]:
    """Yield what keeps stages from being a diagram that every report can read."""
    names: list[str] = []
    for drawn in stages:
        if drawn.name in names:
            yield f"two stages are called '{drawn.name}'"
        for wait in drawn.after:
            if wait.stage not in names:
                yield f"stage '{drawn.name}' waits for '{wait.stage}', which does not precede it"
        yield from _stage_problems(drawn)
        names.append(drawn.name)
    yield from _part_problems(stages)
    yield from _name_problems(stages)
    yield from _buffer_problems(stages)
    yield from _order_problems(stages)


def _part_problems(stages: tuple[Stage, ...]) -> Iterator[str]:
    """Yield what is wrong with the parts of all stages together."""
    parts = [part for drawn in stages for part in drawn.parts]
    for name, count in Counter(part.name for part in parts).items():
        if count > 1:
            yield f"part '{name}' stands in it twice"
    if sum(part.role is Role.COMPUTE for part in parts) != 1:
        yield "exactly one part must compute: a run is told as seen from it"
    for drawn in stages:
        if drawn.needs and any(part.role is Role.COMPUTE for part in drawn.parts):
            yield f"stage '{drawn.name}' has the array, and can not be left out"
    if sum(drawn.is_once for drawn in stages) > 1:
        yield "two stages serve once; the prologue of a run is one"


def _name_problems(stages: tuple[Stage, ...]) -> Iterator[str]:
    """Yield names that two things have, of which one would hide the other in ledgers and tables."""
    parts = [part for drawn in stages for part in drawn.parts]
    resources = {part.resource for part in parts if part.resource}
    buffers = {name for drawn in stages for name in (*drawn.reads, drawn.fills) if name}
    for part in parts:
        if part.name in resources:
            yield f"part '{part.name}' is called like a resource"
        if part.name in buffers:
            yield f"part '{part.name}' is called like a buffer, whose ports are no parts"
    for name in sorted(resources & buffers):
        yield f"resource '{name}' is called like a buffer"


def _buffer_problems(stages: tuple[Stage, ...]) -> Iterator[str]:
    """Yield what is wrong with the buffers between the stages."""
    filled = Counter(drawn.fills for drawn in stages if drawn.fills)
    read = Counter(buffer for drawn in stages for buffer in drawn.reads)
    for buffer in filled | read:
        if (filled[buffer], read[buffer]) != (1, 1):
            yield f"buffer '{buffer}' must be filled by one stage and read by another"
    for drawn in stages:
        if drawn.needs and drawn.fills and not drawn.reads:
            yield f"nothing would fill '{drawn.fills}' where stage '{drawn.name}' is left out"


def _order_problems(stages: tuple[Stage, ...]) -> Iterator[str]:
    """Yield who would read a buffer before it is filled: it must wait, always, for who fills it."""
    before: dict[str, set[str]] = {}
    for drawn in stages:
        waits = [wait.stage for wait in drawn.after if wait.when is None]
        before[drawn.name] = set(waits).union(*(before.get(name, ()) for name in waits))
    for drawn in stages:
        for filler in stages:
            if filler.fills in drawn.reads and filler.name not in before[drawn.name]:
                yield f"stage '{drawn.name}' reads '{filler.fills}', but does not wait for " + (
                    f"'{filler.name}', which fills it"
                )


def _stream_problems(drawn: Stage) -> Iterator[str]:
    """Yield what is wrong with the stream of a stage."""
    moved = drawn.stream
    if moved is None:
        return
    if not moved.resource:
        yield f"stream '{moved.name}' has no resource"
    if moved.direction is WRITE and moved.operand in _INPUTS:
        yield f"stream '{moved.name}' writes '{moved.operand}', which a layer only reads"
    if moved.direction is WRITE and drawn.is_once:
        yield f"stream '{moved.name}' writes, and can not serve once, before the first job"
    if moved.direction is WRITE and (drawn.fills or not drawn.reads):
        yield f"stream '{moved.name}' writes: its stage must read a buffer, and fill none"
    if moved.direction is READ and not (drawn.fills or drawn.is_once):
        yield f"stream '{moved.name}' reads: its stage must fill a buffer, or serve once"


def _stage_problems(drawn: Stage) -> Iterator[str]:
    """Yield what is wrong inside one stage."""
    if sum(part.role is Role.STREAM for part in drawn.parts) > 1:
        yield f"stage '{drawn.name}' has two streams; each needs a stage of its own"
    if drawn.needs and drawn.needs not in {part.name for part in drawn.parts}:
        yield f"stage '{drawn.name}' needs '{drawn.needs}', which is none of its parts"
    if drawn.is_once and drawn.stream is None:
        yield f"stage '{drawn.name}' serves once, but has no stream that says when"
    if drawn.stream is None and not (drawn.reads or drawn.fills):
        yield f"stage '{drawn.name}' has no stream, reads no buffer and fills none"
    if any(part.is_sparse and part.role in (Role.STREAM, Role.COMPUTE) for part in drawn.parts):
        yield f"stage '{drawn.name}': streams and the array are not there for selection only"
    yield from _stream_problems(drawn)
    if drawn.fills in drawn.reads:
        yield f"stage '{drawn.name}' reads the buffer '{drawn.fills}' that it fills"


def remaining(
    stages: Iterable[Stage],
    *,
    exists: Callable[[Stage], bool],
    applies: Callable[[Wait], bool] = lambda _: True,
) -> Iterator[Stage]:
    """Yield the stages that exist, with what they wait for and read where others do not.

    Who waits for a stage that is not there waits for what that one would wait for; who reads the
    buffer that it would fill reads what it would read. A wait on a condition is not passed on.

    Args:
        stages: of a diagram.
        exists: whether a stage does.
        applies: whether a wait does; by default, all do.
    """
    absent: dict[str, Stage] = {}
    unfilled: dict[str, Stage] = {}
    for drawn in stages:
        # What would hold only of a stage that is not there does not hold.
        waits = [w for w in drawn.after if applies(w) and not (w.when and w.stage in absent)]
        after = chain.from_iterable(
            absent[wait.stage].after if wait.stage in absent else (wait,) for wait in waits
        )
        reads = chain.from_iterable(
            unfilled[name].reads if name in unfilled else (name,) for name in drawn.reads
        )
        found = replace(drawn, after=tuple(dict.fromkeys(after)), reads=tuple(dict.fromkeys(reads)))
        if exists(drawn):
            yield found
        else:
            absent[drawn.name] = unfilled[drawn.fills] = found


class Diagrams(Named[Diagram]):
    """Diagrams by name. A new one is one file in this package that registers it."""

    def register(self, diagram: Diagram) -> Diagram:
        """File a diagram under its name, and return it."""
        return self.add(diagram.name, diagram)


DATAFLOWS = Diagrams("dataflow")
