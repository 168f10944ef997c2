"""Selection by two ranks: N of M in every block, then the P strongest of Q blocks."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import override

from accelsim.hardware.logic import period_ps, shape
from accelsim.hardware.selectors.base import SELECTORS, Selector
from accelsim.mapping import Datapath
from accelsim.precision import Precision
from accelsim.sparsity import Pattern
from accelsim.tech.blocks import BLOCKS, Block, Parts, Shape, index_bits
from accelsim.tech.source import BlockCost, CostSource


@SELECTORS.register("two_rank")
class TwoRankSelector(Selector):
    """Ranks the values of each block, adds up what is kept of it, and ranks the sums.

    Of a group without ranks it is `rank`.

    Timing:
        See `Selector`; depth 3: rank in blocks; close up and add; rank blocks.

    Actions:
        See `Selector`.

    Not modelled:
        Floats, whose sums need adders of floats. A last block that is cut off ranks by its sum,
        not behind whole ones. Prices of ranks and of closing up are those of `rank` and `compact`
        for blocks, of adders those of `magnitude_sum`; energy a µm² that of `rank`.

    Example:
        4 instances take the 8 × 128 / 32 = 32 groups of 2:4×4:8 of an 8 × 128 tile in 8 cycles.

        >>> from accelsim.hardware.examples import work
        >>> unit = TwoRankSelector(kind="two_rank", instances=4)
        >>> unit.busy_cycles(work("2:4x4:8", tokens=8, reduction=128))
        array([8])

    Source: derived; `select_two_rank.sv`. The pattern is HighLight's (MICRO'23), for weights.
    """

    kind: Annotated[Literal["two_rank"], Field(description="Which design")]

    @override
    def block_name(self) -> str:
        return "select_rank"

    @classmethod
    @override
    def takes(cls, pattern: Pattern) -> bool:
        return pattern.is_grouped

    @override
    def takes_format(self, precision: type[Precision]) -> bool:
        return not precision.is_float()

    @override
    def depth(self, path: Datapath) -> int:
        return 1 if path.lower_rank is None else 3

    @override
    def _core(self, tech: CostSource, path: Datapath) -> BlockCost:
        if path.lower_rank is None:
            return super()._core(tech, path)
        (n, m), (p, q), bits = path.lower_rank, path.upper_rank, path.x.bits
        inside = replace(shape(path), n=n, m=m)
        sum_bits = bits + index_bits(n)
        # Sums have no sign: they are ranked like floats, by all bits but one.
        between = replace(inside, n=p, m=q, bits=sum_bits + 1, is_float=True)
        rank, close, add, rank_blocks = (
            tech.block(name, of, period_ps=period_ps(path))
            for name, of in (
                ("select_rank", inside),
                ("compact", inside),
                ("magnitude_sum", inside),
                ("select_rank", between),
            )
        )
        closed_bits = q * n * bits + q * m + 1  # values, mask and a valid bit, behind two stages
        registers = q * rank.register_bits + 2 * closed_bits + q * sum_bits + q
        return BlockCost(
            parts_um2={
                "ranks": q * rank.logic_um2,
                "sums": q * (close.logic_um2 + add.logic_um2),
                "blocks": rank_blocks.logic_um2,
            },
            register_um2=registers * tech.register_um2,
            register_bits=registers,
            delay_ps=max(rank.delay_ps, close.delay_ps + add.delay_ps, rank_blocks.delay_ps),
            effort=rank.effort,
        )

    @override
    def _others(self, tech: CostSource, path: Datapath) -> dict[str, BlockCost]:
        others = super()._others(tech, path)
        if path.lower_rank is not None:
            (n, _), (p, q) = path.lower_rank, path.upper_rank
            blocks = replace(shape(path), n=p, m=q, bits=n * path.x.bits)
            others["compact"] = tech.block("compact", blocks, period_ps=period_ps(path))
        return others


def _sum_parts(s: Shape) -> Parts:
    """Count the magnitudes of N values, and N - 1 adders, each wide enough for the whole sum."""
    return {
        "magnitude_bits": s.n * s.bits,
        "adder_bits": (s.n - 1) * (s.bits + index_bits(s.n)),
    }


def _sum_path(s: Shape) -> Parts:
    """Return what carries grow with: the bits of magnitudes, and the levels of adders."""
    return {"constant": 1.0, "bits": s.bits, "levels": index_bits(s.n)}


BLOCKS["magnitude_sum"] = Block(_sum_parts, _sum_path)
