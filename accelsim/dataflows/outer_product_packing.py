"""How tiles are packed for outer products: the time of each block, from the masks of X and W."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.base.compiled import compiled
from accelsim.hardware.outer_product_array import OuterProductArray
from accelsim.mapping import Datapath, Ints, Packing, Packs, TileJobs, ceil_div
from accelsim.mapping.datapath import bytes_of
from accelsim.mapping.masks import Masks
from accelsim.precision import Values
from accelsim.sparsity import Mask

Counts = NDArray[np.int16]
_DRAWN = 512  # positions of K from which the mean of a block is taken


@dataclass(frozen=True, slots=True)
class OuterProducts(Packs):
    """Packing of tiles for an array of outer products.

    Attributes:
        takes_any_positions: whether activations are kept by a level, or N in each group of M.
        array: of the machine; None: not known yet.
    """

    takes_any_positions: bool = True
    array: OuterProductArray | None = None
    _counted: list[_Weights] = field(init=False, default_factory=list, compare=False, repr=False)

    def serving(self, units: Mapping[str, Any]) -> OuterProducts:
        """Return the same for the array of a machine."""
        return replace(self, array=units["mac_array"])

    def found(self, masks: Masks, jobs: TileJobs, path: Datapath) -> Packing:
        """Return how the tiles of a product are packed, `[jobs]`."""
        assert self.array is not None
        r, _ = self.array.unit_shape
        rows, (columns, w) = _Blocks.of_rows(jobs, path), self._weights(masks, jobs, path)
        there = x = rows.counts(masks.x, r)
        if not path.is_sparse:  # a dense X has no bits: zeros take their steps, as other values
            x = rows.counts(np.ones_like(masks.x), r)
        blocks = rows.first, rows.number, columns.first, columns.number
        tiles = np.stack([*blocks, jobs.reduction_start, jobs.reduction])
        return _packing(*tile_counts(x, there, w, tiles, self.array), jobs, path)

    def _weights(self, masks: Masks, jobs: TileJobs, path: Datapath) -> tuple[_Blocks, Counts]:
        """Return the blocks of columns and their counts, those of the last call if W is the same.

        Decode steps of a layer share them.
        """
        assert self.array is not None
        last = self._counted[-1] if self._counted else None
        if last is None or last.mask is not masks.w or last.jobs is not jobs:
            columns = _Blocks.of_columns(jobs, path)
            w = _all(masks.x.shape[1], columns.end) if masks.w is None else masks.w
            counts = columns.counts(w.T, self.array.unit_shape[1])
            last = _Weights(masks.w, jobs, columns, counts)
            self._counted[:] = [last]
        return last.blocks, last.counts

    def expected(self, jobs: TileJobs, path: Datapath) -> Packing:
        """Return how they would be if values were kept independently, `[jobs]`.

        All blocks of a tile are counted as its largest one, which takes the mean of a draw.
        """
        assert self.array is not None
        shares = _shares(path)
        sizes = np.stack(
            [np.minimum(jobs.tokens, path.rows), np.minimum(jobs.columns, path.columns)]
        )
        distinct, of_job = np.unique(sizes, axis=1, return_inverse=True)
        means = [_mean_cycles(self.array, *size, *shares) for size in distinct.T.tolist()]
        of_block = np.ceil(np.array(means)[of_job.ravel()] * jobs.reduction).astype(np.int64)
        kept = np.ceil(jobs.tokens * jobs.reduction * shares[0]).astype(np.int64)
        macs = np.rint(kept * jobs.columns * shares[1]).astype(np.int64)
        cycles = of_block * ceil_div(jobs.blocks(path), self.array.units)
        return _packing(cycles, macs, kept, jobs, path)

    def product(self, x: Values, w: Values, path: Datapath) -> Values:
        """Return the product of a tile: each block in banks, what both keep of K added in order."""
        assert self.array is not None
        accumulator: Any = np.int32 if x.dtype == np.int8 else np.float32
        outputs = np.zeros((len(x), w.shape[1]), accumulator)
        for row in range(0, len(x), path.rows):
            for column in range(0, w.shape[1], path.columns):
                rows, columns = slice(row, row + path.rows), slice(column, column + path.columns)
                values, weights = x[rows].astype(accumulator), w[:, columns].astype(accumulator)
                outputs[rows, columns] = self.array.block_sums(values, weights)
        return outputs


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The blocks of one dimension of a product, those of a tile next to each other.

    Attributes:
        start, size: `[blocks]`, where each begins, and how long it is.
        first, number: `[jobs]`, the first block of each job's tile, and how many it has.
        full: the size of a block that no edge cuts.
    """

    start: Ints
    size: Ints
    first: Ints
    number: Ints
    full: int

    @classmethod
    def of(cls, starts: Ints, sizes: Ints, full: int) -> _Blocks:
        tiles, of_job = np.unique(np.stack([starts, sizes]), axis=1, return_inverse=True)
        number = ceil_div(tiles[1], full)
        first = np.cumsum(number) - number
        inside = np.arange(number.sum()) - np.repeat(first, number)
        start = np.repeat(tiles[0], number) + inside * full
        size = np.minimum(full, np.repeat(tiles[0] + tiles[1], number) - start)
        of_job = of_job.ravel()
        return cls(start, size, first[of_job], number[of_job], full)

    @classmethod
    def of_rows(cls, jobs: TileJobs, path: Datapath) -> _Blocks:
        return cls.of(jobs.token_start, jobs.tokens, path.rows)

    @classmethod
    def of_columns(cls, jobs: TileJobs, path: Datapath) -> _Blocks:
        return cls.of(jobs.column_start, jobs.columns, path.columns)

    @property
    def end(self) -> int:
        """Where the last block ends."""
        return int((self.start + self.size).max())

    def of_job(self, job: int) -> slice:
        """Return the blocks of a job's tile."""
        return slice(int(self.first[job]), int(self.first[job] + self.number[job]))

    def counts(self, mask: Mask, residues: int) -> Counts:
        """Return how many values of each block stand at each residue, `[blocks, K, residues]`.

        Args:
            mask: `[tokens or columns, K]`.
            residues: places of a block are counted modulo this.
        """
        found = np.zeros((len(self.start), mask.shape[1], residues), np.int16)
        for block, (start, size) in enumerate(zip(self.start, self.size, strict=True)):
            for place in range(start, start + size, residues):
                part = mask[place : min(place + residues, start + size)]
                found[block, :, : len(part)] += part.T
        return found


