"""Bounds of many thousand tilings at a glance: traffic, multiplications, the first tiles."""

from __future__ import annotations

from typing import Any

import numpy as np

from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.dataflows.pipeline import resource_named
from accelsim.mapping import Gemm, Ints, Tiling, ceil_div
from accelsim.mapping.tiling import LOOPS, Reuse, TileBytes
from accelsim.planning.candidates import Candidates
from accelsim.planning.weights import kept_share


def coarse_bounds(
    machine: LayerMachine, gemm: Gemm, candidates: Candidates, *, is_decode: bool
) -> Ints:
    """Return the fewest cycles of each tiling, `[tilings]`, from its traffic and first tiles.

    Whole bytes of each operand over its resource, at once; the multiplications, after the first
    tile of X; and what the first iteration of the outermost loop loads, then the multiplications of
    all others. A resource moves two tiles at once as fast as one after the other, or faster. Where
    hidden values of an FFN decide what is multiplied and moved, only W in prefill counts.
    """
    path = machine.path
    bounds = np.zeros(len(candidates), np.int64)
    kept = ceil_div(gemm.in_features, path.grain) * path.lane_group[0]
    if machine.packs is not None:  # what both operands have in common, on average
        kept = min(kept, machine.products_per_output(machine.pattern, gemm.in_features))
    if path.kept_share is not None:  # of a token that keeps any positions
        kept = min(kept, int(gemm.in_features * path.kept_share))
    is_known = not path.ffn_product
    computing = ceil_div(gemm.tokens * kept * gemm.out_features, path.macs_per_cycle) * is_known
    share = kept_share(machine, gemm, is_decode=is_decode) * (is_known or not is_decode)
    whole_w = path.w.tile_bits(gemm.in_features, gemm.out_features)
    for which, tiling in candidates.by_order():
        reuse, size = Reuse.of(tiling, gemm, path, machine.stores), TileBytes.of(tiling, gemm, path)
        partial = gemm.tokens * gemm.out_features * path.accumulator_bits * reuse.spills
        bits: dict[str, Any] = {
            "x": is_known
            * path.arriving.tile_bits(gemm.in_features, gemm.tokens)
            * reuse.activation_loads
            + partial,
            "w": (whole_w * share * reuse.weight_loads),
            "y": is_known * gemm.tokens * gemm.out_features * path.y.bits + partial,
        }
        bounds[which] = np.maximum(
            _transfer(machine, bits, path.clock_mhz),
            computing + _transfer(machine, {"x": 8 * is_known * size.activations}, path.clock_mhz),
        )
        first, loaded = _first_iteration(tiling, gemm)
        bits = {
            "x": is_known * path.arriving.tile_bits(loaded["k"], loaded["t"]),
            "w": path.w.tile_bits(loaded["k"], loaded["c"]) * share,
        }
        begun = _transfer(machine, bits, path.clock_mhz)
        bounds[which] = np.maximum(bounds[which], begun + np.floor(computing * (1 - first)) - 1)
    return bounds


def _first_iteration(tiling: Tiling, gemm: Gemm) -> tuple[Any, dict[str, Any]]:
    """Return the first iteration of the outermost loop: its share of the layer, and its extents."""
    whole = {"t": gemm.tokens, "c": gemm.out_features, "k": gemm.in_features}
    tile = {"t": tiling.tokens, "c": tiling.columns, "k": tiling.reduction}
    outer = LOOPS[tiling.order][0]
    extent = np.minimum(tile[outer], whole[outer])
    return extent / whole[outer], whole | {outer: extent}


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
