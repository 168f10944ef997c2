"""From a sweep file to tables: check every point, select once, run what is missing, merge."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim.base.arguments import check_count, path_of
from accelsim.base.cache import DiskCache
from accelsim.base.errors import InputError
from accelsim.base.files import open_regular
from accelsim.selection.selections import Wish, selections_of
from accelsim.sweeps import search
from accelsim.sweeps.folder import PARQUET, ResultsFolder, Tell, check_libraries, log, open_results
from accelsim.sweeps.local import OneProcess, Processes, Workers
from accelsim.sweeps.plan import Plan, load_plan
from accelsim.sweeps.task import Row

if TYPE_CHECKING:
    import pandas as pd

# Called with what is being done, how many points that concerns, and a row that is finished.
Listener = Callable[[str, int, Row | None], None]
_MOST_WORKERS = 1024


def _silent(_stage: str, _points: int, _row: Row | None) -> None:
    """Tell nobody."""


@dataclass(slots=True)
class Summary:
    """The outcome of a call: statuses of all points in the folder, and how many it ran."""

    points: int = 0
    run: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    search: dict[str, Any] | None = None


def sweep(  # noqa: PLR0913
    file: str | Path,
    *,
    out: str | Path,
    trace: str | Path | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    resume: bool = False,
) -> pd.DataFrame:
    """Run a sweep file and return a row a point; what `accelsim sweep` does.

    With several workers, a script needs `if __name__ == "__main__":` around its call.

    Args:
        file: the sweep file.
        out: folder of the results.
        trace: replaces the traces of the file.
        workers: processes.
        scheduler: address of a Dask scheduler, or `local`.
        resume: complete what the folder holds.

    Raises:
        InputError: the file or a file that it names is wrong, or the folder holds something else.
        ArgumentError: an argument has a type that it cannot have.
    """
    check_count(workers, "workers")
    folder = path_of(out, "out")
    replaced = None if trace is None else path_of(trace, "trace")
    plan = load_plan(path_of(file, "file"), replaced)
    run_plan(plan, folder, workers=workers, scheduler=scheduler, resume=resume)
    import pandas as pd

    with open_regular(folder / PARQUET) as table:  # names of folders may be no UTF-8
        return pd.read_parquet(table, dtype_backend="numpy_nullable")


def run_plan(  # noqa: PLR0913
    plan: Plan,
    folder: Path,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    resume: bool = False,
    listener: Listener = _silent,
    tell: Tell = log,
) -> Summary:
    """Run what is missing of a sweep, and write its tables.

    Args:
        plan: the sweep.
        folder: of the results.
        workers: processes; with a scheduler those of `local`.
        scheduler: address of a Dask scheduler, or `local`.
        resume: complete what the folder holds.
        listener: told of progress.
        tell: told of what was damaged and is mended.
    """
    if not 1 <= workers <= _MOST_WORKERS:
        raise InputError(f"workers {workers}: must be from 1 to {_MOST_WORKERS}")
    check_libraries()
    if scheduler is not None:
        from accelsim.sweeps.cluster import check_address

        check_address(scheduler)
    if plan.file.mode == "optuna":
        search.check_library()
    with (
        open_results(plan, folder, resume=resume, tell=tell) as results,
        closing(_workers(plan, workers, scheduler)) as crew,
    ):
        sweeper = _Sweeper(plan, results, crew, listener, tell)
        summary = Summary()
        if results.offsets:
            listener("kept", len(results.offsets), None)
        if plan.file.mode == "optuna":
            summary.search = sweeper.search(folder)
        else:
            is_random = plan.file.mode == "random"
            sweeper.complete(search.random_points(plan) if is_random else range(plan.grid.size))
        listener("write", len(results.offsets), None)
        results.write_tables(plan)
        summary.run = sweeper.run
        for row in results.rows():
            summary.points += 1
            summary.statuses[row["status"]] += 1
            if row["reason"]:
                summary.reasons[row["reason"]] += 1
    return summary


def _workers(plan: Plan, workers: int, scheduler: str | None) -> Workers:
    if scheduler is not None:
        from accelsim.sweeps.cluster import Cluster

        return Cluster(plan, scheduler, workers)
    return OneProcess(plan) if workers == 1 else Processes(plan, workers)


@dataclass(slots=True)
class _Sweeper:
    """Brings points from numbers to rows."""

    plan: Plan
    results: ResultsFolder
    workers: Workers
    listener: Listener
    tell: Tell
    run: int = 0

    def complete(self, points: Sequence[int]) -> None:
        """Check all points that have no row yet, then run those that can run."""
        missing = [point for point in points if point not in self.results.offsets]
        if not missing:
            return
        self.listener("check", len(missing), None)
        ready: list[int] = []
        wishes: dict[str, dict[Wish, None]] = defaultdict(dict)
        for checked in self.workers.check(self.plan.in_order_of_time(missing)):
            if checked.row is not None:
                self._keep("check", checked.row)
                continue
            ready.append(checked.point)
            wishes[checked.trace].update(dict.fromkeys(checked.wishes))
        self.listener("select", len(ready), None)
        self._select(wishes)
        self.listener("run", len(ready), None)
        for row in self.workers.run(self.plan.in_order_of_time(ready)):
            self.run += 1
            self._keep("run", row)

    def search(self, folder: Path) -> dict[str, Any]:
        """Let Optuna choose the points; return what came of it."""

        def note(trials: int) -> None:
            self.listener("trials", trials, None)

        hunt = search.Search(self.plan, folder, self._evaluate, note, self.tell)
        # A search that others learn from goes on where it was; its rows may have been lost.
        found = self._evaluate(sorted(set(hunt.run())))
        at_random = None
        if self.plan.file.search.against_random:
            at_random = self._evaluate(search.random_points(self.plan))
        data = search.report(self.plan, found, at_random)
        search.write_report(folder, data)
        return data

    def _evaluate(self, points: Sequence[int]) -> list[Row]:
        self.complete(points)
        return [self.results.row(point) for point in points]

    def _keep(self, stage: str, row: Row) -> None:
        self.results.append(row)
        self.listener(stage, 0, row)

    def _select(self, wishes: dict[str, dict[Wish, None]]) -> None:
        """Select what any point wishes for, in one pass over each trace, for all processes."""
        cache = DiskCache.of_user() if self.plan.keeps_selections else None
        if cache is None:
            return
        for name, wanted in wishes.items():
            trace = self.plan.traces[name].load()
            for key, _ in groupby(trace.linears, lambda linear: linear.input):
                selections_of(trace, key, list(wanted), cache)


def usable_cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
