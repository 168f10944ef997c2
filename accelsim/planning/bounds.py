"""Lower bounds of the cycles of tilings: what no order of events can beat, proven stage by stage.

Each stage serves one job after the other. So a run takes at least

    a stage:    when its first job can be there + all of its service + what follows its last job
    a resource: all that it moves, and what follows its last load
    a buffer:   of S slots, each in turn filled, visible, used: the service of who fills and who
                reads, and the latency of each fill, spread over S slots

A run also takes at least as long as the largest of these. `tests/planning` holds them against runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from accelsim.dataflows.stages import Stage
from accelsim.hardware import READ
from accelsim.mapping import Ints
from accelsim.mapping.jobs import Flags
from accelsim.mapping.tiling import LOOPS, ORDERS
from accelsim.planning.candidates import Candidates
from accelsim.planning.services import Services


def lower_bounds(services: Services, candidates: Candidates, lag: int) -> dict[str, Ints]:
    """Return by what bounds it the fewest cycles of each tiling, `[tilings]`.

    Keys are stages, resources and buffers.

    Args:
        services: of the tilings.
        candidates: the tilings.
        lag: tiles whose loads go before a store at most.
    """
    number = services.kinds.number
    total = {name: (busy * number).sum(axis=1) for name, busy in services.busy.items()}
    heads, tails = _heads(services), _tails(services)
    bounds = {name: heads[name] + total[name] + tails[name] for name in total}
    bounds |= dict(_of_resources(services, total, tails, lag))
    beginnings = _of_beginnings(services, candidates, total, tails)
    bounds |= {name: np.maximum(bounds[name], found) for name, found in beginnings.items()}
    bounds |= dict(_of_spills(services, total, lag))
    bounds |= dict(_of_buffers(services, total, heads))
    return bounds


def _of_resources(
    services: Services, total: Mapping[str, Ints], tails: Mapping[str, Ints], lag: int
) -> Iterator[tuple[str, Ints]]:
    """Yield of each shared resource all that it moves until its last load, and what follows.

    At most `lag` stores stand behind the last load.
    """
    streams = [stage for stage in services.stages if stage.stream]
    for resource in dict.fromkeys(stage.stream.resource for stage in streams if stage.stream):
        moved: Ints = np.zeros(len(services.kinds.number), np.int64)
        before, after = moved, np.full(len(moved), np.iinfo(np.int64).max // 4)
        for stage in streams:
            assert stage.stream is not None
            if stage.stream.resource != resource:
                continue
            amount, busy = total[stage.name], services.busy[stage.name]
            moved = moved + amount
            if stage.stream.direction is READ:
                before = before + amount
                after = np.where(amount > 0, np.minimum(after, tails[stage.name]), after)
            else:
                before = before + np.maximum(0, amount - lag * busy.max(axis=1))
        after = np.where(after < np.iinfo(np.int64).max // 4, after, 0)
        yield resource, np.maximum(moved, before + after)


def _of_beginnings(
    services: Services,
    candidates: Candidates,
    total: Mapping[str, Ints],
    tails: Mapping[str, Ints],
) -> dict[str, Ints]:
    """Return of stages behind all loads of a resource: the loads of a beginning, then what is left.

    Loads crowd at the beginning, where nothing is on chip. A beginning is the first iteration of
    the outermost loop, or of the two outermost: its last job comes after all of its loads, and all
    other jobs come after it.
    """
    number = services.kinds.number
    bounds: dict[str, Ints] = {}
    for is_first in _beginnings(candidates):
        inside = number * is_first
        for streams in _loads(services).values():
            loaded = sum((services.busy[name] * inside).sum(axis=1) for name in streams)
            visible = min(services.latency[name] for name in streams)
            for name in _behind(services.stages, streams):
                left = total[name] - (services.busy[name] * inside).sum(axis=1)
                after = loaded + left + tails[name] + visible * (loaded > 0)
                bounds[name] = np.maximum(bounds.get(name, 0), after)
    return bounds


def _beginnings(candidates: Candidates) -> Iterator[Flags]:
    """Yield `[tilings, 27]`: which kinds of jobs are of the first iteration of the outer loops."""
    place = dict(zip("tck", np.indices((3, 3, 3)).reshape(3, -1) == 0, strict=True))
    for depth in (1, 2):
        by_order = [
            np.logical_and.reduce([place[loop] for loop in LOOPS[order][:depth]])
            for order in ORDERS
        ]
        yield np.array(by_order)[candidates.order]


def _loads(services: Services) -> dict[str, list[str]]:
    """Return by resource the stages that load over it, those that serve one job only apart."""
    loads: dict[str, list[str]] = {}
    for stage in services.stages:
        if stage.stream and stage.stream.direction is READ and not stage.is_once:
            loads.setdefault(stage.stream.resource, []).append(stage.name)
    return loads


def _behind(stages: list[Stage], sources: list[str]) -> Iterator[str]:
    """Yield the stages whose jobs wait for all of these, directly or through others."""
    above: dict[str, set[str]] = {}
    for stage in stages:
        waits = [wait.stage for wait in stage.after]
        above[stage.name] = {*waits, *(name for wait in waits for name in above[wait])}
        if above[stage.name] >= set(sources) and stage.stream is None:
            yield stage.name


def _of_spills(
    services: Services, total: Mapping[str, Ints], lag: int
) -> Iterator[tuple[str, Ints]]:
    """Yield what tilings take whose every job stores partial sums, behind which later loads wait.

    The loads of job i + p stand behind the store of job i, which waits for its computation; p is
    the lag of stores plus one for the job itself, and one more where loads wait for a selection.
    So storing, loading, selecting and computing of every p-th job are one chain; there are p.
    """
    is_spilling = services.spills
    if not is_spilling.any():
        return
    number, busy, latency = services.kinds.number, services.busy, services.latency
    for store, load in _stores_and_loads(services.stages):
        way = _way(load, services.stages)
        served = {name: (busy[name] > 0) * number for name in way}
        visible = sum(latency[name] * served[name].sum(axis=1) for name in way)
        ends = sum(busy[name].max(axis=1) + latency[name] for name in (store, *way))
        in_chains = total[store] + sum(total[name] for name in way) + visible
        yield f"{store} before {load}", is_spilling * (in_chains // (lag + 2) - ends)


def _stores_and_loads(stages: list[Stage]) -> Iterator[tuple[str, str]]:
    """Yield the stage that stores Y, and the one that loads X and partial sums behind it."""
    streams = {stage.stream.operand: stage for stage in stages if stage.stream}
    x, y = streams.get("x"), streams.get("y")
    if x and y and x.stream and y.stream and x.stream.resource == y.stream.resource:
        yield y.name, x.name


def _way(load: str, stages: list[Stage]) -> list[str]:
    """Return the stages that follow each other from a load to the computation, both included.

    A load that waits for a selection is among them.
    """
    way = [load]
    for stage in stages:
        is_store = stage.stream is not None and stage.stream.direction is not READ
        if not is_store and any(wait.stage == way[-1] for wait in stage.after):
            way.append(stage.name)
    return way


def _of_buffers(
    services: Services, total: Mapping[str, Ints], heads: Mapping[str, Ints]
) -> Iterator[tuple[str, Ints]]:
    """Yield of each buffer the time in which its slots are filled, visible and used in turn."""
    for stage, reader in services.filling():
        visible = services.fills[stage.fills].sum(axis=1) * services.latency[stage.name]
        in_turn = total[stage.name] + total[reader] + visible
        slots = np.maximum(1, services.slots[stage.fills])
        yield stage.fills, heads[stage.name] + in_turn // slots


def _heads(services: Services) -> dict[str, Ints]:
    """Return when the first job of each stage can be there at best, `[tilings]`.

    Loads of the first job share their resource: those that wait for nothing go first.
    """
    heads: dict[str, Ints] = {}
    done: dict[str, Ints] = {}
    free: dict[tuple[str, bool], Ints] = {}
    for stage in services.stages:
        busy = services.busy[stage.name][:, 0]
        start = np.zeros_like(busy)
        for wait in stage.after:
            latency = services.latency[wait.stage] * (services.busy[wait.stage][:, 0] > 0)
            start = np.maximum(start, done[wait.stage] + latency)
        heads[stage.name] = start
        if stage.stream and stage.stream.direction is READ:
            queue = stage.stream.resource, bool(stage.after)
            start = np.maximum(start, free.get(queue, 0))
            free[queue] = start + busy
        done[stage.name] = start + busy
    return heads


def _tails(services: Services) -> dict[str, Ints]:
    """Return what follows the end of the last job of each stage at least, `[tilings]`."""
    rows = np.arange(len(services.kinds.last))
    last = {name: busy[rows, services.kinds.last] for name, busy in services.busy.items()}
    tails: dict[str, Ints] = {}
    for stage in reversed(services.stages):
        visible = services.latency[stage.name] * (last[stage.name] > 0)
        tails[stage.name] = visible
        for reader in _waiting_for(stage, services.stages):
            after = visible + last[reader] + tails[reader]
            tails[stage.name] = np.maximum(tails[stage.name], after)
    return tails


def _waiting_for(stage: Stage, stages: list[Stage]) -> Iterator[str]:
    """Yield the stages that start a job after this one has finished it."""
    for other in stages:
        if any(wait.stage == stage.name for wait in other.after):
            yield other.name
