"""How tiles are packed for outer products: the time of each block, from the masks of X and W."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from heapq import heapreplace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.base.compiled import compiled
from accelsim.hardware.outer_product_array import OuterProductArray
from accelsim.mapping import Datapath, Ints, Packing, TileJobs, ceil_div
from accelsim.mapping.datapath import bytes_of
from accelsim.mapping.masks import Masks
from accelsim.precision import Values
from accelsim.sparsity import Mask

Counts = NDArray[np.int16]
_DRAWN = 512  # positions of K from which the mean of a block is taken


@dataclass(frozen=True, slots=True)
class OuterProducts:
    """Packing of tiles for an array of outer products.

    Attributes:
        takes_any_positions: whether activations are kept by a level, or N in each group of M.
        array: of the machine; None: not known yet.
    """

    takes_any_positions: bool = True
    array: OuterProductArray | None = None

    def serving(self, units: Mapping[str, Any]) -> OuterProducts:
        """Return the same for the array of a machine."""
        return replace(self, array=units["mac_array"])

    def found(self, masks: Masks, jobs: TileJobs, path: Datapath) -> Packing:
        """Return how the tiles of a product are packed, `[jobs]`."""
        assert self.array is not None
        rows, columns = _Blocks.of_rows(jobs, path), _Blocks.of_columns(jobs, path)
        r, c = self.array.unit_shape
        weights = _all(masks.x.shape[1], columns.end) if masks.w is None else masks.w
        w_counts = columns.counts(weights.T, c)
        there = x_counts = rows.counts(masks.x, r)
        if not path.is_sparse:  # a dense X has no bits: zeros take their steps, as other values
            x_counts = rows.counts(_all(*masks.x.shape), r)
        cycles, macs, kept = (np.zeros(len(jobs), np.int64) for _ in range(3))
        for inside, those in _spans(jobs):
            x, w = x_counts[:, inside], w_counts[:, inside]
            of_block = block_cycles(x, w, self.array)
            products = _values(there[:, inside]) @ _values(w).T
            values = _values(x).sum(axis=1)
            for job in those:
                row, column = rows.of_job(job), columns.of_job(job)
                cycles[job] = dealt(of_block[row, column], self.array.units)
                macs[job] = products[row, column].sum()
                kept[job] = values[row].sum()
        return _packing(cycles, macs, kept, jobs, path)

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
        """Return the product of a tile: for each position of K, what both keep, added in banks."""
        accumulator: Any = np.int32 if x.dtype == np.int8 else np.float32
        outputs = np.zeros((len(x), w.shape[1]), accumulator)
        for row in range(0, len(x), path.rows):
            for column in range(0, w.shape[1], path.columns):
                block = outputs[row : row + path.rows, column : column + path.columns]
                for k in range(x.shape[1]):
                    values = x[row : row + path.rows, k]
                    weights = w[k, column : column + path.columns]
                    i, j = np.flatnonzero(values), np.flatnonzero(weights)
                    products = np.outer(values[i].astype(accumulator), weights[j])
                    block[np.ix_(i, j)] += products.astype(accumulator)
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


def block_cycles(x: Counts, w: Counts, array: OuterProductArray) -> Ints:
    """Return the cycles of each block of outputs, `[row blocks, column blocks]`.

    Args:
        x: `[row blocks, K, r]`, how many values of X go to each row of banks.
        w: `[column blocks, K, c]`, how many values of W go to each column of banks.
        array: its queues, and what its units multiply in a step.

    >>> array = OuterProductArray(rows=4, columns=4, lanes=1, unit_rows=2, unit_columns=2)
    >>> x, w = np.array([[[2, 0]]], np.int16), np.array([[[1, 1]]], np.int16)
    >>> block_cycles(x, w, array)  # one step sends two products to one bank, which waits for one
    array([[2]])
    """
    cycles = np.zeros((len(x), len(w)), np.int64)
    x, w = np.ascontiguousarray(x), np.ascontiguousarray(w)
    compiled(_block_loop)(x, w, array.queue_depth, cycles)
    return cycles


def dealt(blocks: Ints, units: int) -> int:
    """Return when the last unit is done, if one that is free takes the next block.

    >>> dealt(np.array([5, 1, 1, 1]), units=2)
    5
    """
    free = [0] * units
    for cycles in blocks.ravel().tolist():
        heapreplace(free, free[0] + cycles)
    return max(free)


def _block_loop(x: Any, w: Any, depth: Any, cycles: Any) -> None:
    row_blocks, positions, rows = x.shape
    column_blocks, _, columns = w.shape
    queued = np.zeros((rows, columns), np.int64)  # products that wait for each bank
    for row_block in range(row_blocks):
        for column_block in range(column_blocks):
            total = 0
            queued[:] = 0
            for k in range(positions):
                a, b = x[row_block, k].sum(), w[column_block, k].sum()
                fullest = 0
                for i in range(rows):
                    for j in range(columns):
                        queued[i, j] += x[row_block, k, i] * w[column_block, k, j]
                        fullest = max(fullest, queued[i, j])
                taken = max(-(-a // rows) * -(-b // columns), fullest - depth)
                total += taken
                for i in range(rows):
                    for j in range(columns):
                        queued[i, j] = max(0, queued[i, j] - taken)
            cycles[row_block, column_block] = total + queued.max()


@lru_cache(maxsize=256)
def _mean_cycles(
    array: OuterProductArray, rows: int, columns: int, x_share: float, w_share: float
) -> float:
    """Return the cycles a position of K of a block takes on average, of values drawn evenly."""
    drawn = np.random.default_rng(0)
    counts = [
        _Blocks.of(np.array([0]), np.array([size]), size).counts(
            drawn.random((size, _DRAWN)) < share, residues
        )
        for size, share, residues in (
            (rows, x_share, array.unit_shape[0]),
            (columns, w_share, array.unit_shape[1]),
        )
        if size
    ]
    return float(block_cycles(*counts, array)[0, 0]) / _DRAWN if len(counts) > 1 else 0.0


def _shares(path: Datapath) -> tuple[float, float]:
    """Return the shares of X and W that are kept."""
    of_x = path.kept_per_group / path.group_size if path.kept_share is None else path.kept_share
    return of_x, path.w.kept_per_block / path.w.block


def _spans(jobs: TileJobs) -> Iterator[tuple[slice, list[int]]]:
    """Yield each part of K that tiles are of, and the jobs of these tiles."""
    spans, of_job = np.unique(
        np.stack([jobs.reduction_start, jobs.reduction]), axis=1, return_inverse=True
    )
    for which, (start, length) in enumerate(spans.T.tolist()):
        yield slice(start, start + length), np.flatnonzero(of_job.ravel() == which).tolist()


def _values(counts: Counts) -> NDArray[np.float64]:
    """Return how many values each block has at each position of K, `[blocks, K]`."""
    return counts.sum(axis=2, dtype=np.float64)


def _all(*shape: int) -> Mask:
    return np.ones(shape, np.bool_)


def _packing(cycles: Ints, macs: Ints, kept: Ints, jobs: TileJobs, path: Datapath) -> Packing:
    """Return the packing of tiles; their values and bits are stored without gaps."""
    metadata_bits = jobs.tokens * path.groups(jobs.reduction) * path.metadata_bits_per_group
    return Packing(
        steps=ceil_div(cycles, np.maximum(1, jobs.blocks(path))),
        stored_values=kept,
        compressed_bytes=bytes_of(kept * path.x.bits + metadata_bits),
        macs=macs,
        array_cycles=cycles,
    )
