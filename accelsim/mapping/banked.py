"""How tiles are packed whose rows of W lie in banks: every lane asks for the row of its own value.

Each of the R tokens of a row block has kept positions of its own. Its lanes take the next L of its
kept values in a step, and each needs the row of W at its position, of C columns. Row p of a tile
lies in bank p mod `banks`, which gives one row a cycle, to all lanes that wait for it.

Requests of `queue_steps` steps are collected: a *round*. It takes as many cycles as it has steps,
or as its fullest bank has different rows to give, if those are more. All rows of the array begin
and end a round together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from typing_extensions import override

from accelsim.base.compiled import run_loop
from accelsim.mapping.datapath import Datapath, Ints, bytes_of
from accelsim.mapping.jobs import TileJobs
from accelsim.mapping.packing import Packing
from accelsim.sparsity import Mask

_NS_OF_A_POSITION = 100  # in the interpreter
_DRAWN_BLOCKS = 4  # rows of tokens on which a plan counts


@dataclass(frozen=True, slots=True, kw_only=True)
class BankedPacking(Packing):
    """Tiles whose row blocks take times of their own. Arrays `[jobs]`.

    `steps` are those of the longest row block.

    Attributes:
        block_steps: steps of all row blocks of the tile together, for one column block.
        token_steps: the same, a row block's steps counted for each of its tokens.
        round_cycles: cycles of all rounds, for one column block: `block_steps` and what banks add.
        rows_given: rows that the banks give, for one column block.
    """

    block_steps: Ints
    token_steps: Ints
    round_cycles: Ints
    rows_given: Ints

    @override
    def cycles(self, jobs: TileJobs, path: Datapath) -> Ints:
        return jobs.column_blocks(path) * self.block_steps

    @override
    def updates(self, jobs: TileJobs) -> Ints:
        return self.token_steps

    @override
    def rows_read(self, jobs: TileJobs, path: Datapath) -> Ints:
        return self.rows_given


def banked(
    kept: Mask, jobs: TileJobs, path: Datapath, *, banks: int, queue_steps: int
) -> BankedPacking:
    """Pack what selection kept of each token, with the rounds in which banks give the rows of W.

    Args:
        kept: `[T, K]`, which activations of the layer are kept.
        jobs: the tiles.
        path: rows, lanes, and the widths of values and metadata.
        banks: over which the rows of a tile of W are dealt.
        queue_steps: steps whose requests are collected.

    >>> from accelsim.hardware.examples import work
    >>> tile = work("topk:0.5", tokens=2, reduction=64)
    >>> kept = np.zeros((2, 64), bool)
    >>> kept[0, ::4] = True  # 16 values: one step, and all rows in banks 0, 4, 8 and 12 of 16
    >>> kept[1, 0] = True  # a row that the other token asks for, too
    >>> found = banked(kept, tile.jobs, tile.path, banks=16, queue_steps=1)
    >>> found.block_steps, found.round_cycles, found.rows_given
    (array([1]), array([4]), array([16]))
    """
    plain = Packing.counted(kept, jobs, path)
    _, first, tile = np.unique(jobs.activation_tile, return_index=True, return_inverse=True)
    held = np.ascontiguousarray(kept).view(np.uint8)
    sizes = path.rows, path.lanes, banks, queue_steps
    found = np.array([_rounds(held[_part(jobs, job)], *sizes) for job in first.tolist()])
    block_steps, token_steps, round_cycles, rows_given = found.T[:, tile.ravel()]
    return BankedPacking(
        steps=plain.steps,
        stored_values=plain.stored_values,
        compressed_bytes=plain.compressed_bytes,
        block_steps=block_steps,
        token_steps=token_steps,
        round_cycles=round_cycles,
        rows_given=rows_given,
    )


def expected(jobs: TileJobs, path: Datapath, *, banks: int, queue_steps: int) -> BankedPacking:
    """Return how tiles would be packed if tokens kept any positions alike, whatever the others do.

    Measured on a few row blocks that are drawn: of K values a token keeps a fixed number, anywhere.
    """
    whole, blocks = int((jobs.reduction_start + jobs.reduction).max()), jobs.row_blocks(path)
    sizes, which = np.unique(jobs.reduction, return_inverse=True)
    draw = partial(_drawn_rounds, whole, path.kept_share or 1.0, path.rows, path.lanes)
    found = np.array([draw(int(size), banks, queue_steps) for size in sizes])
    sums = np.ceil(found[which].T * blocks).astype(np.int64)
    counts = np.ceil(jobs.reduction * (path.kept_share or 1.0)).astype(np.int64)
    return BankedPacking(
        steps=-(-sums[0] // blocks),
        stored_values=jobs.tokens * counts,
        compressed_bytes=jobs.tokens * bytes_of(counts * path.x.bits + jobs.reduction),
        block_steps=sums[0],
        token_steps=sums[0] * path.rows,
        round_cycles=sums[2],
        rows_given=sums[3],
    )


@lru_cache(maxsize=4096)
def _drawn_rounds(  # noqa: PLR0913, PLR0917 - a key to remember them by
    whole: int, share: float, rows: int, lanes: int, reduction: int, banks: int, queue_steps: int
) -> tuple[float, ...]:
    """Return what `_add_rounds` adds up to for a row block of a tile, on average."""
    rng, tokens = np.random.default_rng(reduction), _DRAWN_BLOCKS * rows
    scores = rng.random((tokens, whole), np.float32)
    kept = scores.argsort(axis=1).argsort(axis=1)[:, :reduction] < round(whole * share)
    sums = _rounds(kept.view(np.uint8), rows, lanes, banks, queue_steps)
    return tuple(total / _DRAWN_BLOCKS for total in sums)


def _part(jobs: TileJobs, job: int) -> tuple[slice, slice]:
    """Return the tokens and the positions of the tile of a job."""
    tokens, start = jobs.token_start[job], jobs.reduction_start[job]
    return slice(tokens, tokens + jobs.tokens[job]), slice(start, start + jobs.reduction[job])


def _rounds(kept: Any, rows: int, lanes: int, banks: int, queue_steps: int) -> list[int]:
    """Return steps of row blocks and of tokens, cycles and rows of a tile `[tokens, reduction]`."""
    tokens, reduction = kept.shape
    sums = np.zeros(4, np.int64)
    asked, given = np.zeros(reduction, np.int64), np.zeros(banks, np.int64)
    places = np.zeros(rows, np.int64)
    inputs = kept.ravel(), tokens, reduction, rows, lanes, banks, queue_steps
    run_loop(
        _add_rounds,
        inputs,
        [asked, given, places, sums],
        interpreted_ns=kept.size * _NS_OF_A_POSITION,
    )
    return [int(total) for total in sums]


def _add_rounds(  # noqa: C901, PLR0913, PLR0917 - a compiled loop is one function of plain values
    kept: Any,
    tokens: int,
    reduction: int,
    rows: int,
    lanes: int,
    banks: int,
    queue_steps: int,
    asked: Any,
    given: Any,
    places: Any,
    sums: Any,
) -> None:
    """Add to `sums` the steps, their tokens, the cycles and the rows of W of all rounds of a tile.

    `asked` holds the latest round that asked for each position, `given` the rows that each bank
    gives in a round, `places` how far each row of the array has come along K.
    """
    latest = 0
    for begin in range(0, tokens, rows):
        block = min(rows, tokens - begin)
        for row in range(block):
            places[row] = 0
        longest = 1
        while longest > 0:
            latest += 1
            longest = 0
            fullest = 0
            for bank in range(banks):
                given[bank] = 0
            for row in range(block):
                start, place, taken = (begin + row) * reduction, places[row], 0
                while place < reduction and taken < lanes * queue_steps:
                    if kept[start + place]:
                        taken += 1
                        if asked[place] != latest:
                            asked[place] = latest
                            given[place % banks] += 1
                            fullest = max(fullest, given[place % banks])
                            sums[3] += 1
                    place += 1
                places[row] = place
                longest = max(longest, taken)
            steps = (longest + lanes - 1) // lanes
            sums[0] += steps
            sums[1] += steps * block
            sums[2] += max(steps, fullest)
