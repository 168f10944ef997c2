"""Which rows of a tensor came from which rows of another, where a model gathers some of them.

A mixture of experts picks the rows of the tokens that are routed to an expert. From there on, the
rows keep their numbers through everything that has as many rows, up to the next layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from accelsim.capture.extra import require
from accelsim.capture.weights import storage_key

if TYPE_CHECKING:
    import torch

_GATHERS = ("index", "index_select")
_MATRIX = 2


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of the rows of a tensor, which were gathered from another one.

    Attributes:
        rows: `[n]`, their numbers among the rows of what was gathered from.
        leading: its dimensions but the last.
    """

    rows: torch.Tensor
    leading: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Mark:
    storage: Any  # a weak reference: while it is held, no other storage gets the same key
    pitch: int  # values from one row to the next
    origin: Origin


class RowTracker:
    """Follows gathered rows through one forward pass."""

    def __init__(self) -> None:
        self._marks: dict[int, _Mark] = {}

    def clear(self) -> None:
        """Forget everything."""
        self._marks.clear()

    def origin(self, tensor: torch.Tensor) -> Origin | None:
        """Return the origin of the rows of a tensor; None if they were never gathered."""
        mark = self._marks.get(storage_key(tensor)) if self._marks else None
        if mark is None or tensor.dim() < _MATRIX:
            return None
        # A view: each of its rows begins in some row of what was marked.
        place = require("torch").tensor(tensor.storage_offset())
        for size, stride in zip(tensor.shape[:-1], tensor.stride()[:-1], strict=True):
            place = place[..., None] + require("torch").arange(size) * stride
        place = place.flatten()
        reach = (tensor.shape[-1] - 1) * tensor.stride(-1)
        if bool((place % mark.pitch + reach >= mark.pitch).any()):
            return None  # its rows run across those
        return Origin(mark.origin.rows[place // mark.pitch], mark.origin.leading)

    def follow(self, name: str, arguments: Sequence[Any], result: Any) -> None:
        """Note where the rows of a new tensor came from."""
        if not hasattr(result, "untyped_storage") or result.dim() < _MATRIX:
            return
        if name in _GATHERS:
            self._gather(name, arguments, result)
        elif self._marks and storage_key(result) not in self._marks:
            self._inherit(arguments, result)

    def _gather(self, name: str, arguments: Sequence[Any], result: torch.Tensor) -> None:
        source = arguments[0]
        if source.dim() < _MATRIX or not source.is_floating_point():
            return
        known, leading = self.origin(source), tuple(source.shape[:-1])
        torch = require("torch")
        rows = torch.arange(prod(leading)) if known is None else known.rows
        grid = rows.reshape(leading)
        if name == "index_select":
            dimension, wanted = arguments[1] % source.dim(), arguments[2]
            if dimension == source.dim() - 1:
                return
            picked = grid.index_select(dimension, wanted.cpu())
        else:
            if len(arguments[1]) >= source.dim():
                return  # picks features too
            wanted = [None if index is None else index.cpu() for index in arguments[1]]
            picked = torch.ops.aten.index.Tensor(grid, wanted)
        base = leading if known is None else known.leading
        self._mark(result, Origin(picked.flatten(), base))

    def _inherit(self, arguments: Sequence[Any], result: torch.Tensor) -> None:
        if not result.is_floating_point():
            return
        count = prod(result.shape[:-1])
        for tensor in arguments:
            origin = self.origin(tensor) if hasattr(tensor, "untyped_storage") else None
            if origin is not None and len(origin.rows) == count:
                self._mark(result, origin)
                return

    def _mark(self, tensor: torch.Tensor, origin: Origin) -> None:
        if not storage_key(tensor) or not tensor.is_contiguous():
            return
        weak = require("torch.multiprocessing.reductions").StorageWeakRef(tensor.untyped_storage())
        pitch = max(1, tensor.shape[-1])
        self._marks[storage_key(tensor)] = _Mark(weak, pitch, origin)
