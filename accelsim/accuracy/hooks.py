"""Looking at what modules are called with while a model runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from accelsim.accuracy.arithmetic import at_least_single, plainly

if TYPE_CHECKING:
    import torch

Look = Callable[[str, tuple[Any, ...], dict[str, Any]], None]


@contextmanager
def watching(modules: Mapping[str, torch.nn.Module], look: Look) -> Iterator[None]:
    """Tell `look` the name, positional and named arguments of each call of the modules."""

    def hook_of(name: str) -> Any:
        def hook(_: torch.nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
            with plainly():
                look(name, positional, named)

        return hook

    with ExitStack() as hooks:
        for name, module in modules.items():
            hook = module.register_forward_pre_hook(hook_of(name), with_kwargs=True)
            hooks.callback(hook.remove)
        yield


def rows_of(positional: tuple[Any, ...], named: dict[str, Any]) -> torch.Tensor:
    """Return the first argument of a call as rows `[T, K]`, float32 or float64."""
    inputs, *_ = (*positional, *named.values())
    return at_least_single(inputs.detach().reshape(-1, inputs.shape[-1]))
