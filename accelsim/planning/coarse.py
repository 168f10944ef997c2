"""Bounds of many thousand tilings at a glance: traffic, multiplications, the first tiles."""

from __future__ import annotations

from typing import Any

import numpy as np

from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.dataflows.pipeline import resource_named
from accelsim.mapping import Gemm, Ints, ceil_div
from accelsim.mapping.tiling import Reuse, TileBytes
from accelsim.planning.candidates import Candidates
from accelsim.planning.weights import kept_share


def coarse_bounds(
    machine: LayerMachine, gemm: Gemm, candidates: Candidates, *, is_decode: bool
) -> Ints:
    """Return the fewest cycles of each tiling, `[tilings]`, from its traffic and first tiles.

    Whole bytes of each operand over its resource, at once; and the multiplications, which begin
    once a tile of X and one of W are there. A resource moves two tiles at once as fast as one after
    the other, or faster.
    """
    path = machine.path
    bounds = np.zeros(len(candidates), np.int64)
    kept = path.stored_values(gemm.in_features)
    computing = ceil_div(gemm.tokens * kept * gemm.out_features, path.macs_per_cycle)
    share = kept_share(machine, gemm, is_decode=is_decode)
    whole_w = path.w.tile_bits(gemm.in_features, gemm.out_features)
    for which, tiling in candidates.by_order():
        reuse, size = Reuse.of(tiling, gemm, path, machine.stores), TileBytes.of(tiling, gemm, path)
        partial = gemm.tokens * gemm.out_features * path.accumulator_bits * reuse.spills
        bits: dict[str, Any] = {
            "x": path.x.tile_bits(gemm.in_features, gemm.tokens) * reuse.activation_loads + partial,
            "w": (whole_w * share * reuse.weight_loads),
            "y": gemm.tokens * gemm.out_features * path.y.bits + partial,
        }
        bounds[which] = np.maximum(
            _transfer(machine, bits, path.clock_mhz),
            computing + _transfer(machine, {"x": 8 * size.activations}, path.clock_mhz),
        )
    return bounds


def _transfer(machine: LayerMachine, bits: dict[str, Any], clock_mhz: float) -> Ints:
    """Return the cycles of the resource that has most to move."""
    moved: dict[str, Ints] = {}
    for operand, amount in bits.items():
        name = machine.diagram.resource_of(operand)
        moved[name] = moved.get(name, np.int64(0)) + np.asarray(amount)
    cycles = [
        resource_named(machine, name).transfer_cycles(
            np.floor_divide(amount, 8).astype(np.int64), clock_mhz=clock_mhz
        )
        for name, amount in moved.items()
    ]
    most: Ints = np.max(np.stack(np.broadcast_arrays(*cycles)), axis=0)
    return most
