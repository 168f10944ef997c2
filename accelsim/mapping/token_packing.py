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
from typing import Literal, Self

import numpy as np

from accelsim.mapping.datapath import Datapath, Ints, bytes_of, ceil_div
from accelsim.mapping.jobs import Flags, TileJobs
from accelsim.mapping.masks import Masks
from accelsim.mapping.packing import Packing
from accelsim.sparsity import Mask
from accelsim.sparsity.rows.twell import TwELL

Side = Literal["gate", "up", "down"]
SIDES: dict[str, Side] = {"gate_proj": "gate", "up_proj": "up", "down_proj": "down"}
"""Products of a gated FFN by the kinds of their layers."""
ROWS = TwELL()
"""The format: tiles of 256 columns with 31 payloads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPacking(Packing):
    """What the nonzero hidden values of an FFN come to in each tile of one of its products.

    Arrays `[jobs]`, or `[runs, jobs]` for decode steps; `macs` are those of two nonzero values.

    Attributes:
        side: which product it is.
        values: nonzero hidden values of the tile's tokens that do not overflow.
        turns: of these tokens, one after the other, on the array.
        overflowing: tokens of the tile that overflow.
        needed: columns of W (up) or rows (down) of the tile that some token needs.
    """

    side: Side
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
        >>> tile = work("dense", tokens=2, reduction=256)
        >>> few = np.arange(256) < np.array([[20], [32]])  # two turns of 16 lanes; an overflow
        >>> found = TokenPacking.of(Masks(few), tile.jobs, tile.path)
        >>> found.values, found.turns, found.overflowing, found.macs
        (array([20]), array([2]), array([1]), array([416]))
        """
        side = side_of(masks.kind)
        hidden = masks.x if masks.hidden is None else masks.hidden
        over = overflows(hidden)[:, None]
        begin, length = jobs.column_start, jobs.columns
        if side == "down":
            begin, length = jobs.reduction_start, jobs.reduction
        counts = _counts(hidden, begin, length)
        packed = np.where(over, 0, counts)
        turns = ceil_div(packed, path.lanes if side == "down" else path.columns)
        if side == "down":
            macs = counts * jobs.columns
        else:
            alive = _counts(masks.x, jobs.reduction_start, jobs.reduction)
            macs = alive * np.where(over | (side == "gate"), jobs.columns, counts)
        used = (hidden | over).any(axis=0, keepdims=True)
        values = _of_tiles(packed, jobs)
        return cls(
            side=side,
            steps=path.steps(jobs.reduction),
            stored_values=values,
            compressed_bytes=0 * values,
            macs=_of_tiles(macs, jobs),
            values=values,
            turns=_of_tiles(turns, jobs) * (side != "gate"),
            overflowing=_of_tiles(over + 0 * counts, jobs),
            needed=_counts(used, begin, length)[0],
        )

    def dense_tokens(self, jobs: TileJobs) -> Ints:
        """Return the tokens of each tile that the array computes as a dense one does."""
        return jobs.tokens + 0 * self.overflowing if self.side == "gate" else self.overflowing

    def serial_cycles(self, jobs: TileJobs, path: Datapath) -> Ints:
        """Return the cycles of the turns: K over R × L lanes, or columns over R × C of them."""
        if self.side == "down":
            return self.turns * ceil_div(jobs.columns, path.rows * path.columns)
        return self.turns * ceil_div(jobs.reduction, path.rows * path.lanes)

    def dense_blocks(self, jobs: TileJobs, path: Datapath) -> Ints:
        """Return the row blocks of tokens that are computed dense."""
        return ceil_div(self.dense_tokens(jobs), path.rows)

    def array_cycles(self, jobs: TileJobs, path: Datapath) -> Ints:
        """Return the cycles of the array: turns, then blocks of dense tokens."""
        blocks = self.dense_blocks(jobs, path) * jobs.column_blocks(path)
        return self.serial_cycles(jobs, path) + blocks * path.steps(jobs.reduction)

    def vectors(self, jobs: TileJobs, path: Datapath) -> tuple[Ints, Ints]:
        """Return how many vectors of W turns read, and the bytes of one: a column, or a row."""
        length = jobs.columns if self.side == "down" else jobs.reduction
        count = 0 * self.values if self.side == "gate" else self.values
        return count, bytes_of(length * path.w.bits)

    def activation_bytes(self, jobs: TileJobs, path: Datapath) -> Ints:
        """Return the bytes of X that the array reads: of dense tokens, of turns, and payloads."""
        dense = self.dense_tokens(jobs) * jobs.column_blocks(path)
        dense = dense * bytes_of(jobs.reduction * path.x.bits)
        if self.side == "gate":
            return dense
        if self.side == "down":
            passes = ceil_div(jobs.columns, path.rows * path.columns)
            return dense + passes * self.word_bytes(jobs, path)
        row = bytes_of(jobs.reduction * path.x.bits)
        return dense + self.turns * row + self.word_bytes(jobs, path)

    def word_bytes(self, jobs: TileJobs, path: Datapath) -> Ints:
        """Return the bytes of the words in use: a count for each TwELL tile, and the payloads."""
        extent = jobs.reduction if self.side == "down" else jobs.columns
        counts = jobs.tokens * ceil_div(extent, ROWS.tile)
        return (self.values + counts) * _word_bytes(path)

    def row_bytes(self, jobs: TileJobs, path: Datapath) -> Ints:
        """Return the bytes of the hidden values of each tile as they stand in DRAM.

        Whole TwELL tiles, whatever they hold; of tokens that overflow, the counts, and all values.
        A tile that ends within one of TwELL has its share of that.
        """
        extent = jobs.reduction if self.side == "down" else jobs.columns
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
    flags: Flags = (counts >= ROWS.tile // ROWS.compression).any(axis=1)
    return flags


def side_of(kind: str) -> Side:
    """Return which product of an FFN layers of a kind are; of any other name, one that gathers.

    >>> side_of("gate_proj"), side_of("up_proj"), side_of("fc2")
    ('gate', 'up', 'down')
    """
    return SIDES.get(kind, "down")


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
