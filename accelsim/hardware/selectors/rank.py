"""Rank selection: every pair compared at once."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import override

from accelsim.hardware.selectors.base import SELECTORS, Selector
from accelsim.mapping import Datapath


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

    kind: Annotated[Literal["rank"], Field(description="Which design")]

    @override
    def block_name(self) -> str:
        return "select_rank"

    @override
    def depth(self, path: Datapath) -> int:
        return 1
