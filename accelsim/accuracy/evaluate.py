"""`accelsim accuracy`: calibrate, measure the dense model, then each policy; rows of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim.accuracy.arithmetic import running
from accelsim.accuracy.calibration import (
    Calibration,
    calibrate,
    check_states,
    load_calibration,
    needs_text,
    save_calibration,
    wanted_states,
)
from accelsim.accuracy.layer_errors import LayerError, LayerReport, Outliers, layer_errors
from accelsim.accuracy.masks import check_precision, packs_weights
from accelsim.accuracy.perplexity import Losses, known, measure, rounding_noise
from accelsim.accuracy.pruning import DENSE, Pruner, States
from accelsim.accuracy.subject import Subject
from accelsim.accuracy.texts import Text
from accelsim.accuracy.windows import Window, sliding_windows
from accelsim.base.errors import InputError
from accelsim.base.renamed import both
from accelsim.capture.coverage import coverage_of_linears
from accelsim.sparsity import Pattern, parse_pattern
from accelsim.sparsity.criteria import CRITERIA
from accelsim.sparsity.demands import Demands
from accelsim.sparsity.patterns.threshold import Threshold
from accelsim.sparsity.policy import Method, Policy
from accelsim.trace.coverage import Coverage
from accelsim.trace.places import Place
from accelsim.version import __version__

if TYPE_CHECKING:
    import torch

Advance = Callable[[str, int, int | None], None]
PHASES = ("prefill", "decode")
_ERROR_TOKENS = 2048  # on which the layers are looked at one by one
_MOST_REPEATS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of a measurement of accuracy.

    Attributes:
        tokens: of the text, from its start; None: all.
        seq_len: tokens of a window.
        stride: by which windows advance.
        precision: `float`, or that of a machine.
        phase: `prefill` or `decode`.
        calibration_tokens: of the calibration text.
        repeats: with inputs that are off by rounding noise, which tell how much that matters.
        weights: pattern to which W is pruned by magnitude, under whatever is done to activations.
    """

    tokens: int | None = 16384
    seq_len: int = 512
    stride: int = 256
    precision: str = "float"
    phase: str = "prefill"
    calibration_tokens: int = 4096
    repeats: int = 3
    weights: str = "dense"

    @property
    def weight_pattern(self) -> Pattern:
        """The pattern of W."""
        return parse_pattern(self.weights)

    def describe(self) -> dict[str, Any]:
        """Return the settings as plain data; of weights nothing is said where they are dense."""
        plain = asdict(self)
        if self.weight_pattern.is_dense:
            del plain["weights"]
        return plain

    def check(self) -> None:
        """Raise InputError for what no measurement can have."""
        if isinstance(self.weight_pattern, Threshold):
            raise InputError("weights are pruned to N:M or top-K; a threshold is for activations")
        check_precision(self.precision)
        if self.phase not in PHASES:
            raise InputError(f"unknown phase '{self.phase}'; allowed: {', '.join(PHASES)}")
        if self.tokens is not None and self.tokens < 2:  # noqa: PLR2004
            raise InputError(f"tokens is {self.tokens}; at least 2 are needed")
        if not 0 <= self.repeats <= _MOST_REPEATS:
            raise InputError(f"repeats is {self.repeats}; allowed: 0 to {_MOST_REPEATS}")


