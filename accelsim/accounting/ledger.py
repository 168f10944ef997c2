"""Where every cycle of every unit went."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from accelsim.dataflows.diagram import Role
from accelsim.dataflows.pipeline import Member, Pipeline
from accelsim.engine import StageTimes, Times
from accelsim.mapping import Ints
from accelsim.mapping.datapath import stacked
from accelsim.mapping.jobs import Flags


@dataclass(frozen=True, slots=True)
class UnitLedger:
    """Cycles of one unit by cause; they add up to the cycles of the run.

    busy: it worked. starved: it waited for input. blocked: it waited for room downstream.
    contended: it waited for its turn on a shared resource. idle: after its last job.
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


def ledgers(pipeline: Pipeline, times: Times, repeats: Ints | int = 1) -> dict[str, UnitLedger]:
    """Charge every cycle of every unit, and of every shared resource, to one cause.

    Args:
        pipeline: what ran.
        times: of one run, or of several.
        repeats: `[runs]`, how often each run takes place.
    """
    result = {
        name: _Channel.of(pipeline, times, name).ledger(times.cycles, repeats)
        for name in pipeline.network.order
    }
    for stage, members in pipeline.members.items():
        result |= _charge(members, times.stages[stage], times.cycles, repeats)
    return result


def total(values: Ints | int, repeats: Ints | int) -> int:
    """Add up values of one run, or of each of several runs, over all of their repeats.

    >>> total(5, 2), total(np.array([5, 7]), np.array([1, 10])), total(5, np.array([1, 10]))
    (10, 75, 55)
    """
    return int(np.sum(values * repeats))


def _charge(
    members: tuple[Member, ...], stage: StageTimes, cycles: Ints | int, repeats: Ints | int
) -> dict[str, UnitLedger]:
    """Charge the units of a stage.

    While a slower unit of the same stage works, a unit before it has nowhere to put its results
    (blocked), a unit after it has nothing to work on (starved).
    """
    busy = stacked([member.busy for member in members])
    slack = busy.max(axis=-2, keepdims=True) - busy
    is_upstream = np.arange(len(members))[:, None] < busy.argmax(axis=-2, keepdims=True)
    worked, blocked = busy.sum(axis=-1), (slack * is_upstream).sum(axis=-1)
    starved = slack.sum(axis=-1) - blocked
    waits = [stage.ready - previous_finish(stage), stage.roomy - stage.ready]
    for_input, for_room, for_turn = (
        total(wait.sum(axis=-1), repeats) for wait in (*waits, stage.start - stage.roomy)
    )
    idle = total(cycles - stage.finish[..., -1], repeats)
    return {
        member.unit: UnitLedger(
            busy_cycles=total(worked[..., row], repeats),
            starved_cycles=for_input + total(starved[..., row], repeats),
            blocked_cycles=for_room + total(blocked[..., row], repeats),
            contended_cycles=for_turn,
            idle_cycles=idle,
        )
        for row, member in enumerate(members)
        if member.is_charged
    }


@dataclass(frozen=True, slots=True)
class _Channel:
    """What a shared resource did around each request, in program order; `[requests]` of each run.

    From `free` it waits for the stage's data (starved) until `due`, then for its room (blocked)
    until `start`. It works until `worked` and is held until `finish` if another member of the stage
    is slower: starved by one before the stream, which gives, blocked by one behind it.
    """

    job: Ints
    gives: Flags
    free: Ints
    due: Ints
    start: Ints
    worked: Ints
    finish: Ints

    @classmethod
    def of(cls, pipeline: Pipeline, times: Times, resource: str) -> Self:
        order = pipeline.network.order[resource]
        row = {stage.name: i for i, stage in enumerate(pipeline.network.stages)}
        where = np.array([row[name] for name in order.names], np.int64)[order.stage], order.job
        ready, _, start, finish = (times.table[(..., kind, *where)] for kind in range(4))
        free = np.roll(finish, 1, axis=-1)
        free[..., :1] = 0
        streams = [_stream_of(pipeline.members[name]) for name in order.names]
        request = (..., order.stage, order.job)
        worked, gives = start, np.zeros(start.shape, np.bool_)
        if streams:
            worked = start + stacked([busy for busy, _ in streams])[request]
            gives = (stacked([place for _, place in streams]) < 0)[request]
        due = np.minimum(start, np.maximum(free, ready))
        return cls(order.job, gives, free, due, start, worked, finish)

    def ledger(self, cycles: Ints | int, repeats: Ints | int) -> UnitLedger:
        held = self.finish - self.worked
        starved = self.due - self.free + held * self.gives
        blocked = self.start - self.due + held * ~self.gives
        worked = self.worked - self.start
        return UnitLedger(
            busy_cycles=total(worked.sum(axis=-1), repeats),
            starved_cycles=total(starved.sum(axis=-1), repeats),
            blocked_cycles=total(blocked.sum(axis=-1), repeats),
            idle_cycles=total(cycles - self.finish.max(axis=-1, initial=0), repeats),
        )

    def intervals(self) -> Iterator[tuple[int, str, int, int]]:
        for job, gives, *moments in zip(
            *(getattr(self, f.name).tolist() for f in fields(self)), strict=True
        ):
            causes = ("starved", "blocked", "busy", "starved" if gives else "blocked")
            for cause, since, until in zip(causes, moments, moments[1:], strict=False):
                if until > since:
                    yield job, cause, since, until


def _stream_of(members: tuple[Member, ...]) -> tuple[Ints, Ints]:
    """Return how long the stream of a stage works, and how far the slowest member is behind it."""
    place = next(i for i, member in enumerate(members) if member.role is Role.STREAM)
    slowest = stacked([member.busy for member in members]).argmax(axis=-2)
    return members[place].busy, slowest - place


def intervals(pipeline: Pipeline, times: Times, unit: str) -> Iterator[tuple[int, str, int, int]]:
    """Yield (job, cause, start, end) of a unit in order of time; empty intervals are left out.

    In a job it first works, then waits for a slower unit of its stage; both engines agree on the
    sums, the order inside a job is a convention.
    """
    if unit in pipeline.network.order:
        yield from _Channel.of(pipeline, times, unit).intervals()
        return
    name = pipeline.stage_of[unit]
    members, t = pipeline.members[name], times.stages[name]
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
    """Return when the stage was done with the job before it; 0 for the first."""
    previous = np.roll(stage.finish, 1, axis=-1)
    previous[..., 0] = 0
    return previous
