"""Which points to run where there are too many: at random, or as Optuna learns from the others.

Points are asked for a generation at a time, run by whatever workers there are, and told in order,
so that the search does not depend on how many work. The sampler of each trial is seeded by its
number.

A folder that searches for itself keeps nothing but its rows: the search is played again from them,
in memory, and comes to where it was. Folders that share a database go on with what is in there.
"""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelsim.base.errors import MissingExtraError
from accelsim.base.files import write_texts
from accelsim.sweeps.axes import Axis
from accelsim.sweeps.database import Database
from accelsim.sweeps.folder import REPORT, Tell
from accelsim.sweeps.metrics import METRICS
from accelsim.sweeps.pareto import costs_of, covered_share, usable
from accelsim.sweeps.plan import Plan
from accelsim.sweeps.task import OK, Row

_MOST_CHOICES = 1024  # of an axis without an order: Optuna lists them in every trial
Evaluate = Callable[[Sequence[int]], list[Row]]


def random_points(plan: Plan) -> list[int]:
    """Return as many different points of the space as the sweep asks for, drawn at random."""
    size = plan.grid.size
    count = min(plan.file.points or size, size)
    return sorted(random.Random(plan.file.seed).sample(range(size), count))


@dataclass(slots=True)
class Search:
    """A search by Optuna, continued where it was.

    Attributes:
        plan: the sweep.
        folder: of its results.
        evaluate: runs points, or finds their rows among the results.
        note: told how many trials are finished.
        tell: told of what was damaged and is mended.
    """

    plan: Plan
    folder: Path
    evaluate: Evaluate
    note: Callable[[int], None]
    tell: Tell

    def run(self) -> list[int]:
        """Ask for, run and tell as many trials as the sweep says; return the point of each."""
        optuna, budget = optuna_library(), self.plan.file.points or 0
        size = self.plan.file.search.population
        axes = [_Axis.of(axis) for axis in self.plan.grid.axes]
        with Database(optuna, self.plan, self.folder, self.tell) as database:
            while True:
                mine = database.trials()
                pending = [trial for trial in mine if not trial.state.is_finished()]
                self.note(len(mine) - len(pending))
                if len(mine) >= budget and not pending:
                    return [trial.user_attrs["point"] for trial in mine]
                # A generation is told only when all of it has been asked for.
                wanted = min(-(-max(len(mine), 1) // size) * size, budget)
                if len(mine) == wanted and not pending:
                    wanted = min(wanted + size, budget)
                for number in range(len(mine), wanted):
                    self._ask(optuna, database, axes, number)
                self._tell(optuna, database)

    def _ask(self, optuna: Any, database: Database, axes: list[_Axis], number: int) -> None:
        with database.working() as study:
            study.sampler = self._sampler(optuna, number)
            trial = study.ask()
            places = tuple(axis.suggest(trial) for axis in axes)
            trial.set_user_attr("point", self.plan.grid.index(places))
            trial.set_user_attr("owner", database.owner)  # the last: so it is whole

    def _tell(self, optuna: Any, database: Database) -> None:
        pending = [trial for trial in database.trials() if not trial.state.is_finished()]
        points = [trial.user_attrs["point"] for trial in pending]
        rows = {row["point"]: row for row in self.evaluate(sorted(set(points)))}
        objectives, constraints = self.plan.file.objectives, self.plan.constraints
        with database.working() as study:
            # Of a search that is continued, nobody has asked yet: constraints are for the sampler
            # to note.
            study.sampler = self._sampler(optuna, 0)
            for trial, point in zip(pending, points, strict=True):
                row = rows[point]
                if any(row[name] is None for name in objectives):
                    study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
                    continue
                known = {"status": row["status"], **row}
                over = [c.excess(known) for c in constraints if known.get(c.metric) is not None]
                # Of a trial of another process, only the storage is left; this attaches to it.
                attached = optuna.trial.Trial(study, trial._trial_id)
                attached.set_user_attr("excess", over)
                study.tell(trial.number, [row[name] for name in objectives])
        database.publish([trial.number for trial in pending])

    def _sampler(self, optuna: Any, number: int) -> Any:
        seed = random.Random(f"{self.plan.file.seed} {number}").randrange(2**32)
        options: dict[str, Any] = {"seed": seed}
        if self.plan.constraints:
            options["constraints_func"] = lambda trial: trial.user_attrs.get("excess", [0.0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # constraints_func is marked as experimental
            if self.plan.file.search.sampler == "tpe":
                return optuna.samplers.TPESampler(**options, multivariate=True)
            population = self.plan.file.search.population
            return optuna.samplers.NSGAIISampler(**options, population_size=population)


@dataclass(frozen=True, slots=True)
class _Axis:
    """What Optuna may choose along an axis: one of some places, near or far or just different."""

    name: str
    count: int
    is_ordered: bool

    @classmethod
    def of(cls, axis: Axis) -> _Axis:
        """Return the choice that an axis is; a long one is taken as ordered, as it mostly is."""
        count = len(axis.settings)
        return cls(" ".join(axis.keys), count, count > _MOST_CHOICES or axis.is_ordered)

    def suggest(self, trial: Any) -> int:
        """Return the place that a trial has along the axis."""
        if self.count == 1:
            return 0
        if self.is_ordered:
            return int(trial.suggest_int(self.name, 0, self.count - 1))
        return int(trial.suggest_categorical(self.name, list(range(self.count))))


def report(plan: Plan, found: Sequence[Row], at_random: Sequence[Row] | None) -> dict[str, Any]:
    """Return the shares of the space that the points found cover, and those drawn at random.

    Shares are hypervolumes in the box around all of these points, the worst corner the reference.
    """
    names = plan.file.objectives
    ours, theirs = (costs_of(usable(rows or [], names), names) for rows in (found, at_random))
    box = [*ours, *theirs]
    data = {
        "objectives": {name: METRICS[name] for name in names},
        "trials": plan.file.points,
        "points": len(found),
        "points_ok": sum(row["status"] == OK for row in found),
        "hypervolume_share": covered_share(ours, box),
    }
    if at_random is not None:
        data |= {
            "random_points": len(at_random),
            "random_points_ok": sum(row["status"] == OK for row in at_random),
            "random_hypervolume_share": covered_share(theirs, box),
        }
    return data


def write_report(folder: Path, data: dict[str, Any]) -> None:
    """Write `search.json`."""
    write_texts({folder / REPORT: json.dumps(data, indent=1, allow_nan=False) + "\n"})


def optuna_library() -> Any:
    """Return Optuna, which tells only of what is wrong; MissingExtraError without it."""
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("optuna", "sweep") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def check_library() -> None:
    """Raise MissingExtraError if Optuna is not installed."""
    optuna_library()