@dataclass(frozen=True, slots=True)
class Row:
    """One policy, its losses, and its errors layer by layer."""

    policy: Policy
    losses: Losses
    layers: Mapping[str, LayerError]

    @property
    def dropped_squared_magnitude_ratio(self) -> float:
        """Mean over layers, as `accelsim run` has it."""
        return self._mean("dropped_squared_magnitude_ratio")

    @property
    def output_error_ratio(self) -> float:
        """Mean over layers."""
        return self._mean("output_error_ratio")

    def _mean(self, name: str) -> float:
        ratios: list[float] = [getattr(layer, name) for layer in self.layers.values()]
        return sum(ratios) / len(ratios)


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a measurement: what pruning does to a model on a text.

    `dense` is the model at the precision of the rows, not pruned; `unrounded` is it as it computes
    by itself, where the precision packs weights: the loss of that, apart from that of pruning.
    """

    subject: Subject
    text: Mapping[str, str]
    settings: Settings
    tokens: int
    dense: Losses
    rows: Sequence[Row]
    outliers: Mapping[str, Outliers]
    calibration: Calibration
    coverage: Coverage
    unrounded: Losses | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object of `accelsim accuracy --json`."""
        found = self.subject.places
        return {
            "schema": 1,
            "accelsim": __version__,
            "model": self.subject.source.identity,
            "text": {**self.text, "tokens": self.tokens},
            "settings": self.settings.describe(),
            "compute_type": str(self.subject.model.dtype).removeprefix("torch."),
            "bos": self.subject.beginning.token,
            "calibration": self.calibration.facts,
            "coverage": self.coverage.describe(),
            "dense": {
                **_perplexity(self.dense),
                "windows": len(self.dense.nats),
                "counted_tokens": int(self.dense.tokens.sum()),
                **self._loss_of_rounding(),
            },
            "rows": [self._row(row, found) for row in self.rows],
            "never_called": [name for name in self.subject.linears if name not in self.outliers],
            "outliers": {name: asdict(found) for name, found in self.outliers.items()},
        }

    def _loss_of_rounding(self) -> dict[str, Any]:
        """Return the keys of what rounding alone costs the dense model; none if not measured."""
        if self.unrounded is None:
            return {}
        increase, error = self.dense.increase_over(self.unrounded)
        return {
            **both("relative_drop", increase),
            **both("relative_drop_stderr", known(error)),
            "unrounded": _perplexity(self.unrounded),
        }

    def _row(self, row: Row, found: Mapping[str, Place]) -> dict[str, Any]:
        method, policy = row.policy.default, row.policy
        methods = Counter(policy.of(name) for name in row.layers)
        demands = reduce(or_, (one.demands for one in methods), Demands())
        increase, error = row.losses.increase_over(self.dense)
        return {
            "pattern": str(method.pattern),
            "criterion": method.criterion,
            "mitigation": method.mitigation,
            "perplexity": row.losses.perplexity,
            **both("relative_drop", increase),
            **both("lost_energy_ratio", row.dropped_squared_magnitude_ratio),
            "perplexity_stderr": known(row.losses.perplexity_error),
            **both("relative_drop_stderr", known(error)),
            "perplexity_noise": known(row.losses.perplexity_noise),
            **both("relative_drop_noise", known(row.losses.noise_of_increase(self.dense))),
            "output_error_ratio": row.output_error_ratio,
            "demands": [*demands.units, *([f"rank {demands.rank}"] if demands.rank else [])],
            "methods": {str(one): count for one, count in methods.items()},
            "policy": policy.to_dict() if policy.rules else None,
            "policy_name": policy.name or None,
            "layers": {
                name: {"block": found[name].block, "kind": found[name].kind, **layer.to_dict()}
                for name, layer in row.layers.items()
            },
        }


def _perplexity(losses: Losses) -> dict[str, Any]:
    return {
        "perplexity": losses.perplexity,
        "perplexity_stderr": known(losses.perplexity_error),
        "perplexity_noise": known(losses.perplexity_noise),
    }


def combine(
    patterns: Sequence[Pattern], criteria: Sequence[str], mitigations: Sequence[str]
) -> tuple[list[Method], list[str]]:
    """Return every sensible combination, and a line for each reason to leave others out.

    Weights are pruned without mitigation, thresholds are levels of |x| and know no other criterion,
    and where nothing is dropped there is nothing to choose.
    """
    methods: dict[Method, None] = {}
    reasons: dict[str, list[str]] = {}
    for pattern in patterns:
        for criterion in criteria:
            for mitigation in mitigations:
                method = Method(pattern, criterion, mitigation)
                reason = why_not(method)
                if reason:
                    reasons.setdefault(reason, []).append(f"{pattern} {criterion} {mitigation}")
                else:
                    methods[DENSE if pattern.is_dense else method] = None
    left_out = [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()]
    if not methods:
        raise InputError(f"nothing to evaluate: {'; '.join(left_out)}")
    return list(methods), left_out


