"""The fastest machine of a pattern in an area, found among those that fit.

Machines have three origins. Half of the trials of a run are left to machines that are known
to be good elsewhere; what follows is asked of Optuna's sampler (TPE) and looked for near the best
machine so far, in turns. A trial counts if its machine was simulated: machines that were tried
before, that are too large, or that a bound proves to be slower than the best one, cost no trial.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, Literal

from accelsim.sweeps.search import optuna_library
from accelsim.tuning.bench import Candidate, Contents, Workbench
from accelsim.tuning.bounds import least_prefill_cycles
from accelsim.tuning.journal import Journal, Measured
from accelsim.tuning.space import Places, Space

Origin = Literal["known", "sampler", "near"]
"""Where a machine came from: known from elsewhere, Optuna's sampler, or near the best one."""

ORIGINS: tuple[Origin, ...] = ("known", "sampler", "near")
_KNOWN_SHARE = 0.5  # of the trials of a run, at most
_TRIES = 12  # of a machine near the best one that could be better
_ASKED = 8  # machines at most, until one that the sampler asks for counts
_MOST_TURNS = 8  # for each trial that counts
_AT_RANDOM = 6  # trials before the sampler learns from them
_METRICS = ("cycles", "energy_pj", "dram_bytes", "mac_utilization_ratio")


@dataclass(frozen=True)
class Trial:
    """A machine that was simulated.

    Attributes:
        places: its choices.
        contents: of its architecture file.
        area_um2: its area.
        measured: cycles, energy and DRAM bytes of its duty.
        origin: where it came from.
    """

    places: Places
    contents: Contents
    area_um2: float
    measured: Mapping[str, float]
    origin: Origin

    @property
    def rank(self) -> tuple[float, float, float]:
        """What machines are compared by: cycles, then energy, then area."""
        return self.measured["cycles"], self.measured["energy_pj"], self.area_um2


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
    found: list[Trial] = field(default_factory=list)
    _known: dict[str, float | None] = field(default_factory=dict)
    _sizes: dict[tuple[int, ...], tuple[dict[str, int], Candidate] | None] = field(
        default_factory=dict
    )
    _optuna: Any = field(init=False)
    _rng: random.Random = field(init=False)
    _study: Any = field(init=False)
    _turns: Iterator[Callable[[], None]] = field(init=False)

    def __post_init__(self) -> None:
        self._optuna = optuna_library()
        self._rng = random.Random(self.seed)
        self._turns = cycle((self._ask, self._look_near))
        self._study = self._optuna.create_study(
            sampler=_sampler(self._optuna, self._rng.randrange(2**32))
        )

    @property
    def best(self) -> Trial | None:
        """The best machine so far."""
        return min(self.found, key=lambda trial: trial.rank, default=None)

    def recall(self, trials: Sequence[Trial]) -> None:
        """Go on from the trials of a search of the same area, as if they had been made here."""
        for trial in trials:
            cycles = trial.measured["cycles"]
            self._known[repr(trial.contents)] = cycles
            self.found.append(trial)
            self._tell(trial.places, cycles)

    def run(self, starts: Sequence[Places], trials: int) -> None:
        """Simulate so many more machines.

        Args:
            starts: places of machines that are known to be good elsewhere, the best hopes first.
            trials: machines to simulate.
        """
        begun = len(self.found)
        for places in starts:
            if len(self.found) < begun + _KNOWN_SHARE * trials:
                self._told(places, "known")
        for _ in range(_MOST_TURNS * trials):
            if len(self.found) >= begun + trials:
                break
            next(self._turns)()

    def _look_near(self) -> None:
        """Try a machine near the best one so far; of some, the first that could be better."""
        best = self.best
        if best is None:
            return
        for _ in range(_TRIES):
            places = self.space.neighbour(best.places, self._rng)
            fitted = self._fitted(places)
            if fitted is None or repr(fitted[1].contents) in self._known:
                continue
            if self._least(fitted[1]) < best.measured["cycles"]:
                break
        self._told(places, "near")

    def _ask(self) -> None:
        """Try machines that the sampler asks for, until one is simulated, or it has had its turn.

        Of one that a bound proves to be slow, the sampler is told the bound.
        """
        begun = len(self.found)
        for _ in range(_ASKED):
            trial = self._study.ask(_distributions(self._optuna, self.space))
            cycles = self._cycles(trial.params, "sampler")
            if cycles is None:
                self._study.tell(trial, state=self._optuna.trial.TrialState.PRUNED)
            else:
                self._study.tell(trial, cycles)
            if len(self.found) > begun:
                return

    def _told(self, places: Places, origin: Origin) -> None:
        """Try a machine, and tell the sampler of it."""
        cycles = self._cycles(places, origin)
        if cycles is not None:
            self._tell(places, cycles)

    def _tell(self, places: Places, cycles: float) -> None:
        trial = self._optuna.trial.create_trial(
            params=dict(places),
            distributions=_distributions(self._optuna, self.space),
            value=cycles,
        )
        self._study.add_trial(trial)

    def _cycles(self, places: Places, origin: Origin) -> float | None:
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
            measured = self.journal.found(
                candidate.contents, lambda: measure(self.bench, candidate)
            )
            self._known[key] = None if measured is None else measured["cycles"]
            if measured is not None:
                area_um2 = candidate.area_um2
                self.found.append(Trial(inside, candidate.contents, area_um2, measured, origin))
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
