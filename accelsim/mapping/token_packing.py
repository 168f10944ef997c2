"""Products that are computed token after token: what a tile of TwELL rows takes in time and bytes.

The three products of a gated FFN differ in where zeros are. The *gate* product is dense, and its
outputs leave as TwELL. Of the *up* product only those outputs are computed whose gate is not zero:
a token with n of them in a tile takes ceil(n / C) turns of the C columns, each over all of K, which
the R rows share. Of the *down* product only hidden values that are not zero are multiplied: a token
with n of them takes ceil(n / L) turns of the L lanes, each for the R × C outputs of the array.

A token overflows if one of its tiles has more values than payloads. It is held dense beside the
others, and computed as on a dense machine, R such tokens at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from typing_extensions import override

from accelsim.mapping.datapath import Datapath, Ints, bytes_of, ceil_div
from accelsim.mapping.jobs import Flags, TileJobs
from accelsim.mapping.masks import Masks
from accelsim.mapping.packing import Packing
from accelsim.sparsity import Mask
from accelsim.sparsity.rows.twell import TwELL

ROWS = TwELL()
"""The format: tiles of 256 columns with 31 payloads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPacking(Packing):
    """What the nonzero hidden values of an FFN come to in each tile of one of its products.

    Arrays `[jobs]`, or `[runs, jobs]` for decode steps; `macs` are those of two nonzero values.

    Attributes:
        product: which one it is, gate, up or down.
        values: nonzero hidden values of the tile's tokens that do not overflow.
        turns: of these tokens, one after the other, on the array.
        overflowing: tokens of the tile that overflow.
        needed: columns of W (up) or rows (down) of the tile that some token needs.
    """

    product: str
    values: Ints
    turns: Ints
    overflowing: Ints
    needed: Ints

    @classmethod
    def of(cls, masks: Masks, jobs: TileJobs, path: Datapath) -> Self:
        """Count the hidden values of each tile.

        Args:
            masks: of inputs, and of hidden values where these are outputs.
            jobs: the tiles.
            path: rows, columns and lanes.

        >>> from accelsim.hardware.examples import work
        >>> from dataclasses import replace
        >>> tile = work("dense", tokens=2, reduction=256)
        >>> path = replace(tile.path, ffn_product="down")
        >>> few = np.arange(256) < np.array([[20], [32]])  # two turns of 16 lanes; an overflow
        >>> found = TokenPacking.of(Masks(few), tile.jobs, path)
        >>> found.values, found.turns, found.overflowing, found.macs
        (array([20]), array([2]), array([1]), array([416]))
        """
        product = path.ffn_product
        hidden = masks.x if masks.hidden is None else masks.hidden
        over = overflows(hidden)[:, None]
        begin, length = jobs.column_start, jobs.columns
        if product == "down":
            begin, length = jobs.reduction_start, jobs.reduction
        counts = _counts(hidden, begin, length)
        packed = np.where(over, 0, counts)
        turns = ceil_div(packed, path.lanes if product == "down" else path.columns)
        if product == "down":
            macs = counts * jobs.columns
        else:
            alive = _counts(masks.x, jobs.reduction_start, jobs.reduction)
            macs = alive * np.where(over | (product == "gate"), jobs.columns, counts)
        used: Mask = np.logical_or.reduce(hidden | over, axis=0, keepdims=True)
        values = _of_tiles(packed, jobs)
        return cls(
            product=product,
            steps=path.steps(jobs.reduction),
            stored_values=values,
            compressed_bytes=0 * values,
            macs=_of_tiles(macs, jobs),
            values=values,
            turns=_of_tiles(turns, jobs) * (product != "gate"),
            overflowing=_of_tiles(over + 0 * counts, jobs),
            needed=_counts(used, begin, length)[0],
        )

    @classmethod
    def expected(cls, jobs: TileJobs, path: Datapath) -> Self:
        """Return what tiles are taken to hold whose hidden values are all as likely to be there.

        Either no token overflows, or, where the mean tile of a row does, all of them do.
        """
        product, share = path.ffn_product, 1.0 if path.kept_share is None else path.kept_share
        extent = jobs.reduction if product == "down" else jobs.columns
        over = share * ROWS.tile >= ROWS.tile // ROWS.compression
        each = np.maximum(1, np.rint(share * extent)).astype(np.int64) * (not over)
        turns = ceil_div(each, path.lanes if product == "down" else path.columns)
        some = 1 - (1 - share) ** jobs.tokens
        return cls(
            product=product,
            steps=path.steps(jobs.reduction),
            stored_values=jobs.tokens * each,
            compressed_bytes=0 * each,
            macs=0 * each,
            values=jobs.tokens * each,
            turns=jobs.tokens * turns * (product != "gate"),
            overflowing=jobs.tokens * over,
            needed=np.minimum(extent, np.ceil(extent * np.maximum(some, over)).astype(np.int64)),
        )

    def dense_tokens(self, jobs: TileJobs) -> Ints:
        """Return the tokens of each tile that the array computes as a dense one does."""
        return jobs.tokens + 0 * self.overflowing if self.product == "gate" else self.overflowing

    def serial_cycles(self, jobs: TileJobs, path: Datapath) -> Ints:
        """Return the cycles of the turns: K over R × L lanes, or columns over R × C of them."""
        if self.product == "down":
            return self.turns * ceil_div(jobs.columns, path.rows * path.columns)
        return self.turns * ceil_div(jobs.reduction, path.rows * path.lanes)

    def dense_blocks(self, jobs: TileJobs, path: Datapath) -> Ints:
        """Return the row blocks of tokens that are computed dense."""
        return ceil_div(self.dense_tokens(jobs), path.rows)

    @override
    def cycles(self, jobs: TileJobs, path: Datapath) -> Ints:
        """Return the cycles of the array: turns, then blocks of dense tokens."""
        blocks = self.dense_blocks(jobs, path) * jobs.column_blocks(path)
        return self.serial_cycles(jobs, path) + blocks * path.steps(jobs.reduction)

    def vectors(self, jobs: TileJobs, path: Datapath) -> tuple[Ints, Ints]:
        """Return how many vectors of W turns read, and the bytes of one: a column, or a row."""
        length = jobs.columns if self.product == "down" else jobs.reduction
        count = 0 * self.values if self.product == "gate" else self.values
        return count, bytes_of(length * path.w.bits)

    def activation_bytes(self, jobs: TileJobs, path: Datapath) -> Ints:
        """Return the bytes of X that the array reads: of dense tokens, of turns, and payloads."""
        dense = self.dense_tokens(jobs) * jobs.column_blocks(path)
        dense = dense * bytes_of(jobs.reduction * path.x.bits)
        if self.product == "gate":
            return dense
        if self.product == "down":
            passes = ceil_div(jobs.columns, path.rows * path.columns)
            return dense + passes * self.word_bytes(jobs, path)
        row = bytes_of(jobs.reduction * path.x.bits)
        return dense + self.turns * row + self.word_bytes(jobs, path)

    def word_bytes(self, jobs: TileJobs, path: Datapath) -> Ints:
        """Return the bytes of the words in use: a count for each TwELL tile, and the payloads."""
        extent = jobs.reduction if self.product == "down" else jobs.columns
        counts = jobs.tokens * ceil_div(extent, ROWS.tile)
        return (self.values + counts) * _word_bytes(path)

    def row_bytes(self, jobs: TileJobs, path: Datapath) -> Ints:
        """Return the bytes of the hidden values of each tile as they stand in DRAM.

        Whole TwELL tiles, whatever they hold; of tokens that overflow, the counts, and all values.
        A tile that ends within one of TwELL has its share of that.
        """
        extent = jobs.reduction if self.product == "down" else jobs.columns
        slots = ROWS.tile // ROWS.compression
        packed = (jobs.tokens - self.overflowing) * extent * slots * _word_bytes(path)
        dense = bytes_of(extent * path.y.bits) + ceil_div(extent, ROWS.tile) * _word_bytes(path)
        return ceil_div(packed, ROWS.tile) + self.overflowing * dense


