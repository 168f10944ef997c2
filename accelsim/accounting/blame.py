"""Who is to blame for the waits of a stage: each wait is followed upstream to what was at work."""

from __future__ import annotations

from collections import Counter

import numpy as np

from accelsim.base.compiled import run_loop
from accelsim.dataflows.pipeline import Machine
from accelsim.engine import Times
from accelsim.mapping import Ints
from accelsim.mapping.datapath import stacked

_FIRST = ("mac_array", "selector")  # the work itself
_INTERPRETED_NS = 5000  # of one job of the stage in the interpreter


def blame(machine: Machine, times: Times, stage: str, repeats: Ints | int = 1) -> Counter[str]:
    """Distribute the waits of `stage` between its first and last job over causes.

    A cause is a unit that was at work, `dram`, or `buffers.x` where a producer waited for room.

    Args:
        machine: the machine.
        times: of one run, or of several.
        stage: whose waits.
        repeats: how often each run takes place.
    """
    network = machine.network
    flat, size = network.flat, len(network.stages) * network.jobs
    worker, causes = _workers(machine)
    row = [s.name for s in network.stages].index(stage)
    tables = times.table.reshape(-1, 4, size)
    cycles = np.zeros((len(tables), len(causes)), np.int64)
    of_runs = (np.broadcast_to(a, (len(tables), size)) for a in (flat.busy, worker))
    for busy, workers, moments, charged in zip(*of_runs, tables, cycles, strict=True):
        inputs = (
            *(flat.jobs, busy, flat.latency, flat.input_start, flat.inputs),
            *(flat.room_start, flat.consumer, flat.frees, _room_causes(machine, causes)),
            *(workers, *moments, row),
        )
        run_loop(_follow, inputs, [charged], interpreted_ns=flat.jobs * _INTERPRETED_NS)
    sums = (cycles * np.reshape(repeats, (-1, 1))).sum(axis=0).tolist()
    return Counter({cause: count for cause, count in zip(causes, sums, strict=True) if count})


def _workers(machine: Machine) -> tuple[Ints, list[str]]:
    """Return which cause sets the pace of each stage and job, flat, and the names of all causes."""
    causes = ["dram"]
    rows = []
    for stage in machine.network.stages:
        members = machine.members[stage.name]
        # A unit that just keeps up with the stream, the array or the selector is not to blame.
        first = np.array([[member.is_stream or member.unit in _FIRST] for member in members])
        slowest = (2 * stacked([member.busy for member in members]) + first).argmax(axis=-2)
        names = ["dram" if member.is_stream else member.unit for member in members]
        causes += [name for name in names if name not in causes]
        rows.append(np.array([causes.index(name) for name in names])[slowest])
    buffers = dict.fromkeys(r.buffer for stage in machine.network.stages for r in stage.rooms)
    workers = stacked(rows)
    flat = workers.reshape(*workers.shape[:-2], -1)
    return flat, [*causes, *(f"buffers.{buffer}" for buffer in buffers)]


def _room_causes(machine: Machine, causes: list[str]) -> Ints:
    """Return the cause that each room stands for, in the order of `Flat`."""
    rooms = [room for stage in machine.network.stages for room in stage.rooms]
    return np.array([causes.index(f"buffers.{room.buffer}") for room in rooms], np.int64)


def _follow(  # noqa: C901, PLR0913, PLR0917 - one loop nest, compiled as a whole
    jobs: int,
    busy: Ints,
    latency: Ints,
    input_start: Ints,
    inputs: Ints,
    room_start: Ints,
    consumer: Ints,
    frees: Ints,
    room_cause: Ints,
    worker: Ints,
    ready: Ints,
    roomy: Ints,
    start: Ints,
    finish: Ints,
    target: int,
    cycles: Ints,
) -> None:
    """Charge each wait of the target stage, to cause 0 (DRAM) or another, into `cycles`.

    An interval is charged to what a stage did up to the end of a job: to its worker while it served
    the job, to DRAM while it waited for its turn, to a buffer while it waited for room. What lies
    before, it waited for its last input, which is followed further; earlier still, for its own job
    before. The stack holds (stage, job, since, until) of intervals still to be charged.
    """
    stack = [(0, 0, 0, 0)]
    stack.clear()
    for wait in range(1, jobs):
        at = target * jobs + wait
        since = finish[at - 1]
        cycles[0] += start[at] - roomy[at]  # for its turn
        if roomy[at] > ready[at]:  # for room: what was its holder doing?
            k = room_start[target]
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
            cycles[0] += max(0, min(high, start[at]) - max(low, roomy[at]))
            if roomy[at] > ready[at]:
                spent = min(high, roomy[at]) - max(low, ready[at])
                cycles[room_cause[room_start[stage]]] += max(0, spent)
            stack.append((stage, job - 1, low, min(high, before)))
            low, high = max(low, before), min(high, ready[at])
            if high <= low:
                continue
            if input_start[stage] == input_start[stage + 1]:
                cycles[0] += high - low
                continue
            last, latest = 0, -1
            for k in range(input_start[stage], input_start[stage + 1]):
                source = inputs[k] * jobs + job
                visible = finish[source] + (latency[inputs[k]] if busy[source] else 0)
                if visible > latest:
                    last, latest = inputs[k], visible
            stack.append((last, job, low, high))
