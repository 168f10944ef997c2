"""An inner join of two sparse operands: each lane multiplies what X and W have in common (dual).

    dram ─► activation_dma ─► [activations] ─► select ─► [compressed] ─► compute ─► [outputs]
    dram ─► weight_dma ─► [weights] ───────────────────────────────────────┘           │
    dram ◄─────────────────────────────────────────────────────────── output_dma ◄─────┘

The stages are those of the output-stationary machine. In `compute` each lane has a matcher in place
of a crossbar: a group of 16 positions of K comes with the mask of its kept activations and that of
its stored weights; what stands in both is multiplied, one pair a cycle, as in SparTen, whose groups
are longer. Time follows from both masks: a lane with few matches waits for the slowest one of its
round. All of a block of W may be needed, so that nothing waits for selection to load it. A layer
that keeps all of X joins blocks of W, of fewer positions, in the same lanes. Scales of blocks have
no place, as lanes take single products of a group, and so has nothing that needs them.
"""

from __future__ import annotations

from dataclasses import replace

from accelsim.dataflows.diagram import DATAFLOWS, Stage
from accelsim.dataflows.matches import InnerJoin
from accelsim.dataflows.output_stationary import OUTPUT_STATIONARY
from accelsim.hardware.matcher import Matcher


def _joining(drawn: Stage) -> Stage:
    """Return a stage of the output-stationary machine as lanes that join masks have it."""
    parts = tuple(part for part in drawn.parts if part.name != "splitter")
    return replace(drawn, parts=parts, after=() if drawn.name == "weight_dma" else drawn.after)


INNER_JOIN = DATAFLOWS.register(
    replace(
        OUTPUT_STATIONARY,
        name="inner_join",
        about="a lane multiplies what its groups of X and W have in common; outputs stay",
        stages=tuple(map(_joining, OUTPUT_STATIONARY.stages)),
        classes={"crossbar": Matcher},
        has_rtl=False,
        packs=InnerJoin(),
        joins_masks=True,
    )
)
