"""A product on machines that store W without its zeros: whichever operand is picked, step by step.

Their part of `accelsim.run.verify`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.mapping import Gemm, Ints, Tiling, tile_jobs
from accelsim.precision import Values
from accelsim.precision.groups import Packed
from accelsim.run.walk import filled, steps, tiles
from accelsim.sparsity import FORMATS


def with_stored_weights(
    machine: LayerMachine, tiling: Tiling, operands: Values, weights: Values | Packed
) -> Values:
    """Return `[T, O]` where each stored weight picks its activation by its metadata."""
    path, (tokens, in_features) = machine.path, operands.shape
    n, m = path.lane_group
    gemm, form = Gemm(tokens, in_features, weights.shape[1]), FORMATS[path.metadata_format]
    accumulator: Any = np.int32 if operands.dtype == np.int8 else np.float32
    outputs = np.zeros((tokens, gemm.out_features), accumulator)
    jobs = tile_jobs(gemm, tiling, path, machine.stores)
    for rows, columns, start, length in tiles(jobs):
        padding = [(0, 0), (0, -length % m)]
        x = np.pad(operands[rows, start : start + length], padding)
        tile = np.pad(weights[start : start + length, columns].T, padding)
        blocks = tile.reshape(-1, m)
        kept = filled(path, blocks != 0, n)
        decoded = form.decode(form.encode(kept), n, m).reshape(len(tile), -1)
        values = blocks[kept].reshape(len(tile), -1).astype(accumulator)
        for slots in steps(machine, 0, blocks.shape[0] // len(tile)):
            positions = slots // n * m + decoded[:, slots]
            picked = x[:, positions].astype(accumulator)
            outputs[rows, columns] += np.einsum("rcl,cl->rc", picked, values[:, slots])
    return outputs


def block_by_block(
    machine: LayerMachine, tiling: Tiling, values: Values, places: Ints, weights: Values | Packed
) -> Values:
    """Return `[T, O]` where a lane takes the activations of its block one by one.

    Each meets the stored weight whose place is its own, or zero.

    Args:
        machine: unrolls blocks in time.
        tiling: of the product.
        values: `[T, blocks, turns]`, kept activations in the order in which a lane takes them.
        places: of these in their blocks.
        weights: `[K, O]`.
    """
    path, m = machine.path, machine.path.grain
    gemm = Gemm(len(values), *weights.shape)
    accumulator: Any = np.int32 if values.dtype == np.int8 else np.float32
    outputs = np.zeros((gemm.tokens, gemm.out_features), accumulator)
    for rows, columns, start, length in tiles(tile_jobs(gemm, tiling, path, machine.stores)):
        stored, held = _stored_blocks(machine, weights[start : start + length, columns].T)
        blocks = slice(start // m, start // m + held.shape[1])
        in_tile, where = values[rows, blocks], places[rows, blocks]
        for first in range(0, held.shape[1], path.lanes):
            lanes = slice(first, first + path.lanes)
            for turn in range(values.shape[2]):
                x = in_tile[:, lanes, turn].astype(accumulator)
                meets = held[None, :, lanes] == where[:, None, lanes, turn, None]
                w = np.where(meets, stored[None, :, lanes], 0).sum(axis=-1, dtype=accumulator)
                outputs[rows, columns] += np.einsum("rl,rcl->rc", x, w, dtype=accumulator)
    return outputs


def _stored_blocks(machine: LayerMachine, tile: Values) -> tuple[Values, Ints]:
    """Return weights `[C, blocks, N]` of a tile `[C, K]` as they are stored, and their places."""
    w, form = machine.path.w, FORMATS[machine.path.metadata_format]
    blocks = np.pad(tile, [(0, 0), (0, -tile.shape[1] % w.block)]).reshape(-1, w.block)
    kept = filled(machine.path, blocks != 0, w.kept_per_block)
    places = form.decode(form.encode(kept), w.kept_per_block, w.block).astype(np.int64)
    shape = len(tile), -1, w.kept_per_block
    return blocks[kept].reshape(shape), places.reshape(shape)
