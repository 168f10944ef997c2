"""A gated FFN behind a ReLU: the gate dense, up and down for what is not zero, a token at a time.

    dram ─► activation_dma ─► [activations] ──────────────────┐
       X; rows of TwELL, in place of it (down) or beside (up) │
                  │ positions                                 ▼
    dram ─► weight_dma ─► [weights] ─► token_gather ─► mac_array ─► twell_packer ─► [outputs]
              in decode: rows or columns                                              │
              that some token needs                                                   │
    dram ◄─────────────────────────────────────────────── output_dma ◄────────────────┘
              Y; of gate and up rows of TwELL

The gate product runs as on a dense machine. Its outputs pass the packer, which writes those that are
not zero as TwELL, beside the dense ones. Of the up product, the array computes for one token after
the other only the outputs whose gate is not zero: C of them at a time, with K cut among the R rows.
They leave as TwELL, too. The down product multiplies L hidden values of one token at a time with
their rows of W, for R × C outputs. A token with more values than payloads in some tile is kept dense
and computed dense, with R such tokens at once.

All weights of a turn are those of one token, so that the port of the weight buffer, made for weights
that R tokens share, is what limits up and down. Attention runs dense.
"""

from __future__ import annotations

from accelsim.dataflows.diagram import DATAFLOWS, Condition, Diagram, Wait, compute, stage, stream, unit
from accelsim.hardware import READ, WRITE
from accelsim.hardware.token_units import (
    TokenActivationBuffer,
    TokenArray,
    TokenDram,
    TokenOutputBuffer,
    TokenWeightBuffer,
    packed,
)
from accelsim.mapping import Work


def _is_gathered(work: Work) -> bool:
    found = packed(work)
    return work.is_decode and found is not None and found.side != "gate"


GATHERED = Condition("vectors of W are fetched by what is not zero", _is_gathered)
