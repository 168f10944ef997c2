"""Why a layer takes as long as it does, seen from the array; and what bounds it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from accelsim.accounting.blame import blame
from accelsim.accounting.ledger import total
from accelsim.dataflows.diagram import Diagram, Role
from accelsim.dataflows.pipeline import Pipeline
from accelsim.engine import Times
from accelsim.mapping import Ints, Work, ceil_div
from accelsim.mapping.datapath import stacked


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The cycles of a layer by what the MAC array did; the parts add up to exactly the run.

    Attributes:
        ideal_cycles: executed MACs over multipliers.
        edge_cycles: what ragged tiles and groups cost: lanes, rows and columns left idle.
        fill_cycles: until the first product, without the stalls of the prologue.
        drain_cycles: after the last product.
        stall_cycles: by cause, in between and in the prologue.
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
        """Return the same cycles with other shares of ideal and edge."""
        edge_cycles = self.ideal_cycles + self.edge_cycles - ideal_cycles
        return replace(self, ideal_cycles=ideal_cycles, edge_cycles=edge_cycles)

    @property
    def total_cycles(self) -> int:
        """The sum over all parts."""
        parts = self.ideal_cycles + self.edge_cycles + self.fill_cycles + self.drain_cycles
        return parts + sum(self.stall_cycles.values())


def breakdown(pipeline: Pipeline, times: Times, work: Work) -> Breakdown:
    """Split the cycles of the runs of a layer's work, as seen from the array."""
    (stage, array), repeats = pipeline.array, work.repeats
    computing = times.stages[stage]
    array_cycles = total(array.busy.sum(axis=-1), repeats)
    executed = np.asarray(work.macs_executed)  # of each run, or of all alike
    ideal = total(ceil_div(executed, work.path.macs_per_cycle), repeats)
    stalls = _lockstep_stalls(pipeline, repeats) + blame(pipeline, times, stage, repeats)
    prologue = _prologue_stalls(pipeline, times, repeats)
    return Breakdown(
        ideal_cycles=ideal,
        edge_cycles=array_cycles - ideal,
        fill_cycles=total(computing.start[..., 0], repeats) - prologue.total(),
        drain_cycles=total(times.cycles - computing.finish[..., -1], repeats),
        stall_cycles=dict(sorted((stalls + prologue).items())),
    )


def busy_totals(pipeline: Pipeline, repeats: Ints | int = 1) -> dict[str, int]:
    """Return the cycles that each resource needs at least: a lower bound of the run each.

    A buffer counts its busier port; a shared resource counts all of its streams.
    """
    needs: dict[str, Any] = {}
    for members in pipeline.members.values():
        for member in members:
            busy = member.busy.sum(axis=-1)
            if member.role is Role.STREAM:
                needs[member.cause] = needs.get(member.cause, 0) + busy
            else:
                needs[member.cause] = np.maximum(needs.get(member.cause, 0), busy)
    return {name: total(cycles, repeats) for name, cycles in needs.items()}


def leaders(diagram: Diagram) -> tuple[str, ...]:
    """Return who wins if several bound a run alike: array, then resources, then selector."""
    of_role = {
        role: [part.name for part in diagram.parts if part.role is role]
        for role in (Role.COMPUTE, Role.SELECT)
    }
    return (*of_role[Role.COMPUTE], *diagram.resources, *of_role[Role.SELECT])


def bound(totals: Mapping[str, int], first: Sequence[str]) -> str:
    """Name the unit or resource with the highest lower bound; `compute` is the array.

    Args:
        totals: of `busy_totals`.
        first: who wins ties, the array before all others: `leaders`.

    >>> bound({"dram": 7, "selector": 9, "mac_array": 9}, ("mac_array", "dram", "selector"))
    'compute'
    """
    ranks = {name: -place for place, name in enumerate(first)}
    name = max(totals, key=lambda unit: (totals[unit], ranks.get(unit, -len(ranks))))
    return "compute" if name == first[0] else name


def _prologue_stalls(pipeline: Pipeline, times: Times, repeats: Ints | int) -> Counter[str]:
    """Charge the prologue, as far as it precedes the first product, to what sets its pace."""
    if not pipeline.once:
        return Counter()
    stage, _ = pipeline.array
    members = pipeline.members[pipeline.once]
    (loading,) = (member for member in members if member.role is Role.STREAM)
    slower = [member.cause for member in members if (member.busy > loading.busy).any()]
    cause = slower[0] if slower else loading.cause
    waited = np.minimum(times.stages[pipeline.once].finish, times.stages[stage].start)[..., 0]
    return Counter({cause: total(waited, repeats)})


def _lockstep_stalls(pipeline: Pipeline, repeats: Ints | int) -> Counter[str]:
    """Charge the cycles in which the array waits for a slower unit of its own stage."""
    stage, array = pipeline.array
    members = pipeline.members[stage]
    busy = stacked([member.busy for member in members])
    slack = busy.max(axis=-2) - array.busy
    slowest = busy.argmax(axis=-2)
    charged = {
        member.cause: total((slack * (slowest == row)).sum(axis=-1), repeats)
        for row, member in enumerate(members)
    }
    return +Counter(charged)
