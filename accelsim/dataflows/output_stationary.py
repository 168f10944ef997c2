"""The output-stationary machine, dense or with an N:M selector in front of the array.

    dram ─► prologue ─────────────────────────────┐
    dram ─► activation_dma ─► [activations] ─► select ─► [compressed] ─► compute ─► [outputs]
    dram ─► weight_dma ─────► [weights] ───────────────────────────────────┘           │
    dram ◄─────────────────────────────────────────────────────────── output_dma ◄─────┘

Each element of the array keeps one output and adds to it until K is complete; tiles of activations
and weights stream past. A dense machine has no `select`, so that its array reads activations. The
prologue serves the first job only: what a pruning method must know before the first tile.
"""

from __future__ import annotations

from accelsim.dataflows.diagram import (
    DATAFLOWS,
    Condition,
    Diagram,
    Wait,
    compute,
    select,
    stage,
    stream,
    unit,
)
from accelsim.hardware import READ, WRITE

GATHERED = Condition(
    "rows of W are fetched by what was kept", lambda work: work.is_decode and work.path.drops_rows
)

OUTPUT_STATIONARY = DATAFLOWS.register(
    Diagram(
        "output_stationary",
        "each output stays in the array until K is complete",
        (
            stage(
                "prologue",
                stream("prologue_dma", READ, "tables"),
                unit("statistics", is_sparse=True),
                is_once=True,
            ),
            stage(
                "activation_dma",
                stream("activation_dma", READ, "x"),
                fills="activation_buffer",
            ),
            stage(
                "select",
                unit("pre_shifter", is_sparse=True),
                unit("pre_scaler", is_sparse=True),
                unit("splitter", is_sparse=True),
                select("selector"),
                unit("moments", is_sparse=True),
                after=("prologue", "activation_dma"),
                reads=("activation_buffer",),
                fills="compressed_buffer",
                needs="selector",
            ),
            stage(
                "weight_dma",
                stream("weight_dma", READ, "w"),
                after=(Wait("select", GATHERED),),
                fills="weight_buffer",
            ),
            stage(
                "compute",
                unit("unpacker"),
                unit("crossbar", is_sparse=True),
                compute("mac_array"),
                unit("epilogue", is_sparse=True),
                after=("select", "weight_dma"),
                reads=("compressed_buffer", "weight_buffer"),
                fills="output_buffer",
            ),
            stage(
                "output_dma",
                stream("output_dma", WRITE, "y"),
                after=("compute",),
                reads=("output_buffer",),
            ),
        ),
        has_rtl=True,
        colours={
            "dram": "grey",
            "activation_buffer": "yellow",
            "compressed_buffer": "lemon",
            "weight_buffer": "sky",
            "output_buffer": "pink",
            "selector": "orange",
            "crossbar": "blue",
            "mac_array": "green",
        },
    )
)
