"""Errors of single layers: each is pruned alone, on the inputs of the dense model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accelsim.accuracy.arithmetic import at_least_single, running
from accelsim.accuracy.hooks import rows_of, watching
from accelsim.accuracy.masks import held, round_weights
from accelsim.accuracy.pruning import (
    DENSE,
    LayerPruning,
    RowLayout,
    State,
    States,
    machine_weight,
    through_low_rank,
    weight_of,
)
from accelsim.accuracy.subject import Subject
from accelsim.base.renamed import both
from accelsim.capture.extra import require
from accelsim.capture.linears import LinearModule
from accelsim.sparsity import Pattern
from accelsim.sparsity.criteria import CRITERIA
from accelsim.sparsity.policy import Method, Policy

if TYPE_CHECKING:
    import torch


@dataclass(slots=True)
class LayerError:
    """Sums over tokens of one layer; the ratios are what counts.

    Attributes:
        squared_magnitude: of what was selected from: the inputs, or what a shift left of them.
        dropped_squared_magnitude: the part of it that was dropped.
        output_squared_magnitude: of the dense outputs, bias left out.
        output_error: squared distance of the pruned outputs from them.
    """

    squared_magnitude: float = 0.0
    dropped_squared_magnitude: float = 0.0
    output_squared_magnitude: float = 0.0
    output_error: float = 0.0

    @property
    def dropped_squared_magnitude_ratio(self) -> float:
        """Share of squared input magnitude that is dropped: what `accelsim run` calls dropped."""
        return (
            self.dropped_squared_magnitude / self.squared_magnitude
            if self.squared_magnitude
            else 0.0
        )

    @property
    def output_error_ratio(self) -> float:
        """Squared output error over squared output."""
        return (
            self.output_error / self.output_squared_magnitude
            if self.output_squared_magnitude
            else 0.0
        )

    def to_dict(self) -> dict[str, float]:
        """Return the ratios."""
        return {
            **both("lost_energy_ratio", self.dropped_squared_magnitude_ratio),
            "output_error_ratio": self.output_error_ratio,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Outliers:
    """Measures of how unevenly the inputs of a layer are spread.

    Attributes:
        peak: largest magnitude over root mean square.
        kurtosis: fourth moment over squared second one; 3 for a normal distribution.
        channel_peak: root mean square of the strongest channel over that of all.
    """

    peak: float
    kurtosis: float
    channel_peak: float

    @classmethod
    def of(cls, rows: torch.Tensor) -> Outliers:
        """Measure inputs `[T, K]`."""
        squares = rows.double().square()
        mean = float(squares.mean()) or 1e-30
        return cls(
            peak=float(squares.max() / mean) ** 0.5,
            kurtosis=float(squares.square().mean()) / mean**2,
            channel_peak=(float(squares.mean(dim=0).max()) / mean) ** 0.5,
        )


@dataclass(frozen=True, slots=True)
class LayerReport:
    """Errors of every layer under each policy, and the outliers of its input."""

    errors: Sequence[Mapping[str, LayerError]]  # a policy, then a layer
    outliers: Mapping[str, Outliers]


def layer_errors(  # noqa: PLR0913
    subject: Subject,
    ids: torch.Tensor,
    policies: Sequence[Policy],
    *,
    precision: str,
    states: States,
    seq_len: int,
    phase: str = "prefill",
    weights: Pattern = DENSE.pattern,
    on_layer: Callable[[], None] = lambda: None,
) -> LayerReport:
    """Compare each layer's output with what it would be, given the inputs of the dense model.

    Args:
        subject: the model.
        ids: token ids; those after the last whole sequence are left out unless there is none.
        policies: how to prune; each is looked at in the same pass.
        precision: of the machine; the reference is dense at the same precision.
        states: from calibration.
        seq_len: tokens in a sequence.
        phase: in `decode` each token is selected by itself.
        weights: pattern to which W is pruned, whatever the policies say of activations.
        on_layer: called after each layer.
    """
    length = min(subject.text_tokens(seq_len), len(ids))
    sequences = len(ids) // length
    rows = RowLayout(sequences, length + subject.beginning.length, alone=phase == "decode")
    errors: list[dict[str, LayerError]] = [{} for _ in policies]
    outliers: dict[str, Outliers] = {}

    def look(name: str, *arguments: Any) -> None:
        call = _Call(subject.linears[name], rows_of(*arguments), rows, precision, weights)
        outliers[name] = Outliers.of(call.inputs)
        known: dict[Method, LayerError] = {}
        for policy, found in zip(policies, errors, strict=True):
            method = policy.of(name)
            if method not in known:
                known[method] = call.error(method, states.get((name, str(method)), {}))
            found[name] = known[method]
        on_layer()

    modules = {name: linear.module for name, linear in subject.linears.items()}
    with running(subject.model), watching(modules, look):
        subject.read(ids[: sequences * length].reshape(sequences, length))
    return LayerReport(errors, outliers)


class _Call:
    """One layer with its dense inputs, against which methods are compared."""

    def __init__(
        self,
        linear: LinearModule,
        inputs: torch.Tensor,
        rows: RowLayout,
        precision: str,
        weights: Pattern,
    ) -> None:
        self.inputs = inputs
        self._linear, self._rows, self._precision = linear, rows, precision
        self._weights = weights
        self._reals = held(inputs, precision)
        self._weight = at_least_single(round_weights(weight_of(linear), precision))
        self._squared_magnitude = _sum_of_squares(inputs)
        self._outputs = self._reals @ self._weight.T
        self._output_squared_magnitude = _sum_of_squares(self._outputs)

    def error(self, method: Method, state: State) -> LayerError:
        """Prune the layer and compare."""
        error = LayerError(
            squared_magnitude=self._squared_magnitude,
            output_squared_magnitude=self._output_squared_magnitude,
        )
        if method.pattern.is_dense and self._weights.is_dense:
            return error
        if CRITERIA[method.criterion].ranks_weights:
            weight = at_least_single(machine_weight(self._linear, method, self._precision))
            error.output_error = _sum_of_squares(self._reals @ weight.T - self._outputs)
            return error

        def watch(values: torch.Tensor, mask: torch.Tensor) -> None:
            error.squared_magnitude, error.dropped_squared_magnitude = (
                _sum_of_squares(values),
                _sum_of_squares(values * ~mask),
            )

        layer = LayerPruning(method, self._precision, state, watch)
        pruned = layer.prune(self.inputs, self._rows)
        weight = self._weight
        if layer.mitigation.weight_scale(state) is not None or not self._weights.is_dense:
            weight = machine_weight(self._linear, method, self._precision, state, self._weights)
            weight = at_least_single(weight)
        outputs = pruned.inputs @ weight.T
        if pruned.dropped is not None:
            outputs += through_low_rank(pruned.dropped, state, self._precision)
        error.output_error = _sum_of_squares(outputs - self._outputs)
        return error


def _sum_of_squares(values: torch.Tensor) -> float:
    """Return the sum of squares."""
    return float(values.square().sum(dtype=require("torch").float64))
