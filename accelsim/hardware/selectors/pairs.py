"""Selection of pairs: adjacent values stay or go together, ranked by the sum of magnitudes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import override

from accelsim.hardware.selectors.base import SELECTORS, Selector
from accelsim.mapping import Datapath
from accelsim.precision import Precision
from accelsim.sparsity import Pattern
from accelsim.sparsity.patterns.pairs import Pairs
from accelsim.tech.blocks import BLOCKS, Block, Parts, Shape, select_path

_E2M1_BITS = 4  # of a magnitude in halves: 0 to 12


@SELECTORS.register("pairs")
class PairSelector(Selector):
    """Adds the magnitudes of each pair, and compares all pairs of a group as `rank` does values.

    Elements of fp4 become numbers of halves first (4 bits); all of a group have the same scale.

    Timing:
        See `Selector`; depth 1: one stage adds and ranks, one compacts.

    Actions:
        See `Selector`.

    Not modelled:
        Compaction, metadata and the crossbar could move pairs; they move single values, which is
        more than pairs need. No RTL: area and energy are sums of parts, at the prices of the
        selector `rank`.

    Example:
        16 instances take the 8 × 96 / 8 = 96 groups of an 8 × 96 tile at pairs-2:4 in 6 cycles.

        >>> from accelsim.hardware.examples import work
        >>> tile = work("pairs-2:4", tokens=8, reduction=96)
        >>> PairSelector(kind="pairs", instances=16).busy_cycles(tile)
        array([6])
    """

    kind: Annotated[Literal["pairs"], Field(description="Which design")]

    @override
    def block_name(self) -> str:
        return "select_pairs"

    @classmethod
    @override
    def takes(cls, pattern: Pattern) -> bool:
        return isinstance(pattern, Pairs)

    @override
    def takes_format(self, precision: type[Precision]) -> bool:
        return not precision.is_float() or precision.block > 0

    @override
    def depth(self, path: Datapath) -> int:
        return 1


def _parts(s: Shape) -> Parts:
    """Return an adder a pair, at the price of two comparators of its width, and those of pairs."""
    pairs = s.m // 2
    magnitude = s.score_bits or (_E2M1_BITS if s.is_float else s.bits)
    sum_bits = magnitude + 1
    return {
        "comparator_bits": (pairs * (pairs - 1) // 2 + 2 * pairs) * sum_bits,
        "count_bits": pairs * (pairs - 1),
        "magnitude_bits": s.m * magnitude,
        "register_bits": s.m * (s.bits + 1) + 1,
    }


BLOCKS["select_pairs"] = Block(_parts, select_path, priced_like="select_rank")
