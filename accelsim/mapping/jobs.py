"""The tile jobs of one layer as integer arrays: what travels through the machine, in order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
from numpy.typing import NDArray

from accelsim.base.errors import InputError
from accelsim.mapping.datapath import Datapath, Ints, bytes_of, ceil_div
from accelsim.mapping.tiling import LOOPS, Gemm, Reuse, Stores, Tiling, describe

Flags = NDArray[np.bool_]
MAX_JOBS = 2**20  # memory and time are in proportion; 2.5 million services take a second or two


@dataclass(frozen=True, slots=True, kw_only=True)
class TileJobs:
    """The tiles of a layer in program order, one job each; all arrays are `[jobs]`.

    A job multiplies a tile of X, tokens × reduction, by a tile of W, reduction × columns, and adds
    to a tile of Y, tokens × columns.

    Attributes:
        tokens, columns, reduction: extents of the tile along T, O and K.
        token_start, column_start, reduction_start: where it begins.
        activation_tile, weight_tile, output_tile: which tile of X, W and Y the job works on; equal
            numbers are the same tile.
        loads_activations, loads_weights: whether the job brings its tile on chip, as opposed to
            finding it there.
        selects: whether the job has its tile of X selected, as opposed to finding it compressed.
        first_reduction, last_reduction: whether it begins or ends the sum over K of its outputs.
        spills: whether partial sums go to DRAM after each job, and come back for the next one of
            the same outputs.
    """

    tokens: Ints
    columns: Ints
    reduction: Ints
    token_start: Ints
    column_start: Ints
    reduction_start: Ints
    activation_tile: Ints
    weight_tile: Ints
    output_tile: Ints
    loads_activations: Flags
    selects: Flags
    loads_weights: Flags
    first_reduction: Flags
    last_reduction: Flags
    spills: bool | Flags = False

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def selected(self) -> Ints:
        """Values of X that each job sends to the selector, `[jobs]`: 0 where it is compressed."""
        return self.tokens * self.reduction * self.selects

    @property
    def begins_outputs(self) -> Flags:
        """Whether each job brings its outputs into the buffer, begun here or partial, `[jobs]`."""
        return self.first_reduction | self.spills

    @property
    def ends_outputs(self) -> Flags:
        """Whether each job sends its outputs to DRAM, finished or partial, `[jobs]`."""
        return self.last_reduction | self.spills

    @property
    def resumes_outputs(self) -> Flags:
        """Whether each job needs partial sums back from DRAM, `[jobs]`."""
        return ~self.first_reduction & self.spills

    def activation_tile_bytes(self, path: Datapath) -> Ints:
        """Return the bytes of each job's tile of X, scales of every block in it included."""
        return bytes_of(self.tokens * path.arriving.row_bits(self.reduction, self.reduction_start))

    def weight_tile_bytes(self, path: Datapath) -> Ints:
        """Return the bytes of each job's tile of W, scales of every group in it included."""
        scales = path.w.scales(self.reduction, self.reduction_start)
        return bytes_of(path.w.tile_bits(self.reduction, self.columns, scales))

    def blocks(self, path: Datapath) -> Ints:
        """Return the R × C output blocks that the array computes for each tile, `[jobs]`."""
        return self.row_blocks(path) * self.column_blocks(path)

    def row_blocks(self, path: Datapath) -> Ints:
        """Return ceil(tokens / R) of each tile, `[jobs]`."""
        return ceil_div(self.tokens, path.rows)

    def column_blocks(self, path: Datapath) -> Ints:
        """Return ceil(columns / C) of each tile, `[jobs]`."""
        return ceil_div(self.columns, path.columns)


