"""The semantics of `accelsim.engine.network`, written out as a longest path over moments.

Five moments a job: inputs there, room there, begun, finished, result visible. Each is the latest of
its causes plus a delay. A moment is known once all its causes are; what never becomes known is a
deadlock. No events, no processes, no clock: plain integers.
"""

from collections import defaultdict, deque
from dataclasses import dataclass, field
from itertools import pairwise


@dataclass
class Solution:
    """`time[moment]` of every moment (kind, stage, job) that happens."""

    network: object
    time: dict = field(default_factory=dict)

    @property
    def stuck(self):
        """Names of stages that never finish a job."""
        return {
            stage.name
            for stage in self.network.stages
            for job in range(len(stage.busy))
            if ("finish", stage.name, job) not in self.time
        }

    @property
    def cycles(self):
        """The last moment of all."""
        return max(self.time.values())

    def of(self, kind, stage):
        """Times of one kind of moment of a stage, job after job."""
        jobs = range(self.network.jobs)
        return [self.time[kind, stage, job] for job in jobs]


def solve(network):
    """Return when each moment happens; start from those without a cause."""
    causes = dict(_causes(network))
    effects = defaultdict(list)
    for moment, reasons in causes.items():
        for earlier, _ in reasons:
            effects[earlier].append(moment)
    missing = {moment: len(reasons) for moment, reasons in causes.items()}
    solution = Solution(network)
    known = deque(moment for moment, count in missing.items() if count == 0)
    while known:
        moment = known.popleft()
        solution.time[moment] = max(
            (solution.time[earlier] + delay for earlier, delay in causes[moment]), default=0
        )
        for later in effects[moment]:
            missing[later] -= 1
            if missing[later] == 0:
                known.append(later)
    return solution


def _causes(network):
    """Yield (moment, [(earlier moment, delay)]) for every moment of the network."""
    turn_after = {
        request: previous
        for requests in network.order.values()
        for previous, request in pairwise(requests)
    }
    for stage in network.stages:
        name = stage.name
        for job, busy in enumerate(stage.busy.tolist()):
            ready = [(("visible", producer, job), 0) for producer in stage.inputs]
            if job > 0:
                ready.append((("finish", name, job - 1), 0))
            yield ("ready", name, job), ready

            roomy = [(("ready", name, job), 0)]
            roomy += [
                (("finish", room.consumer, int(room.frees[job])), 0)
                for room in stage.rooms
                if room.frees[job] >= 0
            ]
            yield ("roomy", name, job), roomy

            start = [(("roomy", name, job), 0)]
            if (name, job) in turn_after:
                start.append((("finish", *turn_after[name, job]), 0))
            yield ("start", name, job), start

            yield ("finish", name, job), [(("start", name, job), busy)]
            delay = stage.latency if busy else 0
            yield ("visible", name, job), [(("finish", name, job), delay)]
