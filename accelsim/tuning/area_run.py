"""The search of a whole plan: climbs through the areas, in as many processes as there are cores."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from accelsim.base.errors import InputError
from accelsim.base.files import folder as output_folder
from accelsim.config import load_arch
from accelsim.run.simulation import decode_steps
from accelsim.tuning.area_climb import Climb, Desk, Spot, Trials, tuned_base
from accelsim.tuning.area_plan import AreaPlan, load_area_plan
from accelsim.tuning.bench import Contents, got
from accelsim.tuning.journal import Journal
from accelsim.tuning.processes import Submit, processes
from accelsim.tuning.search import ORIGINS, Trial
from accelsim.tuning.space import Places

Row = dict[str, Any]
Note = Callable[[str], None]
_KEYS = (
    *(("mac_array", name) for name in ("rows", "columns", "lanes")),
    *(("crossbar", "kind"), ("selector", "instances")),
    *(
        ("buffers", buffer, name)
        for buffer in ("activations", "weights", "outputs", "compressed")
        for name in ("capacity_kib", "port_bytes", "macros")
    ),
)


def run_area_plan(
    path: Path, folder: Path, *, trials: int | None = None, workers: int = 2, note: Note = print
) -> list[Row]:
    """Return the best machine of every search of a plan.

    Stopped, and started again with the same folder, it goes on where it was.

    Args:
        path: the file of the plan.
        folder: of the journal, made if need be.
        trials: of each search, if not those of the plan.
        workers: processes.
        note: told of what is finished.

    Raises:
        InputError: the plan or one of its files is wrong.
    """
    plan, desk = load_area_plan(path), Desk(path, folder)
    with output_folder(folder):
        _check(plan, desk)
    with processes(workers) as submit:
        crew = _Crew(submit, note)
        pairs = list(product(plan.works, plan.bases))
        found = crew.all("tuned", tuned_base, [(desk, *pair) for pair in pairs])
        tuned = dict(zip(pairs, found, strict=True))
        climbs = [
            Climb(desk, *which, trials or plan.trials, _of_work(tuned, which[0]))
            for which in plan.climbs()
        ]
        first = crew.all("first climbs", Climb.first, [(climb,) for climb in climbs])
        jobs = [
            (climb, own, _beside(climb, climbs, first))
            for climb, own in zip(climbs, first, strict=True)
        ]
        again = crew.all("second climbs", Climb.again, jobs)
    return list(_rows(plan, climbs, again))


def _check(plan: AreaPlan, desk: Desk) -> None:
    """Begin the journal; raise InputError for a machine or work that is none, before the search."""
    path, beside = desk.plan_path, desk.plan_path.parent
    load_arch(beside / plan.reference)
    for base in plan.bases.values():
        for bandwidth in (plan.tuned_at_gb_per_s, *plan.bandwidths_gb_per_s):
            load_arch(beside / base, [f"dram.bandwidth_gb_per_s={bandwidth}"])
    for name, work in plan.works.items():
        try:
            decode_steps(work.load(beside, desk.folder), work.duty.phase, work.batch)
        except InputError as error:
            raise InputError(f"{path}: work '{name}': {error}") from error
    Journal.begun(desk.journal_path)


@dataclass(frozen=True)
class _Crew:
    """Processes, and who is told how far they are."""

    submit: Submit
    note: Note
    begun_s: float = field(default_factory=time.monotonic)

    def all(self, what: str, job: Callable[..., Any], given: Sequence[Sequence[Any]]) -> list[Any]:
        """Return what a job returns for all arguments, in their order."""
        running = [self.submit(job, *arguments) for arguments in given]
        for done, one in enumerate(as_completed(running), start=1):
            one.result()
            seconds = time.monotonic() - self.begun_s
            self.note(f"{what}: {done} of {len(running)}, {seconds:.0f} s")
        return [one.result() for one in running]


def _of_work(tuned: dict[tuple[str, str], Contents], work: str) -> dict[str, Contents]:
    return {pattern: it for (its, pattern), it in tuned.items() if its == work}


def _beside(
    climb: Climb, climbs: Sequence[Climb], first: Sequence[Trials]
) -> dict[Spot, list[Places]]:
    """Return the best machines that the same seed found at the bandwidths beside, the lower first.

    A machine of a lower bandwidth is as fast at a higher one, or faster.
    """
    alike = [
        (other.bandwidth_gb_per_s, found)
        for other, found in zip(climbs, first, strict=True)
        if (other.work, other.seed) == (climb.work, climb.seed)
    ]
    alike.sort(key=lambda pair: pair[0])
    place = [bandwidth for bandwidth, _ in alike].index(climb.bandwidth_gb_per_s)
    near = [
        found for _, found in (*alike[max(0, place - 1) : place], *alike[place + 1 : place + 2])
    ]
    known: dict[Spot, list[Places]] = {}
    for spot, trials in ((spot, trials) for found in near for spot, trials in found.items()):
        if trials:
            known.setdefault(spot, []).append(_best(trials).places)
    return known


def _best(trials: Sequence[Trial]) -> Trial:
    return min(trials, key=lambda trial: trial.rank)


def _rows(plan: AreaPlan, climbs: Sequence[Climb], found: Sequence[Trials]) -> Iterator[Row]:
    """Yield a row for each search, by work, seed, bandwidth, area and pattern."""
    for climb, searches in zip(climbs, found, strict=True):
        for share, pattern in product(plan.shares_of(climb.work), plan.bases):
            trials = searches[share, pattern]
            if trials:
                row: Row = {"work": climb.work, "share": share, "pattern": pattern}
                row["dram.bandwidth_gb_per_s"] = climb.bandwidth_gb_per_s
                yield row | {"seed": climb.seed} | _row(trials)


def _row(trials: Sequence[Trial]) -> Row:
    """Return the best machine of a search, and how many machines have which origin."""
    best, origins = _best(trials), [trial.origin for trial in trials]
    row: Row = {"trials": len(trials)}
    row |= {f"{origin}_trials": origins.count(origin) for origin in ORIGINS}
    row |= {**best.measured, "area_um2": best.area_um2}
    return row | {".".join(key): got(best.contents, key) for key in _KEYS}
