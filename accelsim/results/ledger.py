"""Where every cycle of every unit went."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from accelsim.engine import StageTimes, Times
from accelsim.machine import Machine, Member
from accelsim.workload import Ints
from accelsim.workload.jobs import Flags


@dataclass(frozen=True, slots=True)
class UnitLedger:
    """Cycles of one unit by cause; they add up to the cycles of the run.

    busy: it worked. starved: it waited for input. blocked: it waited for room downstream.
    contended: it waited for the shared channel. idle: after its last job.
    """

    busy_cycles: int = 0
    starved_cycles: int = 0
    blocked_cycles: int = 0
    contended_cycles: int = 0
    idle_cycles: int = 0

    def __add__(self, other: UnitLedger) -> UnitLedger:
        sums = (getattr(self, f.name) + getattr(other, f.name) for f in fields(UnitLedger))
        return UnitLedger(*sums)

    @property
    def total_cycles(self) -> int:
        """The sum over all causes."""
        return sum(getattr(self, f.name) for f in fields(UnitLedger))


def ledgers(machine: Machine, times: Times) -> dict[str, UnitLedger]:
    """Charge every cycle of every unit, and of the DRAM channel, to one cause."""
    result = {"dram": _Channel.of(machine, times).ledger(times.cycles)}
    for stage, members in machine.members.items():
        result |= dict(_charge(members, times.stages[stage], times.cycles))
    return result


def _charge(
    members: tuple[Member, ...], stage: StageTimes, cycles: int
) -> Iterator[tuple[str, UnitLedger]]:
    """Charge the units of a stage.

    While a slower unit of the same stage works, a unit before it has nowhere to put its results
    (blocked), a unit after it has nothing to work on (starved).
    """
    busy = np.array([member.busy for member in members])
    is_upstream = np.arange(len(members))[:, None] < busy.argmax(axis=0)
    slack = (stage.finish - stage.start) - busy
    blocked = slack.sum(axis=1, where=is_upstream)
    starved = slack.sum(axis=1, where=~is_upstream)
    for member, *own in zip(members, busy.sum(axis=1), starved, blocked, strict=True):
        if member.is_charged:
            yield (
                member.unit,
                UnitLedger(
                    busy_cycles=int(own[0]),
                    starved_cycles=int((stage.ready - previous_finish(stage)).sum() + own[1]),
                    blocked_cycles=int((stage.roomy - stage.ready).sum() + own[2]),
                    contended_cycles=int((stage.start - stage.roomy).sum()),
                    idle_cycles=cycles - int(stage.finish[-1]),
                ),
            )


@dataclass(frozen=True, slots=True)
class _Channel:
    """What the DRAM channel did around each request, in program order; all `[requests]`.

    From `free` it waits for the stage's data (starved) until `due`, then for its room (blocked)
    until `start`. It works until `worked` and is held until `finish` if the port of the buffer is
    slower: blocked by one that takes, starved by one that gives.
    """

    job: Ints
    gives: Flags
    free: Ints
    due: Ints
    start: Ints
    worked: Ints
    finish: Ints

    @classmethod
    def of(cls, machine: Machine, times: Times) -> Self:
        order, stages = machine.network.order["dram"], machine.network.stages
        row = {stage.name: i for i, stage in enumerate(stages)}
        where = np.array([row[name] for name in order.names], np.int64)[order.stage], order.job
        ready, _, start, finish = (times[where] for times in times.table)
        free = np.concatenate([[0], finish[:-1]])[: len(finish)]
        groups = [machine.members[stage.name] for stage in stages]
        busy = np.array([next(m.busy for m in group if m.is_charged) for group in groups])[where]
        gives = np.array([not group[0].is_charged for group in groups])[where[0]]
        due = np.minimum(start, np.maximum(free, ready))
        return cls(order.job, gives, free, due, start, start + busy, finish)

    def ledger(self, cycles: int) -> UnitLedger:
        held, gives = self.finish - self.worked, self.gives
        return UnitLedger(
            busy_cycles=int((self.worked - self.start).sum()),
            starved_cycles=int((self.due - self.free).sum() + held[gives].sum()),
            blocked_cycles=int((self.start - self.due).sum() + held[~gives].sum()),
            idle_cycles=cycles - int(self.finish.max(initial=0)),
        )

    def intervals(self) -> Iterator[tuple[int, str, int, int]]:
        for job, gives, *moments in zip(
            *(getattr(self, f.name).tolist() for f in fields(self)), strict=True
        ):
            causes = ("starved", "blocked", "busy", "starved" if gives else "blocked")
            for cause, since, until in zip(causes, moments, moments[1:], strict=False):
                if until > since:
                    yield job, cause, since, until


def intervals(machine: Machine, times: Times, unit: str) -> Iterator[tuple[int, str, int, int]]:
    """Yield (job, cause, start, end) of a unit in order of time; empty intervals are left out.

    In a job it first works, then waits for a slower unit of its stage; both engines agree on the
    sums, the order inside a job is a convention.
    """
    if unit == "dram":
        yield from _Channel.of(machine, times).intervals()
        return
    name = machine.stage_of[unit]
    members, t = machine.members[name], times.stages[name]
    position = next(i for i, m in enumerate(members) if m.unit == unit and m.is_charged)
    slowest = np.argmax([member.busy for member in members], axis=0)
    previous = previous_finish(t)
    for job, busy in enumerate(members[position].busy):
        worked = t.start[job] + busy
        waits = "blocked" if position < slowest[job] else "starved"
        for cause, start, end in (
            ("starved", previous[job], t.ready[job]),
            ("blocked", t.ready[job], t.roomy[job]),
            ("contended", t.roomy[job], t.start[job]),
            ("busy", t.start[job], worked),
            (waits, worked, t.finish[job]),
        ):
            if end > start:
                yield job, cause, int(start), int(end)


def previous_finish(stage: StageTimes) -> Ints:
    """Return when the stage was done with the job before, `[jobs]`; 0 for the first."""
    return np.concatenate([[0], stage.finish[:-1]])
