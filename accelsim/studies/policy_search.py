"""Which layers to leave dense: greedy search for a policy under a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from accelsim.accuracy.calibration import calibrate, wanted_states
from accelsim.accuracy.evaluate import Advance, Report, Settings, evaluate, windows_of
from accelsim.accuracy.layer_errors import layer_errors
from accelsim.accuracy.perplexity import Losses, measure
from accelsim.accuracy.pruning import DENSE, Pruner
from accelsim.accuracy.subject import Subject
from accelsim.accuracy.texts import Text
from accelsim.base.errors import InputError
from accelsim.base.renamed import new_name
from accelsim.config import Architecture
from accelsim.run.simulation import equip, simulate_all
from accelsim.sparsity.policy import Method, Policy
from accelsim.trace import Trace

Quantity = Literal["cycles", "energy", "perplexity"]
QUANTITIES: tuple[Quantity, ...] = ("cycles", "energy", "perplexity")
PROXIES = ("output_error", "dropped_squared_magnitude")


@dataclass(frozen=True, slots=True)
class Budget:
    """The cost that a policy may have: a ratio to the dense machine of the same array, or model."""

    quantity: Quantity
    ratio: float

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read `cycles=0.6`, `energy=0.8` or `perplexity=1.1`.

        >>> Budget.parse("cycles=0.6")
        Budget(quantity='cycles', ratio=0.6)

        Raises:
            InputError: another quantity, or not a positive number.
        """
        name, _, number = text.partition("=")
        quantity = next((known for known in QUANTITIES if known == name.strip()), None)
        try:
            ratio = float(number)
        except ValueError:
            ratio = 0.0
        if quantity is None or not 0 < ratio < float("inf"):
            raise InputError(
                f"budget '{text}': write cycles=R, energy=R or perplexity=R with R a positive "
                f"ratio to the dense machine or model, e.g. cycles=0.6"
            )
        return cls(quantity, ratio)


@dataclass(frozen=True, slots=True)
class Choice:
    """One layer: what it costs dense and pruned, and what pruning it is thought to do."""

    layer: str
    dense: Mapping[str, float]
    pruned: Mapping[str, float]
    harm: float

    def saving(self, quantity: str) -> float:
        """Return the saving by pruning, in cycles or pJ."""
        return self.dense[quantity] - self.pruned[quantity]


@dataclass(frozen=True, slots=True)
class Found:
    """A policy, what it costs, and the measured perplexities of it, of all dense and of none."""

    policy: Policy
    pruned_layers: int
    costs: Mapping[str, Mapping[str, float]]  # dense machine, all dense, found, all pruned
    report: Report


