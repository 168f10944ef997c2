"""The fastest machine of a pattern in an area, found by Optuna among those that fit.

A search begins at machines that are known to be good. After them, every third trial is asked of
Optuna's sampler (TPE), the others are near the best machine so far. A trial counts if its machine
was simulated: machines that were tried before, that are too large, or that a bound proves to be
slower than the best one, cost no trial.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from accelsim.sweeps.search import optuna_library
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
        seed: of the search.
        found: the machines that were simulated, in order.
    """

    space: Space
    bench: Workbench
    journal: Journal
    budget_um2: float
    seed: str
    found: list[Found] = field(default_factory=list)
    _known: dict[str, float | None] = field(default_factory=dict)
    _sizes: dict[tuple[int, ...], tuple[dict[str, int], Candidate] | None] = field(
        default_factory=dict
    )
    _optuna: Any = field(init=False)
    _rng: random.Random = field(init=False)
    _study: Any = field(init=False)

    def __post_init__(self) -> None:
        self._optuna = optuna_library()
        self._rng = random.Random(self.seed)
        self._study = self._optuna.create_study(
            sampler=_sampler(self._optuna, self._rng.randrange(2**32))
        )

    @property
    def best(self) -> Found | None:
        """The best machine so far."""
        return min(self.found, key=_rank, default=None)

    def run(self, starts: Sequence[Places], trials: int) -> None:
        """Simulate so many more machines.

        Args:
            starts: places of machines to go on with.
            trials: machines to simulate.
        """
        wanted = len(self.found) + trials
        for places in starts:
            if len(self.found) < wanted:
                self._told(places)
        for asked in range(_MOST_ASKED * trials):
            if len(self.found) >= wanted:
                break
            if self.found and asked % _ASKED_EVERY:
                self._told(self._near())
            else:
                self._asked()

    def _near(self) -> Places:
        """Return places near the best machine so far; of some tries, the first that could win."""
        best = min(self.found, key=_rank)
        for _ in range(_TRIES):
            places = self.space.neighbour(best.places, self._rng)
            fitted = self._fitted(places)
            if fitted is None or repr(fitted[1].contents) in self._known:
                continue
            if self._least(fitted[1]) < best.measured["cycles"]:
                break
        return places

    def _asked(self) -> None:
        """Try a machine that the sampler asks for."""
        trial = self._study.ask(_distributions(self._optuna, self.space))
        cycles = self._cycles(trial.params)
        if cycles is None:
            self._study.tell(trial, state=self._optuna.trial.TrialState.PRUNED)
        else:
            self._study.tell(trial, cycles)

    def _told(self, places: Places) -> None:
        """Try a machine, and tell the sampler of it."""
        cycles = self._cycles(places)
        if cycles is not None:
            distributions = _distributions(self._optuna, self.space)
            trial = self._optuna.trial.create_trial(
                params=dict(places), distributions=distributions, value=cycles
            )
            self._study.add_trial(trial)

    def _cycles(self, places: Places) -> float | None:
        """Return the cycles of a machine, or what it takes at least if it cannot be the best.

        None if no such machine fits into the area.
        """
        fitted = self._fitted(places)
        if fitted is None:
            return None
        inside, candidate = fitted
        key, best = repr(candidate.contents), self.best
        if key not in self._known:
            least = self._least(candidate)
            if best is not None and least >= best.measured["cycles"]:
                return least
            measured = self.journal.measured(
                candidate.contents, lambda: measure(self.bench, candidate)
            )
            self._known[key] = None if measured is None else measured["cycles"]
            if measured is not None:
                self.found.append(Found(inside, candidate, dict(measured)))
        return self._known[key]

    def _fitted(self, places: Places) -> tuple[dict[str, int], Candidate] | None:
        """Return the machine of some places as it fits into the area; asked once for each."""
        key = tuple(places[name] for name in self.space.choices)
        if key not in self._sizes:
            self._sizes[key] = self.space.fitted(places, self.bench, self.budget_um2)
        return self._sizes[key]

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
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=_AT_RANDOM, multivariate=True)
