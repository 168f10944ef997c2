"""Who is to blame for the waits of a stage: each wait is followed upstream to what was at work."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np

from accelsim.base.compiled import run_loop
from accelsim.dataflows.pipeline import Pipeline
from accelsim.engine import Times
from accelsim.engine.network import Flat
from accelsim.mapping import Ints
from accelsim.mapping.datapath import stacked

_INTERPRETED_NS = 5000  # of one job of the stage in the interpreter


def blame(pipeline: Pipeline, times: Times, stage: str, repeats: Ints | int = 1) -> Counter[str]:
    """Distribute the waits of `stage` between its first and last job over causes.

    A cause is a unit that was at work, a shared resource such as `dram`, or `buffers.x` where a
    producer waited for room.

    Args:
        pipeline: what ran.
        times: of one run, or of several.
        stage: name of the stage whose waits are distributed.
        repeats: `[runs]`, how often each run takes place.
    """
    network = pipeline.network
    flat, size = network.flat, len(network.stages) * network.jobs
    worker, causes = _workers(pipeline)
    fixed = _room_causes(pipeline, causes), _turn_causes(pipeline, causes)
    row = [s.name for s in network.stages].index(stage)
    tables = times.table.reshape(-1, 4, size)
    cycles = np.zeros((len(tables), len(causes)), np.int64)
    of_runs = (np.broadcast_to(a, (len(tables), size)) for a in (flat.busy, worker))
    for busy, workers, moments, charged in zip(*of_runs, tables, cycles, strict=True):
        inputs = (
            *(flat.jobs, busy, flat.latency, flat.input_start, flat.inputs),
            *(flat.consumer, flat.frees, *fixed, _binding_rooms(flat, moments[3])),
            *(workers, *moments, row),
        )
        run_loop(_follow, inputs, [charged], interpreted_ns=flat.jobs * _INTERPRETED_NS)
    sums = (cycles * np.reshape(repeats, (-1, 1))).sum(axis=0).tolist()
    return Counter({cause: count for cause, count in zip(causes, sums, strict=True) if count})


def _workers(pipeline: Pipeline) -> tuple[Ints, list[str]]:
    """Return which cause sets the pace of each stage and job, flat, and the names of all causes."""
    causes = list(pipeline.network.order)
    rows = []
    for stage in pipeline.network.stages:
        members = pipeline.members[stage.name]
        # A unit that just keeps up with what the stage is there for is not to blame.
        first = np.array([[member.role.leads] for member in members])
        slowest = (2 * stacked([member.busy for member in members]) + first).argmax(axis=-2)
        names = [member.cause for member in members]
        causes += [name for name in names if name not in causes]
        rows.append(np.array([causes.index(name) for name in names])[slowest])
    buffers = dict.fromkeys(r.buffer for stage in pipeline.network.stages for r in stage.rooms)
    workers = stacked(rows)
    flat = workers.reshape(*workers.shape[:-2], -1)
    return flat, [*causes, *(f"buffers.{buffer}" for buffer in buffers)]


def _turn_causes(pipeline: Pipeline, causes: list[str]) -> Ints:
    """Return the cause of each stage's waits for its turn: the resource that it shares."""
    stages = pipeline.network.stages
    return np.array([causes.index(s.resource) if s.resource else 0 for s in stages], np.int64)


def _room_causes(pipeline: Pipeline, causes: list[str]) -> Ints:
    """Return the cause that each room stands for, in the order of `Flat`."""
    rooms = [room for stage in pipeline.network.stages for room in stage.rooms]
    return np.array([causes.index(f"buffers.{room.buffer}") for room in rooms], np.int64)


def _binding_rooms(flat: Flat, finish: Ints) -> Ints:
    """Return which room each job of each stage waits for longest, flat: its place in `Flat`."""
    binding = np.repeat(flat.room_start[:-1], flat.jobs)
    for stage, (first, end) in enumerate(pairwise(flat.room_start.tolist())):
        if end - first > 1:
            frees = flat.frees.reshape(-1, flat.jobs)[first:end]
            freed = finish[flat.consumer[first:end, None] * flat.jobs + frees]
            last = np.where(frees < 0, -1, freed).argmax(axis=0)
            binding[stage * flat.jobs : (stage + 1) * flat.jobs] += last
    return binding


def _follow(  # noqa: C901, PLR0913, PLR0917 - one loop nest, compiled as a whole
    jobs: int,
    busy: Ints,
    latency: Ints,
    input_start: Ints,
    inputs: Ints,
    consumer: Ints,
    frees: Ints,
    room_cause: Ints,
    turn_cause: Ints,
    room: Ints,
    worker: Ints,
    ready: Ints,
    roomy: Ints,
    start: Ints,
    finish: Ints,
    target: int,
    cycles: Ints,
) -> None:
    """Charge each wait of the target stage to one of the causes, into `cycles`.

    An interval is charged to what a stage did up to the end of a job: to its worker while it served
    the job, to the resource while it waited for its turn, to a buffer while it waited for room: of
    several, the one that was free last (`room`). What lies before, it waited for its last input,
    which is followed further; earlier still, for its own job before. The stack holds (stage, job,
    since, until) of intervals still to be charged.
    """
    stack = [(0, 0, 0, 0)]
    stack.clear()
    for wait in range(1, jobs):
        at = target * jobs + wait
        since = finish[at - 1]
        cycles[turn_cause[target]] += start[at] - roomy[at]
        if roomy[at] > ready[at]:  # for room: what was its holder doing?
            k = room[at]
            stack.append((consumer[k], frees[k * jobs + wait], ready[at], roomy[at]))
        # The wait for inputs, as one more interval of the target that its own work does not touch.
        stack.append((target, wait, since, ready[at]))
        while len(stack) > 0:
            stage, job, low, high = stack.pop()
            if high <= low or job < 0:
                continue
            at = stage * jobs + job
            before = finish[at - 1] if job else 0
            cycles[worker[at]] += max(0, high - max(low, start[at]))
            cycles[turn_cause[stage]] += max(0, min(high, start[at]) - max(low, roomy[at]))
            if roomy[at] > ready[at]:
                spent = min(high, roomy[at]) - max(low, ready[at])
                cycles[room_cause[room[at]]] += max(0, spent)
            stack.append((stage, job - 1, low, min(high, before)))
            low, high = max(low, before), min(high, ready[at])
            if high <= low:
                continue
            if input_start[stage] == input_start[stage + 1]:
                cycles[turn_cause[stage]] += high - low
                continue
            last, latest = 0, -1
            for k in range(input_start[stage], input_start[stage + 1]):
                source = inputs[k] * jobs + job
                visible = finish[source] + (latency[inputs[k]] if busy[source] else 0)
                if visible > latest:
                    last, latest = inputs[k], visible
            stack.append((last, job, low, high))
