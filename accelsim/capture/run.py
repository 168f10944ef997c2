"""Run a model over batches while a recorder listens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from accelsim.base.errors import InputError
from accelsim.capture.extra import require
from accelsim.capture.frame import BatchReader, Frame
from accelsim.capture.hooks import Recorder

if TYPE_CHECKING:
    import torch

RUNNING, WRITING = "running the model", "writing the trace"


class Progress(Protocol):
    """Called after each batch that the model has run and each array that is written."""

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Note that `done` of `total` steps of a stage are finished; None: nobody knows."""


def ignore(stage: str, done: int, total: int | None) -> None:
    """Progress that nobody watches."""


def run_batches(
    model: torch.nn.Module,
    batches: Iterable[Any],
    recorder: Recorder,
    reader: BatchReader,
    progress: Progress,
) -> list[Frame]:
    """Run the model on every batch; return the frame of each: what its rows are.

    Raises:
        InputError: no batches, a batch that the model cannot be run on, or one without tokens.
    """
    total = len(batches) if isinstance(batches, Sized) else None
    frames = []
    with evaluating(model), plain_experts(model), recorder:
        for index, batch in enumerate(batches):
            recorder.start(reader.frames(batch, index), reader.hint(batch))
            _call(model, batch, index)
            frame = recorder.finish()
            if frame is None or (frame.lengths and not len(frame.tokens)):
                raise InputError(f"batch {index}: no token reached a linear layer of the model")
            frames.append(frame)
            progress(RUNNING, index + 1, total)
    if not frames:
        raise InputError("there are no batches to capture from")
    return frames


@contextmanager
def plain_experts(model: torch.nn.Module) -> Iterator[None]:
    """Have models of transformers run their experts one by one, each on the tokens it gets.

    The other implementations compute the same from copies of weights or in kernels of their own.
    """
    key = "_experts_implementation_internal"
    configs = {id(c): c for m in model.modules() if hasattr(c := getattr(m, "config", None), key)}
    former = [(config, getattr(config, key)) for config in configs.values()]
    try:
        for config, _ in former:
            setattr(config, key, "eager")
        yield
    finally:
        for config, value in former:
            setattr(config, key, value)


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Switch dropout and gradients off; give every module its mode back afterwards."""
    torch = require("torch")
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        # Not inference mode, even if the caller is in it: its tensors do not count in-place
        # writes, and without the count nobody can tell that two layers read the same values.
        with torch.inference_mode(mode=False), torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def _call(model: torch.nn.Module, batch: Any, index: int) -> None:
    try:
        if isinstance(batch, Mapping):
            model(**batch)
        elif isinstance(batch, tuple | list):
            model(*batch)
        else:
            model(batch)
    except (InputError, OSError):  # of the recorder, which works inside of the call
        raise
    except Exception as error:  # a foreign model may raise anything
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(f"batch {index}: the model cannot be run on it: {reason}") from error
