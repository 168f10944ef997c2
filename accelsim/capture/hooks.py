"""Hooks on the linear layers of a running model: what enters each, and who reads the same tensor.

Layers share an input when they read the *same, unmodified tensor object* within one forward pass
(q, k, v; gate, up). Addresses and ids are reused as soon as a tensor is freed, so a tensor is
remembered by a weak reference, which keeps nothing alive, with torch's count of in-place writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from math import prod
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from accelsim.capture.extra import require
from accelsim.capture.linears import LinearModule
from accelsim.capture.spill import Spill, Stream

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Cut:
    """How the rows of an input fall into sequences: `sequences` of `length` tokens each."""

    sequences: int
    length: int

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> Self:
        """Read the cut off a shape: `[B, …, F]` is B sequences, `[T, F]` one, `[F]` one token.

        >>> Cut.of((8, 32, 384)), Cut.of((5, 384)), Cut.of((384,))
        (Cut(sequences=8, length=32), Cut(sequences=1, length=5), Cut(sequences=1, length=1))
        """
        *leading, _ = shape
        if len(leading) <= 1:
            return cls(1, prod(leading))
        return cls(leading[0], prod(leading[1:]))

    @property
    def tokens(self) -> int:
        """Rows over all sequences."""
        return self.sequences * self.length

    def fits(self, other: Cut) -> bool:
        """Whether rows cut this way are the tokens of `other`, in the same order.

        A single sequence is a flattened view of any cut; `[S, B, F]` is not one of `[B, S, F]`.
        """
        flat = 1 in (self.sequences, other.sequences)
        return self.tokens == other.tokens and (flat or self == other)


@dataclass(slots=True)
class Tap:
    """What is known of one wanted layer: its stream, or the problem that rules it out."""

    name: str
    linear: LinearModule
    passes: int = 0  # in which it was called
    last_pass: int = -1
    stream: Stream | None = None
    problem: str | None = None


class Sighting:
    """A tensor as it was read: the same object, without a later write into it."""

    def __init__(self, tensor: torch.Tensor, stream: Stream) -> None:
        self.stream = stream
        self._reference = require("torch.utils.weak").TensorWeakRef(tensor)
        # Inference tensors count no writes, so nothing can be said of a second sight of them.
        self._writes = None if tensor.is_inference() else tensor._version

    def is_of(self, tensor: torch.Tensor) -> bool:
        """Whether `tensor` is that tensor, with the values it had then."""
        if self._writes is None or self._reference() is not tensor:
            return False
        return bool(self._writes == tensor._version)


class Recorder:
    """Listens to a model's linear layers while it runs, and spills what enters the wanted ones.

    Every layer is listened to, because the first that is called may have to say how a batch is
    cut into sequences. A layer that cannot be a `[tokens, features]` input of the trace gets a
    `problem` and is ignored from then on.
    """

    def __init__(self, linears: Mapping[str, LinearModule], wanted: Set[str], spill: Spill) -> None:
        self.taps: dict[str, Tap] = {}  # wanted layers that were called, in the order of calls
        self.cut: Cut | None = None  # of the running pass
        self._pass = 0
        self._linears, self._wanted, self._spill = linears, wanted, spill
        self._sightings: dict[int, Sighting] = {}  # by id of the tensor; this pass only
        self._written: dict[int, Sighting] = {}  # by id of the stream; this pass only

    def __enter__(self) -> Self:
        self._handles = [
            linear.module.register_forward_pre_hook(self._hook(name), with_kwargs=True)
            for name, linear in self._linears.items()
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            handle.remove()

    def start(self, cut: Cut | None) -> None:
        """Begin a forward pass; without a `cut`, the first linear layer that is called gives it."""
        self.cut = cut
        self._sightings.clear()
        self._written.clear()

    def finish(self) -> Cut | None:
        """End the forward pass and return how its tokens were cut; None if no layer was called."""
        self._pass += 1
        return self.cut

    def _hook(self, name: str) -> Any:
        def observe(_: torch.nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
            self._observe(name, next(iter((*positional, *named.values()))))

        return observe

    def _observe(self, name: str, tensor: torch.Tensor) -> None:
        cut = Cut.of(tuple(tensor.shape))
        self.cut = self.cut or cut
        if name not in self._wanted:
            return
        tap = self.taps.setdefault(name, Tap(name, self._linears[name]))
        if tap.problem is None:
            tap.problem = self._record(tap, tensor, cut, self.cut)

    def _record(self, tap: Tap, tensor: torch.Tensor, cut: Cut, expected: Cut) -> str | None:
        """Spill a tensor unless it is known; return what rules the layer out, if anything."""
        again, tap.last_pass = tap.last_pass == self._pass, self._pass
        tap.passes += not again
        if cut.tokens != expected.tokens:
            return f"called with {cut.tokens} rows in a forward pass of {expected.tokens} tokens"
        if not cut.fits(expected):
            return (
                f"its rows are cut {cut.sequences} × {cut.length}, "
                f"the tokens {expected.sequences} × {expected.length}"
            )
        if tap.passes <= self._pass:
            return None  # it missed a pass: the count of passes tells, and rows are not needed
        stream = tap.stream or self._shared(tensor) or self._spill.open(tap.linear.in_features)
        tap.stream = stream
        written = self._written.get(id(stream))
        if written is None:
            self._write(tap, stream, tensor)
        elif not written.is_of(tensor):
            if again:
                return "called more than once in a forward pass, with different inputs"
            return "shares its input with another layer in some forward passes only"
        return None

    def _shared(self, tensor: torch.Tensor) -> Stream | None:
        """Return the stream that this very tensor already went to in this pass."""
        sighting = self._sightings.get(id(tensor))
        return sighting.stream if sighting and sighting.is_of(tensor) else None

    def _write(self, tap: Tap, stream: Stream, tensor: torch.Tensor) -> None:
        self._spill.append(stream, _rows(tensor), tap.name)
        sighting = Sighting(tensor, stream)
        self._written[id(stream)] = self._sightings[id(tensor)] = sighting


def _rows(tensor: torch.Tensor) -> NDArray[np.float32]:
    """Return a tensor `[…, F]` of any device and type as float32 `[rows, F]`."""
    torch = require("torch")
    flat = tensor.detach().reshape(-1, tensor.shape[-1])
    rows: NDArray[np.float32] = flat.to("cpu", torch.float32).numpy()
    return rows
