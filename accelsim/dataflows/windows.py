"""The run of a layer among others, cut at the seam behind it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from accelsim.dataflows.diagram import Role
from accelsim.dataflows.pipeline import Drawn, Pipeline
from accelsim.dataflows.seams import NO_SEAMS, Seams, weight_stage
from accelsim.engine import Times, visible
from accelsim.hardware import WRITE
from accelsim.mapping import Work


@dataclass(frozen=True, slots=True)
class Window:
    """The run of a layer, cut at its end.

    Attributes:
        pipeline: what ran; of loads for the next layer, only what was done of them.
        times: up to the end of the layer.
        found: what the next layer finds of its first loads.
    """

    pipeline: Pipeline
    times: Times
    found: Seams


def late_loads(pipeline: Pipeline, times: Times, work: Work, machine: Drawn) -> int:
    """Return how many loads for the next layer only hold up the last store of this one.

    Those are the ones that begin when its output is there: up to then DRAM would have been idle.
    """
    drawn, jobs = weight_stage(machine, work), len(work.jobs)
    if drawn is None or pipeline.network.jobs == jobs:
        return 0
    seen, ready = visible(pipeline.network, times.table), 0
    row = {stage.name: i for i, stage in enumerate(pipeline.network.stages)}
    for stage in pipeline.network.stages:
        members = pipeline.members[stage.name]
        is_storing = any(m.role is Role.STREAM and m.direction is WRITE for m in members)
        if is_storing and stage.resource is not None:
            last = np.flatnonzero(stage.busy)[-1]
            ready = max(ready, *(int(seen[row[name], last]) for name in stage.inputs))
    loads = times.stages[drawn.name].start[jobs:]
    return int(np.count_nonzero(loads >= ready)) if ready else 0


def cut(pipeline: Pipeline, times: Times, work: Work, machine: Drawn) -> Window:
    """Cut a run at the end of its layer: when the last result of its own jobs is visible.

    The next layer finds the loads that have begun; others take their turns in its own window.
    """
    drawn, jobs, table = weight_stage(machine, work), len(work.jobs), times.table
    seen = visible(pipeline.network, table)
    end = int(seen[:, :jobs].max())
    if drawn is None or pipeline.network.jobs == jobs:
        return Window(pipeline, times, NO_SEAMS)
    row = [stage.name for stage in pipeline.network.stages].index(drawn.name)
    short = np.minimum(table, end)
    others = np.arange(table.shape[1]) != row
    short[:, others, jobs:] = short[3:, others, jobs - 1 : jobs]  # they pass at once
    done = short[3, row, jobs:] - short[2, row, jobs:]
    begun = slice(jobs, jobs + np.count_nonzero(done))
    members, left = [], []
    for member in pipeline.members[drawn.name]:
        busy = member.busy.copy()
        busy[jobs:] = np.minimum(busy[jobs:], done)
        left.append(tuple((member.busy - busy)[begun].tolist()))
        members.append(replace(member, busy=busy))
    is_done = (np.array(left) == 0).all(axis=0)
    arrival = np.where(is_done, np.maximum(0, seen[row, begun] - end), 0)
    found = Seams(left_cycles=tuple(left), arrival_cycles=tuple(arrival.tolist()))
    return Window(
        replace(pipeline, members={**pipeline.members, drawn.name: tuple(members)}),
        replace(Times.of(pipeline.network, short), cycles=end),
        found if len(arrival) else NO_SEAMS,
    )
