"""What the masks of X and W have in common, group by group, and how long lanes take over it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.base.compiled import run_loop
from accelsim.mapping import Datapath, Ints, Masks, Packing, Packs, TileJobs, ceil_div
from accelsim.sparsity import Mask
from accelsim.sparsity.patterns.base import keep_largest

Words = NDArray[np.uint16]

MASK_BITS = 16  # positions of a group whose masks a lane joins at once
COUNTED_GROUPS = 2**28  # (token, output, group) of a product that are counted one by one
_INTERPRETED_NS = 120  # a group, in the interpreter
_DRAWN_LANES = 2**21  # groups of lanes from which `expected` takes its means
_BITS_SET = np.unpackbits(np.arange(2**MASK_BITS, dtype="<u2").view(np.uint8)).reshape(-1, 16)
_ONES = _BITS_SET.sum(axis=1, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class InnerJoin(Packs):
    """Packs tiles by what both masks have in common.

    Group g of a tile goes to lane g mod L of each of the R × C elements. A lane takes one match a
    cycle, and a cycle for a group without any. It may run ahead of the others within a round of
    `queue_groups` groups a lane; rounds follow each other, and so do blocks:

        round = max over elements and lanes of Σ over its groups of max(1, matches)
        tile  = Σ over blocks and rounds
    """

    takes_any_positions: bool = False

    def found(self, masks: Masks, jobs: TileJobs, path: Datapath) -> Packing:
        """Return how the tiles of a product are packed, `[jobs]`, `macs` included.

        Of a product with more than `COUNTED_GROUPS` groups, every s-th row block of each tile is
        counted, the first among them, and stands for the others.
        """
        assert masks.w is not None
        x, w = words_of(masks.x, path.grain), _columns_of(_Same(masks.w), path.grain)
        every = ceil_div(len(x) * w.size, COUNTED_GROUPS)
        cycles, macs = _counted(x, w, jobs, path, every=every)
        return _packed(cycles, macs, jobs, path)

    def expected(self, jobs: TileJobs, path: Datapath) -> Packing:
        """Return how tiles would be packed on average, `[jobs]`: positions drawn independently."""
        mean = _round_cycles(path)
        groups = ceil_div(jobs.reduction, path.grain)
        rounds, rest = np.divmod(groups, path.lanes * path.queue_groups)
        deep = ceil_div(rest, path.lanes)

        def block(rows: Ints) -> NDArray[np.float64]:
            cycles: NDArray[np.float64] = rounds * mean[rows, path.queue_groups] + mean[rows, deep]
            return cycles

        blocks, rows = np.divmod(jobs.tokens, path.rows)
        whole = blocks * block(np.full_like(rows, path.rows)) + block(rows)
        cycles = np.ceil(whole).astype(np.int64) * jobs.column_blocks(path)
        matches = path.lane_group[0] * groups
        return _packed(cycles, jobs.tokens * jobs.columns * matches, jobs, path)


def words_of(mask: Mask, size: int) -> Words:
    """Return a mask `[N, K]` as words of `size` positions, `[N, groups]`, the first in bit 0.

    >>> words_of(np.array([[1, 0, 0, 1, 0, 1]], bool), 4)
    array([[9, 2]], dtype=uint16)
    """
    padded = np.pad(mask, [(0, 0), (0, -mask.shape[1] % size)]).reshape(len(mask), -1, size)
    bits = np.packbits(padded, axis=-1, bitorder="little")
    full = np.zeros((*bits.shape[:2], 2), np.uint8)
    full[..., : bits.shape[2]] = bits
    return full.view("<u2")[..., 0].astype(np.uint16)


class _Same:
    """A mask that is known by where it is in memory: decode steps share that of W."""

    def __init__(self, mask: Mask) -> None:
        self.mask = mask

    def __hash__(self) -> int:
        return id(self.mask)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.mask is other.mask


@lru_cache(maxsize=1)
def _columns_of(w: _Same, size: int) -> Words:
    """Return the words of each output of a mask `[K, O]`."""
    return words_of(w.mask.T, size)


def round_pace(path: Datapath) -> float:
    """Return the expected speed of whole rounds, as a share of lanes that wait for nobody.

    >>> from accelsim.hardware.examples import joined
    >>> round(round_pace(joined(tokens=8, reduction=512, columns=8).path), 2)
    0.64
    """
    return path.queue_groups * path.lane_group[0] / float(_round_cycles(path)[-1, -1])


def counting_notes(name: str, path: Datapath, products: Iterable[int]) -> Iterator[str]:
    """Yield where masks of W come from, and whether all groups were counted.

    Args:
        name: of the machine.
        path: its datapath.
        products: tokens × K × outputs of each layer.
    """
    yield f"{name}: masks of W are drawn evenly; a trace has no weights"
    every = max(ceil_div(product, path.grain * COUNTED_GROUPS) for product in products)
    if every > 1:
        yield (
            f"{name}: of the largest layer, one row block in {every} of each tile was counted, and "
            f"stands for the others"
        )


def _packed(cycles: Ints, macs: Ints, jobs: TileJobs, path: Datapath) -> Packing:
    even, blocks = Packing.even(jobs, path), jobs.blocks(path)
    return replace(even, steps=-(-cycles // blocks), macs=macs, array_cycles=cycles)


def _counted(
    x: Words, w: Words, jobs: TileJobs, path: Datapath, *, every: int
) -> tuple[Ints, Ints]:
    """Return cycles and matches of each tile, `[jobs]`, from every so-many-th row block."""
    ends = [
        (start // unit, ceil_div(start + extent, unit))
        for start, extent, unit in (
            (jobs.token_start, jobs.tokens, 1),
            (jobs.column_start, jobs.columns, 1),
            (jobs.reduction_start, jobs.reduction, path.grain),
        )
    ]
    arrays: Sequence[Ints] = [limit for pair in ends for limit in pair]
    cycles, macs = np.zeros((2, len(jobs)), np.int64)
    busy = np.zeros(path.lanes, np.int64)
    sizes = x.shape[1], path.rows, path.columns, path.lanes, path.queue_groups, every
    run_loop(
        _join,
        [x.ravel(), w.ravel(), _ONES, *arrays, *sizes],
        [busy, cycles, macs],
        interpreted_ns=_INTERPRETED_NS * x.shape[0] * w.size / every,
    )
    blocks = jobs.row_blocks(path)
    counted = ceil_div(blocks, every)
    last = np.minimum(path.rows, jobs.tokens - (counted - 1) * every * path.rows)
    tokens = (counted - 1) * path.rows + last
    return (
        np.rint(cycles * (blocks / counted)).astype(np.int64),
        np.rint(macs * (jobs.tokens / tokens)).astype(np.int64),
    )


def _join(  # noqa: C901, PLR0913, PLR0917 - compiled: numbers and arrays one by one
    x: Any, w: Any, ones: Any, first_token: Any, last_token: Any, first_column: Any,
    last_column: Any, first_group: Any, last_group: Any, groups: int, rows: int, columns: int,
    lanes: int, queue: int, every: int, busy: Any, cycles: Any, macs: Any,
) -> None:  # fmt: skip
    """Count what each tile has in common, and the cycles of its rounds."""
    for job in range(len(first_token)):
        for token in range(first_token[job], last_token[job], rows * every):
            for column in range(first_column[job], last_column[job], columns):
                for start in range(first_group[job], last_group[job], lanes * queue):
                    end = min(start + lanes * queue, last_group[job])
                    longest = 0
                    for t in range(token, min(token + rows, last_token[job])):
                        for c in range(column, min(column + columns, last_column[job])):
                            for lane in range(lanes):
                                busy[lane] = 0
                            for first in range(start, end, lanes):
                                for lane in range(min(lanes, end - first)):
                                    place = first + lane
                                    both = x[t * groups + place] & w[c * groups + place]
                                    macs[job] += ones[both]
                                    busy[lane] += max(1, ones[both])
                            for lane in range(lanes):
                                longest = max(longest, busy[lane])
                    cycles[job] += longest


@lru_cache(maxsize=64)
def _round_cycles(path: Datapath) -> NDArray[np.float64]:
    """Return the mean cycles of a round by its rows and the groups of a lane, `[R + 1, Q + 1]`.

    Of masks drawn evenly: N of each group of X (all of a dense one), and of each block of W.
    """
    rng, queue, lanes = np.random.default_rng(0), path.queue_groups, path.lanes
    draws = max(4, min(64, _DRAWN_LANES // (path.macs_per_cycle * queue)))
    total = np.zeros((path.rows + 1, queue + 1))
    for _ in range(draws):
        x = _drawn(rng, path.rows, lanes * queue, path)
        w = _drawn(rng, path.columns, lanes * queue, path, of_w=True)
        matches = np.maximum(1, _ONES[x[:, None] & w].astype(np.int64))
        busy = matches.reshape(path.rows, path.columns, queue, lanes).cumsum(axis=2)
        longest = np.maximum.accumulate(busy.max(axis=(1, 3)), axis=0)
        total[1:, 1:] += longest
    return total / draws


def _drawn(
    rng: np.random.Generator, vectors: int, groups: int, path: Datapath, *, of_w: bool = False
) -> Words:
    """Return masks of groups, drawn evenly, `[vectors, groups]`."""
    kept, size = (
        (path.w.kept_per_block, path.w.block) if of_w else (path.kept_per_group, path.group_size)
    )
    scores = rng.random((vectors * groups * path.grain // size, size), np.float32)
    mask = keep_largest(scores, kept).reshape(vectors, -1)
    return words_of(mask, path.grain)
