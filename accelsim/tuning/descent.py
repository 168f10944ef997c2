"""The smallest parts around an array that lose next to no cycles: `accelsim tune`.

Coordinate descent, every machine on it simulated exactly. It begins at generous parts, all doubled
together until that takes no cycle away. Each number then falls as far as it costs nothing, found by
bisection; what may be lost is spent on the steps that give the most area a cycle, and in the end
no single step is left that would stay within the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from accelsim.config import Architecture
from accelsim.tuning.bench import Candidate, Contents, Workbench
from accelsim.tuning.knobs import Knob, Ladder, at_full_speed, knobs_of, spelled_out, widened

MOST_DOUBLINGS = 4
"""How often all parts are doubled at most, on the way to generous ones."""

Note = Callable[[str, int, int | None], None]
"""Called with a stage of the work, how much of it is done, and of how much."""


@dataclass(frozen=True)
class Tried:
    """A machine that was simulated.

    Attributes:
        candidate: the machine.
        cycles: of each duty.
    """

    candidate: Candidate
    cycles: tuple[int, ...]

    @property
    def contents(self) -> Contents:
        """The contents of its architecture file."""
        return self.candidate.contents

    @property
    def area_um2(self) -> float:
        """Its area."""
        return self.candidate.area_um2

    def loss_over(self, other: Tried) -> float:
        """Return the share of cycles that it takes more than another machine, in its worst duty."""
        return max(own / its for own, its in zip(self.cycles, other.cycles, strict=True)) - 1


@dataclass(frozen=True)
class Tuned:
    """What tuning came to.

    Attributes:
        before: the machine as its file has it.
        generous: the same array with parts that cost no cycle; cycles are lost against it.
        after: the smallest machine.
        doublings: by which the generous parts exceed those of the file, or of full speed.
        simulations: machines that were simulated.
    """

    before: Tried
    generous: Tried
    after: Tried
    doublings: int
    simulations: int

    @property
    def loss_ratio(self) -> float:
        """The share of cycles lost in the worst duty."""
        return self.after.loss_over(self.generous)


def tune(bench: Workbench, loss: float = 0.01, note: Note = lambda *_: None) -> Tuned:
    """Return the smallest machine around the array of a file that loses few cycles.

    Args:
        bench: on which machines are tried.
        loss: share of the cycles that each duty may lose against generous parts.
        note: told of the progress.

    Raises:
        InputError: the file describes no machine that meets its clock and runs the trace.
    """
    written = bench.as_written()
    before = Tried(written, bench.checked_cycles(written))
    contents = spelled_out(written.contents, written.arch)
    knobs = knobs_of(bench, contents, written.arch)
    generous, doublings = _generous(bench, knobs, contents, written.arch, note)
    descent = _Descent(bench, knobs, generous, loss, note)
    after = descent.run()
    return Tuned(before, generous, after, doublings, bench.simulations)


def _generous(
    bench: Workbench, knobs: Sequence[Knob], contents: Contents, arch: Architecture, note: Note
) -> tuple[Tried, int]:
    """Return the machine whose parts no further doubling makes quicker, and the doublings."""
    ladders = [knob for knob in knobs if isinstance(knob, Ladder)]
    first = bench.machine(at_full_speed(ladders, contents, arch))
    best = Tried(first, bench.checked_cycles(first))
    for doubling in range(MOST_DOUBLINGS):
        note("generous parts", doubling, MOST_DOUBLINGS)
        contents = widened(bench, ladders, best.contents)
        wider = tried(bench, contents)
        if wider is None or not any(
            own < its for own, its in zip(wider.cycles, best.cycles, strict=True)
        ):
            return best, doubling
        best = wider
    return best, MOST_DOUBLINGS


def tried(bench: Workbench, contents: Contents) -> Tried | None:
    """Return the machine that contents describe, simulated; None if there is none in time."""
    candidate = bench.candidate(contents)
    cycles = None if candidate is None else bench.cycles(candidate)
    return None if candidate is None or cycles is None else Tried(candidate, cycles)


@dataclass
class _Descent:
    """The way down from generous parts.

    Attributes:
        bench: on which machines are tried.
        knobs: what may be made smaller.
        generous: where it begins.
        loss: share of the cycles that each duty may lose.
        note: told of the progress.
    """

    bench: Workbench
    knobs: Sequence[Knob]
    generous: Tried
    loss: float
    note: Note
    _dearness: dict[int, float] = field(default_factory=dict)  # loss of the last step, by knob

    def run(self) -> Tried:
        """Return the smallest machine found; no single step from it stays within the loss."""
        found = self._free(self.generous)
        spent = 0
        while True:
            self.note("spending the loss", spent, None)
            smaller = self._step(found)
            if smaller is None:
                return found
            found, spent = smaller, spent + 1

    def _free(self, found: Tried) -> Tried:
        """Return the machine with each number as small as costs no cycle, large units first."""
        sizes = found.candidate.unit_um2
        ladders = [knob for knob in self.knobs if isinstance(knob, Ladder)]
        for done, ladder in enumerate(sorted(ladders, key=lambda knob: -sizes[knob.unit])):
            self.note("what costs nothing", done, len(ladders))
            found = self._bottom(ladder, found)
        return found

    def _bottom(self, ladder: Ladder, found: Tried) -> Tried:
        """Return the machine on the lowest rung that costs nothing, as far as losses only grow."""
        steps = list(ladder.steps(found.contents))
        low, high = 0, len(steps)  # the first `low` steps are known to cost nothing
        while low < high:
            middle = (low + high) // 2
            smaller = tried(self.bench, steps[middle])
            if smaller is None or smaller.loss_over(self.generous) > 0:
                high = middle
                continue
            low = middle + 1
            if smaller.area_um2 < found.area_um2:
                found = smaller
        return found

    def _step(self, found: Tried) -> Tried | None:
        """Return the machine after the step that saves the most area a cycle; None: none is left.

        What a step loses is simulated when its turn comes: until then it is taken to lose what the
        last step of the same knob did. Steps that exceed the loss may do so no more after others,
        so all of them are tried again before there is no step.
        """
        waiting = sorted(self._smaller(found), key=lambda step: -self._worth(found, *step))
        best: tuple[float, Tried] | None = None
        for place, candidate in waiting:
            if best is not None and best[0] >= self._worth(found, place, candidate):
                continue
            cycles = self.bench.cycles(candidate)
            if cycles is None:
                continue
            smaller = Tried(candidate, cycles)
            self._dearness[place] = max(0.0, smaller.loss_over(found))
            if smaller.loss_over(self.generous) > self.loss:
                continue
            worth = self._worth(found, place, candidate)
            if best is None or worth > best[0]:
                best = worth, smaller
        return None if best is None else best[1]

    def _worth(self, found: Tried, place: int, candidate: Candidate) -> float:
        """Return the area that a step saves over the share of cycles that it costs, as known."""
        dearness = self._dearness.get(place, 0.0)
        return (found.area_um2 - candidate.area_um2) / (dearness + _NOTHING)

    def _smaller(self, found: Tried) -> Iterator[tuple[int, Candidate]]:
        """Yield, with the place of its knob, each machine one step away that is smaller."""
        for place, knob in enumerate(self.knobs):
            for contents in knob.steps(found.contents):
                candidate = self.bench.candidate(contents)
                is_ladder = isinstance(knob, Ladder)
                if candidate is None and is_ladder:
                    break  # nor are smaller ones machines
                if candidate is None or candidate.area_um2 >= found.area_um2:
                    continue
                yield place, candidate
                if is_ladder:
                    break  # what lies below is more than one step away


_NOTHING = 1e-9  # of the cycles: what a step that costs nothing is divided by
