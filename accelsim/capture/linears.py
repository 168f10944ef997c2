"""Which layers of a model are matrix products with a resident weight, and which are wanted.

Three kinds are captured: modules that are linear layers (`KINDS`), and the slices of stacked
weights, `[experts, …]`, as mixtures of experts have them. Everything else is counted by the meter
and listed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from accelsim.base.errors import InputError, shown
from accelsim.base.registry import named
from accelsim.capture.extra import require
from accelsim.capture.weights import is_lazy

if TYPE_CHECKING:
    import torch

_NAMES_IN_MESSAGE = 4
_STACKED_DIMENSIONS = 3  # [experts, out, in], or [experts, in, out]
_NO_PADDING = ("valid", "same", (0,), (0, 0), (0, 0, 0))  # "same" adds nothing around one point

Turn = Callable[["torch.Tensor"], "torch.Tensor"]


@dataclass(frozen=True, slots=True)
class LinearModule:
    """A module that computes `Y[…, out] = X[…, in] @ W`.

    Attributes:
        module: the module.
        features_last: turns its input or output so that the features come last.
    """

    module: torch.nn.Module
    features_last: Turn

    @property
    def in_features(self) -> int:
        """Width of X, by the weight as it is now: attributes may be those of an earlier one."""
        return int(self.module.weight.shape[0 if self._is_transposed else 1])

    @property
    def out_features(self) -> int:
        """Width of Y, by the weight as it is now."""
        return int(self.module.weight.shape[1 if self._is_transposed else 0])

    @property
    def _is_transposed(self) -> bool:
        """Whether the weight is stored as `[in, out]`."""
        return _as_conv1d(self.module) is not None


@dataclass(frozen=True, slots=True)
class Stack:
    """The weights of several layers in one parameter, `[layers, …]`.

    Attributes:
        prefix, suffixes: layer `index` is called `prefix.index.suffix`; a weight that is several
            layers side by side (gate and up) has several suffixes.
        layers: how many layers, or experts, there are.
    """

    prefix: str
    suffixes: tuple[str, ...]
    layers: int

    def names(self, index: int) -> tuple[str, ...]:
        """Return the names of the layers that one slice holds.

        >>> Stack("mlp.experts", ("gate_proj", "up_proj"), 4).names(3)
        ('mlp.experts.3.gate_proj', 'mlp.experts.3.up_proj')
        """
        return tuple(".".join(filter(None, (self.prefix, str(index), s))) for s in self.suffixes)


def find_linears(model: torch.nn.Module, *, pointwise: bool = False) -> dict[str, LinearModule]:
    """Return the modules of a model that are linear layers, by dotted name, each once.

    Args:
        model: any module.
        pointwise: also convolutions whose kernel is one point.
    """
    kinds = KINDS if pointwise else KINDS[:-1]
    found = {}
    for path, module in model.named_modules():
        turn = next(filter(None, (kind(module) for kind in kinds)), None)
        if turn is not None:
            name = path or type(model).__name__  # the model itself is a linear layer
            found[name] = LinearModule(module, turn)
    return found


def find_stacks(model: torch.nn.Module) -> dict[str, Stack]:
    """Return the parameters of a model that may hold one matrix for each of several layers."""
    found = {}
    for path, module in model.named_modules():
        if hasattr(module, "kernel_size"):
            continue  # a convolution: its third dimension is the kernel
        for name, weight in module.named_parameters(recurse=False):
            if _is_stack(weight):
                full = f"{path}.{name}" if path else name
                found[full] = _stack(path, name, weight.shape[0])
    return found


def _is_stack(weight: torch.nn.Parameter) -> bool:
    """Whether a parameter may hold several matrices."""
    return not is_lazy(weight) and weight.dim() == _STACKED_DIMENSIONS and len(weight) > 1


def _stack(path: str, name: str, layers: int) -> Stack:
    if name == "weight":  # a module that is a stack of linear layers: its own name says which
        path, _, name = path.rpartition(".")
    if name.startswith("gate_up"):
        tail = name.removeprefix("gate_up")
        return Stack(path, (f"gate{tail}", f"up{tail}"), layers)
    return Stack(path, (name,), layers)


def candidates(linears: Mapping[str, LinearModule], stacks: Mapping[str, Stack]) -> list[str]:
    """Return the names of all layers that could be captured."""
    slices = (name for s in stacks.values() for index in range(s.layers) for name in s.names(index))
    return list(dict.fromkeys((*linears, *slices)))


def select(names: Iterable[str], globs: str) -> set[str]:
    """Return the names that comma-separated `globs` spell out or match (`*`, `?`, `[…]`).

    >>> sorted(select(["h.0.up", "h.0.down", "head"], "*.up,head"))
    ['h.0.up', 'head']

    Raises:
        InputError: a glob matches nothing; the message lists some of the names.
    """
    known = list(names)
    selected: set[str] = set()
    for glob in (part.strip() for part in globs.split(",")):
        matching = named(known, glob)
        if not matching:
            # The first and the last names show the dotted scheme and what stands outside of it.
            some = known if len(known) <= _NAMES_IN_MESSAGE else [*known[:3], "…", known[-1]]
            raise InputError(
                f"no linear layer matches '{shown(glob)}'; "
                f"the model has {len(known)}: {', '.join(some)}"
            )
        selected.update(matching)
    return selected


def _as_linear(module: torch.nn.Module) -> Turn | None:
    return _as_it_is if isinstance(module, require("torch").nn.Linear) else None


def _as_conv1d(module: torch.nn.Module) -> Turn | None:
    """Take the `Conv1D` of transformers, a linear layer whose weight is stored as `[in, out]`."""
    return _as_it_is if type(module).__name__ == "Conv1D" and hasattr(module, "nf") else None


def _as_pointwise(module: torch.nn.Module) -> Turn | None:
    """Take a convolution whose kernel is one point: a linear layer over channels."""
    nn = require("torch").nn
    if not isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) or module.groups != 1:
        return None
    if {*module.kernel_size, *module.stride} != {1} or module.padding not in _NO_PADDING:
        return None
    return _channels_last(len(module.kernel_size))


def _as_it_is(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


@cache  # equal functions are how layers that read the same tensor are told
def _channels_last(dimensions: int) -> Turn:
    """Return what turns `[B, C, …]` to `[B, …, C]`; there may be no B."""
    return lambda tensor: tensor.movedim(-1 - dimensions, -1)


# What is a linear layer: returns how its tensors are turned, or None for other modules.
KINDS: tuple[Callable[[torch.nn.Module], Turn | None], ...]
KINDS = (_as_linear, _as_conv1d, _as_pointwise)
