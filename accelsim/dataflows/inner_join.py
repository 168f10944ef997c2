"""An inner join of two sparse operands: each lane multiplies what X and W have in common (dual).

    dram ─► activation_dma ─► [activations] ─► select ─► [compressed: N of M, bitmask] ─► match ─┐
    dram ─► weight_dma ─► [weights: N of M, bitmask] ─────────────────────────────────────► match ─┤
                                                               (a matcher a lane, in `compute`) │
                                        [outputs] ◄─ mac_array ◄────────────────────────────────┘
    dram ◄─ output_dma ◄─────────┘

The stages are those of the output-stationary machine. Instead of a crossbar, each lane has a
matcher: a group of 16 positions of K comes with the mask of its kept activations and that of its
stored weights; what stands in both is multiplied, one pair a cycle, as in SparTen, whose groups are
longer. Time follows from both masks: a lane with few matches waits for the slowest one of its
round. All of a block of W may be needed, so that nothing waits for selection to load it. A layer
that keeps all of X joins blocks of W, of fewer positions, in the same lanes.
"""

from __future__ import annotations

from dataclasses import replace

from accelsim.dataflows.diagram import DATAFLOWS
from accelsim.dataflows.matches import InnerJoin
from accelsim.dataflows.output_stationary import OUTPUT_STATIONARY
from accelsim.hardware.matcher import Matcher

INNER_JOIN = DATAFLOWS.register(
    replace(
        OUTPUT_STATIONARY,
        name="inner_join",
        about="a lane multiplies what its groups of X and W have in common; outputs stay",
        stages=tuple(
            replace(drawn, after=()) if drawn.name == "weight_dma" else drawn
            for drawn in OUTPUT_STATIONARY.stages
        ),
        classes={"crossbar": Matcher},
        has_rtl=False,
        packs=InnerJoin(),
        joins_masks=True,
    )
)
