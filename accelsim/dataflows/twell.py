"""A gated FFN behind a ReLU: the gate dense, up and down for what is not zero, a token at a time.

    dram ─► activation_dma ─► [activations] ──────────────────┐
       X; rows of TwELL, in place of it (down) or beside (up) │
                  │ positions                                 ▼
    dram ─► weight_dma ─► [weights] ─► token_gather ─► mac_array ─► twell_packer ─► [outputs]
              in decode: rows or columns                                              │
              that some token needs                                                   │
    dram ◄─────────────────────────────────────────────── output_dma ◄────────────────┘
              Y; of gate and up rows of TwELL

The gate product runs as on a dense machine. Its outputs pass the packer, which writes those that
are not zero as TwELL, beside the dense ones. Of the up product, the array computes for one token
after the other only the outputs whose gate is not zero: C of them at a time, with K cut among the R
rows. They leave as TwELL, too. The down product multiplies L hidden values of one token at a time
with their rows of W, for R × C outputs. A token with more values than payloads in some tile is kept
dense and computed dense, with R such tokens at once.

All weights of a turn are those of one token, so that the port of the weight buffer, made for
weights that R tokens share, is narrow for up and down. Attention runs dense.
"""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from accelsim.dataflows.diagram import (
    DATAFLOWS,
    Condition,
    Diagram,
    Wait,
    compute,
    stage,
    stream,
    unit,
)
from accelsim.hardware import READ, WRITE
from accelsim.hardware.token_units import (
    TokenActivationBuffer,
    TokenArray,
    TokenDram,
    TokenOutputBuffer,
    TokenWeightBuffer,
    packed,
)
from accelsim.mapping import Datapath, Masks, Packing, Packs, TileJobs, Work
from accelsim.mapping.token_packing import TokenPacking
from accelsim.sparsity.patterns.nonzero import Nonzero


@dataclass(frozen=True, slots=True)
class HiddenPacks(Packs):
    """Tiles of the products of an FFN, packed by its hidden values."""

    takes_any_positions: bool = True

    @override
    def found(self, masks: Masks, jobs: TileJobs, path: Datapath) -> Packing:
        """Return what the hidden values come to in each tile, `[jobs]`."""
        return TokenPacking.of(masks, jobs, path)

    @override
    def expected(self, jobs: TileJobs, path: Datapath) -> Packing:
        """Return what they come to if each is as likely to be there, `[jobs]`."""
        return TokenPacking.expected(jobs, path)


def _is_gathered(work: Work) -> bool:
    found = packed(work)
    return work.is_decode and found is not None and found.product != "gate"


GATHERED = Condition("vectors of W are fetched by what is not zero", _is_gathered)

TWELL = DATAFLOWS.register(
    Diagram(
        "twell",
        "a gated FFN behind a ReLU: up and down for what is not zero, a token at a time",
        (
            stage(
                "activation_dma",
                stream("activation_dma", READ, "x"),
                fills="activation_buffer",
            ),
            stage(
                "weight_dma",
                stream("weight_dma", READ, "w"),
                after=(Wait("activation_dma", GATHERED),),
                fills="weight_buffer",
            ),
            stage(
                "compute",
                unit("token_gather", is_sparse=True),
                compute("mac_array"),
                unit("twell_packer", is_sparse=True),
                after=("activation_dma", "weight_dma"),
                reads=("activation_buffer", "weight_buffer"),
                fills="output_buffer",
            ),
            stage(
                "output_dma",
                stream("output_dma", WRITE, "y"),
                after=("compute",),
                reads=("output_buffer",),
            ),
        ),
        classes={
            "activation_buffer": TokenActivationBuffer,
            "dram": TokenDram,
            "mac_array": TokenArray,
            "output_buffer": TokenOutputBuffer,
            "weight_buffer": TokenWeightBuffer,
        },
        packs=HiddenPacks(),
        patterns=(Nonzero,),
        dense_kinds=frozenset({"q_proj", "k_proj", "v_proj", "o_proj"}),
        sees_hidden=True,
        colours={
            "dram": "grey",
            "activation_buffer": "yellow",
            "weight_buffer": "sky",
            "output_buffer": "pink",
            "token_gather": "blue",
            "mac_array": "green",
            "twell_packer": "orange",
        },
    )
)
