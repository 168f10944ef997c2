"""Run a model over batches while a recorder listens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from accelsim.capture.extra import require
from accelsim.capture.hooks import Cut, Recorder
from accelsim.errors import InputError

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
    model: torch.nn.Module, batches: Iterable[Any], recorder: Recorder, progress: Progress
) -> list[Cut]:
    """Run the model on every batch; return how the tokens of each are cut into sequences.

    Raises:
        InputError: no batches, a batch that the model cannot be run on, or one without tokens.
    """
    total = len(batches) if isinstance(batches, Sized) else None
    cuts = []
    with evaluating(model), recorder:
        for index, batch in enumerate(batches):
            recorder.start(_cut_of_ids(batch))
            _call(model, batch, index)
            cut = recorder.finish()
            if cut is None or cut.tokens == 0:
                raise InputError(f"batch {index}: no token reached a linear layer of the model")
            cuts.append(cut)
            progress(RUNNING, index + 1, total)
    if not cuts:
        raise InputError("there are no batches to capture from")
    return cuts


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


def _cut_of_ids(batch: Any) -> Cut | None:
    """Return how token ids `[B, S]` or `[S]` are cut; None if the batch does not start with ids."""
    if isinstance(batch, Mapping):
        first = batch.get("input_ids")
    else:
        first = batch[0] if isinstance(batch, tuple | list) and batch else batch
    if not isinstance(first, require("torch").Tensor) or first.dim() not in (1, 2):
        return None
    if first.is_floating_point() or first.is_complex():
        return None
    return Cut.of((*first.shape, 1))
