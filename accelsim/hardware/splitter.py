"""The splitter: rounds X to what is kept, and what that leaves of X a second time."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from accelsim.hardware.dot_product import lane_block
from accelsim.hardware.lanes import LaneUnit
from accelsim.mapping import Datapath, Ints, Work
from accelsim.tech.blocks import BLOCKS, Parts, Shape

_LATENCY_CYCLES = 4  # twice: the largest of a block, then its values by their scale


class Splitter(LaneUnit):
    """Two roundings to elements with scales of blocks, and a subtraction between them.

    X comes in bf16, say. A lane finds its share of the largest magnitude of a block, multiplies its
    value with the reciprocal of the scale that follows from it and rounds to an element, which is
    what the selector ranks. The elements that it keeps are taken out of X, times their scale; of
    what is left, block by block, the same follows once more.

    Timing:
        As `LaneUnit`, but latency = 4; values of a job: the positions of its tile, if it is
        selected.

    Actions:
        residual: one value rounded, taken out, and what is left of it rounded.

    Not modelled:
        As `LaneUnit`; the reciprocals of scales, two a block.

    Example:
        >>> from accelsim.hardware.examples import work
        >>> from accelsim.sparsity.demands import Demands
        >>> tile = work("8:16", tokens=8, reduction=64, demands=Demands(residual=True))
        >>> Splitter(lanes=64).busy_cycles(tile), dict(Splitter(lanes=64).actions(tile))
        (array([8]), {'residual': 512})
    """

    action_names = frozenset({"residual"})
    key: ClassVar[str] = "splitter"
    lane_blocks = {"residual": "splitter_lane"}  # noqa: RUF012

    @override
    def values(self, work: Work) -> Ints:
        return work.jobs.selected

    @override
    def latency_cycles(self, path: Datapath) -> int:
        return _LATENCY_CYCLES


def _parts(s: Shape) -> Parts:
    """Return the parts of a lane; X has 16 bits, of which 8 are significant, as bf16 has.

    Multipliers by two reciprocals, and one of an element by its scale of 4 significant bits; the
    subtraction in fp32; two comparators of 16 bits for the largest of a block; two roundings of
    the element's width. In registers: the value until the scale of its block is known, what is left
    of it until the other scale is, and both elements.
    """
    element_by_scale = s.significand_bits * 4 / 8**2
    return {
        "bf16_multipliers": 2 + element_by_scale,
        "float_adders": 1,
        "accumulator_bits": 2 * 16 + 2 * s.bits,
        "register_bits": 16 + 32 + 2 * s.bits,
    }


BLOCKS["splitter_lane"] = lane_block(_parts)
