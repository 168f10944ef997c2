"""A product on machines that gather rows of W: those of a decode step's union, or each token's own.

Their part of `accelsim.run.verify`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.hardware.crossbars.banked import BankedCrossbar
from accelsim.mapping import Gemm, tile_jobs
from accelsim.planning import Planner
from accelsim.precision import Values
from accelsim.precision.groups import Packed
from accelsim.run.walk import tiles
from accelsim.sparsity import Mask


def with_gathered_rows(
    machine: LayerMachine, operands: Values, weights: Values | Packed, mask: Mask
) -> Values:
    """Return `[T, O]` of decode steps of R tokens, of the rows of W that some token keeps."""
    path, (tokens, in_features) = machine.path, operands.shape
    accumulator: Any = np.int32 if operands.dtype == np.int8 else np.float32
    outputs = np.zeros((tokens, weights.shape[1]), accumulator)
    for first in range(0, tokens, path.rows):
        step = slice(first, min(first + path.rows, tokens))
        gemm = Gemm(step.stop - first, in_features, weights.shape[1])
        fitted, tiling = Planner().fitted(machine, gemm, is_decode=True)
        for of_step, columns, start, length in tiles(tile_jobs(gemm, tiling, path, fitted.stores)):
            rows = slice(first + of_step.start, first + of_step.stop)
            inside = slice(start, start + length)
            needed = _needed(mask[step, inside])
            fetched = weights[inside, columns][needed]  # unpacks packed ones
            kept = np.where(mask[rows, inside], operands[rows, inside], 0)[:, needed]
            for lane in range(0, len(fetched), path.lanes):
                lanes = slice(lane, lane + path.lanes)
                x, w = (part.astype(accumulator) for part in (kept[:, lanes], fetched[lanes]))
                outputs[rows, columns] += np.einsum("rl,lc->rc", x, w, dtype=accumulator)
    return outputs


def with_banked_rows(
    machine: LayerMachine, operands: Values, weights: Values | Packed, mask: Mask
) -> Values:
    """Return `[T, O]` where each token takes rows of W by its own positions, from banks."""
    path, (tokens, in_features) = machine.path, operands.shape
    crossbar = machine.units["crossbar"]
    assert isinstance(crossbar, BankedCrossbar)
    accumulator: Any = np.int32 if operands.dtype == np.int8 else np.float32
    gemm = Gemm(tokens, in_features, weights.shape[1])
    outputs = np.zeros((tokens, gemm.out_features), accumulator)
    fitted, tiling = Planner().fitted(machine, gemm)
    for rows, columns, start, length in tiles(tile_jobs(gemm, tiling, path, fitted.stores)):
        tile = weights[start : start + length, columns].astype(accumulator)  # unpacks packed ones
        dealt = crossbar.dealt(tile)
        for token in range(rows.start, rows.stop):
            positions = np.flatnonzero(mask[token, start : start + length])
            for lane in range(0, len(positions), path.lanes):
                step = positions[lane : lane + path.lanes]
                x = operands[token, start + step].astype(accumulator)
                given = dealt[crossbar.place_of(step)]
                outputs[token, columns] += np.einsum("l,lc->c", x, given, dtype=accumulator)
    return outputs


def _needed(mask: Mask) -> Mask:
    """Return which positions some token of a step keeps, `[K]`."""
    needed: Mask = np.logical_or.reduce(mask, axis=0)
    return needed
