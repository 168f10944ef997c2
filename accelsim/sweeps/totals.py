"""What a run comes to, without the stories of its layers: what `simulate` finds, much sooner.

Most points of a sweep differ in what does not touch the values, many in what does not even touch
time. So a process remembers what the values of a trace tell (`Survivors`) and what layer runs add
up to (`Memory`); what is left of a point is to price a few counts.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from math import prod
from typing import Any

from typing_extensions import override

from accelsim.accounting.cost import PricedTally
from accelsim.accounting.tally import Tally, combine
from accelsim.base.cache import DiskCache
from accelsim.config import Architecture
from accelsim.dataflows.memory import Key, Memory
from accelsim.engine import check_cycles
from accelsim.mapping import Gemm
from accelsim.results.result import headline, mean_if_known
from accelsim.run.chain import Walk
from accelsim.run.following import DEFAULT_LAYERS, Layers
from accelsim.run.layers import TiledProduct, naming
from accelsim.run.runner import Runner
from accelsim.run.simulation import Phase, decode_steps, simulate, wish_of
from accelsim.selection.selections import Wish, selections_of
from accelsim.selection.sparsify import Selection
from accelsim.sparsity.policy import Method, Policy
from accelsim.trace import Linear, Trace

_REMEMBERED_TALLIES = 8192  # some 3 KB each
_REMEMBERED_SURVIVORS = 256
_REMEMBERED_SELECTIONS = 128  # some 300 KB each at most
_SMALL_INPUT_VALUES = 2**21


@dataclass(frozen=True, slots=True)
class Survivors:
    """The nonzero values of a layer input that survive, and the share that was dropped.

    Of the tokens that run, that is all of them, or those of all decode steps.
    """

    nonzero: int
    dropped_squared_magnitude_ratio: float | None


@dataclass(slots=True)
class Workload:
    """A trace, where its selections are kept, and what they come to.

    Attributes:
        trace: the trace.
        cache: where selections are found from process to process.
        selections: how many layer inputs were selected here or read from the cache.
        layout: the trace and its layers, as a key.
    """

    trace: Trace
    cache: DiskCache | None
    selections: int = 0
    _known: Memory = field(default_factory=lambda: Memory(_REMEMBERED_SURVIVORS))
    _selected: Memory = field(default_factory=lambda: Memory(_REMEMBERED_SELECTIONS))
    layout: Key = field(init=False)

    def __post_init__(self) -> None:
        self.layout = Key(self.trace.sha256, *self.trace.linears)

    def survivors(self, wish: Wish, batch: int | None) -> dict[str, Survivors]:
        """Return the survivors of each input, for one wish; `batch` None is prefill."""
        known: dict[str, Survivors] = self._known.get(
            (wish, batch), lambda: dict(self._summed(wish, batch))
        )
        return known

    def _summed(self, wish: Wish, batch: int | None) -> Iterator[tuple[str, Survivors]]:
        steps = None if batch is None else decode_steps(self.trace, "decode", batch)
        for key, _ in groupby(self.trace.linears, lambda linear: linear.input):
            found = self.selection(key, wish)
            nonzero = found.nonzero if steps is None else found.nonzero[steps]
            yield key, Survivors(int(nonzero.sum()), found.dropped_squared_magnitude_ratio)

    def selection(self, key: str, wish: Wish) -> Selection:
        """Return the selection of one input; those of small ones, the latest, stay in memory."""

        def select() -> Selection:
            self.selections += 1
            return selections_of(self.trace, key, [wish], self.cache)[wish]

        if prod(self.trace.meta.shape(key)) > _SMALL_INPUT_VALUES:
            return select()
        selection: Selection = self._selected.get((key, wish), select)
        return selection


class Totals:
    """Adds up the layers of a trace on one machine; layers that are alike are added up once."""

    def __init__(self, runner: Runner, workload: Workload, batch: int | None) -> None:
        """Get a run ready.

        Args:
            runner: of the machine, brief.
            workload: the trace.
            batch: sequences of a decode step; None is prefill.
        """
        self._runner = runner
        self._workload = workload
        self._batch = batch
        trace = workload.trace
        self._steps = None if batch is None else decode_steps(trace, "decode", batch)

    def totals(self) -> dict[str, float | None]:
        """Return `Result.totals`, and the mean share of squared magnitude that is dropped."""
        runner, trace = self._runner, self._workload.trace
        dense = executed = cycles = dram_bytes = 0
        energies: list[float] = []
        ratios: list[float | None] = []
        off_chip = [name for name, unit in runner.arch.units.items() if unit.is_off_chip]
        alike: dict[object, tuple[Tally, PricedTally, int, dict[str, Survivors]]] = {}
        for linear in trace.linears:
            method = runner.method(linear, is_decode=self._batch is not None)
            source = linear.input if self._gathers(method) else ""
            count, tokens = self._runs(linear)
            shape = (method, linear.in_features, linear.out_features, source, tokens)
            key = (*shape, self._place(linear))
            if key not in alike:
                wish = self._wish(linear)
                machine = runner.machine(method)
                kept = machine.products_per_output(method.pattern, linear.in_features)
                tally = self._layer(linear, method, wish)
                found = self._workload.survivors(wish, self._batch)
                alike[key] = tally, PricedTally(runner.prices_on(machine), tally), kept, found
            tally, priced, kept, found = alike[key]
            left = found[linear.input]
            energies.append(priced.energy_pj(left.nonzero))
            ratios.append(left.dropped_squared_magnitude_ratio)
            cycles += tally.cycles
            dense += count * tokens * linear.in_features * linear.out_features
            executed += count * tokens * kept * linear.out_features
            dram_bytes += sum(sum(tally.actions[name].values()) for name in off_chip)
        check_cycles(cycles)
        totals: dict[str, float | None] = {
            **headline(
                cycles=cycles,
                macs_dense=dense,
                macs_executed=executed,
                energy_pj=sum(energies),
                dram_bytes=dram_bytes,
                area_um2=runner.prices.total_um2,
                clock_mhz=runner.arch.clock_mhz,
                macs_per_cycle=runner.arch.path.macs_per_cycle,
            )
        }
        return totals | {"dropped_squared_magnitude_ratio": mean_if_known(ratios)}

    def _wish(self, linear: Linear) -> Wish:
        """Return what a layer wants to know of its input."""
        runner, is_decode = self._runner, self._steps is not None
        return wish_of(runner.arch, runner.policy, linear, is_decode=is_decode)

    def _place(self, linear: Linear) -> Hashable:  # noqa: ARG002
        """Return what else than its own sizes a layer's time depends on: one by one, nothing."""
        return None

    def _runs(self, linear: Linear) -> tuple[int, int]:
        """Return how often a layer runs how many rows of its input."""
        if self._steps is None:
            return 1, self._workload.trace.meta.rows(linear.input)
        return len(self._steps), self._steps.shape[1]

    def _gathers(self, method: Method) -> bool:
        """Whether rows of W are fetched one by one: then runs depend on the values of the input."""
        return self._steps is not None and not method.pattern.is_dense

    def _layer(self, linear: Linear, method: Method, wish: Wish) -> Tally:
        """Return what a layer adds up to."""
        machine = self._runner.machine(method)
        kept = machine.products_per_output(method.pattern, linear.in_features)
        count, tokens = self._runs(linear)
        gemm = Gemm(tokens, linear.in_features, linear.out_features)
        values = (self._workload.trace.sha256, linear.input, wish)
        source = values if self._gathers(method) else None
        is_decode = self._steps is not None

        def make() -> Tally:
            runner = self._runner
            with naming(runner.arch, linear):
                tiled = TiledProduct.of(
                    machine,
                    gemm,
                    kept_per_token=kept,
                    is_decode=is_decode,
                    planner=runner.planner,
                )
                if self._steps is None or not tiled.gathers:
                    return combine([(count, runner.whole(tiled))])
                selection = self._workload.selection(linear.input, wish)
                return combine(runner.valued(tiled, selection, self._steps))

        key = (method, gemm, count, is_decode, source)
        return self._runner.remembered(self._runner.arch.running(), key, make)


