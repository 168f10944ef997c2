"""Row gather: decode fetches only those rows of W that some token keeps, wherever they stand.

    dram ─► activation_dma ─► [activations] ─► select ─► [compressed] ─► compute ─► [outputs]
                                                 │                          │           │
    dram ─► weight_dma ◄── positions ────────────┘                          │           │
                └─► [weights] ──────────────────────────────────────────────┘           │
    dram ◄─────────────────────────────────────────────────────────── output_dma ◄──────┘

In a decode step a tile of X is compacted to the positions that some token keeps, and of W only the
rows of those positions are fetched. Both buffers hold the same positions in the same order, so that
nothing is routed in front of the array. In prefill, where nearly every row is kept by some token,
machines of this dataflow run dense: `select` is passed by, and the array reads activations.
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
from accelsim.hardware.selectors.threshold import ThresholdSelector

GATHERED = Condition(
    "rows of W are fetched by what was kept", lambda work: work.is_decode and work.path.is_gathered
)

ROW_GATHER = DATAFLOWS.register(
    Diagram(
        "row_gather",
        "decode fetches the rows of W that some token keeps; each output stays in the array",
        (
            stage(
                "activation_dma",
                stream("activation_dma", READ, "x"),
                fills="activation_buffer",
            ),
            stage(
                "select",
                select("selector"),
                after=("activation_dma",),
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
                compute("mac_array"),
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
        classes={"selector": ThresholdSelector},
        gathers_rows=True,
        colours={
            "dram": "grey",
            "activation_buffer": "yellow",
            "compressed_buffer": "lemon",
            "weight_buffer": "sky",
            "output_buffer": "pink",
            "selector": "orange",
            "mac_array": "green",
        },
    )
)
