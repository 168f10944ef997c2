"""What a block diagram is made of: parts, the stages in which they work, and who waits for whom."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from itertools import chain

from accelsim.hardware import READ, Direction
from accelsim.mapping import Work


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