def search(  # noqa: PLR0913, PLR0917
    subject: Subject,
    text: Text,
    arch: Architecture,
    trace: Trace,
    method: Method,
    budget: Budget,
    settings: Settings,
    *,
    calibration_text: Text,
    proxy: str = "output_error",
    progress: Advance = lambda *_: None,
    simulation: Mapping[str, Any] | None = None,
) -> Found:
    """Choose the layers to prune, so that the budget holds with the least harm.

    Each layer is simulated dense and pruned on the same machine, by itself (`isolated`), so that
    costs add up: in a chain they depend on how its neighbours are pruned. Layers are pruned in the
    order of proxy harm per cycle (or pJ) saved, until the budget holds; then those that turn out
    not to be needed become dense again, the most harmful first. Under a
    perplexity budget, as many layers of that order are pruned as the measured perplexity allows;
    bisection finds them.

    Args:
        subject: the model.
        text: on which perplexity is measured.
        arch: the machine.
        trace: its workload, captured from the same model.
        method: how a layer is pruned if it is.
        budget: what must hold.
        settings: how accuracy is measured.
        calibration_text: for methods that learn, and for the proxy: never the text itself.
        proxy: `output_error` or `dropped_squared_magnitude` of each layer by itself.
        progress: told (stage, done, total).
        simulation: options of `simulate_all`: phase, batch, cache; not `layers`.

    Raises:
        InputError: the budget cannot be met, or trace and model have other layers.
    """
    if "layers" in (simulation or {}):
        raise InputError("layers: a search adds up the costs of isolated layers; leave it out")
    proxy = new_name(proxy)
    if proxy not in PROXIES:
        raise InputError(f"unknown proxy '{proxy}'; allowed: {', '.join(PROXIES)}")
    if calibration_text.sha256 == text.sha256:
        raise InputError(f"{text.name}: the search would see the text that it is judged by")
    harms = _harms(subject, calibration_text, method, settings, proxy)
    choices, reference = _choices(arch, trace, method, harms, simulation or {})
    if budget.quantity == "perplexity":
        judge = _Judge(subject, text, method, settings, calibration_text, progress)
        chosen = _within_perplexity(_in_order(choices, "cycles"), budget, method, judge)
    else:
        chosen = within_cost(choices, budget, reference[budget.quantity])
    policy = _policy(chosen, choices, method)
    everything = Policy(DENSE, tuple((choice.layer, method) for choice in choices))
    report = evaluate(
        subject,
        text,
        [policy, everything],
        settings,
        calibration_text=calibration_text,
        progress=progress,
    )
    costs = {
        "dense": reference,
        "unpruned": _total(choices, set()),
        "found": _total(choices, {choice.layer for choice in chosen}),
        "pruned": _total(choices, {choice.layer for choice in choices}),
    }
    return Found(policy, len(chosen), costs, report)


def _harms(
    subject: Subject, text: Text, method: Method, settings: Settings, proxy: str
) -> dict[str, float]:
    """Return the proxy of each layer on the calibration text, where the model reads it dense."""
    ids = subject.tokens_of(text, settings.calibration_tokens)
    # Methods that learn would be judged on what they learned from; the proxy only ranks layers.
    plain = Policy(Method(method.pattern, method.criterion))
    how: dict[str, Any] = {"precision": settings.precision, "seq_len": settings.seq_len}
    states = calibrate(subject, ids, wanted_states([plain], subject.linears), **how)
    (errors,) = layer_errors(subject, ids, [plain], states=states, **how).errors
    return {name: getattr(error, f"{proxy}_ratio") for name, error in errors.items()}


class _Judge:
    """Perplexity of one policy after another, relative to dense."""

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        subject: Subject,
        text: Text,
        method: Method,
        settings: Settings,
        calibration_text: Text,
        progress: Advance,
    ) -> None:
        self._subject, self._settings, self._progress = subject, settings, progress
        self._ids = subject.tokens_of(text, settings.tokens)
        self._windows = windows_of(subject, len(self._ids), settings)
        self._states = calibrate(
            subject,
            subject.tokens_of(calibration_text, settings.calibration_tokens),
            wanted_states([Policy(method)], subject.linears),
            precision=settings.precision,
            seq_len=settings.seq_len,
        )
        self._judged = 0
        self._dense = self._losses(Policy(DENSE))

    def increase(self, policy: Policy) -> float:
        """Return the relative increase of perplexity."""
        return self._losses(policy).increase_over(self._dense)[0]

    def _losses(self, policy: Policy) -> Losses:
        settings = self._settings
        pruner = Pruner(
            self._subject.linears, policy, precision=settings.precision, states=self._states
        )
        losses = measure(
            self._subject.model,
            self._ids,
            self._windows,
            pruner,
            phase=settings.phase,
            beginning=self._subject.beginning,
        )
        self._judged += 1
        self._progress("policies tried", self._judged, None)
        return losses


