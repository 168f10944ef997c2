"""One climb: the searches of one work, bandwidth and seed, from the smallest area up.

In each area all patterns are searched alike, with the same number of trials. A climb is made twice.

The first time, searches begin at the best machines of the area below, at the machine of the
pattern's file tuned for the work, and at that of the file. Half-way the patterns learn from each
other: each goes on from the best machines of the others, as far as they are alike, and from its own
best with their buffers. The second time, they go on from the best of the bandwidths beside, and
then learn from each other once more. Seeds never learn from each other, so that they tell how far a
search can be trusted; all of them begin at the same file and the same tuned machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from accelsim.base.cache import DiskCache
from accelsim.base.yaml_source import YamlSource, read_yaml
from accelsim.config import load_arch
from accelsim.sweeps.totals import Workload
from accelsim.tuning.area_plan import AreaPlan, load_area_plan
from accelsim.tuning.bench import Contents, Workbench, changed
from accelsim.tuning.descent import tune
from accelsim.tuning.journal import Journal
from accelsim.tuning.search import AreaSearch, Trial
from accelsim.tuning.space import Places, Space

Spot = tuple[float, str]
"""A share of the area, and a pattern."""
Trials = Mapping[Spot, Sequence[Trial]]
Known = Mapping[Spot, Sequence[Places]]
"""Good machines from elsewhere."""


@dataclass(frozen=True)
class Desk:
    """What all processes of a plan share.

    Attributes:
        plan_path: the file of the plan.
        folder: of the journal, and of traces of shapes.
    """

    plan_path: Path
    folder: Path

    @property
    def journal_path(self) -> Path:
        """The file of the journal."""
        return self.folder / "simulated.jsonl"

    def bench(self, plan: AreaPlan, work: str, pattern: str) -> Workbench:
        """Return a bench for the machines of a pattern."""
        source = read_yaml(self.plan_path.parent / plan.bases[pattern])
        key = ("dram", "bandwidth_gb_per_s")
        data = changed(source.data, key, plan.tuned_at_gb_per_s)
        source = YamlSource(source.path, data, source.lines, source.overrides)
        return Workbench(source, _workload(self, work), [plan.works[work].duty])

    def journal(self, plan: AreaPlan, work: str) -> Journal:
        """Return the journal of what is found for some work."""
        trace = _workload(self, work).trace
        return _journal(self.journal_path).on(plan.works[work].identity(trace))


@cache
def _workload(desk: Desk, work: str) -> Workload:
    """Return the trace of some work; one for each process, which remembers its values."""
    plan = load_area_plan(desk.plan_path)
    trace = plan.works[work].load(desk.plan_path.parent, desk.folder)
    return Workload(trace, DiskCache.of_user())


@cache
def _journal(path: Path) -> Journal:
    return Journal.opened(path)


def tuned_base(desk: Desk, work: str, pattern: str) -> Contents:
    """Return the machine of a pattern's file, tuned for some work."""
    plan = load_area_plan(desk.plan_path)
    bench = desk.bench(plan, work, pattern)
    asked = {"tuned": bench.source.data}
    found = desk.journal(plan, work).found(asked, lambda: tune(bench).after.contents)
    assert found is not None
    return found


