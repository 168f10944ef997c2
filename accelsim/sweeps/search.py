"""Which points to run where there are too many: at random, or as Optuna learns from the others.

Points are asked for a generation at a time, run by whatever workers there are, and told in order,
so that the search does not depend on how many work. The sampler of each trial is seeded by its
number: a search that was killed goes on as if nothing had happened.
"""

from __future__ import annotations

import json
import random
import uuid
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelsim.errors import InputError, MissingExtraError
from accelsim.files import write_texts
from accelsim.sweeps.metrics import METRICS
from accelsim.sweeps.pareto import costs_of, covered_share, usable
from accelsim.sweeps.plan import Plan
from accelsim.sweeps.task import OK, Row

REPORT, _OWNER = "search.json", "search.id"
Evaluate = Callable[[Sequence[int]], list[Row]]


def random_points(plan: Plan) -> list[int]:
    """Return so many different points of the space as the sweep asks for."""
    size = len(plan.grid)
    count = min(plan.file.points or size, size)
    return sorted(random.Random(plan.file.seed).sample(range(size), count))


@dataclass(slots=True)
class Search:
    """A search by Optuna, continued where it was.

    Attributes:
        plan: the sweep.
        folder: of its results.
        evaluate: runs points, or finds their rows among the results.
    """

    plan: Plan
    folder: Path
    evaluate: Evaluate

    def run(self) -> list[int]:
        """Ask for, run and tell as many trials as the sweep says; return the point of each."""
        optuna, budget = _optuna(), self.plan.file.points or 0
        size, owner = self.plan.file.search.population, self._owner()
        study = self._study(optuna)
        while True:
            mine = _trials_of(study, owner)
            pending = [trial for trial in mine if not trial.state.is_finished()]
            if len(mine) >= budget and not pending:
                return [trial.user_attrs["point"] for trial in mine]
            # A generation is told only when all of it has been asked for.
            wanted = min(-(-max(len(mine), 1) // size) * size, budget)
            if len(mine) == wanted and not pending:
                wanted = min(wanted + size, budget)
            for number in range(len(mine), wanted):
                self._ask(optuna, study, owner, number)
            self._tell(optuna, study, owner)

    def _study(self, optuna: Any) -> Any:
        search = self.plan.file.search
        storage = search.storage or f"sqlite:///{self.folder.resolve()}/search.db"
        try:
            return optuna.create_study(
                study_name=search.study or self.plan.file.name,
                storage=storage,
                directions=[METRICS[name] for name in self.plan.file.objectives],
                load_if_exists=True,
            )
        except Exception as error:  # of any database driver
            reason = " ".join(str(error).split())
            raise InputError(f"search.storage {storage}: cannot be used: {reason}") from error

    def _ask(self, optuna: Any, study: Any, owner: str, number: int) -> None:
        study.sampler = self._sampler(optuna, number)
        trial = study.ask()
        places = []
        for axis in self.plan.grid.axes:
            name, count = " ".join(axis.keys), len(axis.settings)
            if count == 1:
                places.append(0)
            elif axis.is_ordered:
                places.append(trial.suggest_int(name, 0, count - 1))
            else:
                places.append(trial.suggest_categorical(name, list(range(count))))
        trial.set_user_attr("point", self.plan.grid.index(tuple(places)))
        trial.set_user_attr("owner", owner)

    def _tell(self, optuna: Any, study: Any, owner: str) -> None:
        pending = [t for t in _trials_of(study, owner) if not t.state.is_finished()]
        points = [trial.user_attrs["point"] for trial in pending]
        rows = {row["point"]: row for row in self.evaluate(sorted(set(points)))}
        objectives, constraints = self.plan.file.objectives, self.plan.constraints
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

    def _owner(self) -> str:
        """Return the name of this folder in a database that several may share."""
        path = self.folder / _OWNER
        if not path.exists():
            write_texts({path: uuid.uuid4().hex})
        return path.read_text(encoding="utf-8")


def report(plan: Plan, found: Sequence[Row], at_random: Sequence[Row] | None) -> dict[str, Any]:
    """Return how much of the space the points found cover, against those drawn at random.

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
    write_texts({folder / REPORT: json.dumps(data, indent=1) + "\n"})


def _trials_of(study: Any, owner: str) -> list[Any]:
    trials = study.get_trials(deepcopy=False)
    return [trial for trial in trials if trial.user_attrs.get("owner") == owner]


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("optuna", "sweep") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def check_library() -> None:
    """Raise MissingExtraError if Optuna is not installed."""
    _optuna()