@dataclass(frozen=True, slots=True)
class _Weights:
    """What was counted of a mask of W, cut into the tiles of jobs."""

    mask: Mask | None
    jobs: TileJobs
    blocks: _Blocks
    counts: Counts


def tile_counts(
    x: Counts, there: Counts, w: Counts, tiles: Ints, array: OuterProductArray
) -> tuple[Ints, Ints, Ints]:
    """Return cycles, products of values that are there, and stored values of X, `[tiles]` each.

    Args:
        x: `[row blocks, K, r]`, how many values of X go to each row of banks.
        there: the same, of values that are not zero.
        w: `[column blocks, K, c]`, how many values of W go to each column of banks.
        tiles: `[6, tiles]`: first row block and their number, the same of columns and of K.
        array: its units and queues.

    >>> array = OuterProductArray(rows=4, columns=4, lanes=1, queue_depth=0)
    >>> x, w = np.array([[[2], [1]]], np.int16), np.array([[[2, 0], [1, 1]]], np.int16)
    >>> tile_counts(x, x, w, np.array([[0], [1], [0], [1], [0], [2]]), array)
    (array([5]), array([6]), array([3]))
    """
    counted = np.zeros((3, tiles.shape[1]), np.int64)
    totals = [counts.sum(axis=2, dtype=np.int64) for counts in (x, there)]
    compiled(_tile_loop)(x, w, *totals, tiles, array.queue_depth, array.units, counted)
    return counted[0], counted[1], counted[2]


def _tile_loop(  # noqa: C901, PLR0913, PLR0917 - compiled: all of it in one function
    x: Any, w: Any, x_totals: Any, there: Any, tiles: Any, depth: Any, units: Any, counted: Any
) -> None:
    """Count the cycles of each block of each tile; a unit that is free takes the next block."""
    rows, columns = x.shape[2], w.shape[2]
    queued = np.zeros((rows, columns), np.int32)  # products that wait for each bank
    for tile in range(tiles.shape[1]):
        first_row, row_blocks, first_column, column_blocks, start, length = tiles[:, tile]
        free = np.zeros(units, np.int64)  # when each unit is done with its last block
        for row in range(first_row, first_row + row_blocks):
            counted[2, tile] += x_totals[row, start : start + length].sum()
            for column in range(first_column, first_column + column_blocks):
                cycles = 0
                queued[:] = 0
                for k in range(start, start + length):
                    a = x_totals[row, k]
                    if a == 0:  # nothing comes, and no time passes
                        continue
                    b = w[column, k].sum()
                    counted[1, tile] += there[row, k] * b
                    fullest = 0
                    for i in range(rows):
                        if x[row, k, i]:
                            for j in range(columns):
                                queued[i, j] += x[row, k, i] * w[column, k, j]
                                fullest = max(fullest, queued[i, j])
                    taken = max(-(-a // rows) * -(-b // columns), fullest - depth)
                    cycles += taken
                    for i in range(rows):
                        for j in range(columns):
                            queued[i, j] = max(0, queued[i, j] - taken)
                free[free.argmin()] += cycles + queued.max()
        counted[0, tile] = free.max()


@lru_cache(maxsize=256)
def _mean_cycles(
    array: OuterProductArray, rows: int, columns: int, x_share: float, w_share: float
) -> float:
    """Return the cycles a position of K of a block takes on average, of values drawn evenly."""
    drawn = np.random.default_rng(0)
    r, c = array.unit_shape
    x, w = (
        _Blocks.of(np.array([0]), np.array([size]), size).counts(
            drawn.random((size, _DRAWN)) < share, residues
        )
        for size, share, residues in ((rows, x_share, r), (columns, w_share, c))
    )
    tile = np.array([[0], [1], [0], [1], [0], [_DRAWN]])
    return float(tile_counts(x, x, w, tile, array)[0][0]) / _DRAWN


def _shares(path: Datapath) -> tuple[float, float]:
    """Return the shares of X and W that are kept."""
    of_x = path.kept_per_group / path.group_size if path.kept_share is None else path.kept_share
    return of_x, path.w.kept_per_block / path.w.block


def _all(*shape: int) -> Mask:
    return np.ones(shape, np.bool_)


def _packing(cycles: Ints, macs: Ints, kept: Ints, jobs: TileJobs, path: Datapath) -> Packing:
    """Return the packing of tiles; their values and bits are stored without gaps."""
    metadata_bits = jobs.tokens * path.groups(jobs.reduction) * path.metadata_bits_per_group
    return Packing(
        steps=-(-cycles // np.maximum(1, jobs.blocks(path))),  # a search asks for empty tiles
        stored_values=kept,
        compressed_bytes=bytes_of(kept * path.x.bits + metadata_bits),
        macs=macs,
        array_cycles=cycles,
    )
