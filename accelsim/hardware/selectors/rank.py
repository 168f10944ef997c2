"""Rank selection: every pair compared at once."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from accelsim.hardware.selectors.base import SELECTORS, Selector
from accelsim.mapping import Datapath
from accelsim.tech.blocks import BLOCKS, Block, Parts, Shape, magnitude_bits, select_path


@SELECTORS.register("rank")
class Rank(Selector):
    """Compares all pairs of a group; a value survives if fewer than N others beat it.

    Timing:
        See `Selector`; depth 1: one stage ranks, one compacts.

    Actions:
        See `Selector`.

    Not modelled:
        Comparisons gated by what the group holds.

    Example:
        16 instances take the 8 × 96 / 4 = 192 groups of an 8 × 96 tile at 2:4 in 12 cycles.

        >>> from accelsim.hardware.examples import work
        >>> Rank(kind="rank", instances=16).busy_cycles(work("2:4", tokens=8, reduction=96))
        array([12])

    Source: `select_rank.sv`: M (M - 1) / 2 comparators, as counted in `prior_art` (8:16: 120).
    """

    has_modes: ClassVar[bool] = True

    kind: Annotated[Literal["rank"], Field(description="Which design")]

    @override
    def block_name(self) -> str:
        return "select_rank"

    @override
    def depth(self, path: Datapath) -> int:
        return 1


def _parts(s: Shape) -> Parts:
    """Return a comparator a pair; either side of it counts whether it wins."""
    return {
        "comparator_bits": s.m * (s.m - 1) // 2 * s.key_bits,
        "count_bits": s.m * (s.m - 1),
        "magnitude_bits": magnitude_bits(s),
        "register_bits": s.m * (s.bits + 1) + 1,
    }


BLOCKS["select_rank"] = Block(_parts, select_path)
