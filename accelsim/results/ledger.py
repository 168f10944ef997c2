"""Where every cycle of every unit went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from accelsim.engine import StageTimes, Times
from accelsim.machine import Machine, Member
from accelsim.workload import Ints


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
    result = {"dram": _channel(machine, times)}
    for stage, members in machine.members.items():
        slowest = np.argmax([member.busy for member in members], axis=0)
        for position, member in enumerate(members):
            if member.is_charged:
                is_upstream = position < slowest
                result[member.unit] = _charge(
                    member, is_upstream, times.stages[stage], times.cycles
                )
    return result


def _charge(member: Member, is_upstream: Ints, stage: StageTimes, cycles: int) -> UnitLedger:
    """Charge a unit of a stage.

    While a slower unit of the same stage works, a unit before it has nowhere to put its results
    (blocked), a unit after it has nothing to work on (starved).
    """
    previous = previous_finish(stage)
    slack = stage.finish - stage.start - member.busy
    return UnitLedger(
        busy_cycles=int(member.busy.sum()),
        starved_cycles=int((stage.ready - previous).sum() + slack[~is_upstream].sum()),
        blocked_cycles=int((stage.roomy - stage.ready).sum() + slack[is_upstream].sum()),
        contended_cycles=int((stage.start - stage.roomy).sum()),
        idle_cycles=cycles - int(stage.finish[-1]),
    )


def _channel(machine: Machine, times: Times) -> UnitLedger:
    """Charge the DRAM channel."""
    spent: Counter[str] = Counter()
    end = 0
    for _, cause, start, end in _channel_intervals(machine, times):
        spent[cause] += end - start
    return UnitLedger(spent["busy"], spent["starved"], spent["blocked"], 0, times.cycles - end)


def _channel_intervals(machine: Machine, times: Times) -> Iterator[tuple[int, str, int, int]]:
    """Yield what the DRAM channel did: between requests it waits for the next in program order.

    That request's stage may be waiting for data (starved), then for room (blocked). A request may
    hold the channel for longer than the transfer, if the port of the buffer is slower.
    """
    end = 0
    for name, job in machine.network.order["dram"]:
        stage = times.stages[name]
        start, finish = int(stage.start[job]), int(stage.finish[job])
        waits_for_room = min(start, max(end, int(stage.ready[job])))
        members = machine.members[name]
        worked = start + next(int(m.busy[job]) for m in members if m.is_charged)
        for cause, since, until in (
            ("starved", end, waits_for_room),
            ("blocked", waits_for_room, start),
            ("busy", start, worked),
            ("blocked" if members[0].is_charged else "starved", worked, finish),
        ):
            if until > since:
                yield job, cause, since, until
        end = finish


def intervals(machine: Machine, times: Times, unit: str) -> Iterator[tuple[int, str, int, int]]:
    """Yield (job, cause, start, end) of a unit in order of time; empty intervals are left out.

    In a job it first works, then waits for a slower unit of its stage; both engines agree on the
    sums, the order inside a job is a convention.
    """
    if unit == "dram":
        yield from _channel_intervals(machine, times)
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
