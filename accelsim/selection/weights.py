"""Which weights of a layer are stored, where W is sparse and time depends on where they stand."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import numpy as np

from accelsim.precision import OperandFormat
from accelsim.sparsity import Mask
from accelsim.sparsity.patterns.nm import NM
from accelsim.trace import Linear

WeightMasks = Callable[[Linear, OperandFormat], Mask | None]
"""Returns the mask `[K, O]` of the weights that are stored of a layer; None: all of them."""


def drawn_weights(linear: Linear, form: OperandFormat) -> Mask | None:
    """Return a mask of exactly N of every M weights along K, `[K, O]`, drawn evenly.

    A trace has no weights. Positions are independent of the activations, which those of a pruned
    model are only nearly; the same layer has the same mask in every run.

    Args:
        linear: the layer; its name is the seed.
        form: of W.

    >>> layer = Linear(name="up", input="x", in_features=8, out_features=3)
    >>> drawn_weights(layer, OperandFormat(kept_per_block=2, block=4)).reshape(2, 4, 3).sum(axis=1)
    array([[2, 2, 2],
           [2, 2, 2]])
    """
    if not form.is_sparse:
        return None
    seed = int.from_bytes(sha256(linear.name.encode()).digest()[:8], "little")
    blocks = -(-linear.in_features // form.block)
    scores = np.random.default_rng(seed).random(
        (linear.out_features, blocks, form.block), np.float32
    )
    mask = NM(form.kept_per_block, form.block).keep(scores.reshape(linear.out_features, -1))
    return mask[:, : linear.in_features].T
