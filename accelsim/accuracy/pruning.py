"""Hooks that prune what enters the linear layers of a running model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from accelsim.accuracy.arithmetic import at_least_single, plainly
from accelsim.accuracy.masks import (
    FLOAT,
    held,
    keep,
    remainders,
    round_tokens,
    round_weights,
    scale_scores,
)
from accelsim.base.errors import InputError
from accelsim.capture.extra import require
from accelsim.capture.linears import LinearModule
from accelsim.sparsity import Pattern, parse_pattern
from accelsim.sparsity.criteria import CRITERIA
from accelsim.sparsity.mitigations import Mitigation, Pruned, parse_mitigation
from accelsim.sparsity.policy import Method, Policy

if TYPE_CHECKING:
    import torch

State = Mapping[str, Any]
States = Mapping[tuple[str, str], State]  # by layer and method
Watch = Callable[["torch.Tensor", "torch.Tensor"], None]
NO_STATE: State = {}
_TINY = 1e-12
LEVEL, FACTORS = "level", "factors"
DENSE = Method(parse_pattern("dense"))


@dataclass(frozen=True, slots=True)
class RowLayout:
    """The layout of a layer's input `[T, K]`: which of its rows belong to the same sequence.

    Attributes:
        sequences: number of sequences, all of equal length, one after the other.
        length: tokens of each; 0: unknown.
        context: tokens at the start of each sequence that stay dense.
        alone: whether each token is selected by itself, as in decode.
    """

    sequences: int = 1
    length: int = 0
    context: int = 0
    alone: bool = False

    def check(self, rows: int, method: Method) -> None:
        """Raise InputError if a layer sees other rows than these, and it matters which they are."""
        matters = self.context or method.demands.factors == "chunk"
        if self.length and matters and rows != self.sequences * self.length:
            raise InputError(
                f"sees {rows} rows in a pass of {self.sequences} × {self.length} tokens (an expert "
                f"of a mixture?), so its tokens cannot be told apart; leave it out with --exclude"
            )


ONE_SEQUENCE = RowLayout()


@dataclass(frozen=True, slots=True)
class LayerPruning:
    """One layer's method with what calibration knows about the layer.

    `watch` is told, for each selection, the values it was made from and the mask.
    """

    method: Method
    precision: str = FLOAT
    state: State = field(default_factory=dict)
    watch: Watch | None = None

    @property
    def mitigation(self) -> Mitigation:
        """The mitigation of the method; none where no value is dropped."""
        return parse_mitigation("none" if self.method.pattern.is_dense else self.method.mitigation)

    def prune(self, inputs: torch.Tensor, rows: RowLayout) -> Pruned:
        """Return what enters the product instead of inputs `[T, K]`, float32 or float64."""
        pruned = self.mitigation.prune(inputs, lambda values: self.select(values, rows), self.state)
        if pruned.split_by is None:
            return pruned
        rest = remainders(inputs.float(), pruned.split_by, self.precision)
        return replace(pruned, inputs=pruned.inputs + rest.to(inputs.dtype))

    def select(
        self, values: torch.Tensor, rows: RowLayout = ONE_SEQUENCE
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `[T, K]` values as the hardware holds them, and which of them it keeps.

        float64 values are ranked as float32, see `accelsim.accuracy.arithmetic`.
        """
        single = values.float()
        operands, reals = round_tokens(single, self.precision)
        mask = self._mask(operands, reals, rows)
        if self.watch is not None:
            self.watch(single, mask)
        return reals.to(values.dtype), mask

    def _mask(self, operands: torch.Tensor, reals: torch.Tensor, rows: RowLayout) -> torch.Tensor:
        """Return which values the simulated selector keeps."""
        pattern = self._pattern()
        if not pattern.is_grouped and LEVEL in self.state:
            return keep(pattern, reals)
        torch = require("torch")
        criterion = CRITERIA[self.method.criterion]
        if criterion.demands.factors == "chunk" and not rows.alone:
            parts = zip(operands.chunk(rows.sequences), reals.chunk(rows.sequences), strict=True)
            return torch.cat(
                [
                    keep(pattern, self._scores(o, criterion.chunk_factors(_chunk(r))))
                    for o, r in parts
                ]
            )
        return keep(pattern, self._scores(operands, self.state.get(FACTORS)))

    def _scores(self, operands: torch.Tensor, factors: Any) -> torch.Tensor:
        return operands if factors is None else scale_scores(operands, factors, self.precision)

    def _pattern(self) -> Pattern:
        pattern: Any = self.method.pattern
        if LEVEL in self.state:
            pattern = replace(pattern, level=self.state[LEVEL])
        return cast(Pattern, pattern)


