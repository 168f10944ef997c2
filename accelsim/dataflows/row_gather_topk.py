"""Row gather by the largest values of a token, whose level must be known before the first tile.

    dram ─► prologue ─► (levels) ───────────┐
    dram ─► activation_dma ─► [activations] ─► select ─► …  as in `row_gather`

Which values are the largest of a token shows only when all of it has been seen: X streams past once
before the first tile, for its levels, and again tile by tile.
"""

from __future__ import annotations

from dataclasses import replace

from accelsim.dataflows.diagram import DATAFLOWS, Wait, stage, stream, unit
from accelsim.dataflows.row_gather import ROW_GATHER
from accelsim.hardware import READ
from accelsim.hardware.selectors.topk import TopKSelector

PROLOGUE = stage(
    "prologue",
    stream("prologue_dma", READ, "tables"),
    unit("statistics", is_sparse=True),
    is_once=True,
)

ROW_GATHER_TOPK = DATAFLOWS.register(
    replace(
        ROW_GATHER,
        name="row_gather_topk",
        about="decode finds the largest values of a token, then fetches the rows of W they need",
        stages=(
            PROLOGUE,
            *(
                replace(drawn, after=(Wait("prologue"), *drawn.after))
                if drawn.name == "select"
                else drawn
                for drawn in ROW_GATHER.stages
            ),
        ),
        classes={"selector": TopKSelector},
    )
)
