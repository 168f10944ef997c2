"""Which weight a tensor is, or is a part of, while a model runs.

A weight is a parameter, or a buffer of at least two dimensions, as quantised layers have. Tensors
are told by their storage, which views share: the slice of one expert, a transposed matrix. What is
computed from weights alone (a cast, a product of scales and codes) is a weight too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from accelsim.capture.extra import require

if TYPE_CHECKING:
    import torch

_MATRIX = 2


def storage_key(tensor: torch.Tensor) -> int:
    """Return what views of the same memory have in common; 0 if there is none (sparse)."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):
        return 0


@dataclass(frozen=True, slots=True)
class Weight:
    """A weight of the model, or one slice of a stack of them.

    Attributes:
        name: dotted name of the parameter or buffer.
        shape: of the whole parameter.
        offset: where it begins in its storage, in values.
        index: which slice along the first dimension, if it is one.
    """

    name: str
    shape: tuple[int, ...]
    offset: int = 0
    index: int | None = None

    @property
    def slice_values(self) -> int:
        """Values of one slice along the first dimension."""
        values = 1
        for size in self.shape[1:]:
            values *= size
        return values

    def part(self, view: torch.Tensor) -> Weight:
        """Return the slice that a matrix is; the weight itself if it is more or less than one."""
        inside = int(view.storage_offset()) - self.offset
        is_slice = (
            len(self.shape) > _MATRIX
            and view.dim() == _MATRIX
            and view.numel() == self.slice_values
            and inside % self.slice_values == 0
        )
        return replace(self, index=inside // self.slice_values) if is_slice else self


class Weights:
    """The weights of a model by storage; storages that are freed are never taken for one."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._known: dict[int, tuple[Any, list[Weight]]] = {}
        self._derived: set[int] = set()
        named = [*model.named_parameters(), *_wide_buffers(model.named_buffers())]
        for name, weight in named:
            if not is_lazy(weight) and storage_key(weight):
                self._note(weight, Weight(name, tuple(weight.shape), weight.storage_offset()))

    def of(self, tensor: torch.Tensor) -> Weight | None:
        """Return the weight that a tensor is a view of; None for activations."""
        if not hasattr(tensor, "untyped_storage"):
            return None
        _, found = self._known.get(storage_key(tensor), (None, ()))
        inside = [w for w in found if w.offset <= tensor.storage_offset()]
        return max(inside, key=lambda w: w.offset).part(tensor) if inside else None

    def derive(self, sources: list[torch.Tensor], result: torch.Tensor) -> None:
        """Note that a tensor was computed from weights alone."""
        first = self.of(max(sources, key=lambda tensor: tensor.numel()))
        if first is None or storage_key(result) in {0, *self._known}:
            return
        self._derived.add(storage_key(result))
        self._note(result, replace(first, shape=tuple(result.shape), offset=0))

    def forget_derived(self) -> None:
        """Forget what was computed in the last forward pass."""
        for key in self._derived:
            del self._known[key]
        self._derived.clear()

    def _note(self, tensor: torch.Tensor, weight: Weight) -> None:
        storage = require("torch.multiprocessing.reductions").StorageWeakRef(
            tensor.untyped_storage()
        )  # while this is held, no other storage gets the same key
        _, known = self._known.setdefault(storage_key(tensor), (storage, []))
        known.append(weight)


def _wide_buffers(
    named: Iterable[tuple[str, torch.Tensor]],
) -> Iterable[tuple[str, torch.Tensor]]:
    return ((name, buffer) for name, buffer in named if buffer.dim() >= _MATRIX)


def is_lazy(weight: torch.Tensor) -> bool:
    """Whether a weight has no shape before its module is called."""
    return bool(require("torch").nn.parameter.is_lazy(weight))
