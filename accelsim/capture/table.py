"""From what was recorded to the arrays and the table of a trace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import numpy as np

from accelsim.base.errors import InputError
from accelsim.capture.frame import Frame, Ints
from accelsim.capture.hooks import Input, Piece, Tap
from accelsim.capture.run import WRITING, Progress
from accelsim.capture.spill import Spill
from accelsim.trace import InputInfo, Linear, TraceWriter


def sort_out(taps: Mapping[str, Tap], wanted: Iterable[str]) -> tuple[list[Tap], dict[str, str]]:
    """Split the wanted layers into those that can be captured, and reasons for the rest.

    Raises:
        InputError: no layer is left.
    """
    skipped = {}
    for name in wanted:
        tap = taps.get(name)
        if tap is None:
            skipped[name] = "never called"
        elif tap.problem:
            skipped[name] = tap.problem
        elif not tap.out_features or not tap.in_features:
            skipped[name] = "has no features"
    kept = [tap for name, tap in taps.items() if name not in skipped]
    if not kept:
        name, reason = next(iter(skipped.items()))
        raise InputError(
            f"nothing was captured: all {len(skipped)} layers were left out, e.g. {name}: {reason}"
        )
    return kept, skipped


class Sequences:
    """Finds the sequences and the token numbers of the rows of each input of a trace."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self.lengths = tuple(length for frame in frames for length in frame.lengths)
        counts = [len(frame.tokens) for frame in frames]
        self._first = np.cumsum([0, *counts])  # token of each forward pass
        self._bounds = np.cumsum([0, *self.lengths])

    def of(self, pieces: Sequence[Piece]) -> tuple[tuple[int, ...] | None, Ints | None]:
        """Return the rows of each sequence and their tokens; None, None if every token has one.

        Rows that are no tokens have sequences of their own, and no token numbers.
        """
        if any(piece.tokens is None for piece in pieces):
            own = (
                piece.lengths if piece.tokens is None else (len(piece.tokens),) for piece in pieces
            )
            lengths = tuple(chain.from_iterable(own))
            return (None if lengths == self.lengths else lengths), None
        parts = [self._first[p.forward_pass] + p.tokens for p in pieces if p.tokens is not None]
        tokens = np.concatenate(parts)
        if len(tokens) == self._bounds[-1]:
            return None, None
        counts = np.diff(np.searchsorted(tokens, self._bounds))
        return tuple(counts.tolist()), tokens


def input_keys(taps: Iterable[Tap]) -> dict[str, str]:
    """Return the input key of each layer: the name of the first of `taps` that reads it."""
    owners: dict[int, str] = {}
    return {tap.name: owners.setdefault(id(tap.stream), tap.name) for tap in taps}


def write_inputs(  # noqa: PLR0913, PLR0917
    writer: TraceWriter,
    spill: Spill,
    taps: Iterable[Tap],
    inputs: Mapping[int, Input],
    sequences: Sequences,
    progress: Progress,
) -> dict[str, InputInfo]:
    """Copy each distinct input of `taps` to the trace, one array in memory at a time."""
    keys = input_keys(taps := list(taps))
    streams = {tap.name: tap.stream for tap in taps if tap.stream and keys[tap.name] == tap.name}
    written: dict[str, InputInfo] = {}
    owners: dict[bytes, str] = {}  # of token numbers: those of gate and down are the same
    for key, stream in streams.items():
        values, info = spill.read(stream, key)
        writer.add(key, values)
        lengths, tokens = sequences.of(inputs[id(stream)].pieces)
        owner = None if tokens is None else owners.setdefault(tokens.tobytes(), key)
        if owner == key and tokens is not None:
            writer.add_tokens(key, tokens)
        written[key] = info.model_copy(update={"sequence_lengths": lengths, "tokens": owner})
        progress(WRITING, len(written), len(streams))
    return written


def linear_table(taps: Iterable[Tap]) -> tuple[Linear, ...]:
    """Return the layers of a trace, in the order in which the model called them."""
    keys = input_keys(taps := list(taps))
    return tuple(
        Linear(
            name=tap.name,
            input=keys[tap.name],
            in_features=tap.in_features,
            out_features=tap.out_features,
        )
        for tap in taps
    )
