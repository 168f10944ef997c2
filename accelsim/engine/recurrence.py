"""The fast engine: the max-plus recurrence of a network, job by job, in a compiled loop.

    ready(s, i) = max(finish(s, i-1), visible(p, i) for each input p)
    roomy(s, i) = max(ready(s, i), finish(consumer, frees(i)) for each room)
    start(s, i) = max(roomy(s, i), finish of the request before it in program order)
    finish(s, i) = start(s, i) + busy(s, i)

The same semantics as the event engine, without events: each time is computed once, as soon as what
it depends on is known.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from accelsim.base.compiled import run_loop
from accelsim.engine.network import Network, Times, deadlock
from accelsim.mapping import Ints

_INTERPRETED_NS = 700  # of one job of one stage in the interpreter


def run(network: Network) -> Times:
    """Run all jobs through the network.

    Raises:
        DeadlockError: some stage can never proceed; the message names it and what it waits for.
    """
    flat = network.flat
    table = np.zeros((*flat.busy.shape[:-1], 4, len(network.stages), network.jobs), np.int64)
    done = np.zeros(len(network.stages), np.int64)
    jobs, _, *others = (getattr(flat, field.name) for field in fields(flat))
    runs = table.reshape(-1, 4, flat.busy.shape[-1])
    for busy, times in zip(np.atleast_2d(flat.busy), runs, strict=True):
        done[:] = 0
        cost_ns = len(busy) * _INTERPRETED_NS
        run_loop(_walk, [jobs, busy, *others], [done, *times], interpreted_ns=cost_ns)
        if done.min() < network.jobs:
            raise deadlock(network, done.tolist(), times.reshape(4, len(done), -1))
    return Times.of(network, table)


def _walk(  # noqa: C901, PLR0913, PLR0917 - one loop nest, compiled as a whole
    jobs: int,
    busy: Ints,
    latency: Ints,
    input_start: Ints,
    inputs: Ints,
    room_start: Ints,
    consumer: Ints,
    frees: Ints,
    resource: Ints,
    request_start: Ints,
    request_stage: Ints,
    request_job: Ints,
    done: Ints,
    ready: Ints,
    roomy: Ints,
    start: Ints,
    finish: Ints,
) -> None:
    """Let each stage serve as many jobs as it can, in turns, until none can serve any more.

    `done` counts the jobs that each stage has finished.
    """
    turn = request_start.copy()  # the next request of each resource, and when it is free
    free = [0 for _ in range(len(request_start))]
    moved = True
    while moved:
        moved = False
        for stage in range(len(latency)):
            queue = resource[stage]
            for job in range(done[stage], jobs):
                at = stage * jobs + job
                time = finish[at - 1] if job else 0
                waits = False
                for k in range(input_start[stage], input_start[stage + 1]):
                    source = inputs[k] * jobs + job
                    waits = waits or done[inputs[k]] <= job
                    time = max(time, finish[source] + (latency[inputs[k]] if busy[source] else 0))
                begin = time
                for k in range(room_start[stage], room_start[stage + 1]):
                    user = frees[k * jobs + job]
                    if user >= 0:
                        waits = waits or done[consumer[k]] <= user
                        begin = max(begin, finish[consumer[k] * jobs + user])
                if waits:
                    break
                ready[at], roomy[at] = time, begin
                if busy[at] and queue >= 0:
                    k = turn[queue]
                    if k == request_start[queue + 1]:
                        break
                    if request_stage[k] != stage or request_job[k] != job:
                        break
                    begin = max(begin, free[queue])
                    free[queue] = begin + busy[at]
                    turn[queue] = k + 1
                start[at], finish[at] = begin, begin + busy[at]
                done[stage] = job + 1
                moved = True
