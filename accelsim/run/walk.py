"""The order in which a machine walks over a product: its tiles, the steps of a tile, and places."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.mapping import Datapath, TileJobs
from accelsim.sparsity import Mask
from accelsim.sparsity.patterns.base import keep_largest
from accelsim.sparsity.patterns.two_rank import TwoRank


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


def filled(path: Datapath, present: Mask, count: int) -> Mask:
    """Return the places `[groups, M]` that are stored: all that are present, and zeros to fill up.

    A group with fewer than `count` gives its first other positions: a crossbar needs all of them in
    index order. Of two ranks, N in each of P blocks.
    """
    marks = present.view(np.int8)
    if path.lower_rank is None:
        return keep_largest(marks, count)
    return TwoRank(*path.lower_rank, *path.upper_rank).keep(marks)
