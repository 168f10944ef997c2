"""The machine as the engines see it: stages joined by buffers of a few tiles. Integers only.

Semantics (both engines, `docs/model.md`): a stage starts job i when

1. every input of job i is visible (else it is *starved*) and its own job i - 1 is done,
2. the buffer slot that job i fills is free (else it is *blocked*),
3. the shared resource has served all requests before it in program order (else *contended*);

it is then busy for `busy[i]` cycles, and its result is visible `latency` cycles after that. Latency
delays, but does not occupy the stage. A job with no work (`busy` 0) passes at once, asks for no
resource and adds no latency.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from accelsim.workload import Ints


@dataclass(frozen=True, slots=True)
class Room:
    """Space downstream: job i needs `consumer` to have finished job `frees[i]` (-1: no wait).

    `buffer` names the memory, for reports.
    """

    consumer: str
    frees: Ints
    buffer: str


@dataclass(frozen=True, slots=True)
class Stage:
    """One process of the network: what it waits for and how long it serves each job."""

    name: str
    busy: Ints
    inputs: tuple[str, ...] = ()
    rooms: tuple[Room, ...] = ()
    latency: int = 0
    resource: str | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """Stages in topological order, and for each shared resource its program order.

    `order[resource]` lists (stage, job) for every job with work, in the order of service.
    """

    stages: tuple[Stage, ...]
    order: Mapping[str, Sequence[tuple[str, int]]] = field(default_factory=dict)

    @property
    def jobs(self) -> int:
        """Jobs that flow through every stage."""
        return len(self.stages[0].busy)


@dataclass(frozen=True, slots=True)
class StageTimes:
    """When each job of one stage happened; all `[jobs]`, in cycles.

    Job i waits for inputs until `ready`, for room until `roomy`, for the resource until `start`.
    """

    ready: Ints
    roomy: Ints
    start: Ints
    finish: Ints


@dataclass(frozen=True, slots=True)
class Times:
    """The outcome of a run: times of each stage, and the cycle in which the last result is out."""

    stages: Mapping[str, StageTimes]
    cycles: int


def program_order(
    streams: Sequence[tuple[Stage, int]],
) -> tuple[tuple[str, int], ...]:
    """Merge the requests of several stages into one program order.

    Args:
        streams: stages with their lag: the request of job i of a stage with lag g stands with the
            unlagged requests of job i + g, after those earlier in the list.

    Example:
        >>> load, store = Stage("load", np.array([5, 5])), Stage("store", np.array([1, 1]))
        >>> program_order([(load, 0), (store, 1)])
        (('load', 0), ('load', 1), ('store', 0), ('store', 1))
    """
    requests = [
        (int(job) + lag, position, stage.name, int(job))
        for position, (stage, lag) in enumerate(streams)
        for job in np.flatnonzero(stage.busy)
    ]
    return tuple((name, job) for _, _, name, job in sorted(requests))
