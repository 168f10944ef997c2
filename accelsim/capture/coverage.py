"""What of a model ended up in a trace, and a line for everything else that multiplies."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from accelsim.capture.linears import LinearModule, Stack, find_linears
from accelsim.capture.meter import Meter
from accelsim.capture.weights import is_lazy
from accelsim.trace.coverage import Coverage, LeftOut, coverage_line

if TYPE_CHECKING:
    import torch

BY_LAYERS = "left out by --layers"
NOT_PRUNED = "left out by --layers or --exclude, or makes the logits"
OUTSIDE = "its weight is multiplied outside of its own forward"
NOT_ROUTED = "no token was routed to it"
_LOG = logging.getLogger("accelsim.capture")
_SHOWN = 8


class Account:
    """Puts together what was captured and what was not.

    Args:
        model: that ran.
        meter: what it multiplied.
        linears, stacks: what could be captured.
        wanted: the names that were to be.
        unwanted: the reason of others.
    """

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        model: torch.nn.Module,
        meter: Meter,
        linears: Mapping[str, LinearModule],
        stacks: Mapping[str, Stack],
        wanted: Set[str],
        unwanted: str = BY_LAYERS,
    ) -> None:
        self._unwanted = unwanted
        self._model, self._meter = model, meter
        self._linears, self._stacks, self._wanted = linears, stacks, wanted
        self._weights = {**dict(model.named_parameters()), **dict(model.named_buffers())}

    def coverage(self, captured: Set[str], skipped: Mapping[str, str]) -> Coverage:
        """Return the coverage of a trace that has the layers `captured`.

        Args:
            captured: names of layers.
            skipped: reasons of wanted layers that are not among them.
        """
        parts = {part.name: part for part in self._parts(skipped)}
        have = [parts[name] for name in parts if name in captured]
        missing = [part for name, part in parts.items() if name not in captured]
        missing.sort(key=lambda part: (-(part.multiplications or 0), part.name))
        return Coverage(
            parameters=max(self._parameters(), sum(p.parameters for p in parts.values())),
            multiplications=sum(part.multiplications or 0 for part in parts.values()),
            captured_parameters=sum(part.parameters for part in have),
            captured_multiplications=sum(part.multiplications or 0 for part in have),
            activation_multiplications=self._meter.activation_macs,
            left_out=tuple(missing),
        )

    def _parameters(self) -> int:
        return sum(weight.numel() for weight in self._model.parameters() if not is_lazy(weight))

    def _parts(self, skipped: Mapping[str, str]) -> Iterator[LeftOut]:
        """Yield everything that multiplies; reasons are for the case that it is left out."""
        macs = dict(self._meter.macs)
        for name, linear in self._linears.items():
            yield from self._linear_parts(name, linear, macs, skipped)
        for weight, stack in self._stacks.items():
            yield from self._stack_parts(weight, stack, macs, skipped)
        yield from self._other_parts(macs)
        for name, count in macs.items():
            yield self._weight_part(name, count)
        yield from self._foreign_parts(macs)

    def _other_parts(self, macs: dict[str, int]) -> Iterator[LeftOut]:
        """Yield modules that are charged by name: quantised ones, and what nobody can count."""
        for name, module in self._meter.others.items():
            count, size = macs.pop(name, 0), self._meter.packed_parameters.get(name, 0)
            if name in self._meter.uncounted or count:
                kind = f"{type(module).__module__}.{type(module).__name__}"
                yield _left_out(name, kind, size, count or None)

    def _foreign_parts(self, macs: Mapping[str, int]) -> Iterator[LeftOut]:
        """Yield weights that enter an operation from outside of torch, and nothing else."""
        for name, operation in self._meter.uncounted.items():
            if name not in self._meter.others and name not in macs:
                size = self._weights[name].numel()
                yield _left_out(name.removesuffix(".weight"), operation, size, None)

    def _reason(self, name: str, skipped: Mapping[str, str]) -> str:
        return skipped.get(name, "") if name in self._wanted else self._unwanted

    def _linear_parts(
        self,
        name: str,
        linear: LinearModule,
        macs: dict[str, int],
        skipped: Mapping[str, str],
    ) -> Iterator[LeftOut]:
        """Yield a linear layer, and what multiplies by its weight beside it."""
        inside, outside = macs.pop(name, 0), macs.pop(f"{name}.weight", 0)
        weights = linear.module.parameters(recurse=False)
        size = sum(weight.numel() for weight in weights if not is_lazy(weight))
        reason = self._reason(name, skipped)
        if outside and inside:
            yield LeftOut(
                name=f"{name}.weight", reason=OUTSIDE, parameters=0, multiplications=outside
            )
        elif outside:
            reason = OUTSIDE
        count = inside or outside
        yield LeftOut(name=name, reason=reason, parameters=size, multiplications=count)

    def _stack_parts(
        self,
        weight: str,
        stack: Stack,
        macs: dict[str, int],
        skipped: Mapping[str, str],
    ) -> Iterator[LeftOut]:
        counts = {index: macs.pop(f"{weight}[{index}]", 0) for index in range(stack.layers)}
        if not any(counts.values()):
            return  # no stack, or one that is multiplied as a whole, which counts as a weight
        for index, count in counts.items():
            names = stack.names(index)
            for name in names:
                yield LeftOut(
                    name=name,
                    reason=self._reason(name, skipped) if count else NOT_ROUTED,
                    parameters=self._weights[weight].numel() // stack.layers // len(names),
                    multiplications=count // len(names),
                )

    def _weight_part(self, name: str, count: int) -> LeftOut:
        """Return a weight that is multiplied in another module than a linear layer."""
        weight, (path, _, _leaf) = self._weights.get(name), name.rpartition(".")
        kind = "weight" if weight is None else type(self._model.get_submodule(path)).__name__
        size = 0 if weight is None else weight.numel()
        return _left_out(name.removesuffix(".weight"), kind, size, count)


def _left_out(name: str, kind: str, size: int, count: int | None) -> LeftOut:
    uncounted = "" if count is not None else ", its multiplications are not counted"
    reason = f"{kind} is not captured{uncounted}"
    return LeftOut(name=name, reason=reason, parameters=size, multiplications=count)


def coverage_of_linears(
    model: torch.nn.Module, run: Callable[[], object], wanted: Set[str]
) -> Coverage:
    """Return the share of a model's multiplications that is in some of its linear layers.

    Args:
        model: the model.
        run: runs it once.
        wanted: names of the layers.
    """
    linears = find_linears(model)
    meter = Meter(model)
    with ExitStack() as hooks:
        for handle in meter.watch_layers(model, linears):
            hooks.callback(handle.remove)
        with meter.watching():
            run()
    account = Account(model, meter, linears, {}, wanted, NOT_PRUNED)
    called = {name for name in wanted if meter.macs.get(name)}
    return account.coverage(called, dict.fromkeys(wanted - called, "never called"))


def zeros_line(zeroed: Mapping[str, float], dtype: str) -> str:
    """Return a sentence on what storage cost: nonzero values that became zero, as shares by input.

    >>> zeros_line({"up": 0.25, "down": 0.5}, "float16")
    'float16 stores 50.00% of the nonzero values of down as zero, and of 1 other inputs'
    """
    worst = max(zeroed, key=lambda key: zeroed[key])
    others = f", and of {len(zeroed) - 1} other inputs" if len(zeroed) > 1 else ""
    return f"{dtype} stores {zeroed[worst]:.2%} of the nonzero values of {worst} as zero{others}"


def tell(coverage: Coverage, zeroed: Mapping[str, float], dtype: str) -> None:
    """Log what a trace leaves out of its model; what was left out on purpose is no warning."""
    if zeroed:
        _LOG.warning(zeros_line(zeroed, dtype))
    unasked = [part for part in coverage.left_out if part.reason not in (BY_LAYERS, NOT_ROUTED)]
    level = logging.WARNING if unasked else logging.INFO
    _LOG.log(
        level,
        "\n".join(["the trace " + coverage_line(coverage.describe()), *left_out_lines(coverage)]),
    )


def left_out_lines(coverage: Coverage, shown: int = _SHOWN) -> Iterator[str]:
    """Yield a line for each part that is left out, the largest first, and how many more."""
    described: list[dict[str, Any]] = coverage.describe()["left_out"]
    for part in described[:shown]:
        ratio = part["multiplications_ratio"]
        share = "an unknown share" if ratio is None else f"{ratio:.1%}"
        yield (
            f"left out {part['name']} ({share} of the multiplications, "
            f"{part['parameters_ratio']:.1%} of the parameters): {part['reason']}"
        )
    if len(described) > shown:
        yield f"left out {len(described) - shown} more; all are in the trace, with reasons"
    between = coverage.activation_multiplications
    if between:
        yield (
            f"{between:,} multiplications of activations by each other (attention), beside the "
            f"{coverage.multiplications:,} by weights, are in no trace"
        )
