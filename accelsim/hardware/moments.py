"""The moments: sums of a token's values and their squares, before and after selection."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from accelsim.hardware.dot_product import lane_block, lane_parts
from accelsim.hardware.lanes import LaneUnit
from accelsim.mapping import Ints, Work
from accelsim.tech.blocks import BLOCKS, Parts, Shape


class Moments(LaneUnit):
    """A lane is one multiplier (the square) and its share of four adder trees, with registers.

    Timing:
        As `LaneUnit`; values of a job: the positions of its tile, if it is selected.

    Actions:
        moments: one value, and what selection left of it, added to the sums.

    Not modelled:
        As `LaneUnit`; the four sums of 32 bits behind the trees, and those of tokens in flight.

    Example:
        >>> from accelsim.hardware.examples import work
        >>> from accelsim.sparsity.demands import Demands
        >>> tile = work("8:16", tokens=8, reduction=64, demands=Demands(moments=True))
        >>> Moments(lanes=64).busy_cycles(tile), dict(Moments(lanes=64).actions(tile))
        (array([8]), {'moments': 512})
    """

    action_names = frozenset({"moments"})
    key: ClassVar[str] = "moments"
    lane_blocks = {"moments": "moments_lane"}  # noqa: RUF012

    @override
    def values(self, work: Work) -> Ints:
        return work.jobs.selected


def _moments(s: Shape) -> Parts:
    """Return the square of a value, and its share of four adder trees: x, x², all and kept.

    In a tree over the lanes, half of the adders are one bit wider than their inputs, a quarter
    two and so on: two on average. The four sums behind the trees are shared by all lanes.
    """
    value, square = s.bits + 2, 2 * s.bits + 2
    return lane_parts(s, products=1, adders=[value, value, square, square])


BLOCKS["moments_lane"] = lane_block(_moments)
