"""The data flow: load, select, tile, run, price, return. Read this file first."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from accelsim.config import Architecture
from accelsim.engine import Times, simpy_engine
from accelsim.errors import InputError
from accelsim.machine import Machine, build_machine
from accelsim.results.breakdown import Breakdown, bound, breakdown, busy_totals
from accelsim.results.cost import Prices
from accelsim.results.ledger import UnitLedger, ledgers
from accelsim.results.result import LayerResult, Result, UnitResult
from accelsim.trace import Linear, Trace
from accelsim.workload import Gemm, Work, ceil_div, tile_jobs
from accelsim.workload.sparsify import (
    Selection,
    decode_batches,
    dense_weight_bytes,
    gathered_weight_bytes,
    select,
)
from accelsim.workload.tiling import describe

Phase = Literal["prefill", "decode"]
ENGINE = "simpy"
_REMEMBERED_RUNS = 512


@dataclass(frozen=True, slots=True)
class Run:
    """One layer run (one decode step of a layer), with everything that time tells about it."""

    machine: Machine
    times: Times
    ledgers: dict[str, UnitLedger]
    breakdown: Breakdown


Observer = Callable[[Linear, Work, Run], None]


def simulate(  # noqa: PLR0913
    arch: Architecture,
    trace: Trace,
    *,
    phase: Phase = "prefill",
    batch: int | None = None,
    on_layer: Callable[[Linear], None] | None = None,
    observer: Observer | None = None,
) -> Result:
    """Run every layer of `trace` on `arch`; return cycles, energy and area.

    Args:
        arch: the machine.
        trace: the workload; its values decide what is selected.
        phase: `prefill` runs all tokens of the trace as one batch; `decode` runs one token of each
            of `batch` sequences a step, over all tokens of the trace.
        batch: sequences of a decode step; default 1.
        on_layer: called before each layer, for progress.
        observer: called after each layer run, for timelines.

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
    prices = Prices.of(arch, arch.load_technology())
    run = Runner(arch)
    layers = []
    for linear, selection in selections(arch, trace):
        if on_layer is not None:
            on_layer(linear)
        runs: list[tuple[Work, Run]] = []
        for work in layer_work(arch, trace, linear, selection, batch=step_batch):
            runs.append((work, run(work)))
            if observer is not None:
                observer(linear, *runs[-1])
        layers.append(_layer_result(arch, prices, linear, selection, runs))
    return Result(
        arch=arch.resolved(),
        trace=trace.describe(),
        phase=phase,
        batch=step_batch,
        engine=ENGINE,
        clock_mhz=arch.clock_mhz,
        macs_per_cycle=arch.path.macs_per_cycle,
        area_um2=sum(prices.area_um2.values()),
        layers=tuple(layers),
    )


def selections(arch: Architecture, trace: Trace) -> Iterator[tuple[Linear, Selection]]:
    """Yield each layer with what survives of its input; layers that share an input share it."""
    key, selection = None, None
    for linear in trace.linears:
        if linear.input != key or selection is None:
            key = linear.input
            operands, real = trace.operands(key, arch.precision)
            selection = select(operands, arch.pattern, real)
        yield linear, selection


def layer_work(
    arch: Architecture,
    trace: Trace,
    linear: Linear,
    selection: Selection,
    *,
    batch: int | None,
) -> Iterator[Work]:
    """Yield the tiled work of a layer: once for prefill, once a step for decode."""
    if batch is None:
        yield _tiled(arch, linear, selection, rows=None)
    else:
        for rows in decode_batches(trace.meta.sequence_lengths, batch):
            yield _tiled(arch, linear, selection, rows=rows)


