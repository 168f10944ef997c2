"""One machine, layer after layer: what each adds up to, priced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from hashlib import sha256
from math import prod

import numpy as np

from accelsim.config import Architecture
from accelsim.engine import engine_named
from accelsim.layers import layer_gemm, layer_tiling, layer_work, naming, whole_work
from accelsim.machine import build_machine
from accelsim.periodic import periodic_tally
from accelsim.results.breakdown import bound
from accelsim.results.cost import Prices
from accelsim.results.result import LayerResult, Result, UnitResult
from accelsim.results.tally import Run, Tally, combine
from accelsim.trace import Linear, Trace
from accelsim.workload import Gemm, Ints, Work
from accelsim.workload.sparsify import Selection
from accelsim.workload.tiling import describe

DEFAULT_ENGINE = "recurrence"
_REMEMBERED_RUNS = 512
_WALKED_TILES = 4096  # a layer of so many is walked sooner than looked at for repetition

Observer = Callable[[Linear, Work, Run], None]


class Runner:
    """Runs layers on one machine; layers with the same tiles and sizes are run once.

    Timing depends on integers only, so the layers of a transformer, alike but for their values,
    share their runs.
    """

    def __init__(self, arch: Architecture, engine: str = DEFAULT_ENGINE) -> None:
        self.arch = arch
        self.engine = engine
        self._run_network = engine_named(engine)
        self._known: dict[object, Tally] = {}

    @cached_property
    def prices(self) -> Prices:
        """What the units of the machine cost."""
        return Prices.of(self.arch, self.arch.load_technology())

    def layer(
        self,
        linear: Linear,
        selection: Selection,
        steps: Ints | None,
        observer: Observer | None = None,
    ) -> LayerResult:
        """Run a layer, in prefill or in all its decode steps, and price it.

        Args:
            linear: the layer.
            selection: what survives of its input.
            steps: `[steps, batch]`, tokens of each decode step; None for prefill.
            observer: called after each run, which then takes place by itself.
        """
        if observer is None:
            parts, nonzero = self._parts(linear, selection, steps)
        else:
            parts, nonzero = self._watched(linear, selection, steps, observer)
        tally, count = combine(parts), 1 if steps is None else len(steps)
        gemm = layer_gemm(linear, selection, steps)
        kept = gemm.tokens * self.arch.pattern.kept(gemm.in_features)
        return LayerResult(
            name=linear.name,
            kind=linear.kind,
            tokens=count * gemm.tokens,
            in_features=linear.in_features,
            out_features=linear.out_features,
            cycles=tally.cycles,
            macs_dense=count * gemm.macs,
            macs_executed=count * kept * gemm.out_features,
            dropped_energy_ratio=selection.dropped_energy_ratio,
            bound=bound(tally.bound_cycles),
            bound_cycles=tally.bound_cycles,
            breakdown=tally.breakdown,
            tiling=describe(layer_tiling(self.arch, gemm, is_decode=steps is not None)),
            units=self._unit_results(tally, nonzero),
        )

    def _parts(
        self, linear: Linear, selection: Selection, steps: Ints | None
    ) -> tuple[list[tuple[int, Tally]], int]:
        """Return how often which runs take place, and the nonzero activations of all of them."""
        if steps is None or not self.arch.path.is_sparse:  # every row of W is fetched
            gemm = layer_gemm(linear, selection, steps)
            with naming(self.arch, linear):
                tally = self._whole_tally(gemm, is_decode=steps is not None)
            tokens, count = (slice(None), 1) if steps is None else (steps, len(steps))
            return [(count, tally)], int(selection.nonzero[tokens].sum())
        works = list(layer_work(self.arch, linear, selection, steps))
        return [(1, self._tally(work)) for work in works], sum(work.nonzero for work in works)

    def _watched(
        self, linear: Linear, selection: Selection, steps: Ints | None, observer: Observer
    ) -> tuple[list[tuple[int, Tally]], int]:
        """Do the same, one step after the other, before the eyes of an observer."""
        parts, nonzero = [], 0
        weights: Ints | None = None
        for work in layer_work(self.arch, linear, selection, steps, one_by_one=True):
            if weights is None or not np.array_equal(weights, work.weight_bytes):
                run, weights = self.run(work), work.weight_bytes
            observer(linear, work, run)
            parts.append((1, run.tally))
            nonzero += work.nonzero
        return parts, nonzero

    def _whole_tally(self, gemm: Gemm, *, is_decode: bool) -> Tally:
        """Return what a layer adds up to that fetches every row of W, from memory if known."""
        tiling = layer_tiling(self.arch, gemm, is_decode=is_decode)

        def work_of(outer_tiles: int | None = None) -> Work:
            return whole_work(self.arch, gemm, is_decode=is_decode, outer_tiles=outer_tiles)

        def make() -> Tally:
            if prod(tiling.counts(gemm)) <= _WALKED_TILES:
                return self.run(work_of()).tally
            return periodic_tally(work_of, tiling.outer_tiles(gemm), self.arch.stores, self.run)

        return self._remembered((gemm, is_decode), make)

    def result(self, trace: Trace, steps: Ints | None, layers: Sequence[LayerResult]) -> Result:
        """Put the layers of a trace together."""
        return Result(
            arch=self.arch.resolved(),
            trace=trace.describe(),
            phase="prefill" if steps is None else "decode",
            batch=None if steps is None else steps.shape[1],
            engine=self.engine,
            clock_mhz=self.arch.clock_mhz,
            macs_per_cycle=self.arch.path.macs_per_cycle,
            area_um2=sum(self.prices.area_um2.values()),
            layers=tuple(layers),
        )

    def run(self, work: Work) -> Run:
        """Run the work of one layer, or of decode steps."""
        machine = build_machine(self.arch, work)
        times = self._run_network(machine.network)
        return Run(machine, times, Tally.of(machine, times, work, self.arch.units))

    def _tally(self, work: Work) -> Tally:
        """Return what one layer run adds up to, from memory if it is known."""
        runs = sha256(work.weight_bytes.tobytes() + np.asarray(work.repeats).tobytes()).digest()
        return self._remembered((work.gemm, work.is_decode, runs), lambda: self.run(work).tally)

    def _remembered(self, key: object, make: Callable[[], Tally]) -> Tally:
        if key not in self._known:
            if len(self._known) == _REMEMBERED_RUNS:
                del self._known[next(iter(self._known))]  # the oldest
            self._known[key] = make()
        return self._known[key]

    def _unit_results(self, tally: Tally, nonzero: int) -> dict[str, UnitResult]:
        """Price every unit; the DMA engines have a ledger but no cost of their own."""
        time_s = tally.cycles / (self.arch.clock_mhz * 1e6)
        results = {}
        for name in tally.actions:
            actions = tally.actions_with(name, nonzero)
            results[name] = UnitResult(
                area_um2=self.prices.area_um2[name],
                leakage_pj=self.prices.static_pj(name, time_s),
                ledger=tally.ledgers[name],
                actions=actions,
                action_pj=self.prices.dynamic_pj(name, actions),
            )
        for name in sorted(tally.ledgers.keys() - results.keys()):
            results[name] = UnitResult(0.0, 0.0, tally.ledgers[name], {}, {})
        return results
