"""The data flow: load, select, tile, run, price, return. Read this file first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from math import prod
from typing import Any, Literal

import numpy as np

from accelsim.cache import DiskCache
from accelsim.config import Architecture
from accelsim.engine import engine_named
from accelsim.errors import DeadlockError, InputError
from accelsim.machine import build_machine
from accelsim.periodic import periodic_tally
from accelsim.results.breakdown import bound
from accelsim.results.cost import Prices
from accelsim.results.result import LayerResult, Result, UnitResult
from accelsim.results.tally import Run, Tally, combine
from accelsim.trace import Linear, Trace
from accelsim.workload import Gemm, Ints, Tiling, Work, ceil_div, tile_jobs
from accelsim.workload.decode import Fetches, decode_batches, dense_weight_bytes
from accelsim.workload.selections import Wish, selections_of
from accelsim.workload.sparsify import Selection
from accelsim.workload.tiling import describe

Phase = Literal["prefill", "decode"]
DEFAULT_ENGINE = "recurrence"
_REMEMBERED_RUNS = 512
_WALKED_TILES = 4096  # a layer of so many is walked sooner than looked at for repetition
_VALUES_AT_ONCE = 2**16  # runs × jobs of decode steps that are run together


Observer = Callable[[Linear, Work, Run], None]


def simulate(arch: Architecture, trace: Trace, **options: Any) -> Result:
    """Run every layer of `trace` on `arch`; return cycles, energy and area.

    Options and errors are those of `simulate_all`.
    """
    (result,) = simulate_all([arch], trace, **options)
    return result


def simulate_all(  # noqa: PLR0913
    archs: Sequence[Architecture],
    trace: Trace,
    *,
    phase: Phase = "prefill",
    batch: int | None = None,
    engine: str = DEFAULT_ENGINE,
    cache: DiskCache | None = None,
    on_layer: Callable[[Linear], None] | None = None,
    observer: Observer | None = None,
    watches: Callable[[Linear], bool] = lambda _: True,
) -> list[Result]:
    """Run every layer of `trace` on each of `archs`, in one pass over its values.

    Args:
        archs: the machines.
        trace: the workload; its values decide what is selected.
        phase: `prefill` runs all tokens of the trace as one batch; `decode` runs one token of each
            of `batch` sequences a step, over all tokens of the trace.
        batch: sequences of a decode step; default 1.
        engine: `recurrence`, or `simpy`, the reference; the results are the same.
        cache: where selections are kept from run to run, e.g. `DiskCache.of_user()`.
        on_layer: called before each layer on each machine, for progress.
        observer: called after each layer run on the first machine, for timelines.
        watches: layers that the observer is called for; default all.

    Raises:
        InputError: a tile cannot fit, the batch is larger than the trace, the machine deadlocks.
    """
    if phase not in ("prefill", "decode"):
        raise InputError(f"unknown phase '{phase}'; allowed: prefill, decode")
    if phase == "prefill" and batch is not None:
        raise InputError("a batch is for phase 'decode'; prefill takes all tokens at once")
    if batch is not None and batch < 1:
        raise InputError(f"batch {batch}: must be at least 1")
    step_batch = (batch or 1) if phase == "decode" else None
    steps = decode_batches(trace.meta.sequence_lengths, step_batch) if step_batch else None
    runners = [Runner(arch, engine) for arch in archs]
    for runner in runners[:1]:
        runner.observer, runner.watches = observer, watches
    layers: list[list[LayerResult]] = [[] for _ in archs]
    for linear, chosen in selections(archs, trace, with_masks=steps is not None, cache=cache):
        for runner, selection, results in zip(runners, chosen, layers, strict=True):
            if on_layer is not None:
                on_layer(linear)
            results.append(runner.layer(linear, selection, steps))
    return [
        Result(
            arch=runner.arch.resolved(),
            trace=trace.describe(),
            phase=phase,
            batch=step_batch,
            engine=engine,
            clock_mhz=runner.arch.clock_mhz,
            macs_per_cycle=runner.arch.path.macs_per_cycle,
            area_um2=sum(runner.prices.area_um2.values()),
            layers=tuple(results),
        )
        for runner, results in zip(runners, layers, strict=True)
    ]


def selections(
    archs: Sequence[Architecture],
    trace: Trace,
    *,
    with_masks: bool = False,
    cache: DiskCache | None = None,
) -> Iterator[tuple[Linear, list[Selection]]]:
    """Yield each layer with what survives of its input on each machine.

    Layers that share an input share it; one input is in memory at a time.
    """
    wishes = [
        Wish(arch.precision, arch.pattern, with_masks and not arch.pattern.is_dense)
        for arch in archs
    ]
    key, found = None, {}
    for linear in trace.linears:
        if linear.input != key:
            key = linear.input
            found = selections_of(trace, key, list(dict.fromkeys(wishes)), cache)
        yield linear, [found[wish] for wish in wishes]


def layer_work(
    arch: Architecture,
    linear: Linear,
    selection: Selection,
    steps: Ints | None,
    *,
    one_by_one: bool = False,
) -> Iterator[Work]:
    """Yield the tiled work of a layer: once for prefill, once for like steps of decode.

    Args:
        arch: the machine.
        linear: the layer.
        selection: what survives of its input.
        steps: `[steps, batch]`, tokens of each decode step; None for prefill.
        one_by_one: yield each decode step by itself, in order of time.
    """
    gemm = layer_gemm(linear, selection, steps)
    with naming(arch, linear):
        work = whole_work(arch, gemm, is_decode=steps is not None)
    if steps is None:
        yield replace(work, nonzero=int(selection.nonzero.sum()))
        return
    nonzero = selection.nonzero[steps].sum(axis=1)
    sizes, which = work.weight_bytes[None], np.zeros(len(steps), np.int64)
    if arch.path.is_sparse:  # only rows of W that some token of the batch keeps are fetched
        needed = selection.unions(steps)
        fetches = Fetches.of(work.jobs, work.path, needed, arch.dram.burst_bytes)
        sizes, which = fetches.distinct()
    if one_by_one:
        for like, alive in zip(which.tolist(), nonzero.tolist(), strict=True):
            yield replace(work, weight_bytes=sizes[like], nonzero=alive)
        return
    repeats = np.bincount(which)
    chunk = max(1, _VALUES_AT_ONCE // len(work.jobs))
    for first in range(0, len(sizes), chunk):
        part = slice(first, first + chunk)
        same = (which >= first) & (which < first + chunk)
        yield replace(
            work,
            weight_bytes=sizes[part],
            repeats=repeats[part],
            nonzero=int(nonzero[same].sum()),
        )


def layer_gemm(linear: Linear, selection: Selection, steps: Ints | None) -> Gemm:
    """Return the product that a layer computes, in prefill or in each of its decode steps."""
    tokens = selection.tokens if steps is None else steps.shape[1]
    return Gemm(tokens, linear.in_features, linear.out_features)


def layer_tiling(arch: Architecture, gemm: Gemm, *, is_decode: bool) -> Tiling:
    """Return the tile of a layer; where rows of W are fetched one by one, wide enough for DRAM."""
    gathers = is_decode and arch.path.is_sparse
    burst_columns = ceil_div(8 * arch.dram.burst_bytes, arch.path.value_bits) if gathers else 1
    return arch.tile(gemm, least_columns=burst_columns)


@contextmanager
def naming(arch: Architecture, linear: Linear) -> Iterator[None]:
    """Say in errors which layer of which machine they are about."""
    try:
        yield
    except DeadlockError:
        raise
    except InputError as error:
        raise InputError(f"{arch.name}, layer '{linear.name}': {error}") from error


def whole_work(
    arch: Architecture, gemm: Gemm, *, is_decode: bool = False, outer_tiles: int | None = None
) -> Work:
    """Return the tiled work of a layer that fetches every row of W, nonzero values not counted.

    Args:
        arch: the machine.
        gemm: the layer.
        is_decode: whether it is a decode step.
        outer_tiles: leave out all but so many outer iterations.
    """
    path = arch.path
    tiling = layer_tiling(arch, gemm, is_decode=is_decode)
    jobs = tile_jobs(gemm, tiling, path, arch.stores, outer_tiles)
    if outer_tiles is not None:
        gemm = tiling.shortened(gemm, outer_tiles)
    return Work(
        gemm=gemm,
        path=path,
        tiling=tiling,
        jobs=jobs,
        weight_bytes=dense_weight_bytes(jobs, path),
        kept=gemm.tokens * arch.pattern.kept(gemm.in_features),
        nonzero=0,
        is_decode=is_decode,
    )


class Runner:
    """Runs layers on one machine; layers with the same tiles and sizes are run once.

    Timing depends on integers only, so the layers of a transformer, alike but for their values,
    share their runs.
    """

    def __init__(self, arch: Architecture, engine: str = DEFAULT_ENGINE) -> None:
        self.arch = arch
        self.observer: Observer | None = None
        self.watches: Callable[[Linear], bool] = lambda _: True
        self._engine = engine_named(engine)
        self._known: OrderedDict[object, Tally] = OrderedDict()

    @cached_property
    def prices(self) -> Prices:
        """What the units of the machine cost."""
        return Prices.of(self.arch, self.arch.load_technology())

    def layer(self, linear: Linear, selection: Selection, steps: Ints | None) -> LayerResult:
        """Run a layer, in prefill or in all its decode steps, and price it."""
        parts, nonzero = self._parts(linear, selection, steps)
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
        observer = self.observer if self.watches(linear) else None
        is_uniform = steps is None or not self.arch.path.is_sparse
        if is_uniform and observer is None:
            gemm = layer_gemm(linear, selection, steps)
            with naming(self.arch, linear):
                tally = self._whole_tally(gemm, is_decode=steps is not None)
            tokens = slice(None) if steps is None else steps
            count = 1 if steps is None else len(steps)
            return [(count, tally)], int(selection.nonzero[tokens].sum())
        one_by_one = observer is not None
        parts, nonzero = [], 0
        for work in layer_work(self.arch, linear, selection, steps, one_by_one=one_by_one):
            parts.append((1, self._tally(work)))
            nonzero += work.nonzero
            if observer is not None:
                observer(linear, work, self.run(work))
        return parts, nonzero

    def _whole_tally(self, gemm: Gemm, *, is_decode: bool) -> Tally:
        """Return what a layer adds up to that fetches every row of W, from memory if known."""
        tiling = layer_tiling(self.arch, gemm, is_decode=is_decode)

        work_of = partial(whole_work, self.arch, gemm, is_decode=is_decode)

        def make() -> Tally:
            if prod(tiling.counts(gemm)) <= _WALKED_TILES:
                return self.run(work_of()).tally
            outer_tiles, stores = tiling.outer_tiles(gemm), self.arch.stores
            return periodic_tally(
                lambda outer: work_of(outer_tiles=outer), outer_tiles, stores, self.run
            )

        return self._remembered((gemm, is_decode), make)

    def run(self, work: Work) -> Run:
        """Run the work of one layer, or of decode steps."""
        machine = build_machine(self.arch, work)
        times = self._engine(machine.network)
        return Run(machine, times, Tally.of(machine, times, work, self.arch.units))

    def _tally(self, work: Work) -> Tally:
        """Return what one layer run adds up to, from memory if it is known."""
        runs = work.weight_bytes.tobytes(), np.asarray(work.repeats).tobytes()
        key = (work.gemm, work.is_decode, *runs)
        return self._remembered(key, lambda: self.run(work).tally)

    def _remembered(self, key: object, make: Callable[[], Tally]) -> Tally:
        if key not in self._known:
            self._known[key] = make()
            if len(self._known) > _REMEMBERED_RUNS:
                self._known.popitem(last=False)
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