def why_not(method: Method) -> str:
    """Return why a method makes no sense; nothing if it does.

    >>> from accelsim.sparsity import parse_pattern
    >>> why_not(Method(parse_pattern("2:4"), "wt", "var"))
    'weights are pruned to N:M or top-K, without mitigation'
    """
    is_threshold = isinstance(method.pattern, Threshold)
    if CRITERIA[method.criterion].ranks_weights and (is_threshold or method.mitigation != "none"):
        return "weights are pruned to N:M or top-K, without mitigation"
    if is_threshold and (method.criterion != "act" or method.demands.shift):
        return "a threshold is a level of |x|, neither scaled nor shifted"
    return ""


def evaluate(  # noqa: PLR0913
    subject: Subject,
    text: Text,
    policies: Sequence[Policy],
    settings: Settings,
    *,
    calibration_text: Text,
    calibration_file: Path | None = None,
    save_to: Path | None = None,
    progress: Advance = lambda *_: None,
) -> Report:
    """Measure a model on a text under each policy.

    Args:
        subject: the model and the layers that may be pruned.
        text: what it predicts.
        policies: how to prune.
        settings: how to measure.
        calibration_text: another text, for methods that learn from one.
        calibration_file: states of an earlier run, used where they are there.
        save_to: where the states are kept.
        progress: told (stage, done, total).

    Raises:
        InputError: a policy names no layer, a text is too short or calibrates itself, …
    """
    settings.check()
    for policy in policies:
        policy.check(subject.linears)
        for method in policy.methods:
            reason = "" if method.pattern.is_dense else why_not(method)
            if CRITERIA[method.criterion].ranks_weights and not settings.weight_pattern.is_dense:
                reason = f"prunes weights, which are pruned to {settings.weights} already"
            if reason:
                raise InputError(f"{policy.name or 'method'}: {method}: {reason}")
    ids = subject.tokens_of(text, settings.tokens)
    windows = windows_of(subject, len(ids), settings)
    calibration = _calibrated(
        subject, text, policies, settings, calibration_text, calibration_file, progress
    )
    if save_to is not None:
        save_calibration(save_to, calibration)
    report = _layers(subject, ids, policies, settings, calibration.states, progress)
    _check_called(subject, report)
    dense = Policy(DENSE)
    how: dict[str, Any] = {"precision": settings.precision, "states": calibration.states}
    pruners = [Pruner(subject.linears, dense, **how)]
    how["weights"] = settings.weight_pattern
    pruners += [Pruner(subject.linears, policy, **how) for policy in policies]
    if packs_weights(settings.precision):
        pruners.append(Pruner(subject.linears, dense))
    losses = _losses(subject, ids, windows, pruners, settings, progress)
    unrounded = losses.pop() if packs_weights(settings.precision) else None
    rows = [Row(*entry) for entry in zip(policies, losses[1:], report.errors, strict=True)]
    return Report(
        subject,
        text.describe(),
        settings,
        len(ids),
        losses[0],
        rows,
        report.outliers,
        calibration,
        _coverage(subject, ids[: settings.seq_len]),
        unrounded,
    )


def _losses(  # noqa: PLR0913, PLR0917
    subject: Subject,
    ids: torch.Tensor,
    windows: Sequence[Window],
    pruners: Sequence[Pruner],
    settings: Settings,
    progress: Advance,
) -> list[Losses]:
    """Return what the model loses on the windows as each of the pruners leaves it."""
    losses = []
    for place, pruner in enumerate(pruners):
        done = [place * len(windows)]

        def advance(count: int, done: list[int] = done) -> None:
            done[0] += count
            progress("perplexity", done[0], len(windows) * len(pruners))

        seen = (subject.model, ids, windows, pruner)
        how: dict[str, Any] = {"phase": settings.phase, "beginning": subject.beginning}
        found = measure(*seen, **how, on_batch=advance)
        losses.append(rounding_noise(*seen, found, **how, repeats=settings.repeats))
    return losses


