"""Workers on this machine: none, or processes that are fed points and may die.

A worker gets a few points at a time and sends back each as soon as it is done. One that dies is
replaced, its other points are given out again; a point that was there when two workers died is
given up. Workers end by themselves when the process that feeds them is gone.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Literal, Protocol

from accelsim.base.errors import InputError
from accelsim.sweeps.plan import Plan
from accelsim.sweeps.task import Bench, Checked, Row

Step = Literal["check", "run"]

POINTS_AT_ONCE = 32  # given to a worker: enough to share what is remembered
_MOST_DEATHS = 2  # of workers, by one point
_SHARES = 4  # chunks a worker, at least: so that all finish at about the same time


class Workers(Protocol):
    """Whoever checks and runs points: this process, several, or a cluster."""

    def check(self, points: Sequence[int]) -> Iterator[Checked]:
        """Yield what was found about each point, in any order."""

    def run(self, points: Sequence[int]) -> Iterator[Row]:
        """Yield the row of each point, in any order."""

    def close(self) -> None:
        """Let them go."""


class OneProcess:
    """This process, as the only worker."""

    def __init__(self, plan: Plan) -> None:
        self.bench = Bench(plan)

    def check(self, points: Sequence[int]) -> Iterator[Checked]:
        """Yield what was found about each point."""
        return map(self.bench.check, points)

    def run(self, points: Sequence[int]) -> Iterator[Row]:
        """Yield the row of each point."""
        return map(self.bench.run, points)

    def close(self) -> None:
        """Do nothing: there is nobody to let go."""


class Processes:
    """Several worker processes."""

    def __init__(self, plan: Plan, count: int) -> None:
        self._plan = plan
        self._context = multiprocessing.get_context("spawn")
        self._bench = Bench(plan)
        self._workers = [_Worker(self._context, plan) for _ in range(count)]

    def check(self, points: Sequence[int]) -> Iterator[Checked]:
        """Yield what was found about each point."""
        return self._map("check", points)

    def run(self, points: Sequence[int]) -> Iterator[Row]:
        """Yield the row of each point."""
        return self._map("run", points)

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.end()

    def _map(self, step: Step, points: Sequence[int]) -> Iterator[Any]:
        waiting = deque(chunks(points, len(self._workers)))
        deaths: Counter[int] = Counter()
        while True:
            for worker in self._workers:
                if not worker.points and waiting:
                    worker.give(step, waiting.popleft())
            busy = {worker.connection: worker for worker in self._workers if worker.points}
            if not busy:
                return
            for connection in wait(list(busy)):
                worker = busy[connection]
                try:
                    yield worker.take()
                except (EOFError, OSError):
                    yield from self._replace(worker, waiting, deaths, step)

    def _replace(
        self, worker: _Worker, waiting: deque[list[int]], deaths: Counter[int], step: Step
    ) -> Iterator[Any]:
        """Put a new worker in the place of a dead one; give its points out again."""
        suspect, *others = worker.points
        worker.end()
        self._workers[self._workers.index(worker)] = _Worker(self._context, self._plan)
        deaths[suspect] += 1
        if others:
            waiting.append(others)
        if deaths[suspect] < _MOST_DEATHS:
            waiting.append([suspect])
            return
        row = self._bench.failed(suspect, "the worker process died, twice")
        yield Checked(suspect, row) if step == "check" else row


def chunks(points: Sequence[int], workers: int) -> Iterator[list[int]]:
    """Cut points into pieces that keep all workers busy until the end."""
    size = max(1, min(POINTS_AT_ONCE, len(points) // (workers * _SHARES)))
    for first in range(0, len(points), size):
        yield list(points[first : first + size])


class _Worker:
    """A worker process, and the points that it has not sent back yet."""

    def __init__(self, context: Any, plan: Plan) -> None:
        self.connection, far = context.Pipe()
        self.points: list[int] = []
        self._process = context.Process(target=_serve, args=(far, plan), daemon=True)
        with deaf():
            self._process.start()
        far.close()  # else its end would not be noticed

    def give(self, step: Step, points: list[int]) -> None:
        """Send points; that the worker is dead shows when its answer is awaited."""
        self.points = points
        with suppress(OSError):
            self.connection.send((step, points))

    def take(self) -> Any:
        """Return the next answer; answers come in the order of the points."""
        answer = self.connection.recv()
        if isinstance(answer, Exception):
            raise answer
        del self.points[0]
        return answer

    def end(self) -> None:
        """End the process, at once."""
        self.connection.close()
        self._process.kill()
        self._process.join()


@contextmanager
def deaf() -> Iterator[None]:
    """Processes that are started meanwhile never hear Ctrl-C: it is for the one that feeds them."""
    resource_tracker.ensure_running()  # to start it later would undo the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, plan: Plan) -> None:
    """Work until the other end is closed."""
    bench = Bench(plan)
    with suppress(EOFError, OSError):
        while True:
            step, points = connection.recv()
            for point in points:
                connection.send(_answer(bench, step, point))


def _answer(bench: Bench, step: Step, point: int) -> Checked | Row | InputError:
    """Return what comes of a point, or why no point can be worked on here."""
    try:
        answer: Checked | Row = getattr(bench, step)(point)
    except InputError as error:
        return error
    return answer
