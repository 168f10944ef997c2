"""Rules that every machine keeps, told from runs of small layers on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from accelsim.accounting.breakdown import busy_totals
from accelsim.accounting.ledger import intervals
from accelsim.accounting.tally import LayerRun
from accelsim.base.errors import InputError
from accelsim.config import Architecture
from accelsim.dataflows.diagram import Role
from accelsim.dataflows.memory import Memory
from accelsim.dataflows.pipeline import resource_named
from accelsim.engine import ENGINES, engine_named
from accelsim.mapping import Work
from accelsim.results.result import Result
from accelsim.run.simulation import Phase, equip, simulate
from accelsim.sweeps.totals import Workload, new_memory, totals_of
from accelsim.testing.rules import Findings
from accelsim.testing.traces import trace_of
from accelsim.trace import Linear, Trace

PHASES = (None, 2)
"""Batches: None is prefill, a number the sequences of a decode step."""


def small_trace() -> Trace:
    """Return two layers with two sequences, of several tiles on the machines here."""
    return trace_of([(40, 24), (33, 18)], lengths=(5, 3))


@dataclass(frozen=True)
class Observed:
    """What a machine did with a trace.

    Attributes:
        arch: the machine, with the units that its method asks for.
        trace: the layers.
        batch: sequences of a decode step; None is prefill.
        result: of the whole trace, layers one by one.
        chained: the same of layers that follow each other.
        runs: each layer run, or decode step of a layer, one after the other, each by itself.
    """

    arch: Architecture
    trace: Trace
    batch: int | None
    result: Result
    chained: Result
    runs: list[tuple[Work, LayerRun]]

    @classmethod
    def of(cls, arch: Architecture, trace: Trace, batch: int | None) -> Observed:
        """Run a trace on a machine and look at each run."""
        runs: list[tuple[Work, LayerRun]] = []

        def watch(_: Linear, work: Work, run: LayerRun) -> None:
            runs.append((work, run))

        flags: dict[str, Any] = {"phase": "prefill" if batch is None else "decode", "batch": batch}
        result = simulate(arch, trace, **flags, layers="isolated", observer=watch)
        chained = simulate(arch, trace, **flags)
        return cls(equip(arch, trace, None), trace, batch, result, chained, runs)


def engines_agree(seen: Observed) -> Findings:
    """Both engines say the same of each job of each stage."""
    for work, run in seen.runs:
        for name in ENGINES:
            times = engine_named(name)(run.pipeline.network)
            if not np.array_equal(times.table, run.times.table) or times.cycles != run.times.cycles:
                yield (
                    f"engine {name} takes {times.cycles} cycles for {work.gemm}, where the run "
                    f"took {run.times.cycles}; expected the same times of every job"
                )


def chains_are_like_runs(seen: Observed) -> Findings:
    """Layers that follow each other are timed alike by both engines, and know their own sums."""
    phase: Phase = "prefill" if seen.batch is None else "decode"
    for name in ENGINES:
        again = simulate(seen.arch, seen.trace, phase=phase, batch=seen.batch, engine=name)
        if again.cycles != seen.chained.cycles or again.units != seen.chained.units:
            yield (
                f"engine {name} takes {again.cycles} cycles for layers that follow each other; "
                f"expected {seen.chained.cycles}, with the same ledgers"
            )
    if seen.chained.isolated_cycles != seen.result.cycles:
        yield (
            f"layers one by one take {seen.result.cycles} cycles, and beside those that follow "
            f"each other {seen.chained.isolated_cycles} are reported; expected the same"
        )


def cycles_are_conserved(seen: Observed) -> Findings:
    """Each cycle of each unit, stream and resource has one cause; none is negative."""
    tallies = [
        (f"a run of {work.gemm}", run.times.cycles, run.tally.ledgers) for work, run in seen.runs
    ]
    tallies += [
        (what, result.cycles, {name: unit.ledger for name, unit in result.units.items()})
        for what, result in (("the result", seen.result), ("the chain", seen.chained))
    ]
    for what, cycles, ledgers in tallies:
        for name, ledger in ledgers.items():
            if ledger.total_cycles != cycles:
                yield (
                    f"the ledger of {name} has {ledger.total_cycles} cycles in {what}; "
                    f"expected {cycles}, as many as the run"
                )
            if min(asdict(ledger).values()) < 0:
                yield f"the ledger of {name} has a negative cause in {what}: {ledger}"


def ledgers_are_the_network(seen: Observed) -> Findings:
    """Busy cycles are what units say, and of resources what their streams move."""
    for work, run in seen.runs:
        for name, expected in service_cycles(seen.arch, work, run).items():
            found = run.tally.ledgers[name].busy_cycles
            if found != expected:
                yield (
                    f"the ledger of {name} has {found} busy cycles in a run of {work.gemm}; "
                    f"expected {expected}, its service times"
                )
        sums = _cycles_by_cause(run)
        for name, causes in sums.items():
            ledger = run.tally.ledgers[name]
            if any(getattr(ledger, f"{cause}_cycles") != n for cause, n in causes.items()):
                yield f"the intervals of {name} add up to {causes}; expected its ledger, {ledger}"


def service_cycles(arch: Architecture, work: Work, run: LayerRun) -> dict[str, int]:
    """Return the cycles in which each unit, stream and resource serves, asked of the units."""
    machine = arch.running(None)
    found: dict[str, int] = {}
    for members in run.pipeline.members.values():
        for member in members:
            if member.role is Role.STREAM:
                part = machine.diagram.part(member.unit)
                resource = resource_named(machine, part.resource)
                moved = resource.moved_bytes(part.operand, work)
                cycles = resource.transfer_cycles(moved, clock_mhz=work.path.clock_mhz)
                found[member.unit] = int(cycles.sum())
                found[part.resource] = found.get(part.resource, 0) + found[member.unit]
            elif member.is_charged:
                found[member.unit] = int(machine.units[member.unit].busy_cycles(work).sum())
    return found


def _cycles_by_cause(run: LayerRun) -> dict[str, dict[str, int]]:
    """Add up the intervals of each unit, by cause."""
    found = {}
    for name in run.pipeline.units:
        sums = dict.fromkeys(("busy", "starved", "blocked", "contended"), 0)
        for _, cause, start, end in intervals(run.pipeline, run.times, name):
            sums[cause] += end - start
        found[name] = sums
    return found


def breakdowns_add_up(seen: Observed) -> Findings:
    """Parts of a breakdown are its cycles, and no run is shorter than what bounds it."""
    for work, run in seen.runs:
        parts, cycles = run.tally.breakdown, run.times.cycles
        if parts.total_cycles != cycles:
            yield (
                f"the breakdown of {work.gemm} has {parts.total_cycles} cycles; expected {cycles}"
            )
        edges = (parts.ideal_cycles, parts.edge_cycles, parts.fill_cycles, parts.drain_cycles)
        if min((*edges, *parts.stall_cycles.values())) < 0:
            yield f"the breakdown of {work.gemm} has a negative part: {parts}"
        for name, least in busy_totals(run.pipeline).items():
            if cycles < least:
                yield (
                    f"a run of {work.gemm} takes {cycles} cycles, and {name} alone {least}; "
                    f"expected no run to be shorter than what bounds it"
                )


def energy_is_priced(seen: Observed) -> Findings:
    """Energy is what each declared action costs, and leakage; the total is the sum over units."""
    for name, unit in seen.arch.units.items():
        declared, result = set(unit.action_names), seen.result.units[name]
        for what, found in (("counts", result.actions), ("prices", result.action_pj)):
            if set(found) != declared:
                yield f"a run {what} {sorted(found)} of {name}; expected {sorted(declared)}"
        prices = unit.energy_pj(seen.arch.load_technology(), seen.arch.path)
        expected = sum(prices[action] * n for action, n in result.actions.items())
        if not np.isclose(result.energy_pj, expected + result.leakage_pj, rtol=1e-9):
            yield (
                f"{name} costs {result.energy_pj} pJ; expected {expected} pJ for its actions "
                f"and {result.leakage_pj} pJ of leakage"
            )
    total = sum(unit.energy_pj for unit in seen.result.units.values())
    if not np.isclose(seen.result.totals()["energy_pj"], total, rtol=1e-9):
        yield f"the total is {seen.result.totals()['energy_pj']} pJ; expected {total} of all units"


OF_RUNS: dict[str, Callable[[Observed], Findings]] = {
    "both engines agree": engines_agree,
    "chains are like runs": chains_are_like_runs,
    "cycles are conserved": cycles_are_conserved,
    "ledgers are the network": ledgers_are_the_network,
    "breakdowns add up": breakdowns_add_up,
    "energy is priced": energy_is_priced,
}
"""Rules of what a machine did, by name."""


def others_work_as_without(seen: Observed, without: Observed) -> Findings:
    """A unit that words pass may change when others work, but not for how long."""
    for name, result in without.result.units.items():
        found, expected = (r.ledger.busy_cycles for r in (seen.result.units[name], result))
        if found != expected:
            yield (
                f"the ledger of {name} has {found} busy cycles; expected {expected}, as in the "
                f"machine without the unit"
            )


def sweep_rows_are_runs(
    seen: Observed, neighbours: Iterable[tuple[str, Architecture]] = ()
) -> Findings:
    """A row of a sweep is a run, and after rows of machines that are nearly alike what it is alone.

    Args:
        seen: the run.
        neighbours: other machines, and what is said of each in a message.
    """
    workload, memory = Workload(seen.trace, None), new_memory()

    def row_of(arch: Architecture, memory: Memory) -> Mapping[str, object]:
        try:
            ready = equip(arch, seen.trace, None)
            return totals_of(ready, workload, None, seen.batch, memory)
        except InputError as error:  # a machine that is too small for the trace
            return {"reason": str(error)}

    rows: list[tuple[str, Mapping[str, object], Mapping[str, object]]]
    rows = [("as it is", row_of(seen.arch, memory), seen.chained.totals())]
    for what, arch in neighbours:
        rows.append((what, row_of(arch, memory), row_of(arch, new_memory())))
    for what, row, alone in rows:
        for name in alone:
            if name in row and row[name] != alone[name]:
                yield (
                    f"the row of a sweep {what} has {name} {row[name]}; expected {alone[name]}, "
                    f"as in a run by itself"
                )
