"""The best tiling of a layer: exact runs, in the order of what is proven of each.

    candidates ─► coarse bounds ─► lower bounds ─► runs, the lowest bound first ─► the best
    thousands     traffic, first    of each stage,   until nothing left can be
                  tiles             resource, buffer  faster by more than the slack

So the best that was run is, within the slack, the best of the grid; only where so many jobs would
have to be walked that it takes too long (`Effort`), it is the best that was run. Tilings within
the slack of the best count as equal, and the one that moves least is taken.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from accelsim.base.compiled import pays
from accelsim.base.errors import DeadlockError, InputError
from accelsim.dataflows.layer_machine import LayerMachine, Objective
from accelsim.mapping import Gemm, Ints
from accelsim.mapping.jobs import MAX_JOBS, Flags
from accelsim.mapping.mapper import check_room
from accelsim.planning.candidates import Candidates
from accelsim.planning.coarse import coarse_bounds
from accelsim.planning.energy import Energy
from accelsim.planning.found import Found, Part, Plan

_MOST_JOBS_OF_A_RUN = 40_000  # of one run that does not repeat itself sooner
_JOBS_OF_A_RUN = 1000  # as long as it takes to get one ready
_FIRST_JOBS = 30_000  # whose runs tell what is worth a look
_AT_ONCE = 512  # tilings whose times are asked for together: what stays in a processor's cache
_SEARCH_NS = 2.5e8  # of runs in the interpreter that are worth a compiled loop
_CHEAPER = 8  # more tilings that are run because they move less in the same time
_CHEAPER_JOBS = 8_000  # that are walked in them
_LITTLE_MORE = 1.01
_PRICED = 24  # tilings that are run and priced if energy is the objective
_PRICED_FOR_EDP = 128  # and if energy × delay is, which waits decide that no bound knows

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Effort:
    """When a search ends.

    Attributes:
        slack: once no tiling left can be faster by more, as a share of the cycles; tilings that
            are closer than that count as equal.
        most_jobs: once so many jobs have been walked in all runs together; 110,000 take 40 ms.
        patience: after so many runs in a row that found nothing better.
    """

    slack: float = 0.001
    most_jobs: int = 110_000
    patience: int = 64


USUAL = Effort()
EXHAUSTIVE = Effort(slack=0.0, most_jobs=2**62, patience=2**62)
"""As long as it takes to prove that no tiling of the grid has fewer cycles."""


class Search:
    """A search for the tile of one layer on one machine."""

    def __init__(self, machine: LayerMachine, gemm: Gemm, *, is_decode: bool) -> None:
        """Get ready.

        Args:
            machine: as the layer finds it.
            gemm: the layer.
            is_decode: whether it is a decode step.
        """
        self._machine = machine
        self._gemm = gemm
        self._is_decode = is_decode
        self._found: list[Found] = []
        self._parts: list[Part] = []
        self._left: Ints = np.zeros((0, 4), np.int64)  # bound, expected, part, place in it
        self._walked_jobs = 0

    def plan(self, objective: Objective = "cycles", effort: Effort = USUAL) -> Plan:
        """Return the plan of the layer.

        Args:
            objective: what is to be least.
            effort: when to end a search for the fewest cycles.

        Raises:
            InputError: not even the smallest tile fits, or no tiling runs to its end.
        """
        machine, gemm = self._machine, self._gemm
        pays(_SEARCH_NS)  # who searches once will search again
        candidates = Candidates.of(gemm, machine, is_decode=self._is_decode)
        if not len(candidates):
            check_room(gemm, machine.path, machine.stores)
            raise AssertionError("check_room accepts what fits refuses")
        if objective == "cycles":
            self._search(candidates, effort)
            found = self._within(effort.slack)
        else:
            found = self._of_least_energy(candidates, objective)
        if not found:
            raise InputError("no tiling of the layer runs to its end")
        fewest = min(each.cycles for each in self._found)
        bound = int(self._left[:, 0].min(initial=fewest))
        chosen = {each.tiling for each in found}
        others = [each for each in self._found if each.tiling not in chosen]
        others.sort(key=lambda each: each.cycles)
        return Plan((*found, *others), bound, len(candidates))

    @property
    def _best_cycles(self) -> int:
        return min(each.cycles for each in self._found)

    def _search(self, candidates: Candidates, effort: Effort) -> None:
        """Run tilings until nothing left can be faster by more than the slack."""
        coarse = coarse_bounds(self._machine, self._gemm, candidates, is_decode=self._is_decode)
        order = np.argsort(coarse, kind="stable")
        for start in range(0, len(order), _AT_ONCE):
            part = order[start : start + _AT_ONCE]
            if self._found:
                part = part[coarse[part] * (1 + effort.slack) < self._best_cycles]
            if not len(part):
                break
            self._look_at(candidates[part])
            if start == 0:
                first = min(_FIRST_JOBS, effort.most_jobs)
                self._run(replace(effort, most_jobs=first))
        self._run(effort)
        if not self._found:
            self._run_any()

    def _look_at(self, candidates: Candidates) -> None:
        """Bound tilings, and keep those that may be the best."""
        part = Part.of(self._machine, self._gemm, candidates, is_decode=self._is_decode)
        places = np.arange(len(candidates))
        numbers = np.full(len(candidates), len(self._parts))
        rows = np.stack([part.bound_cycles, part.expected_cycles, numbers, places], axis=1)
        if self._found:
            rows = rows[part.bound_cycles < self._best_cycles]
        self._left = np.concatenate([self._left, rows])
        self._parts.append(part)

    def _run(self, effort: Effort) -> None:
        """Run what may be the best until nothing else can be, or the effort is spent.

        Tilings are taken from two lists, the one on which fewer jobs have been walked: those that
        promise most first, and those of the lowest bound first.
        """
        grain = max(1, int(self._left[:, 0].min(initial=2**62) * effort.slack / 2))
        by_bound = np.lexsort((self._left[:, 1], self._left[:, 0] // grain))
        lists = [iter(np.argsort(self._left[:, 1]).tolist()), iter(by_bound.tolist())]
        tried, settled = np.zeros((2, len(self._left)), np.bool_)
        spent, patience = [0, 0], effort.patience
        while self._walked_jobs < effort.most_jobs and patience:
            turn = spent.index(min(spent))
            before, best = self._walked_jobs, self._best_cycles if self._found else None
            place = next((x for x in lists[turn] if self._is_open(x, tried, best, effort)), None)
            if place is None:
                break
            tried[place] = True
            settled[place] = self._try(*self._left[place, 2:].tolist())
            spent[turn] += self._walked_jobs - before
            is_better = bool(self._found) and (best is None or self._best_cycles < best)
            patience = effort.patience if is_better else patience - 1
        self._left = self._left[~settled]

    def _is_open(self, place: int, tried: Flags, best: int | None, effort: Effort) -> bool:
        """Whether a tiling has not been tried, is walked soon, and may be better than the best."""
        bound, _, part, at = self._left[place].tolist()
        if tried[place] or self._parts[part].walked_jobs[at] > _MOST_JOBS_OF_A_RUN:
            return False
        return best is None or bound * (1 + effort.slack) < best

    def _try(self, part: int, at: int, most_jobs: int = _MOST_JOBS_OF_A_RUN) -> bool:
        """Run a tiling; return whether all is known of it: how long it takes, or that it cannot."""
        self._walked_jobs += int(self._parts[part].walked_jobs[at]) + _JOBS_OF_A_RUN
        try:
            found = self._parts[part].run(at, most_jobs)
        except DeadlockError:
            return True
        if found is not None:
            self._found.append(found)
        return found is not None

    def _run_any(self) -> None:
        """Run tilings to their ends, however long that takes, the shortest first, until one has."""
        walked = [self._parts[part].walked_jobs[at] for _, _, part, at in self._left.tolist()]
        for _, _, part, at in self._left[np.argsort(walked, kind="stable")].tolist():
            self._try(part, at, MAX_JOBS)
            if self._found:
                return

    def _within(self, slack: float) -> list[Found]:
        """Return the tilings that count as the best, the one that moves least first.

        That is off chip, where differences of a hundredth do not count, then on chip: a byte of
        DRAM costs the energy of some twenty of SRAM in any technology, so that the choice does not
        depend on it.
        """
        if not self._found:
            return []
        self._run_cheaper(self._best_cycles * (1 + slack))
        limit = self._best_cycles * (1 + slack)  # one of them may be faster than all before
        equal = [each for each in self._found if each.cycles <= limit]
        least = min(each.off_chip_bytes for each in equal)
        return sorted(
            equal,
            key=lambda each: (
                each.off_chip_bytes > _LITTLE_MORE * least,
                each.on_chip_bytes,
                each.off_chip_bytes,
                each.cycles,
            ),
        )

    def _run_cheaper(self, limit: float) -> None:
        """Run tilings that may take as few cycles, those that move least first."""
        most_jobs = self._walked_jobs + _CHEAPER_JOBS
        left = self._left[self._left[:, 0] <= limit]
        if not len(left):
            return
        moved = [self._parts[part].off_chip_bytes[at] for _, _, part, at in left.tolist()]
        for row in left[np.argsort(moved, kind="stable")[:_CHEAPER]].tolist():
            if self._walked_jobs < most_jobs:
                self._try(row[2], row[3])

    def _of_least_energy(self, candidates: Candidates, objective: Objective) -> list[Found]:
        """Return tilings of the least energy, or energy × delay, the best first.

        All are bounded and their traffic priced; those that promise most are run and priced whole,
        all of them where there are few. What else a layer costs, such as its multiplications, is
        taken to be what it is with the first one that ran.
        """
        for start in range(0, len(candidates), _AT_ONCE):
            self._look_at(candidates[start : start + _AT_ONCE])
        expected_cycles = self._left[:, 1]
        moved = np.concatenate([self._energy.traffic_pj(part.traffic) for part in self._parts])
        promise = moved + self._energy.leakage_pj * expected_cycles
        if objective == "edp":
            promise = (promise + self._rest_pj(promise, moved)) * expected_cycles
        most = _PRICED if objective == "energy" else _PRICED_FOR_EDP
        for place in np.argsort(promise, kind="stable")[:most].tolist():
            self._try(*divmod(place, _AT_ONCE))
        priced = [self._priced(each) for each in self._found]
        self._found = priced
        return sorted(priced, key=_by_energy if objective == "energy" else _by_edp)

    def _rest_pj(self, promise: Floats, moved_pj: Floats) -> float:
        """Return what a layer costs besides traffic and leakage, with a tiling that runs."""
        for place in np.argsort(promise, kind="stable").tolist():
            if self._try(*divmod(place, _AT_ONCE)) and self._found:
                found = self._priced(self._found.pop())
                leaked_pj = self._energy.leakage_pj * found.cycles
                return (found.energy_pj or 0.0) - leaked_pj - float(moved_pj[place])
        return 0.0

    def _priced(self, found: Found) -> Found:
        energy_pj = self._energy.layer_pj(
            self._gemm, found.tiling, found.cycles, is_decode=self._is_decode
        )
        return replace(found, energy_pj=energy_pj)

    @cached_property
    def _energy(self) -> Energy:
        return Energy.of(self._machine)


def _by_energy(found: Found) -> tuple[float, int]:
    return found.energy_pj or 0.0, found.cycles


def _by_edp(found: Found) -> tuple[float, int]:
    return (found.energy_pj or 0.0) * found.cycles, found.cycles
