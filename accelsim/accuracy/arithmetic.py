"""The arithmetic in which a model is measured: float32, or float64 throughout.

A pruned model is chaotic. Two values that are nearly equal change places when the last bit of one
of them changes, another one is dropped, and everything after it differs. Sums in float32 end in
other last bits on each processor, so that perplexities differ by percents from one to the next.

In float64 the noise of a sum is about 1e-16 of it. Values are rounded to float32, whose steps are
some 1e-7, before they are ranked or quantised: noise that small hardly ever reaches another step,
and processors agree on every mask and every code.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from accelsim.capture.extra import require
from accelsim.capture.run import evaluating

if TYPE_CHECKING:
    import torch

_JITTER = 1e-6  # relative: some ten units in the last place of float32


@contextmanager
def running(model: Any) -> Iterator[None]:
    """Context in which a model is only read, without dropout and gradients.

    A model with float64 weights computes in float64 throughout: norms, rotations and softmax, for
    which its code asks for float32, too.
    """
    torch = require("torch")
    with evaluating(model):
        is_exact = any(weight.dtype is torch.float64 for weight in model.parameters())
        with _double_for_single() if is_exact else nullcontext():
            yield


def _double_for_single() -> AbstractContextManager[Any]:
    """Context in which Python code that asks torch for float32 gets float64."""
    torch = require("torch")
    mode: Any = require("torch.overrides").TorchFunctionMode

    def replaced(value: Any) -> Any:
        return torch.float64 if value is torch.float32 else value

    class DoubleForSingle(mode):  # type: ignore[misc]
        def __torch_function__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if function is torch.Tensor.float:
                function = torch.Tensor.double
            named = {name: replaced(value) for name, value in (kwargs or {}).items()}
            return function(*map(replaced, args), **named)

    context: AbstractContextManager[Any] = DoubleForSingle()
    return context


def plainly() -> AbstractContextManager[Any]:
    """Context for a hook: its own code gets the types that it asks for."""
    context: AbstractContextManager[Any] = require("torch")._C.DisableTorchFunction()
    return context


def at_least_single(values: torch.Tensor) -> torch.Tensor:
    """Return values as they are if they are float64, else as float32; same shape."""
    return values if values.dtype is require("torch").float64 else values.float()


@contextmanager
def jittered(model: Any, seed: int) -> Iterator[None]:
    """Context in which every embedding that enters the model is off by one part in a million.

    Signs are drawn at random from `seed`. It is as much as float32 loses in a long sum.
    """
    torch = require("torch")
    draws = torch.Generator().manual_seed(seed)

    def hook(_: Any, __: Any, output: Any) -> Any:
        with plainly():
            signs = torch.randint(0, 2, output.shape, generator=draws).to(output) * 2 - 1
            return output * (1 + _JITTER * signs)

    handle = model.get_input_embeddings().register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