def _choices(
    arch: Architecture,
    trace: Trace,
    method: Method,
    harms: Mapping[str, float],
    simulation: Mapping[str, Any],
) -> tuple[list[Choice], dict[str, float]]:
    """Simulate every layer both ways, by itself, on a machine that has what the method asks for.

    Beside the choices: what the dense machine of the same array costs.
    """
    unknown = [linear.name for linear in trace.linears if linear.name not in harms]
    if unknown:
        raise InputError(
            f"{trace.path}: layer '{unknown[0]}' is not one of the model's; capture the trace from "
            f"the model, or leave the layer out of neither"
        )
    machine = equip(arch, trace, Policy(method))
    dense, pruned, reference = simulate_all(
        [machine, machine, machine.dense()],
        trace,
        policies=[Policy(DENSE), Policy(method), None],
        layers="isolated",  # what a layer takes then does not depend on how its neighbours run
        **simulation,
    )
    choices = [
        Choice(
            one.name,
            {"cycles": one.cycles, "energy": one.energy_pj},
            {"cycles": two.cycles, "energy": two.energy_pj},
            harms[one.name],
        )
        for one, two in zip(dense.layers, pruned.layers, strict=True)
    ]
    return choices, {"cycles": reference.cycles, "energy": reference.energy_pj}


def _in_order(choices: Sequence[Choice], quantity: str) -> list[Choice]:
    """Return the layers that save something, least harm for what they save first."""
    useful = [choice for choice in choices if choice.saving(quantity) > 0]
    return sorted(useful, key=lambda choice: choice.harm / choice.saving(quantity))


def within_cost(choices: Sequence[Choice], budget: Budget, reference: float) -> list[Choice]:
    """Return the layers to prune so that the cost is within its budget, a ratio to `reference`.

    >>> def layer(name, saving, harm):
    ...     return Choice(name, {"cycles": 10.0}, {"cycles": 10.0 - saving}, harm)
    >>> layers = [layer("a", 5, 5.0), layer("b", 1, 0.5), layer("c", 4, 3.0)]

    30 cycles dense, 21 allowed: in the order b (0.5 a cycle), c (0.75), a (1), all three are
    pruned to save 9; then none of them can be spared but b.

    >>> [choice.layer for choice in within_cost(layers, Budget("cycles", 0.7), 30)]
    ['c', 'a']
    """
    quantity = budget.quantity
    excess = sum(choice.dense[quantity] for choice in choices) - budget.ratio * reference
    chosen: list[Choice] = []
    for choice in _in_order(choices, quantity):
        if excess <= 0:
            break
        chosen.append(choice)
        excess -= choice.saving(quantity)
    if excess > 0:
        least = budget.ratio + excess / reference
        raise InputError(
            f"budget {quantity}={budget.ratio:g}: not in reach; with every layer pruned that gains "
            f"by it, {quantity} are {least:.3f} of the dense machine's"
        )
    for choice in sorted(chosen, key=lambda choice: -choice.harm):
        if excess + choice.saving(quantity) <= 0:
            chosen.remove(choice)
            excess += choice.saving(quantity)
    return chosen


def _within_perplexity(
    order: Sequence[Choice],
    budget: Budget,
    method: Method,
    judge: _Judge,
) -> list[Choice]:
    """Return as many layers of an order as the perplexity allows; it is taken to grow with them."""
    if not order:
        raise InputError("pruning saves no cycles on this machine with this trace")
    few, many = 0, len(order)
    while few < many:
        middle = (few + many + 1) // 2
        increase = judge.increase(_policy(order[:middle], order, method))
        few, many = (middle, many) if 1 + increase <= budget.ratio else (few, middle - 1)
    if not few:
        raise InputError(
            f"budget perplexity={budget.ratio:g}: not in reach; pruning '{order[0].layer}' alone "
            f"exceeds it"
        )
    return list(order[:few])


def _policy(chosen: Sequence[Choice], choices: Sequence[Choice], method: Method) -> Policy:
    """Return the policy that prunes some of the layers, each by its name."""
    pruned = {choice.layer for choice in chosen}
    names = [choice.layer for choice in choices]
    return Policy(DENSE, tuple((name, method) for name in names if name in pruned))


def _total(choices: Sequence[Choice], pruned: set[str]) -> dict[str, float]:
    """Return cycles and energy with some layers pruned."""
    return {
        quantity: sum(
            (choice.pruned if choice.layer in pruned else choice.dense)[quantity]
            for choice in choices
        )
        for quantity in ("cycles", "energy")
    }
