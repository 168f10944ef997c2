"""The reference engine: one SimPy process a stage, one event a job."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import simpy

from accelsim.engine.network import Network, Requests, Stage, Times, deadlock
from accelsim.mapping import Ints

Steps = Generator[simpy.Event, Any, None]


def run(network: Network) -> Times:
    """Run all jobs through the network.

    Raises:
        DeadlockError: some stage can never proceed; the message names it and what it waits for.
    """
    tables = [_Run(single).table() for single in network.single_runs()]
    return Times.of(network, np.array(tables).reshape(*network.busy.shape[:-2], *tables[0].shape))


class _Run:
    """State of one simulation: an event for each result, each completion and each turn."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.env = simpy.Environment()
        names = [stage.name for stage in network.stages]
        self.visible = {name: self._events() for name in names}
        self.done = {name: self._events() for name in names}
        self.times = np.zeros((4, len(names), network.jobs), np.int64)
        self.log = {name: self.times[:, row] for row, name in enumerate(names)}
        self.turn: dict[tuple[str, int], simpy.Event] = {}
        self.next_turn: dict[tuple[str, int], simpy.Event] = {}
        for requests in network.order.values():
            self._queue(requests)

    def table(self) -> Ints:
        """Let time pass; return when each job of each stage happened."""
        for stage in self.network.stages:
            self.env.process(self._serve(stage))
        self.env.run()
        done = [sum(event.triggered for event in events) for events in self.done.values()]
        if min(done) < self.network.jobs:
            raise deadlock(self.network, done, self.times)
        return self.times

    def _events(self) -> list[simpy.Event]:
        return [self.env.event() for _ in range(self.network.jobs)]

    def _queue(self, requests: Requests) -> None:
        """Chain the requests of one resource: the end of each gives the next its turn."""
        turns = [self.env.event() for _ in range(len(requests) + 1)]
        turns[0].succeed()
        for request, turn, following in zip(requests, turns, turns[1:], strict=False):
            self.turn[request] = turn
            self.next_turn[request] = following

    def _serve(self, stage: Stage) -> Steps:
        """Serve the jobs of a stage in order."""
        ready, roomy, start, finish = self.log[stage.name]
        busy = stage.busy.tolist()
        for job in range(self.network.jobs):
            for producer in stage.inputs:
                yield from self._wait(self.visible[producer][job])
            ready[job] = self.env.now
            for room in stage.rooms:
                if room.frees[job] >= 0:
                    yield from self._wait(self.done[room.consumer][room.frees[job]])
            roomy[job] = self.env.now
            request = (stage.name, job)
            if request in self.turn:
                yield from self._wait(self.turn[request])
            start[job] = self.env.now
            if busy[job]:
                yield self.env.timeout(busy[job])
            finish[job] = self.env.now
            self._complete(stage, job)

    def _wait(self, event: simpy.Event) -> Steps:
        if not event.processed:
            yield event

    def _complete(self, stage: Stage, job: int) -> None:
        """Free the stage and the resource now, show the result after the latency."""
        self.done[stage.name][job].succeed()
        request = (stage.name, job)
        if request in self.next_turn:
            self.next_turn[request].succeed()
        visible = self.visible[stage.name][job]
        if stage.latency and stage.busy[job]:
            self.env.process(self._show(visible, stage.latency))
        else:
            visible.succeed()

    def _show(self, visible: simpy.Event, latency: int) -> Steps:
        yield self.env.timeout(latency)
        visible.succeed()