class ChainedTotals(Totals):
    """Adds up the layers of a trace that follow each other; a chain that is known is not walked."""

    @cached_property
    def _tallies(self) -> dict[str, Tally]:
        """What each layer adds up to; equal tallies are the same object."""
        runner, workload = self._runner, self._workload
        is_decode = self._batch is not None
        methods = tuple(runner.method(x, is_decode=is_decode) for x in workload.trace.linears)
        key = ("chain", workload.layout, methods, self._batch)
        return runner.remembered(runner.arch.running(), key, self._walked)

    def _walked(self) -> dict[str, Tally]:
        walk = Walk(self._runner, self._workload.trace, self._steps)
        return dict(self._walk(walk))

    def _walk(self, walk: Walk) -> Iterator[tuple[str, Tally]]:
        for linear in self._workload.trace.linears:

            def selected(linear: Linear = linear) -> Selection:
                return self._workload.selection(linear.input, self._wish(linear))

            placed = walk.of(linear, selected)
            assert placed is not None  # those that run by themselves are left to `simulate`
            yield linear.name, placed[1]

    @override
    def _place(self, linear: Linear) -> Hashable:
        return id(self._tallies[linear.name])

    @override
    def _layer(self, linear: Linear, method: Method, wish: Wish) -> Tally:
        return self._tallies[linear.name]


def totals_of(  # noqa: PLR0913, PLR0917
    arch: Architecture,
    workload: Workload,
    policy: Policy | None,
    batch: int | None,
    memory: Memory,
    layers: Layers = DEFAULT_LAYERS,
) -> dict[str, float | None]:
    """Return the headline numbers of a run on an equipped machine; `batch` None is prefill.

    Methods with products of their own are run in full, and so are machines whose time depends on
    the values of both operands, and decode where rows are gathered or a layer does not run every
    token of a step.
    """
    methods = policy.methods if policy is not None else (arch.method,)
    inputs = workload.trace.meta.inputs.values()
    is_partial = batch is not None and (
        arch.diagram.gathers_rows or any(x.sequence_lengths is not None for x in inputs)
    )
    if is_partial or arch.diagram.is_matched or any(method.demands.rank for method in methods):
        phase: Phase = "prefill" if batch is None else "decode"
        options: dict[str, Any] = {"batch": batch, "layers": layers, "cache": workload.cache}
        result = simulate(arch, workload.trace, policy=policy, phase=phase, **options)
        return {
            **result.totals(),
            "dropped_squared_magnitude_ratio": result.dropped_squared_magnitude_ratio,
        }
    runner = Runner(arch, policy=policy, memory=memory, is_brief=True, cache=workload.cache)
    kind = ChainedTotals if layers == "chained" else Totals
    return kind(runner, workload, batch).totals()


def new_memory() -> Memory:
    """Return room for the tallies of a process."""
    return Memory(_REMEMBERED_TALLIES)


def wishes_of(
    arch: Architecture, trace: Trace, policy: Policy | None, batch: int | None
) -> Sequence[Wish]:
    """Return everything that a run wants to know of the values of a trace."""
    wishes = (wish_of(arch, policy, x, is_decode=batch is not None) for x in trace.linears)
    return list(dict.fromkeys(wishes))
