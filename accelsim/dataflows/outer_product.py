"""Outer products of what both operands keep, as in the dual-side sparse tensor core (DSTC).

    dram ─► activation_dma ─► [activations] ─► select ─► [compressed] ─► compute ─► [outputs]
    dram ─► weight_dma ─────► [weights] ───────────────────────────────────┘           │
    dram ◄─────────────────────────────────────────────────────────── output_dma ◄─────┘

    compute, a unit for a block of R × C outputs, for each position of K:

        R bits of X, a of them set ─► a values ─┐
                                                ├─► a × b products ─► banks of sums
        C bits of W, b of them set ─► b values ─┘   r × c a step      (i mod r, j mod c)

Both operands are stored as values and a bit for each position. A unit multiplies each value of a
position of K that X keeps by each that W keeps, so that no multiplier waits for values to match;
but products of a step may meet in a bank, which adds one of them a cycle.
Where X is dense, the array reads the activation buffer, and all its values are there.

Source: Wang et al., Dual-side Sparse Tensor Core, ISCA 2021.
"""

from __future__ import annotations

from dataclasses import replace

from accelsim.dataflows.diagram import (
    DATAFLOWS,
    Diagram,
    compute,
    select,
    stage,
    stream,
)
from accelsim.dataflows.outer_product_packing import OuterProducts
from accelsim.hardware import READ, WRITE
from accelsim.hardware.outer_product_array import OuterProductArray
from accelsim.hardware.selectors.bitmap import BitmapSelector

OUTER_PRODUCT = DATAFLOWS.register(
    Diagram(
        "outer_product",
        "units multiply what X and W keep at a position of K, and add products up in banks",
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
            stage("weight_dma", stream("weight_dma", READ, "w"), fills="weight_buffer"),
            stage(
                "compute",
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
        classes={"mac_array": OuterProductArray, "selector": BitmapSelector},
        packs=OuterProducts(),
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

OUTER_PRODUCT_GROUPS = DATAFLOWS.register(
    replace(
        OUTER_PRODUCT,
        name="outer_product_groups",
        about="outer products of what X keeps of each group of M and what W keeps",
        classes={"mac_array": OuterProductArray},
        packs=OuterProducts(takes_any_positions=False),
    )
)
