"""Which weight a tensor is, or is a part of, while a model runs.

A weight is a parameter, or a buffer of at least two dimensions, as quantised layers have. Tensors
are told by their storage, which views share: the slice of one expert, a transposed matrix. What is
computed from weights and constants alone (a cast, a product of scales and codes, a pruned copy) is
a weight too. Constants are the other buffers, and what the model makes out of no tensor at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from accelsim.capture.extra import require

if TYPE_CHECKING:
    import torch

_MATRIX = 2


def storage_key(tensor: torch.Tensor) -> int:
    """Return a number for the memory of a tensor, which its views share; 0 if it has none."""
    try:
        return int(_held(tensor).untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):
        return 0


def _held(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor that has memory of its own: the values of a sparse one."""
    layouts = require("torch")
    if tensor.layout == layouts.strided:
        return tensor
    return tensor._values() if tensor.layout == layouts.sparse_coo else tensor.values()


def _offset(tensor: torch.Tensor) -> int:
    return int(_held(tensor).storage_offset())


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

    def is_within(self, module: str) -> bool:
        """Whether it belongs to a module, or to one inside of it."""
        return self.name.startswith(f"{module}.")

    def part(self, view: torch.Tensor) -> Weight:
        """Return the slice of the weight that `view` is; the weight itself if it is none."""
        inside = _offset(view) - self.offset
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
        self._constants: dict[int, Any] = {}  # weak references to storages, by key
        buffers = [(name, b) for name, b in model.named_buffers() if not is_lazy(b)]
        wide = ((name, buffer) for name, buffer in buffers if buffer.dim() >= _MATRIX)
        for name, weight in (*model.named_parameters(), *wide, *_bare_weights(model)):
            if not is_lazy(weight) and storage_key(weight):
                self._note(weight, Weight(name, tuple(weight.shape), _offset(weight)))
        self._buffers = {key: _weak(b) for _, b in buffers if (key := storage_key(b))}
        parameters = {storage_key(weight) for weight in model.parameters() if not is_lazy(weight)}
        self._writable = self._known.keys() - parameters  # a state, once activations are in it

    def of(self, tensor: torch.Tensor) -> Weight | None:
        """Return the weight that a tensor is a view of; None for activations."""
        if not hasattr(tensor, "untyped_storage"):
            return None
        _, found = self._known.get(storage_key(tensor), (None, ()))
        inside = [w for w in found if w.offset <= _offset(tensor)]
        return max(inside, key=lambda w: w.offset).part(tensor) if inside else None

    def follow(self, arguments: Sequence[torch.Tensor], results: Iterable[torch.Tensor]) -> bool:
        """Note what an operation computes from weights and constants alone.

        Returns:
            Whether it does so.
        """
        is_fixed = all(self._is_fixed(tensor) for tensor in arguments)
        for result in results:
            if is_fixed:
                self._settle(arguments, result)
            else:
                self.forget(result)  # a constant that activations are written into
        return is_fixed

    def derive(self, sources: Sequence[torch.Tensor], result: torch.Tensor) -> None:
        """Note that a tensor was computed from tensors of which some are weights."""
        first = self.of(max(sources, key=lambda tensor: tensor.numel()))
        key = storage_key(result)
        if first is None or not key or key in self._known:
            return
        self._derived.add(key)
        self._note(result, replace(first, shape=tuple(result.shape), offset=0))

    def forget(self, tensor: torch.Tensor) -> None:
        """Note that a tensor is no constant, and no copy of a weight."""
        key = storage_key(tensor)
        self._constants.pop(key, None)
        if key in self._derived or key in self._writable:
            self._derived.discard(key)
            self._buffers.pop(key, None)
            self._known.pop(key, None)

    def _is_fixed(self, tensor: torch.Tensor) -> bool:
        key = storage_key(tensor)
        return any(key in known for known in (self._known, self._constants, self._buffers))

    def _settle(self, arguments: Sequence[torch.Tensor], result: torch.Tensor) -> None:
        weights = [tensor for tensor in arguments if storage_key(tensor) in self._known]
        if weights:
            self.derive(weights, result)
        elif storage_key(result):
            self._constants.setdefault(storage_key(result), _weak(result))

    def forget_derived(self) -> None:
        """Forget what was computed in the last forward pass."""
        for key in self._derived:
            del self._known[key]
        self._derived.clear()
        self._constants.clear()

    def _note(self, tensor: torch.Tensor, weight: Weight) -> None:
        _, known = self._known.setdefault(storage_key(tensor), (_weak(tensor), []))
        known.append(weight)


def _weak(tensor: torch.Tensor) -> Any:
    """Return a reference to a storage; while it is held, no other storage gets the same key."""
    storage = _held(tensor).untyped_storage()
    return require("torch.multiprocessing.reductions").StorageWeakRef(storage)


def _bare_weights(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield matrices that are plain attributes of modules, neither parameters nor buffers."""
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, require("torch").Tensor) and value.dim() >= _MATRIX:
                yield f"{path}.{name}" if path else name, value


def is_lazy(weight: torch.Tensor) -> bool:
    """Whether a weight has no shape before its module is called."""
    return bool(require("torch").nn.parameter.is_lazy(weight))
