"""The functional pass: which activations survive, once for a layer input, before any timing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import InputError
from accelsim.precision import Values
from accelsim.sparsity import Mask, Pattern
from accelsim.workload.datapath import Datapath, Ints, bytes_of, ceil_div
from accelsim.workload.jobs import TileJobs


@dataclass(frozen=True, slots=True)
class Selection:
    """What survives of one layer input.

    Attributes:
        mask: `[T, K]`, true where the activation is kept.
        nonzero: `[T]`, kept activations of each token that are not zero.
        dropped_energy_ratio: share of the squared magnitude that is dropped.
    """

    mask: Mask
    nonzero: Ints
    dropped_energy_ratio: float


def select(operands: Values, pattern: Pattern, real: Values | None = None) -> Selection:
    """Select the activations `[T, K]` of one layer input.

    Args:
        operands: what the hardware sees and ranks.
        pattern: what to keep.
        real: the values whose dropped energy is reported; default: the operands.

    >>> from accelsim.sparsity import parse_pattern
    >>> chosen = select(np.array([[3, 0, 0, 4], [1, 1, 1, 1]], np.int8), parse_pattern("1:2"))
    >>> chosen.nonzero.tolist(), chosen.dropped_energy_ratio
    ([2, 2], 0.06896551724137931)
    """
    mask = pattern.keep(operands)
    nonzero = np.count_nonzero((operands != 0) & mask, axis=1)
    squares = np.square(operands if real is None else real, dtype=np.float64)
    total = float(squares.sum())
    dropped = float(squares.sum(where=~mask))
    return Selection(mask, nonzero.astype(np.int64), dropped / total if total else 0.0)


def decode_batches(sequence_lengths: Sequence[int], batch: int) -> Iterator[NDArray[np.int64]]:
    """Yield the token indices of each decode step: `batch` tokens, as if of as many sequences.

    Tokens are ordered by position, then by sequence, and cut into batches; a last incomplete batch
    is dropped. A batch holds one position of different sequences where it divides their number and
    they are equally long; else several positions of a sequence may stand for several sequences.

    Raises:
        InputError: the trace has fewer tokens than the batch.

    Example:
        Two sequences of two tokens (0, 1 and 2, 3), batch 2.

        >>> [step.tolist() for step in decode_batches([2, 2], 2)]
        [[0, 2], [1, 3]]
    """
    tokens = sum(sequence_lengths)
    if batch > tokens:
        raise InputError(f"batch {batch} is larger than the {tokens} tokens of the trace")
    position = np.concatenate([np.arange(length) for length in sequence_lengths])
    by_position = np.argsort(position, kind="stable")
    for first in range(0, tokens - batch + 1, batch):
        yield by_position[first : first + batch]


def dense_weight_bytes(jobs: TileJobs, path: Datapath) -> Ints:
    """Return the weight bytes that each job loads when every row of W is fetched, `[jobs]`."""
    return bytes_of(jobs.reduction * jobs.columns * path.value_bits) * jobs.loads_weights


def gathered_weight_bytes(
    jobs: TileJobs, path: Datapath, needed: NDArray[np.bool_], burst_bytes: int
) -> Ints:
    """Return the weight bytes that each job loads when only rows in `needed` are fetched.

    Rows of a tile are contiguous, one after the other; a burst that holds any needed byte is
    fetched once, whole.

    Args:
        jobs: the tile jobs of the layer.
        path: widths.
        needed: `[K]`, whether any sequence of the batch keeps this activation.
        burst_bytes: what DRAM moves at least.
    """
    sizes = np.zeros(len(jobs), np.int64)
    for job in np.flatnonzero(jobs.loads_weights):
        start = jobs.reduction_start[job]
        rows = np.flatnonzero(needed[start : start + jobs.reduction[job]])
        row_bits = int(jobs.columns[job]) * path.value_bits
        sizes[job] = touched_bursts(rows, row_bits // 8, burst_bytes) * burst_bytes
    return sizes


def touched_bursts(rows: Ints, row_bytes: int, burst_bytes: int) -> int:
    """Return the distinct bursts that contain the given rows of a contiguous matrix.

    >>> touched_bursts(np.array([0, 1, 5]), row_bytes=32, burst_bytes=64)
    2
    """
    first = rows * row_bytes // burst_bytes
    last = ceil_div((rows + 1) * row_bytes, burst_bytes) - 1
    shared = int(np.count_nonzero(first[1:] == last[:-1]))
    return int((last - first + 1).sum()) - shared
