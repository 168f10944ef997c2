"""Hidden values of a gated FFN, for machines whose gate and up products depend on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from accelsim.base.cache import DiskCache
from accelsim.selection.selections import Wish, selections_of
from accelsim.selection.sparsify import Selection
from accelsim.trace import Linear, Trace

_FED = "down_proj"
PRODUCTS = {"gate_proj": "gate", "up_proj": "up"}
"""Products of a gated FFN by the kinds of their layers; any other gathers what enters it."""


def beside_hidden(
    selection: Selection, wish: Wish, trace: Trace, linear: Linear, cache: DiskCache | None = None
) -> Selection:
    """Return what survives of a layer's input, with what does of the hidden values of its FFN.

    Hidden values are act(gate) × up, which enter the down projection of the same FFN; one is not
    zero where the gate is not, products apart that round to zero. Where a trace lacks the down
    projection, none is zero. Of a layer that is neither gate nor up, they are its own input.

    Args:
        selection: of the layer's input.
        wish: what it was selected by.
        trace: the layers.
        linear: the layer.
        cache: where selections are kept.
    """
    if linear.kind not in PRODUCTS:
        return replace(selection, ffn_product="down")
    tokens, width = selection.tokens, linear.out_features
    fed = f"{linear.name.rpartition('.')[0]}.{_FED}"
    for down in trace.linears:
        if down.name == fed and trace.meta.shape(down.input) == (tokens, width):
            hidden = selections_of(trace, down.input, [wish], cache)[wish]
            return replace(selection, ffn_product=PRODUCTS[linear.kind], hidden=hidden)
    every = np.packbits(np.ones((tokens, width), np.bool_), axis=1)
    whole = Selection(width, np.full(tokens, width), None, None, every)
    return replace(selection, ffn_product=PRODUCTS[linear.kind], hidden=whole)
