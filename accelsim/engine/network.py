"""A pipeline as the engines see it: stages joined by buffers of a few tiles. Integers only.

Semantics (both engines, `docs/model.md`): a stage starts job i when

1. every input of job i is visible (else it is *starved*) and its own job i - 1 is done,
2. the buffer slot that job i fills is free (else it is *blocked*),
3. the shared resource has served all requests before it in program order (else *contended*);

it is then busy for `busy[i]` cycles, and its result is visible `latency` cycles after that. Latency
delays, but does not occupy the stage. A job with no work (`busy` 0) passes at once, asks for no
resource and adds no latency.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from typing import Any, Self

import numpy as np

from accelsim.base.errors import DeadlockError, InputError
from accelsim.mapping import Ints
from accelsim.mapping.datapath import stacked

MAX_CYCLES = 2**53  # of a layer: what a double counts exactly, 104 days at 1 GHz


@dataclass(frozen=True, slots=True)
class Room:
    """Space in a buffer downstream, which a stage needs before it starts a job.

    Attributes:
        consumer: name of the stage that frees the space.
        frees: `[jobs]`, the job that `consumer` must have finished before job i starts; -1: none.
        buffer: name of the memory, for reports.
    """

    consumer: str
    frees: Ints
    buffer: str


@dataclass(frozen=True, slots=True)
class Stage:
    """One process of the network: what it waits for and how long it serves each job.

    Attributes:
        name: of the stage.
        busy: `[jobs]`, cycles for which it serves each job; `[runs, jobs]` for several runs of the
            network, each from an empty start. A job has work in all of the runs or in none.
        inputs: names of the stages whose result of job i it needs for its own job i.
        rooms: space downstream that it needs.
        latency: cycles from the end of a job until its result is visible.
        resource: name of the shared resource that serves it; None: it has its own.
    """

    name: str
    busy: Ints
    inputs: tuple[str, ...] = ()
    rooms: tuple[Room, ...] = ()
    latency: int = 0
    resource: str | None = None


@dataclass(frozen=True, slots=True)
class Requests:
    """The program order of a shared resource: request k is job `job[k]` of `names[stage[k]]`.

    It lists every job with work of the stages that share the resource. Iterates as (name, job).
    """

    names: tuple[str, ...]
    stage: Ints
    job: Ints

    @classmethod
    def of(cls, pairs: Sequence[tuple[str, int]]) -> Self:
        """Return the order that (name, job) pairs spell out."""
        names = tuple(dict.fromkeys(name for name, _ in pairs))
        stage = [names.index(name) for name, _ in pairs]
        return cls(names, np.array(stage, np.int64), np.array([j for _, j in pairs], np.int64))

    def __len__(self) -> int:
        return len(self.job)

    def __iter__(self) -> Iterator[tuple[str, int]]:
        for stage, job in zip(self.stage.tolist(), self.job.tolist(), strict=True):
            yield self.names[stage], job


@dataclass(frozen=True)
class Network:
    """Stages, and for each shared resource its program order.

    Raises:
        ValueError: a job has work in some of several runs, but not in all.
    """

    stages: tuple[Stage, ...]
    order: Mapping[str, Requests] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for stage in self.stages:
            works = np.atleast_2d(stage.busy) > 0
            if (works != works[0]).any():
                raise ValueError(f"stage {stage.name}: a job has work in some runs only")

    @property
    def jobs(self) -> int:
        """Jobs that flow through every stage."""
        return int(self.stages[0].busy.shape[-1])

    @property
    def bound_cycles(self) -> Any:
        """Upper bound of the cycles of a run, all jobs one after the other; `[runs]` of several.

        In every cycle of a run some job is served, or its result is on its way, and each is so
        once. A float: sums of integers might overflow.
        """
        served = self.busy.sum(axis=(-2, -1), dtype=np.float64)
        return served + float(self.jobs) * sum(stage.latency for stage in self.stages)

    def single_runs(self) -> Iterator[Network]:
        """Yield the network of each of several runs by itself, or the network of the only one."""
        for busy in self.busy.reshape(-1, len(self.stages), self.jobs):
            stages = (replace(s, busy=row) for s, row in zip(self.stages, busy, strict=True))
            yield Network(tuple(stages), self.order)

    @cached_property
    def busy(self) -> Ints:
        """Service times of all stages, `[stages, jobs]` or `[runs, stages, jobs]`."""
        return stacked([stage.busy for stage in self.stages])

    @cached_property
    def flat(self) -> Flat:
        """The network as flat arrays."""
        return Flat.of(self)


@dataclass(frozen=True, slots=True)
class Flat:
    """A network as flat integer arrays, for loops that are compiled or interpreted alike.

    A value of stage s and job i stands at `s * jobs + i`; of room r at `r * jobs + i`. The inputs
    of stage s are `inputs[input_start[s]:input_start[s + 1]]`; so are its rooms, and the requests
    of a resource. A stage without a resource has -1. `busy` has a row for each of several runs.
    """

    jobs: int
    busy: Ints
    latency: Ints
    input_start: Ints
    inputs: Ints
    room_start: Ints
    consumer: Ints
    frees: Ints
    resource: Ints
    request_start: Ints
    request_stage: Ints
    request_job: Ints

    @classmethod
    def of(cls, network: Network) -> Self:
        """Number stages and resources, and lay out everything in one dimension."""
        stages, orders = network.stages, list(network.order.items())
        index = {stage.name: i for i, stage in enumerate(stages)}
        resources = {name: i for i, (name, _) in enumerate(orders)}
        rooms = [room for stage in stages for room in stage.rooms]
        numbers = [np.array([index[n] for n in r.names], np.int64)[r.stage] for _, r in orders]
        return cls(
            jobs=network.jobs,
            busy=network.busy.reshape(*network.busy.shape[:-2], -1),
            latency=_ints(stage.latency for stage in stages),
            input_start=_starts(len(stage.inputs) for stage in stages),
            inputs=_ints(index[name] for stage in stages for name in stage.inputs),
            room_start=_starts(len(stage.rooms) for stage in stages),
            consumer=_ints(index[room.consumer] for room in rooms),
            frees=_joined([room.frees for room in rooms]),
            resource=_ints(resources.get(stage.resource or "", -1) for stage in stages),
            request_start=_starts(len(requests) for _, requests in orders),
            request_stage=_joined(numbers),
            request_job=_joined([requests.job for _, requests in orders]),
        )


def _ints(values: Iterable[int]) -> Ints:
    return np.fromiter(values, np.int64)


def _joined(arrays: Sequence[Ints]) -> Ints:
    return np.concatenate(arrays) if arrays else np.zeros(0, np.int64)


def _starts(counts: Iterable[int]) -> Ints:
    return _ints(accumulate(counts, initial=0))


@dataclass(frozen=True, slots=True)
class StageTimes:
    """When each job of one stage happened; all `[jobs]` or `[runs, jobs]`, in cycles.

    Job i waits for inputs until `ready`, for room until `roomy`, for the resource until `start`.
    """

    ready: Ints
    roomy: Ints
    start: Ints
    finish: Ints


@dataclass(frozen=True, slots=True)
class Times:
    """The outcome of one run, or of several.

    Attributes:
        stages: times of each stage, views of `table`.
        cycles: the cycle in which the last result is out; `[runs]` of several runs.
        table: `[4, stages, jobs]` or `[runs, 4, stages, jobs]`: ready, roomy, start, finish.
    """

    stages: Mapping[str, StageTimes]
    cycles: Any
    table: Ints

    @classmethod
    def of(cls, network: Network, table: Ints) -> Self:
        """Name the rows of a table of times; a run ends with its last visible result."""
        named = {
            stage.name: StageTimes(*(table[..., kind, row, :] for kind in range(4)))
            for row, stage in enumerate(network.stages)
        }
        cycles = visible(network, table).max(axis=(-2, -1), initial=0)
        return cls(named, cycles if cycles.ndim else int(cycles), table)


def check_cycles(cycles: float) -> None:
    """Raise InputError if a layer may take more than `MAX_CYCLES`, up to which counts are exact."""
    if cycles > MAX_CYCLES:
        raise InputError(
            f"up to {cycles:.3g} cycles, and at most 2^53 are counted: the clock is too fast for "
            f"a layer so large, or for dram.bandwidth_gb_per_s"
        )


def program_order(streams: Sequence[tuple[Stage, int]]) -> Requests:
    """Merge the requests of several stages into one program order.

    Args:
        streams: stages with their lag: the request of job i of a stage with lag g stands with the
            unlagged requests of job i + g, after those earlier in the list.

    Example:
        >>> load, store = Stage("load", np.array([5, 5])), Stage("store", np.array([1, 1]))
        >>> list(program_order([(load, 0), (store, 1)]))
        [('load', 0), ('load', 1), ('store', 0), ('store', 1)]
    """
    jobs = [np.flatnonzero(np.atleast_2d(stage.busy)[0]) for stage, _ in streams]
    job = np.concatenate(jobs) if jobs else np.zeros(0, np.int64)
    which = np.repeat(np.arange(len(streams)), [len(part) for part in jobs])
    lag = np.array([lag for _, lag in streams], np.int64)
    order = np.lexsort((which, job + lag[which]))
    return Requests(tuple(stage.name for stage, _ in streams), which[order], job[order])


def deadlock(network: Network, done: Sequence[int], table: Ints) -> DeadlockError:
    """Return the error for a network in which nothing can happen any more.

    Args:
        network: the network.
        done: jobs that each stage has finished.
        table: `[4, stages, jobs]`, times as in `Times`, of those jobs.
    """
    finished = {stage.name: jobs for stage, jobs in zip(network.stages, done, strict=True)}
    reasons = "; ".join(
        f"{stage.name} waits for {_missing(stage, finished)} (tile {finished[stage.name]})"
        for stage in network.stages
        if finished[stage.name] < network.jobs
    )
    is_over = np.arange(network.jobs) < np.array(done)[:, None]
    cycle = visible(network, table).max(where=is_over, initial=0)
    return DeadlockError(f"deadlock at cycle {cycle}: {reasons}")


def visible(network: Network, table: Ints) -> Ints:
    """Return when each result is visible, `[stages, jobs]` or `[runs, stages, jobs]`."""
    latency = np.array([[stage.latency] for stage in network.stages])
    seen: Ints = table[..., 3, :, :] + latency * (network.busy > 0)
    return seen


def _missing(stage: Stage, done: Mapping[str, int]) -> str:
    """Return the first thing that the next job of a stage waits for in vain."""
    job = done[stage.name]
    for producer in stage.inputs:
        if done[producer] <= job:
            return producer
    for room in stage.rooms:
        if done[room.consumer] <= room.frees[job]:
            return f"room in {room.buffer}"
    return f"its turn on {stage.resource}"
