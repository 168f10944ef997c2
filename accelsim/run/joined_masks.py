"""A product on machines whose lanes multiply what the masks of X and W have in common.

Their part of `accelsim.run.verify`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.mapping import Gemm, Ints, Tiling, tile_jobs
from accelsim.precision import Values
from accelsim.precision.groups import Packed
from accelsim.run.walk import tiles
from accelsim.sparsity import FORMATS, Mask
from accelsim.sparsity.patterns.base import keep_largest


def with_joined_masks(
    machine: LayerMachine, tiling: Tiling, stored: tuple[Values, Ints], weights: Values | Packed
) -> Values:
    """Return `[T, O]` where lanes take the matches of their groups one by one.

    Args:
        machine: joins masks.
        tiling: of the product.
        stored: values `[T, groups, N]` of the compressed buffer, and their decoded places.
        weights: `[K, O]`.
    """
    path, (values, places) = machine.path, stored
    gemm = Gemm(len(values), *weights.shape)
    accumulator: Any = np.int32 if values.dtype == np.int8 else np.float32
    outputs = np.zeros((gemm.tokens, gemm.out_features), accumulator)
    x_masks, x_kept = _held(_whole(values, places, path.group_size), path.grain)
    for rows, columns, start, length in tiles(tile_jobs(gemm, tiling, path, machine.stores)):
        w_masks, w_kept = _held(
            _stored(machine, weights[start : start + length, columns].T), path.grain
        )
        groups = slice(start // path.grain, start // path.grain + w_masks.shape[1])
        x_mask, x = x_masks[rows, groups], x_kept[rows, groups]
        outputs[rows, columns] += _matches(x_mask, x, w_masks, w_kept, accumulator)
    return outputs


def _matches(x_mask: Mask, x: Values, w_mask: Mask, w: Values, accumulator: Any) -> Values:
    """Return the sums `[T, O]` of what groups have in common, one match of each after the other.

    Masks are `[vectors, groups, positions]`; values stand in the order of the bits of their mask,
    so that the bits below a match say where they are.
    """
    both = x_mask[:, None] & w_mask[None]
    x_below, w_below = (mask.cumsum(axis=-1) - mask for mask in (x_mask, w_mask))
    total = np.zeros(both.shape[:2], accumulator)
    while both.any():
        first = both.argmax(axis=-1)[..., None]
        taken = [
            np.take_along_axis(kept, np.take_along_axis(below, first, -1), -1)[..., 0]
            for kept, below in (
                (
                    np.broadcast_to(x[:, None], both.shape),
                    np.broadcast_to(x_below[:, None], both.shape),
                ),
                (np.broadcast_to(w, both.shape), np.broadcast_to(w_below, both.shape)),
            )
        ]
        a, b = (part.astype(accumulator) for part in taken)
        total += (a * b * both.any(axis=-1)).sum(axis=-1, dtype=accumulator)
        np.put_along_axis(both, first, values=False, axis=-1)
    return total


def _stored(machine: LayerMachine, tile: Values) -> Values:
    """Return weights `[C, blocks, M]` decoded from what is stored of a tile `[C, K]`."""
    w, form = machine.path.w, FORMATS[machine.path.metadata_format]
    blocks = np.pad(tile, [(0, 0), (0, -tile.shape[1] % machine.path.grain)]).reshape(-1, w.block)
    kept = keep_largest((blocks != 0).view(np.int8), w.kept_per_block)
    places = form.decode(form.encode(kept), w.kept_per_block, w.block).astype(np.int64)
    shape = len(tile), -1, w.kept_per_block
    return _whole(blocks[kept].reshape(shape), places.reshape(shape), w.block)


def _whole(values: Values, places: NDArray[Any], size: int) -> Values:
    """Return groups `[vectors, groups, size]` with values at their places, zeros elsewhere."""
    groups = np.zeros((*values.shape[:2], size), values.dtype)
    np.put_along_axis(groups, places, values, axis=-1)
    return groups


def _held(groups: Values, size: int) -> tuple[Mask, Values]:
    """Return groups of `size` as lanes hold them: masks of what is not zero, and values in order.

    Both `[vectors, groups, size]`, values moved together to the front.
    """
    groups = groups.reshape(len(groups), -1, size)
    mask = groups != 0
    order = np.argsort(~mask, axis=-1, kind="stable")
    return mask, np.take_along_axis(groups, order, axis=-1)
