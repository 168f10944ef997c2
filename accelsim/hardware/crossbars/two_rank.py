"""A crossbar for patterns of two ranks: a small window within blocks, and one between them."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import override

from accelsim.hardware.crossbars.base import CROSSBARS, Crossbar
from accelsim.hardware.logic import period_ps, shape
from accelsim.mapping import Datapath
from accelsim.tech.source import BlockCost, CostSource


@CROSSBARS.register("two_rank")
class TwoRankCrossbar(Crossbar):
    """For N:M×P:Q: (M - N + 1):1 multiplexers in all Q blocks, then (Q - P + 1):1 of blocks.

    Each level is a window. First each block closes up to its N values, then the P blocks that are
    kept close up, N values wide. Of a group without ranks it is the one window.

    Timing, Actions:
        See `Crossbar`.

    Not modelled:
        As `full`.

    Example:
        2:4×4:8: 8 blocks with 2 multiplexers of 3:1, and 4 of 5:1 of two values. These are 2.75
        legs a position, where a window of 8:32 has 6.25.

        >>> (8 * 2 * 3 + 4 * 5 * 2) / 32, 8 * 25 / 32
        (2.75, 6.25)

    Source: HighLight (MICRO'23): small multiplexers a rank; `crossbar_two_rank.sv`. Both levels are
    priced as `window`.
    """

    kind: Annotated[Literal["two_rank"], Field(description="Which design")]

    @property
    @override
    def block_name(self) -> str:
        return "crossbar_window"

    @override
    def _row(self, tech: CostSource, path: Datapath) -> BlockCost:
        if path.lower_rank is None:
            return super()._row(tech, path)
        (n, m), (p, q) = path.lower_rank, path.upper_rank
        whole, groups = shape(path), path.groups_per_step
        blocks = replace(whole, n=n, m=m, lanes=n)
        between = replace(whole, n=p, m=q, lanes=p, bits=n * whole.bits)
        period = period_ps(path)
        levels = [(q * groups, blocks), (groups, between)]
        costs = [(count, tech.block(self.block_name, of, period_ps=period)) for count, of in levels]
        names = {name for _, cost in costs for name in cost.parts_um2}
        return BlockCost(
            parts_um2={
                name: sum(count * cost.parts_um2.get(name, 0.0) for count, cost in costs)
                for name in sorted(names)
            },
            register_um2=0.0,
            register_bits=0,
            delay_ps=sum(cost.delay_ps for _, cost in costs),
            effort=costs[0][1].effort,
        )