def _chunk(tensor: torch.Tensor) -> Any:
    """Return the values of a sequence as criteria look at them: on the CPU, an array."""
    return tensor.numpy() if tensor.device.type == "cpu" else tensor


def weight_of(linear: LinearModule) -> torch.Tensor:
    """Return the weight of a layer as `[O, K]`; transformers' Conv1D stores it transposed."""
    weight: torch.Tensor = linear.module.weight.detach()
    return weight if _is_linear(linear) else weight.T


def _is_linear(linear: LinearModule) -> bool:
    return isinstance(linear.module, require("torch").nn.Linear)


def machine_weight(
    linear: LinearModule,
    method: Method,
    precision: str,
    state: State = NO_STATE,
    weights: Pattern = DENSE.pattern,
) -> torch.Tensor:
    """Return the weight of a layer, `[O, K]`, as the machine holds it, and pruned if it is.

    It is pruned by its method, or by `weights` beside a method of activations.

    Scales of channels hide in it: W diag(s) is what is rounded. As the scaled inputs bring s
    along, it is divided out again.
    """
    weight, scale = weight_of(linear), None
    if state and not method.pattern.is_dense:
        scale = parse_mitigation(method.mitigation).weight_scale(state)
    if scale is None:
        weight = round_weights(weight, precision)
    else:
        scale = scale.where(scale.abs() > _TINY, 1.0).to(weight.dtype)
        weight = round_weights(weight * scale, precision) / scale
    if CRITERIA[method.criterion].ranks_weights:
        weights = method.pattern
    if not weights.is_dense:
        weight = weight * keep(weights, weight.float())
    return weight


def through_low_rank(dropped: torch.Tensor, state: State, precision: str) -> torch.Tensor:
    """Return `[T, O]`, what comes back of dropped values `[T, K]`, at the precision."""
    inner = dropped @ round_weights(state["in"], precision).T
    return held(inner, precision) @ round_weights(state["out"], precision).T


