"""What a layer run adds up to: everything here is a count, so runs can be summed and repeated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from operator import mul

import numpy as np

from accelsim.accounting.breakdown import Breakdown, breakdown, busy_totals
from accelsim.accounting.ledger import UnitLedger, ledgers, total
from accelsim.dataflows.pipeline import Drawn, Pipeline, actions_of
from accelsim.dataflows.seams import NO_SEAMS, Seams
from accelsim.engine import Network, Times, check_cycles
from accelsim.mapping import Work

Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over one or more layer runs.

    Attributes:
        cycles: of all runs, one after the other.
        ledgers: cycles of each unit by cause.
        breakdown: cycles as seen from the MAC array.
        bound_cycles: cycles that each resource needs at least.
        actions: counted actions of each unit, as if every kept activation were zero.
        nonzero_actions: what one nonzero activation adds to them.
    """

    cycles: int
    ledgers: Mapping[str, UnitLedger]
    breakdown: Breakdown
    bound_cycles: Counts
    actions: Mapping[str, Counts]
    nonzero_actions: Mapping[str, Counts]

    @classmethod
    def of(
        cls,
        machine: Drawn,
        pipeline: Pipeline,
        times: Times,
        work: Work,
        *,
        is_brief: bool = False,
    ) -> Tally:
        """Add up the runs of a layer's work; a brief tally tells nothing of where cycles went.

        Units count actions in proportion to weight bytes (in whole bursts where runs differ) and to
        nonzero activations, so the runs need not be counted one by one.
        """
        repeats, runs = work.repeats, total(1, work.repeats)
        counted = work
        if work.found is not None and work.found.steps.ndim > 1:  # of runs that take place once
            counted, runs = work.flat, 1
        weights = np.atleast_2d(counted.weight_bytes)
        more = ((weights - weights[0]) * np.reshape(repeats, (-1, 1))).sum(axis=0)
        first, rest, one = (
            replace(counted, weight_bytes=fetched, nonzero=nonzero)
            for fetched, nonzero in ((weights[0], 0), (weights[0] + more, 0), (weights[0], 1))
        )
        once = {name: actions_of(machine, name, first) for name in machine.units}
        return cls(
            cycles=total(times.cycles, repeats),
            ledgers={} if is_brief else ledgers(pipeline, times, repeats),
            breakdown=Breakdown() if is_brief else breakdown(pipeline, times, work),
            bound_cycles={} if is_brief else busy_totals(pipeline, repeats),
            actions={
                name: weighted_sum([(1, actions_of(machine, name, rest)), (runs - 1, once[name])])
                for name in machine.units
            },
            nonzero_actions={
                name: weighted_sum([(1, actions_of(machine, name, one)), (-1, once[name])])
                for name in machine.units
            },
        )

    def actions_with(self, unit: str, nonzero: int) -> dict[str, int]:
        """Return the actions of a unit when so many kept activations are not zero."""
        return weighted_sum([(1, self.actions[unit]), (nonzero, self.nonzero_actions[unit])])


@dataclass(frozen=True, slots=True)
class LayerRun:
    """One layer run (in decode one step of a layer), or several: pipeline, times and their sums.

    `found` is what the next layer finds of its first loads, where one follows.
    """

    pipeline: Pipeline
    times: Times
    tally: Tally
    found: Seams = NO_SEAMS

    @property
    def network(self) -> Network:
        """What ran."""
        return self.pipeline.network


def combine(parts: Sequence[tuple[int, Tally]]) -> Tally:
    """Add up runs of one layer, each as often as its weight says; weights may be negative.

    What one nonzero activation adds is not a sum, but the weighted mean of the runs.

    Raises:
        InputError: more cycles than are counted.
    """
    runs = sum(number for number, _ in parts)
    first, cycles = parts[0][1], sum(number * tally.cycles for number, tally in parts)
    check_cycles(cycles)
    if len(parts) == 1 and runs == 1:
        return first
    slopes = {
        unit: weighted_sum((n, tally.nonzero_actions[unit]) for n, tally in parts)
        for unit in first.nonzero_actions
    }
    return Tally(
        cycles=cycles,
        ledgers={
            unit: _ledger_sum([(n, tally.ledgers[unit]) for n, tally in parts])
            for unit in first.ledgers
        },
        breakdown=_breakdown_sum([(n, tally.breakdown) for n, tally in parts]),
        bound_cycles=weighted_sum((n, tally.bound_cycles) for n, tally in parts),
        actions={
            unit: weighted_sum((n, tally.actions[unit]) for n, tally in parts)
            for unit in first.actions
        },
        nonzero_actions={
            unit: {name: count // runs for name, count in counts.items()}
            for unit, counts in slopes.items()
        },
    )


def weighted_sum(parts: Iterable[tuple[int, Counts]]) -> dict[str, int]:
    """Add up counts by name, each as often as its weight says."""
    sums: Counter[str] = Counter()
    for weight, counts in parts:
        for name, count in counts.items():
            sums[name] += weight * count
    return dict(sums)


def _ledger_sum(parts: Sequence[tuple[int, UnitLedger]]) -> UnitLedger:
    columns = zip(*(astuple(ledger) for _, ledger in parts), strict=True)
    weights = [number for number, _ in parts]
    return UnitLedger(*(sum(map(mul, weights, column)) for column in columns))


def _breakdown_sum(parts: Sequence[tuple[int, Breakdown]]) -> Breakdown:
    stalls = weighted_sum((number, part.stall_cycles) for number, part in parts)
    return Breakdown(
        ideal_cycles=sum(number * part.ideal_cycles for number, part in parts),
        edge_cycles=sum(number * part.edge_cycles for number, part in parts),
        fill_cycles=sum(number * part.fill_cycles for number, part in parts),
        drain_cycles=sum(number * part.drain_cycles for number, part in parts),
        stall_cycles={cause: cycles for cause, cycles in sorted(stalls.items()) if cycles},
    )
