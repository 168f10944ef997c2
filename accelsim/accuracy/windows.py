"""Sliding windows over a text, in which every token is predicted and counted once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from accelsim.base.errors import InputError

_BATCH_TOKENS = 4096
_LOGITS_AT_ONCE = 2**27  # of a batch: tokens × vocabulary


@dataclass(frozen=True, slots=True)
class Window:
    """Tokens `start` … `end` - 1 of a text, of which those from `first` on are counted."""

    start: int
    first: int
    end: int

    @property
    def counted(self) -> int:
        """Tokens that are predicted here and in no other window."""
        return self.end - self.first

    @property
    def shape(self) -> tuple[int, int]:
        """Length, and tokens that are context only: windows of one shape make a batch."""
        return self.end - self.start, self.first - self.start


def sliding_windows(tokens: int, seq_len: int, stride: int) -> list[Window]:
    """Cut a text into windows of `seq_len` tokens that advance by `stride`.

    The first token of the text is context only. Every other one is counted in the first window
    that reaches it, where it has at least `seq_len - stride` tokens of context (but for the first
    window).

    >>> [(w.start, w.first, w.end) for w in sliding_windows(10, seq_len=4, stride=2)]
    [(0, 1, 4), (2, 4, 6), (4, 6, 8), (6, 8, 10)]

    Raises:
        InputError: nothing to predict, or a stride that skips tokens.
    """
    if seq_len < 2 or not 1 <= stride <= seq_len:  # noqa: PLR2004
        raise InputError(f"stride {stride}: must be 1 to seq_len {seq_len}, which must be above 1")
    if tokens < 2:  # noqa: PLR2004
        raise InputError(f"the text has {tokens} tokens; at least 2 are needed")
    windows, counted = [], 1
    for start in range(0, tokens, stride):
        end = min(start + seq_len, tokens)
        # With a stride of seq_len, the first token of a window has no context to be predicted from.
        first = max(counted, start + 1)
        if end > first:
            windows.append(Window(start, first, end))
        counted = end
        if end == tokens:
            break
    return windows


def batches(windows: Sequence[Window], vocabulary: int) -> Iterator[list[Window]]:
    """Yield windows of one shape together, as many as memory allows."""
    for shape, same in groupby(windows, lambda window: window.shape):
        alike = list(same)
        tokens = min(_BATCH_TOKENS, _LOGITS_AT_ONCE // max(1, vocabulary))
        size = max(1, tokens // shape[0])
        for first in range(0, len(alike), size):
            yield alike[first : first + size]
