"""What enters each wanted layer of a running model, and who reads the same tensor.

Layers share an input when they read the *same, unmodified tensor object* within one forward pass
(q, k, v; gate, up). Addresses and ids are reused as soon as a tensor is freed, so a tensor is
remembered by a weak reference, which keeps nothing alive, with torch's count of in-place writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from accelsim.capture.extra import require
from accelsim.capture.frame import Cut, Frame, Ints
from accelsim.capture.linears import LinearModule, Stack
from accelsim.capture.meter import Meter, first_tensor
from accelsim.capture.spill import Spill, Stream
from accelsim.capture.weights import Weight

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Piece:
    """The rows of an input in one forward pass.

    Attributes:
        forward_pass: its number.
        tokens: `[rows]`, the numbers of their tokens in the pass, ascending; None if the rows are
            not tokens.
        lengths: rows of each sequence, if they are not tokens.
    """

    forward_pass: int
    tokens: Ints | None
    lengths: tuple[int, ...]


@dataclass(slots=True)
class Tap:
    """One wanted layer that was called, and what is known of it.

    Attributes:
        name: of the layer.
        in_features, out_features: widths of the tensors that it reads and writes.
        stream: where its input goes; layers that share an input share the stream.
        problem: what rules the layer out; None if nothing does.
        last_pass: in which it was called last.
    """

    name: str
    in_features: int = 0
    out_features: int = 0
    stream: Stream | None = None
    problem: str | None = None
    last_pass: int = -1


@dataclass(slots=True)
class Input:
    """One distinct input: its rows so far, and where each part came from."""

    stream: Stream
    first_pass: int
    readers: set[str] = field(default_factory=set)
    pieces: list[Piece] = field(default_factory=list)


class Sighting:
    """A tensor as it was read: the same object, without a later write into it."""

    def __init__(self, tensor: torch.Tensor, turn: Any, stream: Stream) -> None:
        self.stream = stream
        self._turn = turn
        self._reference = require("torch.utils.weak").TensorWeakRef(tensor)
        # Inference tensors count no writes, so nothing can be said of a second sight of them.
        self._writes = None if tensor.is_inference() else tensor._version

    def is_of(self, tensor: torch.Tensor, turn: Any) -> bool:
        """Whether `tensor` is that tensor, read the same way, with the values it had then."""
        if self._writes is None or self._reference() is not tensor or self._turn != turn:
            return False
        return bool(self._writes == tensor._version)


class Recorder:
    """Listens to a model while it runs, and spills what enters the wanted layers.

    The rows of a layer are those tokens of the batch that reach it: all of them, those that are
    routed to an expert, or, where nobody can tell, rows of its own. A layer that cannot be an
    input of the trace gets a `problem` and is ignored from then on.
    """

    def __init__(  # noqa: PLR0913
        self,
        model: torch.nn.Module,
        linears: Mapping[str, LinearModule],
        stacks: Mapping[str, Stack],
        wanted: Set[str],
        spill: Spill,
        *,
        batch_first: bool,
    ) -> None:
        self.taps: dict[str, Tap] = {}  # wanted layers that were called, in the order of calls
        self.inputs: dict[int, Input] = {}  # by id of the stream
        self.frame: Frame | None = None  # of the running pass
        self._model = model
        self.meter = Meter(model, self._on_slice)
        self._pass = 0
        self._linears, self._stacks, self._wanted = linears, stacks, wanted
        self._spill, self._batch_first = spill, batch_first
        self._sightings: dict[int, Sighting] = {}  # by id of the tensor; this pass only
        self._written: dict[int, Sighting] = {}  # by id of the stream; this pass only
        self._heard = False  # whether any layer was called in the running pass
        self._others: Sequence[Frame] = ()  # of the running pass, beside the frame
        self._hint: Cut | None = None  # of the running pass, if its layers flatten their input

    def __enter__(self) -> Self:
        self._undo = ExitStack()
        for name, linear in self._linears.items():
            before, after = self._before(name, linear), self._after(name, linear)
            module = linear.module
            handle = module.register_forward_pre_hook(before, with_kwargs=True)
            self._undo.callback(handle.remove)
            self._undo.callback(module.register_forward_hook(after, with_kwargs=True).remove)
        for handle in self.meter.watch_others(self._model, self._linears):
            self._undo.callback(handle.remove)
        self._undo.enter_context(self.meter.watching())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._undo.close()

    def start(self, frames: Sequence[Frame], hint: Cut | None = None) -> None:
        """Begin a forward pass, whose rows are those of the first of some frames, or of another.

        Without a frame, the first wanted layer that is called gives it: its input, or, if that
        is one flat row of tokens, the `hint` if it has as many.
        """
        self.frame, self._others = (frames[0], frames[1:]) if frames else (None, ())
        self._hint, self._heard = hint, False
        self._sightings.clear()
        self._written.clear()
        self.meter.start()

    def finish(self) -> Frame | None:
        """End the forward pass and return its frame; None if no layer was called."""
        for entry in self.inputs.values():
            self._check_readers(entry)
        self._pass += 1
        return self.frame or (Frame.empty() if self._heard else None)

    def _check_readers(self, entry: Input) -> None:
        """Rule out layers that did not read a shared input in this pass, while others did."""
        absent = [name for name in entry.readers if self.taps[name].last_pass != self._pass]
        if id(entry.stream) in self._written:
            for name in absent:
                self.taps[
                    name
                ].problem = "shares its input with another layer in some forward passes only"
                entry.readers.remove(name)

    def _before(self, name: str, linear: LinearModule) -> Any:
        def observe(_: torch.nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
            self.meter.enter(name)
            self._heard = True
            if name in self._wanted:
                tensor = next(iter((*positional, *named.values())))
                self._observe(name, tensor, linear.features_last)

        return observe

    def _after(self, name: str, linear: LinearModule) -> Any:
        def observe(
            _: torch.nn.Module, positional: tuple[Any, ...], named: dict[str, Any], output: Any
        ) -> None:
            rows = linear.features_last(next(iter((*positional, *named.values()))))
            turned = linear.features_last(first_tensor(output))
            self.meter.leave(name, rows, turned)
            if name in self.taps:
                self._check_output(self.taps[name], turned)
                self._check_product(self.taps[name])

        return observe

    def _on_slice(self, weight: Weight, rows: torch.Tensor, output: torch.Tensor) -> None:
        """Note the product of some rows with one slice of a stack."""
        assert weight.index is not None
        stack = self._stacks.get(weight.name)
        names = stack.names(weight.index) if stack else ()
        for name in names:
            if name in self._wanted:
                self._observe(name, rows, None)
                self._check_output(self.taps[name], output[:, : output.shape[1] // len(names)])

    def _observe(self, name: str, tensor: torch.Tensor, turn: Any) -> None:
        tap = self.taps.setdefault(name, Tap(name))
        if tap.problem is None:
            tap.problem = self._record(tap, tensor, turn)

    def _check_output(self, tap: Tap, output: torch.Tensor) -> None:
        width = int(output.shape[-1])
        if tap.out_features not in (0, width) and tap.problem is None:
            tap.problem = f"its output has {width} features here and {tap.out_features} before"
        tap.out_features = width

    def _check_product(self, tap: Tap) -> None:
        """Rule out a layer that multiplies something else than it is given."""
        sizes = self.meter.matrices_of(tap.name)
        if sizes and (tap.in_features, tap.out_features) not in sizes and tap.problem is None:
            inner, outer = next(iter(sizes))
            tap.problem = (
                f"multiplies by a weight of {inner} × {outer}, "
                f"but reads {tap.in_features} and returns {tap.out_features} features"
            )

    def _record(self, tap: Tap, tensor: torch.Tensor, turn: Any) -> str | None:
        """Spill a tensor unless it is known; return what rules the layer out, if anything."""
        again, tap.last_pass = tap.last_pass == self._pass, self._pass
        turned = tensor if turn is None else turn(tensor)
        width = int(turned.shape[-1])
        if tap.in_features not in (0, width):
            return f"its input has {width} features here and {tap.in_features} before"
        tap.in_features = width
        if tap.stream is None:
            tap.stream = self._shared(tensor, turn) or self._open(width)
        entry = self.inputs[id(tap.stream)]
        entry.readers.add(tap.name)
        written = self._written.get(id(tap.stream))
        if written is None:
            return self._write(tap, entry, tensor, turned, turn)
        if not written.is_of(tensor, turn):
            entry.readers.remove(tap.name)
            if again:
                return "called more than once in a forward pass, with different inputs"
            return "shares its input with another layer in some forward passes only"
        return None

    def _open(self, width: int) -> Stream:
        stream = self._spill.open(width)
        self.inputs[id(stream)] = Input(stream, self._pass)
        return stream

    def _shared(self, tensor: torch.Tensor, turn: Any) -> Stream | None:
        """Return the stream that this very tensor went to in this pass, and in no earlier one."""
        sighting = self._sightings.get(id(tensor))
        if sighting is None or not sighting.is_of(tensor, turn):
            return None
        stream = sighting.stream
        return stream if self.inputs[id(stream)].first_pass == self._pass else None

    def _write(
        self, tap: Tap, entry: Input, tensor: torch.Tensor, turned: torch.Tensor, turn: Any
    ) -> str | None:
        places = self._places(turned)
        found = self._own_rows(turned) if places is None else self._token_rows(turned, places)
        if isinstance(found, str):
            entry.readers.remove(tap.name)
            return found
        piece, rows = found
        self._spill.append(entry.stream, rows, tap.name)
        entry.pieces.append(piece)
        sighting = Sighting(tensor, turn, entry.stream)
        self._written[id(entry.stream)] = self._sightings[id(tensor)] = sighting
        return None

    def _places(self, tensor: torch.Tensor) -> Ints | None:
        """Return the place in the frame of each row of a tensor; None if they are others."""
        origin = self.meter.rows.origin(tensor)
        leading = tuple(tensor.shape[:-1]) if origin is None else origin.leading
        if self.frame is None:
            self.frame = self._frame_of(leading)
        places = self.frame.places(leading, batch_first=self._batch_first)
        if origin is None:
            return self._places_of_view(tensor) if places is None else places
        if places is None:
            return None
        found: Ints = places[origin.rows.numpy()]
        return found

    def _frame_of(self, leading: tuple[int, ...]) -> Frame:
        cut = Cut.of((*leading, 1))
        if cut.sequences == 1 and self._hint is not None and self._hint.rows == cut.rows:
            return Frame.whole(self._hint)
        if not self._batch_first and len(leading) > 1:
            cut = cut.swapped
        return Frame.whole(cut)

    def _places_of_view(self, tensor: torch.Tensor) -> Ints | None:
        """Return the places of a view, such as the first token of each sequence."""
        assert self.frame is not None
        cut, width = self.frame.cut, int(tensor.shape[-1])
        whole = cut.rows * width * tensor.element_size()
        if tensor.stride(-1) != 1 or tensor.untyped_storage().nbytes() != whole:
            return None
        place = np.array(tensor.storage_offset())
        for size, stride in zip(tensor.shape[:-1], tensor.stride()[:-1], strict=True):
            place = place[..., None] + np.arange(size) * stride
        leading = (cut.sequences, cut.length)
        order = self.frame.places(
            leading if self._batch_first else leading[::-1], batch_first=self._batch_first
        )
        assert order is not None
        found: Ints = order[place.ravel() // width]
        return found

    def _token_rows(
        self, tensor: torch.Tensor, places: Ints
    ) -> tuple[Piece, NDArray[np.float32]] | str:
        """Return rows that are tokens, in their order; or why they cannot be in a trace."""
        assert self.frame is not None
        tokens, rows = _in_order(tensor, self.frame.token_numbers(places))
        if (np.diff(tokens) == 0).any():
            return "a token enters it more than once in a forward pass"
        return Piece(self._pass, tokens, ()), rows

    def _own_rows(self, tensor: torch.Tensor) -> tuple[Piece, NDArray[np.float32]] | str:
        """Return rows that are no tokens, cut as their tensor is; or why nobody can tell."""
        assert self.frame is not None
        for frame in self._others:
            places = frame.places(tuple(tensor.shape[:-1]), batch_first=self._batch_first)
            if places is not None:
                _, rows = _in_order(tensor, frame.token_numbers(places))
                return Piece(self._pass, None, frame.lengths), rows
        if self.frame.is_padded:
            return "which of its rows are padding is not known"
        if not self._batch_first and tensor.dim() > 2:  # noqa: PLR2004
            tensor = tensor.transpose(0, 1)
        cut = Cut.of(tuple(tensor.shape))
        return Piece(self._pass, None, (cut.length,) * cut.sequences), _rows(tensor)


def _in_order(tensor: torch.Tensor, tokens: Ints) -> tuple[Ints, NDArray[np.float32]]:
    """Return ascending tokens, without padding (-1), and their rows."""
    rows = _rows(tensor)
    order = np.argsort(tokens, kind="stable")[np.count_nonzero(tokens < 0) :]
    if not np.array_equal(order, np.arange(len(rows))):
        rows = rows[order]
    return tokens[order], rows


def _rows(tensor: torch.Tensor) -> NDArray[np.float32]:
    """Return a tensor `[…, F]` of any device and type as float32 `[rows, F]`."""
    torch = require("torch")
    flat = tensor.detach().reshape(-1, tensor.shape[-1])
    rows: NDArray[np.float32] = flat.to("cpu", torch.float32).numpy()
    return rows