@dataclass(frozen=True)
class Climb:
    """The searches of one work, bandwidth and seed.

    Attributes:
        desk: what all processes share.
        work, bandwidth_gb_per_s, seed: which ones.
        trials: of each search, of both times together.
        tuned: the tuned machine of each pattern.
    """

    desk: Desk
    work: str
    bandwidth_gb_per_s: float
    seed: int
    trials: int
    tuned: Mapping[str, Contents]

    @property
    def first_trials(self) -> int:
        """Trials of a search the first time: two thirds."""
        return self.trials - self.trials // 3

    def first(self) -> dict[Spot, list[Trial]]:
        """Return what the searches found the first time."""
        found: dict[Spot, list[Trial]] = {}
        for share in self._plan.shares_of(self.work):
            searches = self._searches(share)
            starts = {
                pattern: [*self._below(found, pattern), *self._bases(search)]
                for pattern, search in searches.items()
            }
            found |= _climbed(share, searches, starts, self.first_trials)
        return found

    def again(self, first: Trials, beside: Known) -> dict[Spot, list[Trial]]:
        """Return what the searches have found, the second time as well.

        Args:
            first: what they found the first time.
            beside: the best machines of the bandwidths beside.
        """
        found: dict[Spot, list[Trial]] = {}
        for share in self._plan.shares_of(self.work):
            searches, starts = self._searches(share), {}
            for pattern, search in searches.items():
                search.recall(first.get((share, pattern), ()))
                known = [*self._below(found, pattern), *beside.get((share, pattern), ())]
                starts[pattern] = [*known, *map(search.space.filling, known)]
            found |= _climbed(share, searches, starts, self.trials - self.first_trials)
        return found

    @cached_property
    def _plan(self) -> AreaPlan:
        return load_area_plan(self.desk.plan_path)

    def _searches(self, share: float) -> dict[str, AreaSearch]:
        """Return the search of each pattern in an area."""
        whole_um2 = _area_um2(self.desk.plan_path.parent / self._plan.reference)
        journal = self.desk.journal(self._plan, self.work)
        seed = f"{self.seed} {self.work} {self.bandwidth_gb_per_s:g} {share:g}"
        searches = {}
        for pattern in self._plan.bases:
            bench = self.desk.bench(self._plan, self.work, pattern)
            space = Space(bench.source, self.bandwidth_gb_per_s)
            searches[pattern] = AreaSearch(space, bench, journal, share * whole_um2, seed)
        return searches

    def _bases(self, search: AreaSearch) -> list[Places]:
        """Return the tuned machine and that of the file, as they are and with more columns."""
        space = search.space
        pattern = str(search.bench.source.data["pattern"])
        places = [space.near(it) for it in (self.tuned[pattern], search.bench.source.data)]
        return [it for one in places for it in (space.filling(one), one)]

    @staticmethod
    def _below(found: Trials, pattern: str) -> list[Places]:
        """Return the best machine of the areas below, as it is: more area is never slower."""
        below = [it for (_, its), some in found.items() for it in some if its == pattern]
        best = min(below, key=lambda trial: trial.rank, default=None)
        return [] if best is None else [best.places]


def _climbed(
    share: float,
    searches: Mapping[str, AreaSearch],
    starts: Mapping[str, list[Places]],
    trials: int,
) -> dict[Spot, list[Trial]]:
    """Return what the patterns found in an area: half by themselves, half from each other."""
    for pattern, search in searches.items():
        search.run(starts[pattern], trials - trials // 2)
    bests = {pattern: search.best for pattern, search in searches.items()}
    for pattern, search in searches.items():
        others = [it for its, it in bests.items() if it is not None and its != pattern]
        search.run(exchanged(search, others), trials // 2)
    return {(share, pattern): search.found for pattern, search in searches.items()}


def exchanged(search: AreaSearch, others: Sequence[Trial]) -> list[Places]:
    """Return what a search can learn from the best machines of other patterns, the best first.

    Of each its machine, with what it lacks from the search's own, and the own with its buffers;
    both with as many columns as fit.
    """
    own = search.best
    if own is None:
        return []
    learnt = []
    for other in sorted(others, key=lambda trial: trial.rank):
        alike = {name: at for name, at in other.places.items() if name in own.places}
        buffers = {name: at for name, at in alike.items() if "_buffer." in name}
        learnt += [{**own.places, **alike}, {**own.places, **buffers}]
    return [search.space.filling(it) for it in learnt]


@cache
def _area_um2(path: Path) -> float:
    arch = load_arch(path)
    tech = arch.load_technology()
    return sum(unit.area_um2(tech, arch.path) for unit in arch.units.values())
