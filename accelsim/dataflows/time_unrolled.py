"""Blocks unrolled in time, both operands sparse (S2TA): a kept activation a lane and cycle.

    dram ─► activation_dma ─► [activations] ─► select ─► [compressed] ─► compute ─► [outputs]
    dram ─► weight_dma ─► [weights: N of M, bitmask] ─────────────────────┘           │
    dram ◄────────────────────────────────────────────────────────── output_dma ◄─────┘

Each lane serves a block of M positions by itself and takes one kept activation of it a cycle, so
that a layer that keeps N of M takes N cycles a block, dense ones M. W was pruned before the run: a
block of it is stored as its kept weights and a mask, of which a small multiplexer picks the one at
the position of the activation. Where W has none there, the lane idles: zeros of W save traffic and
energy, not time. All of a block of W may be needed, so that nothing waits for selection to load it.
"""

from __future__ import annotations

from dataclasses import replace

from accelsim.dataflows.diagram import DATAFLOWS
from accelsim.dataflows.output_stationary import OUTPUT_STATIONARY
from accelsim.hardware.crossbars.matching import Matching

TIME_UNROLLED = DATAFLOWS.register(
    replace(
        OUTPUT_STATIONARY,
        name="time_unrolled",
        about="a lane takes the kept activations of its block one by one; W is sparse, too",
        stages=tuple(
            replace(drawn, after=()) if drawn.name == "weight_dma" else drawn
            for drawn in OUTPUT_STATIONARY.stages
        ),
        classes={"crossbar": Matching},
        has_rtl=False,
        unrolls_blocks=True,
    )
)