class Pruner:
    """Prunes the linear layers of a model while it is entered; afterwards the model is as before.

    Activations are replaced by a hook in front of each layer. Weights, where a method prunes them
    or the precision rounds them, are exchanged and put back.
    """

    def __init__(
        self,
        linears: Mapping[str, LinearModule],
        policy: Policy,
        *,
        precision: str = FLOAT,
        states: States | None = None,
        weights: Pattern = DENSE.pattern,
    ) -> None:
        self.rows = RowLayout()
        self._linears = linears
        self._layers = {
            name: LayerPruning(method, precision, (states or {}).get((name, str(method)), {}))
            for name, method in ((name, policy.of(name)) for name in linears)
        }
        self._precision = precision
        self._weights = weights
        self._dropped: dict[str, torch.Tensor] = {}
        self._last: tuple[Any, ...] = (None, None, None)  # input, method, what came of them

    def __enter__(self) -> Self:
        self._undo = ExitStack()
        try:
            with plainly():
                for name, linear in self._linears.items():
                    self._attach(name, linear, self._layers[name])
        except BaseException:
            self._undo.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._last = (None, None, None)
        self._undo.close()

    def _attach(self, name: str, linear: LinearModule, layer: LayerPruning) -> None:
        prunes_weights = CRITERIA[layer.method.criterion].ranks_weights
        if prunes_weights or self._precision != FLOAT or not self._weights.is_dense:
            how = (layer.method, self._precision, layer.state, self._weights)
            weight = machine_weight(linear, *how)
            self._exchange(linear, weight)
        if prunes_weights:
            layer = replace(layer, method=DENSE)
        if layer.method.pattern.is_dense and self._precision == FLOAT:
            return
        module = linear.module
        self._undo.callback(
            module.register_forward_pre_hook(self._before(name, layer), with_kwargs=True).remove
        )
        if layer.method.demands.rank:
            self._undo.callback(module.register_forward_hook(self._after(name, layer)).remove)

    def _exchange(self, linear: LinearModule, weight: torch.Tensor) -> None:
        module, former = linear.module, linear.module.weight
        own = weight if _is_linear(linear) else weight.T.contiguous()
        # Another parameter, not other data: an embedding may share it, and is not to change.
        module.weight = require("torch").nn.Parameter(own, requires_grad=False)
        self._undo.callback(setattr, module, "weight", former)

    def _before(self, name: str, layer: LayerPruning) -> Any:
        def hook(_: torch.nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> Any:
            inputs, *_others = (*positional, *named.values())
            with plainly():
                return (self._replaced(name, layer, inputs),), {}

        return hook

    def _replaced(self, name: str, layer: LayerPruning, inputs: torch.Tensor) -> torch.Tensor:
        """Return what enters the layer; q, k and v, say, share it if nothing tells them apart."""
        writes = None if inputs.is_inference() else inputs._version  # as capture tells them apart
        own = name if layer.state or layer.method.demands.rank else None
        what = (layer.method, own, self.rows, writes)
        if self._last[0] is not inputs or self._last[1] != what:
            try:
                self._last = (inputs, what, self._pruned(name, layer, inputs))
            except InputError as error:
                raise InputError(f"layer '{name}': {error}") from error
        replaced: torch.Tensor = self._last[2]
        return replaced

    def _pruned(self, name: str, layer: LayerPruning, inputs: torch.Tensor) -> torch.Tensor:
        flat = at_least_single(inputs.detach().reshape(-1, inputs.shape[-1]))
        if self._tokens(name) is None or layer.method.demands.factors == "chunk":
            self.rows.check(len(flat), layer.method)
        pruned = layer.prune(flat, self.rows)
        replaced = pruned.inputs
        if pruned.dropped is not None:
            self._dropped[name] = pruned.dropped
        if self.rows.context:
            replaced = self._with_context(layer, flat, replaced, name)
        return replaced.reshape(inputs.shape).to(inputs.dtype)

    def _tokens(self, name: str) -> torch.Tensor | None:
        """Return the numbers of the tokens that an expert gets; None for layers that get all."""
        return getattr(self._linears[name].module, "tokens", None)

    def _with_context(
        self, layer: LayerPruning, flat: torch.Tensor, pruned: torch.Tensor, name: str
    ) -> torch.Tensor:
        """Leave the first tokens of each sequence dense, rounded only."""
        torch = require("torch")
        tokens = self._tokens(name)
        if tokens is None:
            tokens = torch.arange(len(flat), device=flat.device)
        place = tokens % self.rows.length
        is_context = place < self.rows.context
        if name in self._dropped:
            self._dropped[name] = self._dropped[name] * ~is_context[:, None]
        dense = held(flat, layer.precision)
        return torch.where(is_context[:, None], dense, pruned)

    def _after(self, name: str, layer: LayerPruning) -> Any:
        def hook(_: torch.nn.Module, __: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
            with plainly():
                back = through_low_rank(self._dropped.pop(name), layer.state, layer.precision)
                return output + back.reshape(output.shape).to(output.dtype)

        return hook
