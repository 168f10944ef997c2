"""The order in which a machine walks over a product: its tiles, and the steps of a tile."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.mapping import TileJobs


def tiles(jobs: TileJobs) -> Iterator[tuple[slice, slice, int, int]]:
    """Yield tokens, columns, and the begin and length along K of each tile, in program order."""
    for job in range(len(jobs)):
        rows = slice(jobs.token_start[job], jobs.token_start[job] + jobs.tokens[job])
        columns = slice(jobs.column_start[job], jobs.column_start[job] + jobs.columns[job])
        yield rows, columns, int(jobs.reduction_start[job]), int(jobs.reduction[job])


def steps(machine: LayerMachine, first_group: int, groups: int) -> Iterator[NDArray[np.int64]]:
    """Yield the slots (stored values, counted along K) that the lanes take in each step."""
    path = machine.path
    n, _ = path.lane_group
    end = (first_group + groups) * n
    for group in range(first_group, first_group + groups, path.groups_per_step):
        last = min((group + path.groups_per_step) * n, end)
        for slot in range(group * n, last, path.lanes):
            yield np.arange(slot, min(slot + path.lanes, last))
