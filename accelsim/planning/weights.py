"""The weight bytes that a plan counts on, before anything is selected."""

from __future__ import annotations

import numpy as np

from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.mapping import Gemm, Ints, Packing, TileJobs, ceil_div
from accelsim.mapping.datapath import bytes_of


def planned_weight_bytes(
    jobs: TileJobs, machine: LayerMachine, gemm: Gemm, *, is_decode: bool
) -> Ints:
    """Return the weight bytes that each job is expected to load, `[jobs]`.

    All of its tile; in a decode step that fetches only rows that some token keeps, as many rows as
    T tokens keep between them that choose independently: a share of 1 - (1 - N/M)^T,
    or 1 - P^T behind a threshold that drops P. Each is taken
    to fill whole bursts by itself, up to the whole tile.
    """
    path = machine.path
    whole = jobs.weight_tile_bytes(path)
    if machine.gathers(is_decode=is_decode):
        share = kept_share(machine, gemm, is_decode=is_decode)
        rows = np.ceil(jobs.reduction * share).astype(np.int64)
        burst = machine.weight_burst_bytes
        row_bytes = ceil_div(bytes_of(jobs.columns * path.w.bits), burst) * burst
        whole = np.minimum(whole, rows * row_bytes)
    return whole * jobs.loads_weights


def kept_share(machine: LayerMachine, gemm: Gemm, *, is_decode: bool) -> float:
    """Return the share of the rows of W that a layer is expected to fetch."""
    if not machine.gathers(is_decode=is_decode):
        return 1.0
    path = machine.path
    share = path.kept_per_group / path.group_size if path.kept_share is None else path.kept_share
    return float(1 - (1 - share) ** gemm.tokens)


def planned_packing(
    jobs: TileJobs, machine: LayerMachine, gemm: Gemm, *, is_decode: bool
) -> Packing | None:
    """Return how tiles are expected to be packed where that depends on values; else None."""
    packs = machine.packs_in(is_decode=is_decode)
    if packs is not None:
        return packs.expected(jobs, machine.path)
    if not (machine.path.is_gathered and machine.gathers(is_decode=is_decode)):
        return None
    share = kept_share(machine, gemm, is_decode=is_decode)
    rows = np.ceil(jobs.reduction * share).astype(np.int64)
    return Packing.gathered(rows, jobs, machine.path)
