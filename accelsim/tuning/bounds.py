"""Cycles that no machine undercuts, found without a simulation."""

from __future__ import annotations

from math import ceil

from accelsim.config import Architecture
from accelsim.mapping import ceil_div
from accelsim.trace import Trace

_MHZ_PER_GHZ = 1000


def least_prefill_cycles(arch: Architecture, trace: Trace) -> int:
    """Return cycles that prefill takes at least on a machine, however its layers are tiled.

    The array works on one block of R tokens × C columns at a time, and no tiling needs fewer blocks
    or steps than whole layers. Of DRAM, every weight is read at least once, whatever stays on chip.

    Args:
        arch: the machine; all layers run by its own method.
        trace: what it runs.
    """
    path, meta = arch.path, trace.meta
    array_cycles = weight_bits = 0
    for linear in trace.linears:
        blocks = ceil_div(meta.rows(linear.input), path.rows)
        blocks *= ceil_div(linear.out_features, path.columns)
        array_cycles += blocks * path.steps(linear.in_features)
        weight_bits += path.w.tile_bits(linear.in_features, linear.out_features)
    bytes_a_cycle = arch.dram.bandwidth_gb_per_s * _MHZ_PER_GHZ / arch.clock_mhz
    return max(array_cycles, ceil(weight_bits / 8 / bytes_a_cycle))
