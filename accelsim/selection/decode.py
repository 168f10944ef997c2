"""Decode steps: which tokens make a batch, and which weights a batch fetches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from accelsim.base.compiled import run_loop
from accelsim.base.errors import InputError
from accelsim.mapping.datapath import Datapath, Ints, bytes_of, ceil_div
from accelsim.mapping.jobs import TileJobs
from accelsim.precision import OperandFormat
from accelsim.sparsity import Mask

MAX_STEP_BYTES = 2**30
_BYTES_PER_TOKEN = 32  # positions, their parts, and two orders of 8 bytes each
_INTERPRETED_NS = 100  # of one row of W in the interpreter


def decode_batches(sequence_lengths: Sequence[int], batch: int) -> Ints:
    """Return the tokens of each decode step, `[steps, batch]`, one for each sequence of a batch.

    Tokens are ordered by position, then by sequence, and cut into batches; a last incomplete batch
    is dropped. A batch holds one position of different sequences where it divides their number and
    they are equally long; else several positions of a sequence may stand for several sequences.

    Raises:
        InputError: the trace has fewer tokens than the batch.

    Example:
        Two sequences of two tokens (0, 1 and 2, 3), batch 2.

        >>> decode_batches([2, 2], 2).tolist()
        [[0, 2], [1, 3]]
    """
    tokens = sum(sequence_lengths)
    if batch > tokens:
        raise InputError(f"batch {batch} is larger than the {tokens} tokens of the trace")
    needed_bytes = tokens * _BYTES_PER_TOKEN
    if needed_bytes > MAX_STEP_BYTES:
        raise InputError(
            f"decode of {tokens} tokens takes {needed_bytes} bytes for their order; "
            f"at most {MAX_STEP_BYTES} are used"
        )
    position = np.concatenate([np.arange(length) for length in sequence_lengths])
    by_position = np.argsort(position, kind="stable")
    steps = tokens // batch
    return by_position[: steps * batch].reshape(steps, batch)


def rows_of_steps(steps: Ints, numbers: Ints, tokens: int) -> list[Ints]:
    """Return the rows that a layer runs in each step, `[steps, rows]`: one array for each count.

    Args:
        steps: `[steps, batch]`, the tokens of each decode step.
        numbers: `[rows]`, the token of each row of the layer's input, ascending.
        tokens: of the trace.

    Example:
        Tokens 0, 3 and 4 are routed to an expert, its rows 0, 1 and 2. Of three steps the first
        runs row 0, the second rows 1 and 2, the third none.

        >>> steps = np.array([[0, 1], [3, 4], [2, 5]])
        >>> [rows.tolist() for rows in rows_of_steps(steps, np.array([0, 3, 4]), 6)]
        [[[0]], [[1, 2]]]
    """
    if len(numbers) == tokens:
        return [steps]
    row_of = np.full(tokens, -1)
    row_of[numbers] = np.arange(len(numbers))
    rows = row_of[steps]
    counts = np.count_nonzero(rows >= 0, axis=1)
    parts = []
    for count in np.unique(counts[counts > 0]).tolist():
        like = rows[counts == count]
        parts.append(like[like >= 0].reshape(-1, count))
    return parts


def decode_notes(sequence_lengths: Sequence[int], steps: Ints) -> Iterator[str]:
    """Yield a warning if decode steps take tokens of one sequence for those of several.

    Such tokens stand for sequences that the trace does not have, and see each other's context: what
    they keep agrees more, or less, than what strangers keep.

    Args:
        sequence_lengths: tokens of each sequence of the trace.
        steps: `[steps, batch]`, as `decode_batches` made them.
    """
    sequence = np.repeat(np.arange(len(sequence_lengths)), sequence_lengths)
    chosen = np.sort(sequence[steps], axis=1)
    shared = int((chosen[:, 1:] == chosen[:, :-1]).any(axis=1).sum())
    if shared:
        longest = sum(length == max(sequence_lengths) for length in sequence_lengths)
        yield (
            f"batch {steps.shape[1]} of a trace of {len(sequence_lengths)} sequences: in {shared} "
            f"of {len(steps)} decode steps, several tokens of one sequence stand for as many "
            f"sequences; batches of up to {longest} do without"
        )


@dataclass(frozen=True, slots=True)
class Fetches:
    """Bytes that the weight tiles of a layer fetch in each of its decode steps.

    Attributes:
        size_bytes: `[steps, kinds + 1]`, bytes of each kind of tile; the last kind is no tile.
        kind: `[jobs]`, the kind that each job loads.
    """

    size_bytes: Ints
    kind: Ints

    @classmethod
    def of(
        cls, jobs: TileJobs, path: Datapath, needed: Iterable[Mask], burst_bytes: int
    ) -> Fetches:
        """Count the bursts of each tile that hold a needed row.

        Rows of a tile are contiguous, one after the other, and so are the scales of its groups; a
        burst that holds any needed bit is fetched once, whole, and never more than the tile. Tiles
        of the same rows and width are alike, whatever their columns.

        Args:
            jobs: the tile jobs of the layer.
            path: widths.
            needed: blocks `[steps, K]` of successive steps: whether any sequence of the batch keeps
                this activation.
            burst_bytes: the least that DRAM moves at once.
        """
        shapes = np.stack([jobs.reduction_start, jobs.reduction, jobs.columns], axis=1)
        loads = jobs.loads_weights
        kinds, kind_of_load = np.unique(shapes[loads], axis=0, return_inverse=True)
        kind = np.full(len(jobs), len(kinds), np.int64)
        kind[loads] = kind_of_load.ravel()
        parts = []
        for masks in needed:
            sizes = np.zeros((len(masks), len(kinds) + 1), np.int64)
            for column, (start, rows, width) in enumerate(kinds.tolist()):
                inside = np.ascontiguousarray(masks[:, start : start + rows])
                bursts = touched_bursts(inside, width * path.w.bits, 8 * burst_bytes)
                if path.w.group:
                    bursts += _scale_bursts(inside, start, width, path.w, burst_bytes)
                    whole = bytes_of(path.w.tile_bits(rows, width, path.w.scales(rows, start)))
                    bursts = np.minimum(bursts, ceil_div(whole, burst_bytes))
                sizes[:, column] = bursts * burst_bytes
            parts.append(sizes)
        return cls(np.concatenate(parts), kind)

    @property
    def of_steps(self) -> Ints:
        """Weight bytes of each job in each step, `[steps, jobs]`."""
        return self.size_bytes[:, self.kind]

    def distinct(self) -> tuple[Ints, Ints]:
        """Return `[distinct, jobs]` weight bytes, and which of them each step has."""
        rows, which = np.unique(self.size_bytes, axis=0, return_inverse=True)
        return rows[:, self.kind], which.ravel()


def _scale_bursts(
    needed: Mask, start: int, width: int, weights: OperandFormat, burst_bytes: int
) -> Ints:
    """Return the bursts with scales of groups of which a row is needed; rows begin at `start`."""
    groups = (start + np.arange(needed.shape[1])) // weights.group
    begins = np.flatnonzero(np.diff(groups, prepend=-1))
    some = np.ascontiguousarray(np.logical_or.reduceat(needed, begins, axis=1))
    return touched_bursts(some, width * weights.scale_bits, 8 * burst_bytes)


def touched_bursts(needed: Mask, row_bits: int, burst_bits: int) -> Ints:
    """Return the distinct bursts that contain needed rows of a contiguous matrix.

    Args:
        needed: `[steps, rows]`, which rows of the matrix each step needs.
        row_bits: length of a row.
        burst_bits: length of a burst; the matrix begins with one.

    >>> needed = np.array([[1, 1, 0, 0, 0, 1]], bool)
    >>> touched_bursts(needed, row_bits=256, burst_bits=512)
    array([2])
    """
    steps, rows = needed.shape
    begins = np.arange(rows) * row_bits
    first, last = begins // burst_bits, (begins + row_bits - 1) // burst_bits
    inputs = (needed.ravel().view(np.uint8), first, last)
    counts = np.zeros(steps, np.int64)
    run_loop(_count_bursts, inputs, [counts], interpreted_ns=needed.size * _INTERPRETED_NS)
    return counts


def _count_bursts(needed: Ints, first: Ints, last: Ints, counts: Ints) -> None:
    """Add up, step by step, the bursts of needed rows that the row before them did not touch."""
    rows = len(first)
    for step in range(len(counts)):
        fetched, end = 0, -1
        for row in range(rows):
            if needed[step * rows + row]:
                fetched += last[row] - max(first[row], end + 1) + 1
                end = last[row]
        counts[step] = fetched


def dense_weight_bytes(jobs: TileJobs, path: Datapath) -> Ints:
    """Return the weight bytes that each job loads when every row of W is fetched, `[jobs]`."""
    return jobs.weight_tile_bytes(path) * jobs.loads_weights
