"""Cascade selection: one maximum at a time, as in S2TA."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import Field
from typing_extensions import override

from accelsim.hardware.selectors.base import SELECTORS, Selector
from accelsim.mapping import Datapath
from accelsim.tech.blocks import BLOCKS, Block, Parts, Shape, magnitude_bits, select_path
from accelsim.tech.source import CostSource


@SELECTORS.register("cascade")
class Cascade(Selector):
    """Finds the largest magnitude left, takes it out, and repeats N times.

    Timing:
        See `Selector`; N steps a group or, `pipelined`, depth N, or `stages` if there are more.

    Actions:
        See `Selector`.

    Not modelled:
        Stopping early when only zeros are left. Stages beyond N take area and time, no energy.

    Example:
        One iterative instance at 2:4 needs 3 cycles for each of 8 groups.

        >>> from accelsim.hardware.examples import work
        >>> Cascade(kind="cascade").busy_cycles(work("2:4", tokens=2, reduction=16))
        array([24])

    Source: structure after S2TA (HPCA'22), which cascades N maximum searches; `select_cascade.sv`.
    """

    kind: Annotated[Literal["cascade"], Field(description="Which design")]
    pipelined: Annotated[
        bool,
        Field(strict=True),
        Field(description="Starts a new group every cycle, at the area of all its steps"),
    ] = False
    stages: (
        Annotated[
            int,
            Field(strict=True, gt=0, le=64),
            Field(
                description=(
                    "Maxima that a pipelined one can find, of which layers that keep fewer use as "
                    "many as they keep; default: N"
                ),
            ),
        ]
        | None
    ) = None

    @override
    def block_name(self) -> str:
        return "select_cascade_pipelined" if self.pipelined else "select_cascade"

    @override
    def steps(self, path: Datapath) -> int:
        return 0 if self.pipelined else path.kept_per_group

    @override
    def depth(self, path: Datapath) -> int:
        return self.most_kept(path.kept_per_group) if self.pipelined else 1

    @override
    def most_kept(self, kept_per_group: int) -> int:
        return max(kept_per_group, self.stages or 0) if self.pipelined else kept_per_group

    @override
    def area_um2(self, tech: CostSource, path: Datapath) -> float:
        return super().area_um2(tech, self._built_for(path))

    @override
    def fit_clock(self, tech: CostSource, path: Datapath) -> Self:
        return super().fit_clock(tech, self._built_for(path))

    def _built_for(self, path: Datapath) -> Datapath:
        return replace(path, kept_per_group=self.most_kept(path.kept_per_group))


def _parts(s: Shape) -> Parts:
    """Return one search, a tree of M - 1 comparators, and registers that a group stays in."""
    return {
        "search_bits": (s.m - 1) * s.key_bits,
        "search_flags": s.m,
        "value_bits": s.m * s.held_bits,
        "magnitude_bits": magnitude_bits(s),
        "register_bits": s.m * (s.held_bits + 1) + s.n + 1,
    }


def _pipelined_parts(s: Shape) -> Parts:
    """Return all N searches, a group's values in registers behind each."""
    return {
        "search_bits": s.n * (s.m - 1) * s.key_bits,
        "search_flags": s.n * s.m,
        "magnitude_bits": magnitude_bits(s) * s.n,
        "register_bits": s.n * (s.m * (s.held_bits + 1) + 1),
    }


BLOCKS["select_cascade"] = Block(_parts, select_path)
BLOCKS["select_cascade_pipelined"] = Block(_pipelined_parts, select_path)