@lru_cache(maxsize=32)
def tile_jobs(
    gemm: Gemm, tiling: Tiling, path: Datapath, stores: Stores, outer_tiles: int | None = None
) -> TileJobs:
    """Lay out the jobs of a layer in program order, with what each finds on chip.

    Args:
        gemm: the layer.
        tiling: its tile and loop order.
        path: the machine's step.
        stores: its buffers.
        outer_tiles: lay out only so many of the outer iterations, the last one among them.

    Raises:
        InputError: more tiles than an engine could run.

    >>> from accelsim.mapping.tiling import Store
    >>> path = Datapath(rows=2, columns=2, lanes=2, accumulator_bits=32)
    >>> stores = Stores(Store(64), Store(16), Store(64))
    >>> jobs = tile_jobs(Gemm(4, 4, 4), Tiling(2, 2, 4, "tokens_outer"), path, stores)
    >>> jobs.loads_activations.tolist(), jobs.loads_weights.tolist()
    ([True, False, True, False], [True, True, False, False])
    """
    reuse, count = Reuse.of(tiling, gemm, path, stores), prod(tiling.counts(gemm))
    if outer_tiles is not None:
        gemm = tiling.shortened(gemm, outer_tiles)
    if prod(tiling.counts(gemm)) > MAX_JOBS:
        made = f"tiling {describe(tiling)} makes {count} tiles"
        raise InputError(f"{made}; at most {MAX_JOBS} are run, unless they repeat soon")
    token, column, step = place_of_jobs(gemm, tiling)
    column_tiles, reduction_tiles = int(column.max()) + 1, int(step.max()) + 1
    first_column, first_token = column == 0, token == 0
    selects = first_column | (reuse.selections > 1)
    return TileJobs(
        tokens=_extent(token, tiling.tokens, gemm.tokens),
        columns=_extent(column, tiling.columns, gemm.out_features),
        reduction=_extent(step, tiling.reduction, gemm.in_features),
        token_start=token * tiling.tokens,
        column_start=column * tiling.columns,
        reduction_start=step * tiling.reduction,
        activation_tile=token * reduction_tiles + step,
        weight_tile=column * reduction_tiles + step,
        output_tile=token * column_tiles + column,
        loads_activations=first_column | (reuse.activation_loads > 1),
        selects=selects,
        loads_weights=first_token | (reuse.weight_loads > 1),
        first_reduction=step == 0,
        last_reduction=step == reduction_tiles - 1,
        spills=reuse.spills > 0,
    )


def slot_releases(fills: Flags, tile: Ints, slots: int, uses: Flags | None = None) -> Ints:
    """Return, for each job that fills a buffer slot, the job whose end frees that slot.

    A buffer of `slots` tiles is filled round robin: the k-th fill reuses the slot of fill
    k - slots, which is free once the last job that uses that tile is done. -1: no wait.

    Args:
        fills: `[jobs]`, whether the job brings its tile into the buffer.
        tile: `[jobs]`, which tile the job works on.
        slots: tiles that the buffer holds, the one being filled included.
        uses: `[jobs]`, whether the job reads its tile; default: every job.

    Example:
        Two slots, three tiles of two jobs each: the third fill (job 4) waits for job 1, the last
        user of the first tile.

        >>> fills = np.array([1, 0, 1, 0, 1, 0], bool)
        >>> slot_releases(fills, np.array([0, 0, 1, 1, 2, 2]), slots=2).tolist()
        [-1, -1, -1, -1, 1, -1]
    """
    fill_jobs = np.flatnonzero(fills)
    last_use = last_uses(fills, tile, uses)
    releases = np.full(len(fills), -1, np.int64)
    releases[fill_jobs[slots:]] = last_use[: max(0, len(fill_jobs) - slots)]
    return releases


def last_uses(fills: Flags, tile: Ints, uses: Flags | None = None) -> Ints:
    """Return, for each fill of a buffer, the last job that reads it; arguments: `slot_releases`."""
    last_use = np.flatnonzero(fills)
    used = np.arange(len(fills)) if uses is None else np.flatnonzero(uses)
    np.maximum.at(last_use, fill_of(fills, tile)[used], used)
    return last_use


def fill_of(fills: Flags, tile: Ints) -> Ints:
    """Return which fill each job's tile came from: the latest one of the same tile, `[jobs]`.

    >>> fill_of(np.array([1, 1, 0, 1, 0], bool), np.array([0, 1, 0, 0, 1])).tolist()
    [0, 1, 0, 2, 1]
    """
    jobs = np.arange(len(fills))
    by_tile = np.lexsort((jobs, tile))  # then carry the latest fill forward
    carried = np.maximum.accumulate(np.where(fills[by_tile], jobs, 0))
    source = np.empty(len(jobs), np.int64)
    source[by_tile] = (np.cumsum(fills) - 1)[by_tile[carried]]
    return source


def place_of_jobs(gemm: Gemm, tiling: Tiling) -> tuple[Ints, Ints, Ints]:
    """Return the tile index along tokens, columns and reduction of every job."""
    counts = dict(zip("tck", tiling.counts(gemm), strict=True))
    loops = LOOPS[tiling.order]
    index = dict(zip(loops, np.indices([counts[x] for x in loops]).reshape(3, -1), strict=True))
    return index["t"], index["c"], index["k"]


def _extent(index: Ints, size: int, limit: int) -> Ints:
    """Return the extent of each tile along one dimension; the last may be short."""
    return np.minimum(size, limit - index * size)