def overflows(hidden: Mask) -> Flags:
    """Return which tokens of `[T, N]` have a TwELL tile with more values than payloads, `[T]`.

    >>> hidden = np.zeros((2, 300), bool)
    >>> hidden[0, :31] = hidden[1, 256:288] = True  # 31 in the first tile; 32 in the second
    >>> overflows(hidden).tolist()
    [False, True]
    """
    begins = np.arange(0, hidden.shape[1], ROWS.tile)
    counts = np.add.reduceat(hidden, begins, axis=1, dtype=np.int64)
    most = np.max(counts, axis=1)
    flags: Flags = most >= ROWS.tile // ROWS.compression
    return flags


def _word_bytes(path: Datapath) -> int:
    """Return the bytes of a word: a value, and its column in 16 bits."""
    return bytes_of(ROWS.layout(1, path.y.bits, 1).word_bits)


def _counts(mask: Mask, begin: Ints, length: Ints) -> Ints:
    """Return how many of each token's positions are set from `begin` on, `[T, jobs]`."""
    before = np.zeros((len(mask), mask.shape[1] + 1), np.int64)
    np.cumsum(mask, axis=1, out=before[:, 1:])
    counts: Ints = before[:, begin + length] - before[:, begin]
    return counts


def _of_tiles(of_tokens: Ints, jobs: TileJobs) -> Ints:
    """Add up `[T, jobs]` over the tokens of each tile, `[jobs]`."""
    sums = np.zeros((len(of_tokens) + 1, len(jobs)), np.int64)
    np.cumsum(of_tokens, axis=0, out=sums[1:])
    which, start = np.arange(len(jobs)), jobs.token_start
    total: Ints = sums[start + jobs.tokens, which] - sums[start, which]
    return total
