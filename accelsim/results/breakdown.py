"""Why a layer takes as long as it does, seen from the MAC array; and what bounds it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from accelsim.engine import Stage, Times
from accelsim.machine import Machine
from accelsim.results.ledger import previous_finish
from accelsim.workload import Work, ceil_div


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The cycles of a layer; `ideal + edge + fill + drain + all stalls` is exactly the run.

    ideal: executed MACs over multipliers. edge: lanes, rows and columns left over by ragged tiles
    and groups. fill: until the first product. drain: after the last. stall: in between, by cause.
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

    @property
    def total_cycles(self) -> int:
        """The sum over all parts."""
        parts = self.ideal_cycles + self.edge_cycles + self.fill_cycles + self.drain_cycles
        return parts + sum(self.stall_cycles.values())


def breakdown(machine: Machine, times: Times, work: Work) -> Breakdown:
    """Split the cycles of one layer run."""
    compute = times.stages["compute"]
    array_busy = _busy_of(machine, "compute", "mac_array")
    ideal = ceil_div(work.macs_executed, work.path.macs_per_cycle)
    stalls = _lockstep_stalls(machine)
    for job in np.flatnonzero(compute.start[1:] > compute.finish[:-1]) + 1:
        interval = (int(compute.finish[job - 1]), int(compute.start[job]))
        stalls.update(_Blame(machine, times).causes("compute", int(job), *interval))
    return Breakdown(
        ideal_cycles=ideal,
        edge_cycles=int(array_busy.sum()) - ideal,
        fill_cycles=int(compute.start[0]),
        drain_cycles=times.cycles - int(compute.finish[-1]),
        stall_cycles=dict(sorted((+stalls).items())),
    )


def busy_totals(machine: Machine) -> dict[str, int]:
    """Return the cycles that each resource needs at least: a lower bound of the run each.

    A buffer counts its busier port; the channel counts all streams.
    """
    totals: Counter[str] = Counter()
    for members in machine.members.values():
        for member in members:
            busy = int(member.busy.sum())
            if member.is_stream:
                totals["dram"] += busy
            else:
                totals[member.unit] = max(totals[member.unit], busy)
    return dict(totals)


def bound(totals: Mapping[str, int]) -> str:
    """Name the resource with the highest lower bound; `compute` is the MAC array and wins ties."""
    labels = {("compute" if unit == "mac_array" else unit): busy for unit, busy in totals.items()}
    return max(labels, key=lambda label: (labels[label], label == "compute", label == "dram"))


def _stage(machine: Machine, name: str) -> Stage:
    return next(stage for stage in machine.network.stages if stage.name == name)


def _busy_of(machine: Machine, stage: str, unit: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return next(m.busy for m in machine.members[stage] if m.unit == unit)


def _lockstep_stalls(machine: Machine) -> Counter[str]:
    """Charge the cycles in which the array waits for a slower unit of its own stage."""
    members = machine.members["compute"]
    busy = np.stack([member.busy for member in members])
    slowest = busy.argmax(axis=0)
    slack = busy.max(axis=0) - _busy_of(machine, "compute", "mac_array")
    charged = np.bincount(slowest, weights=slack, minlength=len(members)).astype(int)
    return Counter({m.unit: int(c) for m, c in zip(members, charged, strict=True) if c})


class _Blame:
    """Follows a wait upstream to the unit that was at work, or the buffer that was full."""

    def __init__(self, machine: Machine, times: Times) -> None:
        self.machine = machine
        self.times = times
        self.found: Counter[str] = Counter()

    def causes(self, stage: str, job: int, start: int, end: int) -> Counter[str]:
        """Distribute the wait of `stage` before `job`, from `start` to `end`, over causes."""
        t = self.times.stages[stage]
        room = int(t.ready[job])
        self._until_input(stage, job, start, min(end, room))
        if end > room:  # waiting for an output slot: what was its holder doing?
            spec = _stage(self.machine, stage).rooms[0]
            self._follow(spec.consumer, int(spec.frees[job]), max(start, room), end)
        return self.found

    def _until_input(self, stage: str, job: int, start: int, end: int) -> None:
        """Blame the input that came last."""
        if end <= start:
            return
        inputs = _stage(self.machine, stage).inputs
        if not inputs:
            self.found["dram"] += end - start
            return
        last = max(inputs, key=lambda name: self._visible(name, job))
        self._follow(last, job, start, end)

    def _follow(self, stage: str, job: int, start: int, end: int) -> None:
        """Charge `start` … `end` to what `stage` did up to its completion of `job`."""
        t = self.times.stages[stage]
        while end > start and job >= 0:
            before = int(previous_finish(t)[job])
            ready, roomy = int(t.ready[job]), int(t.roomy[job])
            begun = int(t.start[job])
            self.found[self._worker(stage, job)] += _overlap(start, end, begun, end)
            self.found["dram"] += _overlap(start, end, roomy, begun)
            if roomy > ready:
                buffer = _stage(self.machine, stage).rooms[0].buffer
                self.found[f"buffers.{buffer}"] += _overlap(start, end, ready, roomy)
            self._until_input(stage, job, max(start, before), min(end, ready))
            end, job = min(end, before), job - 1

    def _visible(self, stage: str, job: int) -> int:
        spec = _stage(self.machine, stage)
        return int(self.times.stages[stage].finish[job]) + (spec.latency if spec.busy[job] else 0)

    def _worker(self, stage: str, job: int) -> str:
        """Return the unit that sets the pace of a stage in a job."""
        # A unit that just keeps up with the stream or the array is not to blame.
        slowest = max(
            self.machine.members[stage],
            key=lambda m: (int(m.busy[job]), m.is_stream or m.unit == "mac_array"),
        )
        return "dram" if slowest.is_stream else slowest.unit


def _overlap(start: int, end: int, other_start: int, other_end: int) -> int:
    return max(0, min(end, other_end) - max(start, other_start))
