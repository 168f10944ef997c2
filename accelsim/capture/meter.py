"""What a model multiplies while it runs: every product, by the weight or the layer it belongs to.

Sees each operation that reaches torch's dispatcher, whatever module or function called it, so that
what is no linear layer is counted too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from accelsim.capture.extra import require
from accelsim.capture.linears import LinearModule, Turn
from accelsim.capture.products import Product, is_opaque, product_of
from accelsim.capture.rows import RowTracker
from accelsim.capture.weights import Weight, Weights

if TYPE_CHECKING:
    import torch

_MATRIX = 2
# Called after a product of activations and one slice of a stack of weights: the slice, the
# activations `[rows, K]`, the outputs `[rows, N]`.
OnSlice = Callable[[Weight, Any, Any], None]


class Meter:
    """Counts multiplications of a model.

    Attributes:
        macs: by name: of the layer that is running (`inside`), else of the weight.
        activation_macs: products of activations with each other, such as attention scores.
        uncounted: by name of a weight or module: the operation that nobody can look into.
        others: modules that are charged by name though they are not captured: quantised ones.
        packed_parameters: by name: values of a weight that is no parameter, since it is packed.
        rows: where gathered rows came from.
    """

    def __init__(self, model: torch.nn.Module, on_slice: OnSlice = lambda *_: None) -> None:
        self.macs: defaultdict[str, int] = defaultdict(int)
        self.activation_macs = 0
        self.uncounted: dict[str, str] = {}
        self.others: dict[str, torch.nn.Module] = {}
        self.packed_parameters: dict[str, int] = {}
        self.rows = RowTracker()
        self.weights = Weights(model)
        self._on_slice = on_slice
        self._layers: list[tuple[str, int]] = []  # that run now, and what they had before
        self._matrices: defaultdict[str, set[tuple[int, int]]] = defaultdict(set)

    def start(self) -> None:
        """Begin a forward pass."""
        self.rows.clear()
        self.weights.forget_derived()
        self._layers.clear()
        self._matrices.clear()

    def matrices_of(self, layer: str) -> set[tuple[int, int]]:
        """Return the sizes `K, N` of the matrices by which a layer multiplied in this pass."""
        return self._matrices[layer]

    def enter(self, layer: str) -> None:
        """Charge what follows to a layer."""
        self._layers.append((layer, self.macs[layer]))

    def leave(self, layer: str, rows: torch.Tensor, output: torch.Tensor) -> None:
        """Charge what follows to what was before the layer.

        If no product was seen in it, as in kernels of quantised weights, it is charged with that
        of `rows` `[…, K]`, its input, and a matrix that makes `output` `[…, N]` of them.
        """
        before = 0
        while self._layers:
            name, before = self._layers.pop()
            if name == layer:  # others are layers inside of it that ended by an exception
                break
        self.weights.forget(output)  # even that of a constant is an activation
        if self.macs[layer] == before:
            self.macs[layer] += int(output.numel()) * int(rows.shape[-1])

    def watch_layers(
        self, model: torch.nn.Module, linears: Mapping[str, LinearModule]
    ) -> Iterator[Any]:
        """Charge linear layers by name, and others that need it; yield the handles of hooks."""
        for name, linear in linears.items():
            yield linear.module.register_forward_pre_hook(lambda *_, name=name: self.enter(name))
            after = partial(self._after_linear, name, linear.features_last)
            yield linear.module.register_forward_hook(after, with_kwargs=True)
        yield from self.watch_others(model, linears)

    def _after_linear(
        self, name: str, turn: Turn, _: Any, inputs: Any, named: dict[str, Any], output: Any
    ) -> None:
        rows = next(iter((*inputs, *named.values())))
        self.leave(name, turn(rows), turn(first_tensor(output)))

    def watch_others(
        self, model: torch.nn.Module, linears: Mapping[str, LinearModule]
    ) -> Iterator[Any]:
        """Hook modules that may multiply by weights that are no tensors; yield the handles."""
        layers = {linear.module for linear in linears.values()}  # the model itself has no name
        for name, module in model.named_modules():
            if module not in layers and _may_hide_weights(module):
                is_linear = _is_linear_by_name(module)
                self.others[name] = module
                yield module.register_forward_pre_hook(lambda *_, name=name: self.enter(name))
                after = partial(self._after_other, name, is_linear=is_linear)
                yield module.register_forward_hook(after)

    def _after_other(
        self, name: str, _: Any, inputs: Sequence[Any], output: Any, *, is_linear: bool
    ) -> None:
        """Charge a module; if it is no linear layer and no product was seen in it, nobody can."""
        rows, output = inputs[0] if inputs else output, first_tensor(output)
        if is_linear:
            self.packed_parameters[name] = int(rows.shape[-1]) * int(output.shape[-1])
            self.leave(name, rows, output)
            return
        _, before = self._layers.pop()
        if self.macs[name] == before:
            self.uncounted[name] = type(self.others[name]).__name__

    @contextmanager
    def watching(self) -> Iterator[None]:
        """See every operation of this thread."""
        torch = require("torch")
        mode_class = require("torch.utils._python_dispatch").TorchDispatchMode
        meter = self

        class Mode(mode_class):  # type: ignore[misc, valid-type]
            def __torch_dispatch__(
                self, function: Any, _: Any, arguments: Any = (), named: Any = None
            ) -> Any:
                result = function(*arguments, **(named or {}))
                meter._see(function, (*arguments, *(named or {}).values()), result)
                return result

        fused = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # one operation for a whole layer
        try:
            with Mode():
                yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fused)

    def _see(self, function: Any, arguments: Sequence[Any], result: Any) -> None:
        product = product_of(function, arguments, result)
        tensors = list(_tensors(arguments))
        weights = [weight for weight in map(self.weights.of, tensors) if weight is not None]
        is_own = not self._layers or all(w.is_within(self._layers[-1][0]) for w in weights)
        # What a layer makes of a weight of others, such as learned queries, are activations.
        is_fixed = is_own and self.weights.follow(tensors, _tensors([result]))
        if product is not None and not (is_fixed and self._layers):
            self._count(product, result)
        elif weights:
            self._note_weights(function, tensors, weights[0], result)
        name = function.name().rpartition("::")[2].partition(".")[0]
        self.rows.follow(name, arguments, result)

    def _count(self, product: Product, result: Any) -> None:
        found = [self.weights.of(factor) for factor in product.factors]
        if self._layers:
            layer, _ = self._layers[-1]
            self.macs[layer] += sum(product.macs)
            if product.is_matrix_product:
                inner, outer = product.factors[1].shape
                self._matrices[layer].add((int(inner), int(outer)))
            return
        weights = [weight for weight in found if weight is not None]
        if not weights:
            self.activation_macs += 0 if product.is_outer else sum(product.macs)
        elif len(product.macs) > 1:
            for weight, macs in zip(found[1:], product.macs, strict=True):
                if weight is not None:  # else a state of a recurrent layer
                    self.macs[weight.name] += macs
        else:
            self._count_one(product, found, weights[-1], result)

    def _count_one(
        self, product: Product, found: Sequence[Weight | None], weight: Weight, result: Any
    ) -> None:
        (macs,) = product.macs
        if product.is_matrix_product and weight.index is not None and found[1] is weight:
            self.macs[f"{weight.name}[{weight.index}]"] += macs
            self._on_slice(weight, product.factors[0], result)
        else:
            self.macs[weight.name] += macs

    def _note_weights(
        self, function: Any, tensors: Sequence[Any], weight: Weight, result: Any
    ) -> None:
        """Note foreign operations that get a weight, and slices of a stack that were picked."""
        if is_opaque(function) and not self._layers:
            self.uncounted[weight.name] = function.name()
        is_stack = tensors[0].dim() > _MATRIX and self.weights.of(tensors[0]) is not None
        if is_stack and "index" in function.name():
            self.weights.derive(tensors[:1], result)


def first_tensor(output: Any) -> Any:
    """Return the output of a module, or the first one if it has several."""
    return output if hasattr(output, "shape") else output[0]


def _is_linear_by_name(module: torch.nn.Module) -> bool:
    return "linear" in type(module).__name__.lower()


def _may_hide_weights(module: torch.nn.Module) -> bool:
    """Whether a module may multiply by weights that are no tensors of the model, but packed."""
    own = [child for child in module.children() if "Packed" not in type(child).__name__]
    state = " ".join(module.state_dict())
    is_quantised = "quant" in type(module).__module__ or _is_linear_by_name(module)
    packs = "weight" in state or "pack" in state
    return is_quantised and packs and not any(next(c.parameters(), None) is not None for c in own)


def _tensors(arguments: Sequence[Any]) -> Iterator[torch.Tensor]:
    for argument in arguments:
        if isinstance(argument, list | tuple):
            yield from _tensors(argument)
        elif hasattr(argument, "untyped_storage"):
            yield argument
