"""Layers that follow each other on a machine: link after link, each in its window of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from accelsim.accounting.shares import shares
from accelsim.accounting.tally import LayerRun, Tally, combine
from accelsim.dataflows.pipeline import build_pipeline, present_stages, store_lag_jobs
from accelsim.dataflows.seams import NO_SEAMS, Seams, first_loads, most_ahead, weight_stage
from accelsim.mapping import Ints, Work
from accelsim.run.layers import TiledProduct, naming
from accelsim.run.links import FEEDS, Chain, Link, Setting, chain_of
from accelsim.run.pricing import Placed
from accelsim.run.runner import Observer, Runner
from accelsim.selection.sparsify import Selection
from accelsim.trace import Linear, Trace

Selected = Callable[[], Selection]
Watcher = Callable[[Sequence[Linear]], Observer | None]


def nobody(_: Sequence[Linear]) -> None:
    """Return who watches the run of some layers: nobody."""


class Walk:
    """Runs the links of a chain in order, from an empty machine, once for each decode step.

    A link that runs by itself, and one that fetches rows of W by what was kept, load nothing ahead
    and find nothing loaded.
    """

    def __init__(
        self,
        runner: Runner,
        trace: Trace,
        steps: Ints | None,
        scout: Runner | None = None,
        watcher: Watcher = nobody,
    ) -> None:
        """Find out what follows what, and what stays on chip.

        Args:
            runner: of the machine.
            trace: the layers.
            steps: `[steps, batch]`, tokens of each decode step; None for prefill.
            scout: runs layers by themselves, to see which are worth joining; default: the same.
            watcher: returns who watches the run of some layers; default: nobody.
        """
        scout = scout or runner
        methods = {
            linear.name: runner.method(linear, is_decode=steps is not None)
            for linear in trace.linears
        }
        machines = {method: runner.machine(method) for method in methods.values()}
        batch = None if steps is None else steps.shape[1]

        def cycles(tiled: TiledProduct) -> int:
            return scout.whole(tiled).cycles

        setting = Setting(runner.arch, machines, methods, batch, runner.planner, cycles)
        self.chain: Chain = chain_of(trace, setting)
        self._runner = runner
        self._steps = steps
        self._watcher = watcher
        self._left = [*pairwise([*self.chain.links, None])][::-1]
        self._found = NO_SEAMS  # by the next link; nothing where none was loaded ahead
        self._placed: dict[str, Placed | None] = {}
        # By identity of what is held there.
        self._shared: dict[tuple[int, tuple[int, ...]], tuple[Tally, list[Tally]]] = {}

    def of(self, linear: Linear, selected: Selected) -> Placed | None:
        """Return what a layer adds up to, and the product that it runs in; None: by itself.

        Args:
            linear: the next layer of the trace, or one that reads the same input.
            selected: returns what survives of its input; called where time depends on it.
        """
        while linear.name not in self._placed:
            link, behind = self._left.pop()
            assert link is not None
            self._placed |= self._run(link, behind.tiled if behind else None, selected)
        return self._placed.pop(linear.name)

    @property
    def note(self) -> str:
        """What to know of the chain, if there is something."""
        if self.chain.kinds_are_known:
            return ""
        known = ", ".join(sorted(FEEDS))
        return f"names do not tell what is made of what (known: {known}): every output goes to DRAM"

    def _run(
        self, link: Link, behind: TiledProduct | None, selected: Selected
    ) -> dict[str, Placed | None]:
        """Run a link; return what its layers add up to."""
        tiled = link.tiled
        if tiled is None:
            return {linear.name: None for linear in link.linears}
        with naming(self._runner.arch, link.linears[0]):
            if tiled.gathers and self._steps is not None:
                tally = combine(self._gathered(link, tiled, selected, self._steps))
                parts = shares(tally, link.columns)
            else:
                seams = self._found.then(self._ahead(tiled, behind))
                tally, self._found = self._window(link, tiled, selected, seams)
                parts = self._shares(tally, link.columns)
        return {x.name: (tiled, part) for x, part in zip(link.linears, parts, strict=True)}

    def _gathered(
        self, link: Link, tiled: TiledProduct, selected: Selected, steps: Ints
    ) -> list[tuple[int, Tally]]:
        """Return what the decode steps of a link that fetches what was kept add up to, in parts."""
        observer = self._watcher(link.linears)
        if observer is None:
            return self._runner.valued(tiled, selected(), steps)
        return [(1, run.tally) for run in self._watched(link, tiled, selected, observer)]

    def _window(
        self, link: Link, tiled: TiledProduct, selected: Selected, seams: Seams
    ) -> tuple[Tally, Seams]:
        """Return what a link adds up to in its window, and what the next one finds."""
        observer = self._watcher(link.linears)
        if observer is None:
            return self._runner.window(tiled, seams)
        run, *_ = self._watched(link, tiled, selected, observer, seams)
        return run.tally, run.found

    def _watched(
        self,
        link: Link,
        tiled: TiledProduct,
        selected: Selected,
        observer: Observer,
        seams: Seams = NO_SEAMS,
    ) -> list[LayerRun]:
        works = tiled.works(selected(), self._steps, one_by_one=True)
        return self._runner.watched(link.as_one, works, tiled.machine, observer, seams)

    def _shares(self, tally: Tally, columns: tuple[int, ...]) -> list[Tally]:
        """Return what each layer of a link adds up to; of equal windows, the same objects."""
        if (id(tally), columns) not in self._shared:
            number = 1 if self._steps is None else len(self._steps)
            parts = shares(combine([(number, tally)]), columns)
            self._shared[id(tally), columns] = tally, parts
        return self._shared[id(tally), columns][1]

    def _ahead(self, tiled: TiledProduct, behind: TiledProduct | None) -> Seams:
        """Return the first loads of the next link, as far as this one makes them."""
        if behind is None or behind.gathers:
            return NO_SEAMS
        if tiled.machine.stores.of_x_and_w != behind.machine.stores.of_x_and_w:
            return NO_SEAMS  # macros change hands at the seam
        runner = self._runner

        def make() -> Seams:
            if tiled.machine is not behind.machine and _loader(tiled) != _loader(behind):
                return NO_SEAMS
            lag = None if "y" in tiled.on_chip else _store_lag(tiled)
            most = most_ahead(behind.machine, _begin(behind), lag)
            return first_loads(behind.machine, _begin(behind, most), most)

        key = ("first loads", runner.key(tiled.machine), tiled.content, behind.content)
        return runner.remembered(behind.machine, key, make)


def _store_lag(tiled: TiledProduct) -> int:
    """Return how many jobs' loads go before the store of a job."""
    work = _begin(tiled)
    return store_lag_jobs(tiled.machine, work, list(present_stages(tiled.machine, work)))


def _begin(tiled: TiledProduct, loads: int = 1) -> Work:
    """Return so much of a product that it makes so many loads with full tiles, or all of it."""
    return tiled.work(min(tiled.outer_tiles, loads + 1))


def _loader(tiled: TiledProduct) -> tuple[object, ...]:
    """Return what loads the weights of a product: members of the stage, and its latency."""
    work = _begin(tiled)
    drawn = weight_stage(tiled.machine, work)
    if drawn is None:
        return ()
    pipeline = build_pipeline(tiled.machine, work)
    latency = next(s.latency for s in pipeline.network.stages if s.name == drawn.name)
    return drawn, latency, tuple(member.unit for member in pipeline.members[drawn.name])