def _tiled(
    arch: Architecture, linear: Linear, selection: Selection, *, rows: np.ndarray | None
) -> Work:
    path = arch.path
    tokens = len(selection.nonzero) if rows is None else len(rows)
    gemm = Gemm(tokens, linear.in_features, linear.out_features)
    gathers = rows is not None and path.is_sparse  # only kept rows of W are fetched
    burst_columns = ceil_div(8 * arch.dram.burst_bytes, path.value_bits) if gathers else 1
    try:
        tiling = arch.tile(gemm, least_columns=burst_columns)
        jobs = tile_jobs(gemm, tiling, path, arch.stores)
    except InputError as error:
        raise InputError(f"{arch.name}, layer '{linear.name}': {error}") from error
    if gathers:
        needed = np.logical_or.reduce(selection.mask[rows], axis=0)
        weight_bytes = gathered_weight_bytes(jobs, path, needed, arch.dram.burst_bytes)
    else:
        weight_bytes = dense_weight_bytes(jobs, path)
    nonzero = selection.nonzero if rows is None else selection.nonzero[rows]
    return Work(
        gemm=gemm,
        path=path,
        tiling=tiling,
        jobs=jobs,
        weight_bytes=weight_bytes,
        kept=tokens * arch.pattern.kept(linear.in_features),
        nonzero=int(nonzero.sum()),
        is_decode=rows is not None,
    )


class Runner:
    """Runs layer work on one machine; layers with the same tiles and sizes are run once.

    Timing depends on integers only, so the layers of a transformer, alike but for their values,
    share their runs.
    """

    def __init__(self, arch: Architecture) -> None:
        self.arch = arch
        self._known: OrderedDict[object, Run] = OrderedDict()

    def __call__(self, work: Work) -> Run:
        """Return the run of one layer's work, from memory if it is known."""
        key = (work.gemm, work.tiling, work.is_decode, work.weight_bytes.tobytes(), work.kept)
        if key not in self._known:
            self._known[key] = self._run(work)
            if len(self._known) > _REMEMBERED_RUNS:
                self._known.popitem(last=False)
        return self._known[key]

    def _run(self, work: Work) -> Run:
        machine = build_machine(self.arch, work)
        times = simpy_engine.run(machine.network)
        return Run(machine, times, ledgers(machine, times), breakdown(machine, times, work))


def _layer_result(
    arch: Architecture,
    prices: Prices,
    linear: Linear,
    selection: Selection,
    runs: list[tuple[Work, Run]],
) -> LayerResult:
    """Add up the runs of a layer and price them."""
    works = [work for work, _ in runs]
    cycles = sum(run.times.cycles for _, run in runs)
    totals: Counter[str] = Counter()
    for _, run in runs:
        totals.update(busy_totals(run.machine))
    return LayerResult(
        name=linear.name,
        kind=linear.kind,
        tokens=sum(work.gemm.tokens for work in works),
        in_features=linear.in_features,
        out_features=linear.out_features,
        cycles=cycles,
        macs_dense=sum(work.gemm.macs for work in works),
        macs_executed=sum(work.macs_executed for work in works),
        dropped_energy_ratio=selection.dropped_energy_ratio,
        bound=bound(totals),
        bound_cycles=dict(totals),
        breakdown=sum((run.breakdown for _, run in runs), Breakdown()),
        tiling=describe(works[0].tiling),
        units=_unit_results(arch, prices, runs, cycles),
    )


def _unit_results(
    arch: Architecture, prices: Prices, runs: list[tuple[Work, Run]], cycles: int
) -> dict[str, UnitResult]:
    """Price every unit of a layer; the DMA engines have a ledger but no cost of their own."""
    time_s = cycles / (arch.clock_mhz * 1e6)
    ledger: dict[str, UnitLedger] = {}
    for _, run in runs:
        for name, part in run.ledgers.items():
            ledger[name] = ledger.get(name, UnitLedger()) + part
    results = {}
    for name, unit in arch.units.items():
        actions = _add_actions(unit.actions(work) for work, _ in runs)
        results[name] = UnitResult(
            area_um2=prices.area_um2[name],
            leakage_pj=prices.static_pj(name, time_s),
            ledger=ledger.pop(name),
            actions=actions,
            action_pj=prices.dynamic_pj(name, actions),
        )
    streams = {name: UnitResult(0.0, 0.0, part, {}, {}) for name, part in sorted(ledger.items())}
    return {**results, **streams}


def _add_actions(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(total)
