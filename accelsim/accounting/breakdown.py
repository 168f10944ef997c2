"""Why a layer takes as long as it does, seen from the MAC array; and what bounds it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from accelsim.accounting.blame import blame
from accelsim.accounting.ledger import total
from accelsim.dataflows.pipeline import Machine
from accelsim.engine import Times
from accelsim.mapping import Ints, Work, ceil_div
from accelsim.mapping.datapath import stacked


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The cycles of a layer; `ideal + edge + fill + drain + all stalls` is exactly the run.

    ideal: executed MACs over multipliers. edge: lanes, rows and columns left over by ragged tiles
    and groups. fill: until the first product, without the prologue. drain: after the last. stall:
    in between and in the prologue, by cause.
    """

    ideal_cycles: int = 0
    edge_cycles: int = 0
    fill_cycles: int = 0
    drain_cycles: int = 0
    stall_cycles: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Breakdown) -> Breakdown:
        return Breakdown(
            self.ideal_cycles + other.ideal_cycles,
            self.edge_cycles + other.edge_cycles,
            self.fill_cycles + other.fill_cycles,
            self.drain_cycles + other.drain_cycles,
            dict(sorted((Counter(self.stall_cycles) + Counter(other.stall_cycles)).items())),
        )

    def with_ideal(self, ideal_cycles: int) -> Breakdown:
        """Return the same cycles with another share of the array's work called ideal."""
        edge_cycles = self.ideal_cycles + self.edge_cycles - ideal_cycles
        return replace(self, ideal_cycles=ideal_cycles, edge_cycles=edge_cycles)

    @property
    def total_cycles(self) -> int:
        """The sum over all parts."""
        parts = self.ideal_cycles + self.edge_cycles + self.fill_cycles + self.drain_cycles
        return parts + sum(self.stall_cycles.values())


def breakdown(machine: Machine, times: Times, work: Work) -> Breakdown:
    """Split the cycles of the runs of a layer's work."""
    compute, repeats = times.stages["compute"], work.repeats
    array_cycles = total(_busy_of(machine, "compute", "mac_array").sum(axis=-1), repeats)
    ideal = total(ceil_div(work.macs_executed, work.path.macs_per_cycle), repeats)
    stalls = _lockstep_stalls(machine, repeats) + blame(machine, times, "compute", repeats)
    prologue = _prologue_stalls(machine, times, repeats)
    return Breakdown(
        ideal_cycles=ideal,
        edge_cycles=array_cycles - ideal,
        fill_cycles=total(compute.start[..., 0], repeats) - prologue.total(),
        drain_cycles=total(times.cycles - compute.finish[..., -1], repeats),
        stall_cycles=dict(sorted((stalls + prologue).items())),
    )


def busy_totals(machine: Machine, repeats: Ints | int = 1) -> dict[str, int]:
    """Return the cycles that each resource needs at least: a lower bound of the run each.

    A buffer counts its busier port; the channel counts all streams.
    """
    needs: dict[str, Any] = {}
    for members in machine.members.values():
        for member in members:
            busy = member.busy.sum(axis=-1)
            if member.is_stream:
                needs["dram"] = needs.get("dram", 0) + busy
            else:
                needs[member.unit] = np.maximum(needs.get(member.unit, 0), busy)
    return {name: total(cycles, repeats) for name, cycles in needs.items()}


def bound(totals: Mapping[str, int]) -> str:
    """Name the resource with the highest lower bound; `compute` is the MAC array.

    It wins ties, then DRAM, then the selector.
    """
    labels = {("compute" if unit == "mac_array" else unit): busy for unit, busy in totals.items()}
    ties = {"compute": 3, "dram": 2, "selector": 1}
    return max(labels, key=lambda label: (labels[label], ties.get(label, 0)))


def _busy_of(machine: Machine, stage: str, unit: str) -> Ints:
    return next(m.busy for m in machine.members[stage] if m.unit == unit)


def _prologue_stalls(machine: Machine, times: Times, repeats: Ints | int) -> Counter[str]:
    """Charge the prologue, for which the first product always waits, to what sets its pace."""
    if "prologue" not in machine.members:
        return Counter()
    loading, *counting = machine.members["prologue"]
    slower = [member.unit for member in counting if (member.busy > loading.busy).any()]
    cause = slower[0] if slower else "dram"
    return Counter({cause: total(times.stages["prologue"].finish[..., 0], repeats)})


def _lockstep_stalls(machine: Machine, repeats: Ints | int) -> Counter[str]:
    """Charge the cycles in which the array waits for a slower unit of its own stage."""
    members = machine.members["compute"]
    busy = stacked([member.busy for member in members])
    slack = busy.max(axis=-2) - _busy_of(machine, "compute", "mac_array")
    slowest = busy.argmax(axis=-2)
    charged = {
        member.unit: total((slack * (slowest == row)).sum(axis=-1), repeats)
        for row, member in enumerate(members)
    }
    return +Counter(charged)
