"""The fastest machine of a pattern in an area, found by Optuna among those that fit.

A search begins at machines that are known to be good. After them, every second trial is asked of
Optuna's sampler (TPE), the others are near the best machine so far. A trial counts if its machine
was simulated: machines that are too large, or that were tried before, cost no trial.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from accelsim.base.errors import MissingExtraError
from accelsim.tuning.bench import Candidate, Workbench
from accelsim.tuning.bounds import least_prefill_cycles
from accelsim.tuning.journal import Journal, Measured
from accelsim.tuning.space import Places, Space

_ASKED_EVERY = 3  # trials is one that the sampler asks for
_TRIES = 12  # of a machine near the best one that could be better
_MOST_ASKED = 8  # for each trial that counts
_AT_RANDOM = 6  # trials before the sampler learns from them
_METRICS = ("cycles", "energy_pj", "dram_bytes", "mac_utilization_ratio")


@dataclass(frozen=True)
class Found:
    """A machine that was simulated.

    Attributes:
        places: its choices.
        candidate: the machine.
        measured: cycles, energy and DRAM bytes of its duty.
    """

    places: Places
    candidate: Candidate
    measured: dict[str, float]


@dataclass
class AreaSearch:
    """A search for the fewest cycles in an area.

    Attributes:
        space: the machines.
        bench: on which they are tried, with one duty.
        journal: of what was simulated.
        budget_um2: the area.
        trials: machines to simulate.
        seed: of the search.
        starts: places of machines to begin with.
        found: the machines that were simulated, in order.
    """

    space: Space
    bench: Workbench
    journal: Journal
    budget_um2: float
    trials: int
    seed: str
    starts: Sequence[Places] = ()
    found: list[Found] = field(default_factory=list)
    _known: dict[str, float | None] = field(default_factory=dict)

    def run(self) -> list[Found]:
        """Return the machines that were simulated, the best first."""
        optuna = _optuna()
        rng = random.Random(self.seed)
        study = optuna.create_study(sampler=_sampler(optuna, rng.randrange(2**32)))
        for places in self.starts:
            self._told(optuna, study, places)
        for asked in range(_MOST_ASKED * self.trials):
            if len(self.found) >= self.trials:
                break
            if self.found and asked % _ASKED_EVERY:
                self._told(optuna, study, self._near(rng))
            else:
                self._asked(optuna, study)
        return sorted(self.found, key=_rank)

    def _near(self, rng: random.Random) -> Places:
        """Return places near the best machine so far; of some tries, the first that could win."""
        best = min(self.found, key=_rank)
        for _ in range(_TRIES):
            places = self.space.neighbour(best.places, rng)
            fitted = self.space.fitted(places, self.bench, self.budget_um2)
            if fitted is None or repr(fitted[1].contents) in self._known:
                continue
            if self._least(fitted[1]) < best.measured["cycles"]:
                break
        return places

    def _asked(self, optuna: Any, study: Any) -> None:
        """Try a machine that the sampler asks for."""
        trial = study.ask(_distributions(optuna, self.space))
        cycles = self._cycles(trial.params)
        if cycles is None:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, cycles)

    def _told(self, optuna: Any, study: Any, places: Places) -> None:
        """Try a machine, and tell the sampler of it."""
        cycles = self._cycles(places)
        if cycles is not None:
            distributions = _distributions(optuna, self.space)
            trial = optuna.trial.create_trial(
                params=dict(places), distributions=distributions, value=cycles
            )
            study.add_trial(trial)

    def _cycles(self, places: Places) -> float | None:
        """Return the cycles of a machine, or what it takes at least if it cannot be the best.

        None if no such machine fits into the area.
        """
        fitted = self.space.fitted(places, self.bench, self.budget_um2)
        if fitted is None:
            return None
        inside, candidate = fitted
        key, least = repr(candidate.contents), self._least(candidate)
        if key not in self._known and self.found:
            if least >= min(self.found, key=_rank).measured["cycles"]:
                return least
        if key not in self._known:
            measured = self.journal.measured(
                candidate.contents, lambda: measure(self.bench, candidate)
            )
            self._known[key] = None if measured is None else measured["cycles"]
            if measured is not None:
                self.found.append(Found(inside, candidate, dict(measured)))
        return self._known[key]

    def _least(self, candidate: Candidate) -> float:
        """Return cycles that a machine takes at least."""
        if self.bench.duties[0].batch is not None:
            return 0.0
        return least_prefill_cycles(candidate.arch, self.bench.workload.trace)


def _rank(found: Found) -> tuple[float, float, float]:
    """Return what machines are compared by: cycles, then energy, then area."""
    return found.measured["cycles"], found.measured["energy_pj"], found.candidate.area_um2


def _distributions(optuna: Any, space: Space) -> dict[str, Any]:
    """Return what Optuna may choose: one of the places of each choice."""
    ints, kinds = optuna.distributions.IntDistribution, optuna.distributions.CategoricalDistribution
    return {
        name: ints(0, len(ladder) - 1)
        if space.is_ordered(name)
        else kinds(list(range(len(ladder))))
        for name, ladder in space.choices.items()
    }


def measure(bench: Workbench, candidate: Candidate) -> Measured:
    """Return what a machine comes to in its one duty; None if a layer has no place on it."""
    if bench.cycles(candidate) is None:
        return None
    totals = bench.totals(candidate, bench.duties[0])
    return {name: float(totals[name] or 0) for name in _METRICS}


def _sampler(optuna: Any, seed: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # multivariate is marked as experimental
        return optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=_AT_RANDOM, multivariate=True
        )


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("optuna", "sweep") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna

