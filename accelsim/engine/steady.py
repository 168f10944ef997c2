"""Where a run has become periodic, and may be continued without walking it.

A layer repeats one outer iteration after another. If the times of enough consecutive jobs equal
those of one iteration before, all shifted by the same number of cycles, every later job repeats
too, as long as the network does. Each time is a maximum of earlier times plus constants, and a
maximum of shifted numbers is shifted. *Enough* is as far as a job reaches to those it waits for.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from accelsim.engine.network import Network, Stage, Times


def reach(network: Network) -> int:
    """Return the largest distance, in jobs, between a job and one that it waits for."""
    jobs = np.arange(network.jobs)
    waits = [(jobs - room.frees)[room.frees >= 0] for s in network.stages for room in s.rooms]
    turns = [np.abs(np.diff(order.job)) for order in network.order.values()]
    return max([1, *(int(distances.max(initial=1)) for distances in [*waits, *turns])])


def repeats(network: Network, times: Times, period: int, end: int) -> bool:
    """Whether the last jobs before `end` are like those `period` jobs earlier: network and times.

    Compared are as many whole periods as it takes to cover `reach(network)` jobs.
    """
    looked_at = slice(end - period * -(-reach(network) // period), end)
    before = slice(looked_at.start - period, end - period)
    if before.start < 0:
        return False
    for stage in network.stages:
        if not np.array_equal(stage.busy[looked_at], stage.busy[before]):
            return False
        for room in stage.rooms:
            now, then = room.frees[looked_at], room.frees[before]
            if not np.array_equal(now, np.where(then < 0, then, then + period)):
                return False
    shifts = times.table[:, :, looked_at] - times.table[:, :, before]
    if (shifts != shifts[:1, :, :1]).any():
        return False
    shift_of = dict(zip([stage.name for stage in network.stages], shifts[0, :, 0], strict=True))
    shift = max(shift_of.values())
    return all(
        shift_of[stage.name] == shift or _rests(stage, looked_at, shift_of)
        for stage in network.stages
    )


def _rests(stage: Stage, looked_at: slice, shift_of: Mapping[str, int]) -> bool:
    """Whether a stage is done with its work and waits for nothing: its times stay as they are.

    It holds up no stage that waits for it: the times of those grow, so others decide them.
    """
    waits = any((room.frees[looked_at] >= 0).any() for room in stage.rooms)
    inputs = [stage.name, *stage.inputs]
    return not waits and not stage.busy[looked_at].any() and not any(map(shift_of.get, inputs))
