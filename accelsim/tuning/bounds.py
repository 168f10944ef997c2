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
    or steps than whole layers; where time depends on both operands, all multipliers work all the
    time on what they have in common. Of DRAM, every weight is read at least once, whatever stays on
    chip.

    Args:
        arch: the machine; all layers run by its own method.
        trace: what it runs.
    """
    path, meta, machine = arch.path, trace.meta, arch.running()
    array_cycles = weight_bits = 0
    for linear in trace.linears:
        tokens, width, outputs = meta.rows(linear.input), linear.in_features, linear.out_features
        if machine.packs is None:
            blocks = ceil_div(tokens, path.rows) * ceil_div(outputs, path.columns)
            array_cycles += blocks * path.steps(width)
        else:
            products = tokens * outputs * machine.products_per_output(machine.pattern, width)
            array_cycles += products // path.macs_per_cycle
        weight_bits += path.w.tile_bits(linear.in_features, linear.out_features)
    bytes_a_cycle = arch.dram.bandwidth_gb_per_s * _MHZ_PER_GHZ / arch.clock_mhz
    return max(array_cycles, ceil(weight_bits / 8 / bytes_a_cycle))