def _coverage(subject: Subject, ids: torch.Tensor) -> Coverage:
    """Return the share of the model's multiplications that is in the layers to prune."""
    with running(subject.model):
        return coverage_of_linears(
            subject.model,
            lambda: subject.model(input_ids=ids[None], use_cache=False),
            set(subject.linears),
        )


def _check_called(subject: Subject, report: LayerReport) -> None:
    """Raise InputError if the model reads a text without any of the layers to prune."""
    if not report.outliers:
        raise InputError(
            f"{subject.source.name}: none of the {len(subject.linears)} layers to prune is called "
            f"when the model reads a text, e.g. {next(iter(subject.linears))}"
        )


def windows_of(subject: Subject, tokens: int, settings: Settings) -> list[Window]:
    """Cut a text into windows that the model sees with BOS in front, if it has one there."""
    length = subject.text_tokens(settings.seq_len)
    is_whole = settings.stride == settings.seq_len
    return sliding_windows(tokens, length, length if is_whole else settings.stride)


def _calibrated(  # noqa: PLR0913, PLR0917
    subject: Subject,
    text: Text,
    policies: Sequence[Policy],
    settings: Settings,
    calibration_text: Text,
    file: Path | None,
    progress: Advance,
) -> Calibration:
    """Return the states that the policies need, from a file as far as it has them."""
    wanted = wanted_states(policies, subject.linears)
    facts: dict[str, Any] = {
        "model": subject.source.identity,
        "precision": settings.precision,
        "text": calibration_text.describe(),
        "tokens": settings.calibration_tokens,
        "seq_len": settings.seq_len,
    }
    if subject.beginning.token is not None:
        facts["bos"] = subject.beginning.token
    calibration = Calibration(facts)
    if file is not None:
        own = {name: facts[name] for name in ("model", "precision")}
        calibration = load_calibration(file, own, subject.device)
        check_states(file, calibration.states, wanted, subject.linears)
    missing = calibration.missing(wanted)
    if not missing:
        return calibration
    unlearned = [(layer, method) for layer, method in missing if needs_text(method)]
    if unlearned:
        if calibration_text.sha256 == text.sha256:
            raise InputError(
                f"{text.name}: is evaluated and calibrates; name another with --calibration"
            )
        if file is not None and calibration.facts != facts:
            layer, method = unlearned[0]
            raise InputError(
                f"{file}: has no state for {method} in layer '{layer}', and was made from another "
                f"text or settings"
            )
    ids = subject.tokens_of(calibration_text, settings.calibration_tokens)
    layers = len({name for name, _ in missing})
    seen = [0]

    def on_layer() -> None:
        seen[0] += 1
        progress("calibration", seen[0], layers)

    calibration.states.update(
        calibrate(
            subject,
            ids,
            missing,
            precision=settings.precision,
            seq_len=settings.seq_len,
            on_layer=on_layer,
            on_block=lambda done, total: progress("greedy thresholds", done, total),
        )
    )
    return calibration


def _layers(  # noqa: PLR0913, PLR0917
    subject: Subject,
    ids: torch.Tensor,
    policies: Sequence[Policy],
    settings: Settings,
    states: States,
    progress: Advance,
) -> LayerReport:
    seen = [0]

    def on_layer() -> None:
        seen[0] += 1
        progress("layers", seen[0], len(subject.linears))

    return layer_errors(
        subject,
        ids[:_ERROR_TOKENS],
        policies,
        precision=settings.precision,
        states=states,
        seq_len=settings.seq_len,
        phase=settings.phase,
        weights=settings.weight_pattern,
        on_layer=on_layer,
    )
