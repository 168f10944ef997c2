"""Products of an FFN computed a token at a time, with values, in the order of the machine.

Rows of TwELL are encoded and decoded on the way, so that a payload that loses its column is found.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.mapping import Datapath, Gemm, tile_jobs
from accelsim.mapping.token_packing import ROWS, overflows
from accelsim.planning import Planner
from accelsim.precision import Values
from accelsim.precision.groups import Packed
from accelsim.sparsity import Mask


def computed_outputs(machine: LayerMachine, hidden: Mask, columns: int) -> Mask:
    """Return which outputs the machine computes, `[T, O]`: of up those whose gate is not zero."""
    if machine.path.ffn_product != "up":
        return np.ones((len(hidden), columns), np.bool_)
    outputs: Mask = hidden | overflows(hidden)[:, None]
    return outputs


def token_matmul(
    machine: LayerMachine, operands: Values, weights: Values | Packed, hidden: Mask
) -> Values:
    """Return `[T, O]` in the accumulator's type; 0 where the machine computes nothing.

    Args:
        machine: as a product of an FFN finds it.
        operands: `[T, K]`.
        weights: `[K, O]`.
        hidden: `[T, N]`, which hidden values are not zero: outputs of gate and up, inputs of down.
    """
    path, (tokens, in_features) = machine.path, operands.shape
    accumulator: Any = np.int32 if operands.dtype == np.int8 else np.float32
    gemm = Gemm(tokens, in_features, weights.shape[1])
    fitted, tiling = Planner().fitted(machine, gemm)
    is_down = path.ffn_product == "down"
    codes = operands if is_down else np.ones(hidden.shape, np.int8)
    decoded, there = ROWS.decode(ROWS.encode(codes, hidden))
    is_dense = overflows(hidden) | (path.ffn_product == "gate")
    outputs = np.zeros((tokens, gemm.out_features), accumulator)
    jobs = tile_jobs(gemm, tiling, path, fitted.stores)
    for job in range(len(jobs)):
        rows = np.arange(jobs.token_start[job], jobs.token_start[job] + jobs.tokens[job])
        k = np.arange(jobs.reduction_start[job], jobs.reduction_start[job] + jobs.reduction[job])
        c = np.arange(jobs.column_start[job], jobs.column_start[job] + jobs.columns[job])
        tile = weights[k[0] : k[-1] + 1, c[0] : c[-1] + 1].astype(accumulator)
        dense = rows[is_dense[rows]]
        for lanes in _parts(np.arange(len(k)), path.lanes):
            x = operands[np.ix_(dense, k[lanes])].astype(accumulator)
            outputs[np.ix_(dense, c)] += x @ tile[lanes]
        for token in rows[~is_dense[rows]]:
            if is_down:
                x = decoded[token, k].astype(accumulator)
                outputs[token, c] += _gathered(x, np.flatnonzero(there[token, k]), tile, path)
            else:
                x = operands[token, k].astype(accumulator)
                found = np.flatnonzero(there[token, c])
                outputs[token, c[found]] += _masked(x, tile[:, found], path)
    return outputs


def _gathered(x: Values, found: NDArray[np.intp], tile: Values, path: Datapath) -> Values:
    """Return the outputs of a token: L payloads a turn, in each row of the array other columns."""
    outputs = np.zeros(tile.shape[1], x.dtype)
    for columns in _parts(np.arange(tile.shape[1]), path.rows * path.columns):
        for lanes in _parts(found, path.lanes):
            outputs[columns] += x[lanes] @ tile[np.ix_(lanes, columns)]
    return outputs


def _masked(x: Values, tile: Values, path: Datapath) -> Values:
    """Return some outputs of a token: C a turn, in each row of the array a part of K, added up."""
    outputs = np.zeros(tile.shape[1], x.dtype)
    for columns in _parts(np.arange(tile.shape[1]), path.columns):
        sums = np.zeros((path.rows, len(columns)), x.dtype)
        for step in _parts(np.arange(len(x)), path.rows * path.lanes):
            for row, lanes in enumerate(_parts(step, path.lanes)):
                sums[row] += x[lanes] @ tile[np.ix_(lanes, columns)]
        outputs[columns] = sums.sum(axis=0, dtype=x.dtype)
    return outputs


def _parts(places: NDArray[np.intp], size: int) -> Iterator[NDArray[np.intp]]:
    """Yield places in order, so many at a time."""
    for first in range(0, len(places), size):
        yield places[first : first + size]
