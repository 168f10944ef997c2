"""What stages must be to make a diagram that the engines and every report can read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from accelsim.dataflows.stages import Role, Stage
from accelsim.hardware import READ, WRITE

_INPUTS = ("tables", "x", "w")


def problems(stages: tuple[Stage, ...]) -> Iterator[str]:
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
