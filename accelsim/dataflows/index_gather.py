"""Index gather: in prefill each token takes the rows of W of its own values, from banks.

    dram ─► prologue ─► (levels) ───────────┐
    dram ─► activation_dma ─► [activations] ─► select ─► [compressed] ───────────────┐
    dram ─► weight_dma ─────► [weights, in banks] ─► crossbar: a row to each lane ─► compute ─► …

Tokens keep values at positions of their own, any of K. The array takes the next L of each, and the
crossbar brings each of them the row of W at its position; who asks the same bank for different rows
waits (`accelsim.hardware.crossbars.banked`). Decode gathers rows, as in `row_gather_topk`.
"""

from __future__ import annotations

from dataclasses import replace

from accelsim.dataflows.diagram import DATAFLOWS, unit
from accelsim.dataflows.row_gather_topk import ROW_GATHER_TOPK
from accelsim.hardware.crossbars.banked import BankedCrossbar

INDEX_GATHER = DATAFLOWS.register(
    replace(
        ROW_GATHER_TOPK.with_part("compute", unit("crossbar", is_sparse=True), before="mac_array")
        .with_part("compute", unit("epilogue", is_sparse=True))
        .with_part("select", unit("moments", is_sparse=True)),
        name="index_gather",
        about="prefill takes the rows of W of each token from banks; decode as row_gather_topk",
        classes={**ROW_GATHER_TOPK.classes, "crossbar": BankedCrossbar},
        gathers_operands=True,
        colours={**ROW_GATHER_TOPK.colours, "crossbar": "blue"},
    )
)
