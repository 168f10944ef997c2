"""Workers on many machines, through a Dask scheduler.

All of them must find the traces and policy files under the same paths. A task is the plan, some
kilobytes, and a few points of it, so that it does not matter which worker gets it. What a dead
worker had is given to another one by the scheduler.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import Any

from accelsim.errors import InputError, MissingExtraError
from accelsim.sweeps.local import Step, chunks
from accelsim.sweeps.plan import Plan
from accelsim.sweeps.task import Bench, Checked, Row

_AHEAD = 2  # chunks a worker that wait for it at most: what is in flight stays bounded
_CONNECT_S = 10


class Cluster:
    """The workers of a Dask scheduler; `address` is `tcp://…`, or `local` for one of our own."""

    def __init__(self, plan: Plan, address: str, workers: int) -> None:
        try:
            import distributed
        except ImportError as error:
            raise MissingExtraError("distributed", "cluster") from error
        self._plan, self._bench = plan, Bench(plan)
        self._library = distributed
        with ExitStack() as made:
            if address == "local":
                options: Any = {"threads_per_worker": 1, "processes": True}
                cluster = distributed.LocalCluster(
                    n_workers=workers, dashboard_address=None, **options
                )
                address = made.enter_context(cluster).scheduler_address
            self.client = made.enter_context(_client(distributed, address))
            self._made = made.pop_all()

    def check(self, points: Sequence[int]) -> Iterator[Checked]:
        """Yield what was found about each point."""
        return self._map("check", points)

    def run(self, points: Sequence[int]) -> Iterator[Row]:
        """Yield the row of each point."""
        return self._map("run", points)

    def close(self) -> None:
        """Leave the scheduler; end it if it is ours."""
        self._made.close()

    def _map(self, step: Step, points: Sequence[int]) -> Iterator[Any]:
        count = max(1, len(self.client.scheduler_info(n_workers=-1)["workers"]))
        waiting = chunks(points, count)
        given: dict[Any, list[int]] = {}

        def give(piece: list[int]) -> Any:
            future = self.client.submit(
                work, self._plan, self._plan.digest, step, piece, pure=False
            )
            given[future] = piece
            return future

        running = self._library.as_completed([give(p) for p in islice(waiting, count * _AHEAD)])
        for future in running:
            piece = given.pop(future)
            try:
                yield from future.result()
            except self._library.KilledWorker:
                yield from self._given_up(step, piece, give, running)
            for more in islice(waiting, 1):
                running.add(give(more))

    def _given_up(
        self, step: Step, piece: list[int], give: Any, running: Any
    ) -> Iterator[Checked | Row]:
        """Try the points of a task that killed its workers one by one; give up a single one."""
        if len(piece) > 1:
            for point in piece:
                running.add(give([point]))
            return
        row = self._bench.failed(piece[0], "the workers that had it died")
        yield Checked(piece[0], row) if step == "check" else row


def _client(distributed: Any, address: str) -> Any:
    try:
        return distributed.Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"--scheduler {address}: cannot connect: {reason}") from error


_benches: dict[str, Bench] = {}
_one_at_a_time = threading.Lock()  # a worker with several threads still has one memory


def work(plan: Plan, digest: str, step: Step, points: Sequence[int]) -> list[Any]:
    """Check or run some points in a worker process, which remembers the sweep it is at."""
    with _one_at_a_time:
        if digest not in _benches:
            _benches.clear()
            _benches[digest] = Bench(plan)
        return [getattr(_benches[digest], step)(point) for point in points]
