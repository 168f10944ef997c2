"""Which layers of a model are matrix products with a resident weight, and which are wanted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from accelsim.capture.extra import require
from accelsim.errors import InputError, shown
from accelsim.registry import named

if TYPE_CHECKING:
    import torch

_NAMES_IN_MESSAGE = 4


@dataclass(frozen=True, slots=True)
class LinearModule:
    """A layer that computes `Y[T, out_features] = X[T, in_features] @ W`, and its shape."""

    module: torch.nn.Module
    in_features: int
    out_features: int


def find_linears(model: torch.nn.Module) -> dict[str, LinearModule]:
    """Return the linear layers of a model by dotted name, each module once.

    These are `torch.nn.Linear` with its subclasses, and the `Conv1D` of transformers, whose
    weight is stored as `[in, out]`.

    Raises:
        InputError: the model has none.
    """
    linear = require("torch").nn.Linear
    found = {}
    for path, module in model.named_modules():
        name = path or type(model).__name__  # the model itself is a linear layer
        if isinstance(module, linear):
            found[name] = LinearModule(module, module.in_features, module.out_features)
        elif type(module).__name__ == "Conv1D" and hasattr(module, "nf"):
            found[name] = LinearModule(module, module.weight.shape[0], module.nf)
    if not found:
        raise InputError(f"the model {type(model).__name__} has no linear layer")
    return found


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
