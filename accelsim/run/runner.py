"""One machine, layer after layer: what each adds up to, priced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from math import prod

import numpy as np

from accelsim.accounting.breakdown import bound, leaders
from accelsim.accounting.cost import PricedTally, Prices
from accelsim.accounting.ledger import UnitLedger
from accelsim.accounting.tally import Run, Tally, combine
from accelsim.config import Architecture
from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.dataflows.pipeline import build_pipeline
from accelsim.engine import check_cycles, engine_named
from accelsim.mapping import Gemm, Ints, Work
from accelsim.mapping.tiling import describe
from accelsim.results.result import LayerResult, Result, UnitResult, over_steps, with_products
from accelsim.run.layers import layer_gemm, layer_tiling, layer_work, naming, whole_work
from accelsim.run.periodic import periodic_tally
from accelsim.selection.decode import decode_notes
from accelsim.selection.sparsify import Selection
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.policy import Method, Policy
from accelsim.trace import Linear, Trace

DEFAULT_ENGINE = "recurrence"
_REMEMBERED_RUNS = 512
_WALKED_TILES = 4096  # a layer of so many is walked sooner than looked at for repetition

Observer = Callable[[Linear, Work, Run], None]


@dataclass(frozen=True, slots=True)
class Product:
    """A matrix product, and the machine as it is set for it.

    Attributes:
        machine: what the product finds (`Architecture.running`).
        linear: its sizes.
        selection: what enters it.
        kept: how many values of a token that are, zeros included.
    """

    machine: LayerMachine
    linear: Linear
    selection: Selection
    kept: int


class Runner:
    """Runs layers on one machine; layers with the same tiles and sizes are run once.

    Timing depends on integers only, so the layers of a transformer, alike but for their values,
    share their runs.
    """

    def __init__(
        self, arch: Architecture, engine: str = DEFAULT_ENGINE, policy: Policy | None = None
    ) -> None:
        self.arch = arch
        self.engine = engine
        self.policy = policy
        self._run_network = engine_named(engine)
        self._known: dict[object, Tally] = {}

    @cached_property
    def prices(self) -> Prices:
        """What the units of the machine cost."""
        return Prices.of(self.arch, self.arch.load_technology())

    def method(self, linear: Linear) -> Method:
        """Return how a layer is pruned."""
        return self.arch.method if self.policy is None else self.policy.of(linear.name)

    def layer(
        self,
        linear: Linear,
        selection: Selection,
        steps: Sequence[Ints] | None,
        observer: Observer | None = None,
    ) -> LayerResult:
        """Run a layer, in prefill or in all its decode steps, and price it.

        Args:
            linear: the layer.
            selection: what survives of its input.
            steps: `[steps, rows]`, rows of each decode step, steps with as many rows together;
                None for prefill.
            observer: called after each run, which then takes place by itself.
        """
        if steps is None:
            return self._layer_of_steps(linear, selection, None, observer)
        parts = [self._layer_of_steps(linear, selection, part, observer) for part in steps]
        return over_steps(parts, [len(part) for part in steps]) if len(parts) > 1 else parts[0]

    def _layer_of_steps(
        self,
        linear: Linear,
        selection: Selection,
        steps: Ints | None,
        observer: Observer | None,
    ) -> LayerResult:
        products = self._products(linear, selection)
        *others, last = (self._product(product, steps, observer) for product in products)
        return with_products(last, others) if others else last

    def _products(self, linear: Linear, selection: Selection) -> Iterator[Product]:
        """Yield the products of a layer: with low rank two for what was dropped, then its own.

        What was dropped goes through K × r, as the layer does if the machine's groups have room for
        it. Else the selector cannot part it from the rest, and all of X goes through, dense; the
        weights of the layer's own product make up for that. Then, dense, r × O; to those outputs
        the layer's own product is added.
        """
        method, width, path = self.method(linear), linear.in_features, self.arch.path
        pattern = method.pattern
        kept = pattern.kept(width)
        rank = min(method.demands.rank, width, linear.out_features)
        if rank:
            dense = self.arch.running(Method(parse_pattern("dense")))
            inner = linear.model_copy(update={"out_features": rank})
            groups = path.group_size // pattern.group_size
            if path.group_size - groups * pattern.kept_per_group <= path.kept_per_group:
                machine = self.arch.running(replace(method, mitigation="none"))
                yield Product(machine, inner, selection.rest, width - kept)
            else:
                yield Product(dense, inner, selection.everything, width)
            outer = linear.model_copy(update={"in_features": rank})
            ranks = np.broadcast_to(np.int64(rank), selection.tokens)
            yield Product(dense, outer, Selection(rank, ranks, None, None), rank)
        yield Product(self.arch.running(method), linear, selection, kept)

    def _product(
        self, product: Product, steps: Ints | None, observer: Observer | None
    ) -> LayerResult:
        linear, selection = product.linear, product.selection
        if observer is None:
            parts, nonzero = self._parts(product, steps)
        else:
            parts, nonzero = self._watched(product, steps, observer)
        with naming(self.arch, linear):
            tally = combine(parts)
        count = 1 if steps is None else len(steps)
        gemm = layer_gemm(linear, selection, steps)
        tiling = layer_tiling(product.machine, gemm, is_decode=steps is not None)
        return LayerResult(
            name=linear.name,
            kind=linear.kind,
            method=self.method(linear),
            tokens=count * gemm.tokens,
            in_features=linear.in_features,
            out_features=linear.out_features,
            cycles=tally.cycles,
            macs_dense=count * gemm.macs,
            macs_executed=count * gemm.tokens * product.kept * gemm.out_features,
            dropped_energy_ratio=selection.dropped_energy_ratio,
            needed_rows_ratio=_needed_rows_ratio(product, steps),
            bound=bound(tally.bound_cycles, leaders(product.machine.diagram)),
            leaders=leaders(product.machine.diagram),
            bound_cycles=tally.bound_cycles,
            breakdown=tally.breakdown,
            tiling=describe(tiling),
            units=self._unit_results(tally, nonzero),
        )

    def _parts(self, product: Product, steps: Ints | None) -> tuple[list[tuple[int, Tally]], int]:
        """Return how often which runs take place, and the nonzero activations of all of them."""
        machine, selection = product.machine, product.selection
        if steps is None or not machine.path.is_sparse:  # every row of W is fetched
            gemm = layer_gemm(product.linear, selection, steps)
            with naming(self.arch, product.linear):
                tally = self._whole_tally(product, gemm, is_decode=steps is not None)
            tokens, count = (slice(None), 1) if steps is None else (steps, len(steps))
            return [(count, tally)], int(selection.nonzero[tokens].sum())
        works = list(_works(product, steps))
        with naming(self.arch, product.linear):
            parts = [(1, self._tally(machine, work)) for work in works]
        return parts, sum(work.nonzero for work in works)

    def _watched(
        self, product: Product, steps: Ints | None, observer: Observer
    ) -> tuple[list[tuple[int, Tally]], int]:
        """Do the same, one step after the other, before the eyes of an observer."""
        parts, nonzero = [], 0
        weights: Ints | None = None
        for work in _works(product, steps, one_by_one=True):
            if weights is None or not np.array_equal(weights, work.weight_bytes):
                with naming(self.arch, product.linear):
                    run, weights = self.run(work, product.machine), work.weight_bytes
            observer(product.linear, work, run)
            parts.append((1, run.tally))
            nonzero += work.nonzero
        return parts, nonzero

    def _whole_tally(self, product: Product, gemm: Gemm, *, is_decode: bool) -> Tally:
        """Return what a layer adds up to that fetches every row of W, from memory if known."""
        machine, kept = product.machine, product.kept
        tiling = layer_tiling(machine, gemm, is_decode=is_decode)

        def work_of(outer_tiles: int | None = None) -> Work:
            return whole_work(
                machine, gemm, kept=kept, is_decode=is_decode, outer_tiles=outer_tiles
            )

        def run(work: Work) -> Run:
            return self.run(work, machine)

        def make() -> Tally:
            if prod(tiling.counts(gemm)) <= _WALKED_TILES:
                return run(work_of()).tally
            return periodic_tally(work_of, tiling.outer_tiles(gemm), machine.stores, run)

        return self._remembered((machine.path, gemm, kept, is_decode), make)

    def result(self, trace: Trace, steps: Ints | None, layers: Sequence[LayerResult]) -> Result:
        """Put the layers of a trace together; their kinds are told from all of their names.

        Raises:
            InputError: they take more cycles than an int64 holds.
        """
        check_cycles(sum(layer.cycles for layer in layers))
        kinds = {name: place.kind for name, place in trace.places.items()}
        return Result(
            arch=self.arch.resolved(),
            trace=trace.describe(),
            phase="prefill" if steps is None else "decode",
            batch=None if steps is None else steps.shape[1],
            engine=self.engine,
            clock_mhz=self.arch.clock_mhz,
            macs_per_cycle=self.arch.path.macs_per_cycle,
            area_um2=self.prices.total_um2,
            layers=tuple(replace(layer, kind=kinds[layer.name]) for layer in layers),
            policy=self.policy,
            notes=self._notes(trace, steps, layers),
        )

    @staticmethod
    def _notes(trace: Trace, steps: Ints | None, layers: Sequence[LayerResult]) -> tuple[str, ...]:
        """Return what to know of the decode steps, where it matters which tokens make a batch."""
        if steps is None or all(layer.method.pattern.is_dense for layer in layers):
            return ()
        return tuple(decode_notes(trace.meta.sequence_lengths, steps))

    def run(self, work: Work, machine: LayerMachine | None = None) -> Run:
        """Run the work of one layer, or of decode steps, on the machine as it is set for it."""
        machine = machine or self.arch.running()
        pipeline = build_pipeline(machine, work)
        times = self._run_network(pipeline.network)
        return Run(pipeline, times, Tally.of(machine, pipeline, times, work))

    def _tally(self, machine: LayerMachine, work: Work) -> Tally:
        """Return what one layer run adds up to, from memory if it is known."""
        runs = sha256(work.weight_bytes.tobytes() + np.asarray(work.repeats).tobytes()).digest()
        key = (work.path, work.gemm, work.kept, work.is_decode, runs)
        return self._remembered(key, lambda: self.run(work, machine).tally)

    def _remembered(self, key: object, make: Callable[[], Tally]) -> Tally:
        if key not in self._known:
            if len(self._known) == _REMEMBERED_RUNS:
                del self._known[next(iter(self._known))]  # the oldest
            self._known[key] = make()
        return self._known[key]

    def _unit_results(self, tally: Tally, nonzero: int) -> dict[str, UnitResult]:
        """Price every unit; the DMA engines have a ledger but no cost of their own.

        Units that the layer has no use for are idle all the time, and leak.
        """
        priced = PricedTally(self.prices, tally)
        idle = UnitLedger(idle_cycles=tally.cycles)
        results = {}
        for name, unit in self.arch.units.items():
            actions = dict.fromkeys(sorted(unit.action_names), 0)
            if name in tally.actions:
                actions = tally.actions_with(name, nonzero)
            results[name] = UnitResult(
                area_um2=self.prices.area_um2[name],
                leakage_pj=priced.leakage_pj(name),
                ledger=tally.ledgers.get(name, idle),
                actions=actions,
                action_pj=priced.action_pj(name, nonzero),
            )
        for name in self.arch.streams:
            results[name] = UnitResult(0.0, 0.0, tally.ledgers.get(name, idle), {}, {})
        return results


def _needed_rows_ratio(product: Product, steps: Ints | None) -> float | None:
    """Return the mean share of rows of W that some sequence of a decode step needs."""
    if steps is None:
        return None
    if not product.machine.path.is_sparse:
        return 1.0
    return float(product.selection.unions(steps).mean())


def _works(product: Product, steps: Ints | None, *, one_by_one: bool = False) -> Iterator[Work]:
    return layer_work(
        product.machine,
        product.linear,
        product.selection,
        steps,
        kept=product.kept,
        one_by_one=one_by_one,
    )
