"""Processes that search side by side, and end at once when the search does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from typing import Any, Protocol

from accelsim.sweeps.local import deaf


class Submit(Protocol):
    """Called with a function and its arguments: a process is to call it when it has time."""

    def __call__(self, function: Any, /, *arguments: Any) -> Future[Any]:
        """Return what will hold the result."""


@contextmanager
def processes(count: int) -> Iterator[Submit]:
    """Yield a function that hands calls to `count` processes.

    If the block fails or is interrupted, they are killed: what a call works on may take hours, and
    many more may wait behind it. Ctrl-C is for the caller, who ends them.
    """
    others = set(active_children())
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"))

    def submit(function: Any, /, *arguments: Any) -> Future[Any]:
        with deaf():
            return pool.submit(function, *arguments)

    try:
        yield submit
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        _kill(set(active_children()) - others)
        raise
    pool.shutdown()


def _kill(children: Iterable[Any]) -> None:
    for child in children:
        child.kill()
        child.join()
