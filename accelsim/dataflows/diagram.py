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

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain

from accelsim.base.errors import InputError, shown
from accelsim.base.registry import Named, did_you_mean
from accelsim.dataflows.rules import problems
from accelsim.dataflows.stages import (
    Condition,
    Part,
    Role,
    Stage,
    Wait,
    compute,
    remaining,
    select,
    stage,
    stream,
    unit,
)
from accelsim.hardware import Unit
from accelsim.mapping import Packs
from accelsim.sparsity import Pattern

__all__ = [
    "DATAFLOWS",
    "Condition",
    "Diagram",
    "Diagrams",
    "Part",
    "Role",
    "Stage",
    "Wait",
    "compute",
    "remaining",
    "select",
    "stage",
    "stream",
    "unit",
]


@dataclass(frozen=True)
class Diagram:
    """A dataflow: its stages in the order of the data flow, and what belongs to them.

    Attributes:
        name: in the YAML key `dataflow`.
        about: one line on what stays where.
        stages: every stage after those that it waits for.
        classes: unit classes of this dataflow, by unit, in place of the shipped ones.
        has_rtl: whether `accelsim rtl` describes it.
        packs: how tiles are packed whose time depends on the masks of X and W; None: it does not.
        joins_masks: whether lanes find what sparse X and sparse W have in common, so that both are.
        patterns: kinds of patterns without groups that it runs and that need no selector.
        dense_kinds: layers, by the last part of their names, that run dense unless a policy says
            otherwise.
        sees_hidden: whether gate and up products of an FFN depend on its hidden values.
        gathers_rows: whether decode compacts X and W to the positions that some token keeps, which
            are any of K.
        gathers_operands: whether prefill, too, skips what a token drops: its crossbar brings each
            lane the row of W of its own value. Else, where decode gathers rows, prefill runs dense.
        unrolls_blocks: whether each lane serves a block of its own, of which it takes a kept value
            of X a cycle, so that time follows the N of a layer, and W may be sparse as well.
        colours: of units in plots, as names of the palette (`accelsim.report.style`).

    Raises:
        InputError: the stages do not make a diagram; the message says which rule is broken.
    """

    name: str
    about: str
    stages: tuple[Stage, ...]
    classes: Mapping[str, type[Unit]] = field(default_factory=dict)
    has_rtl: bool = False
    packs: Packs | None = None
    joins_masks: bool = False
    patterns: tuple[type[Pattern], ...] = ()
    dense_kinds: frozenset[str] = frozenset()
    sees_hidden: bool = False
    gathers_rows: bool = False
    unrolls_blocks: bool = False
    gathers_operands: bool = False
    colours: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for problem in problems(self.stages):
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

    @property
    def takes_any_positions(self) -> bool:
        """Whether kept values may stand anywhere in K, as opposed to N in each group of M."""
        return self.gathers_rows or (self.packs is not None and self.packs.takes_any_positions)

    @property
    def is_dense_in_prefill(self) -> bool:
        """Whether selection is for decode only, where rows are gathered."""
        return self.gathers_rows and not self.gathers_operands

    @property
    def is_matched(self) -> bool:
        """Whether the time of prefill depends on masks, as opposed to numbers of kept values."""
        return self.packs is not None or self.gathers_operands

    @cached_property
    def array(self) -> Part:
        """The part that computes, from which a run is told."""
        return next(part for part in self.parts if part.role is Role.COMPUTE)

    @cached_property
    def fetches_selected(self) -> bool:
        """Whether what loads W ever waits for selection: only then it can know what was kept."""
        selecting = {
            drawn.name
            for drawn in self.stages
            if any(part.role is Role.SELECT for part in drawn.parts)
        }
        loading = (drawn for drawn in self.stages if drawn.stream and drawn.stream.operand == "w")
        return any(wait.stage in selecting for drawn in loading for wait in drawn.after)

    @cached_property
    def units(self) -> tuple[str, ...]:
        """Every unit that a machine may have: resources, then in the order of the data flow."""
        names = list(self.resources)
        for drawn in self.stages:
            names += drawn.reads
            names += [part.name for part in drawn.parts if part.role is not Role.STREAM]
            names += [drawn.fills] if drawn.fills else []
        return tuple(dict.fromkeys(names))

    @cached_property
    def sparse_units(self) -> frozenset[str]:
        """Units that only selection needs.

        These are parts said to be so, and all of a stage that does not exist without such a part:
        its other units, and the buffer that it fills.
        """
        names = {part.name for part in self.parts if part.is_sparse}
        for drawn in self.stages:
            if drawn.needs in names:
                names |= {part.name for part in drawn.parts if part.role is not Role.STREAM}
                names |= {drawn.fills} - {""}
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
        parts = {drawn.name: [part.name for part in drawn.parts] for drawn in self.stages}
        if stage not in parts:
            known = ", ".join(parts)
            raise InputError(f"dataflow '{self.name}' has no stage '{stage}'; allowed: {known}")
        names = parts[stage]
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


class Diagrams(Named[Diagram]):
    """Diagrams by name. A new one is one file in this package that registers it."""

    def register(self, diagram: Diagram) -> Diagram:
        """File a diagram under its name, and return it."""
        return self.add(diagram.name, diagram)


DATAFLOWS = Diagrams("dataflow")
