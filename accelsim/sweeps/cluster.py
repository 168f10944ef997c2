"""Workers on many machines, through a Dask scheduler.

All of them must find the traces and policy files under the same paths. A task is the plan, some
kilobytes, and a few points of it, so that it does not matter which worker gets it. What a dead
worker had is given to another one by the scheduler.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from accelsim.base.errors import InputError, MissingExtraError
from accelsim.sweeps.local import Step, chunks, deaf
from accelsim.sweeps.passwords import masked
from accelsim.sweeps.plan import Plan
from accelsim.sweeps.task import Bench, Checked, Row
from accelsim.version import __version__

_AHEAD = 2  # chunks a worker that wait for it at most: what is in flight stays bounded
_CONNECT_S, _WORKERS_S = 10, 60


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
                # What its workers have to say at a sudden end is no news: tasks bring their errors.
                options["silence_logs"] = logging.CRITICAL
                with deaf():
                    cluster = distributed.LocalCluster(
                        n_workers=workers, dashboard_address=None, **options
                    )
                address = made.enter_context(cluster).scheduler_address
            self._address = address
            self.client = made.enter_context(_client(distributed, address))
            _await_workers(self.client, address)
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
        try:
            yield from self._answers(step, points)
        except (CancelledError, OSError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"--scheduler {masked(self._address)}: lost: {reason}; --resume completes the sweep"
            ) from error

    def _answers(self, step: Step, points: Sequence[int]) -> Iterator[Any]:
        waiting = chunks(points, self._size())
        given: dict[Any, list[int]] = {}

        def give(piece: list[int]) -> Any:
            future = self.client.submit(work, self._plan, __version__, step, piece, pure=False)
            given[future] = piece
            return future

        first = [give(piece) for piece in islice(waiting, self._size() * _AHEAD)]
        running = self._library.as_completed(first, loop=self.client.loop)
        for future in running:
            piece = given.pop(future)
            try:
                yield from future.result()
            except self._library.KilledWorker:
                yield from self._given_up(step, piece, give, running)
            # Workers may have joined: as many more as they can have waiting for them.
            for more in islice(waiting, max(1, self._size() * _AHEAD - len(given))):
                running.add(give(more))

    def _size(self) -> int:
        return max(1, len(self.client.nthreads()))

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


def check_address(address: str) -> None:
    """Raise InputError if an address cannot be that of a scheduler."""
    if address == "local":
        return
    try:
        parts = urlsplit(address)
        is_whole = bool(parts.hostname and parts.port) and not (parts.path or parts.query)
    except ValueError:  # a port that is no number
        is_whole = False
    if not is_whole or parts.scheme not in {"tcp", "tls"}:
        raise InputError(
            f"--scheduler {masked(address)}: cannot connect: write tcp://host:port, "
            f"tls://host:port, or local"
        )


def _client(distributed: Any, address: str) -> Any:
    try:
        # A client that cannot connect prints tracebacks. A notebook has a loop in this thread.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, _greet(distributed, address)).result()
        return distributed.Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TypeError, TimeoutError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"--scheduler {masked(address)}: cannot connect: {reason}") from error


async def _greet(distributed: Any, address: str) -> None:
    """Connect to a scheduler once; raise an error if none answers in time."""
    options = distributed.Security().get_connection_args("client")
    connecting = distributed.core.connect(address, timeout=_CONNECT_S, **options)
    comm = await asyncio.wait_for(connecting, _CONNECT_S + 1)  # greeting has no limit
    comm.abort()


def _await_workers(client: Any, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=_WORKERS_S)
    except TimeoutError as error:
        raise InputError(
            f"--scheduler {masked(address)}: has no workers; start dask worker"
        ) from error


_benches: dict[str, Bench] = {}
_one_at_a_time = threading.Lock()  # a worker with several threads still has one memory


def work(plan: Plan, version: str, step: Step, points: Sequence[int]) -> list[Any]:
    """Check or run some points in a worker process, which remembers the sweep it is at.

    Raises:
        InputError: the worker has another version of accelsim than the sweep, or other files.
    """
    if version != __version__:
        raise InputError(f"a worker has accelsim {__version__}, the sweep {version}")
    with _one_at_a_time:
        if plan.digest not in _benches:
            _benches.clear()
            _benches[plan.digest] = Bench(plan)
        return [getattr(_benches[plan.digest], step)(point) for point in points]
