"""One machine, layer after layer: what each adds up to, priced."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from math import prod
from typing import TypeVar

from accelsim.accounting.cost import Prices
from accelsim.accounting.tally import LayerRun, Tally, combine
from accelsim.base.cache import DiskCache
from accelsim.config import Architecture
from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.dataflows.matches import counting_notes
from accelsim.dataflows.memory import Key, Memory, timing_key
from accelsim.dataflows.pipeline import build_pipeline
from accelsim.dataflows.seams import NO_SEAMS, Seams, joined_pipeline
from accelsim.dataflows.windows import Window, cut, late_loads
from accelsim.engine import check_cycles, engine_named
from accelsim.mapping import Datapath, Ints, Work
from accelsim.planning import Planner
from accelsim.results.result import LayerResult, Result, over_steps, with_products
from accelsim.run.layers import TiledProduct, method_of, naming
from accelsim.run.periodic import periodic_tally
from accelsim.run.pricing import Placed, priced_layer
from accelsim.run.products import Product, layer_products
from accelsim.selection.decode import decode_notes
from accelsim.selection.sparsify import Selection
from accelsim.selection.weights import WeightMasks, drawn_weights
from accelsim.sparsity import Mask
from accelsim.sparsity.policy import Method, Policy
from accelsim.trace import Linear, Trace

DEFAULT_ENGINE = "recurrence"
_REMEMBERED_RUNS = 512
_WALKED_TILES = 4096  # a layer of so many is walked sooner than looked at for repetition

Observer = Callable[[Linear, Work, LayerRun], None]
Found = TypeVar("Found")


class Runner:
    """Runs layers on one machine; what is alike in machine and work is run once.

    Timing depends on integers only, so the layers of a transformer, alike but for their values,
    share their runs.

    Attributes:
        arch: the machine, with the units that its methods ask for.
        engine: by name.
        policy: how which layer is pruned; None: all as the machine says.
        planner: finds the tiles of layers.
    """

    def __init__(  # noqa: PLR0913 - all but one are optional, and most named
        self,
        arch: Architecture,
        engine: str = DEFAULT_ENGINE,
        policy: Policy | None = None,
        *,
        memory: Memory | None = None,
        is_brief: bool = False,
        cache: DiskCache | None = None,
        weight_masks: WeightMasks = drawn_weights,
    ) -> None:
        """Get a machine ready.

        Args:
            arch: the machine.
            engine: by name; the results are the same.
            policy: how which layer is pruned.
            memory: what has been run, on any machine; default: a memory of its own.
            is_brief: count cycles and actions only, and tell nothing of where the cycles went.
            cache: where found tiles are kept from run to run.
            weight_masks: returns which weights of a layer are stored.
        """
        self.arch = arch
        self.engine = engine
        self.policy = policy
        self.planner = Planner(cache)
        self._run_network = engine_named(engine)
        self._memory = Memory(_REMEMBERED_RUNS) if memory is None else memory
        self._is_brief = is_brief
        self._weight_masks = weight_masks
        self._machines: dict[Method, LayerMachine] = {}
        self._prices: dict[Datapath, Prices] = {}
        self._keys: dict[int, tuple[LayerMachine, Key]] = {}  # by identity of what is held there

    @cached_property
    def prices(self) -> Prices:
        """What the units of the machine cost."""
        return Prices.of(self.arch, self.arch.load_technology())

    def prices_on(self, machine: LayerMachine) -> Prices:
        """Return what the units cost on the machine as a layer finds it."""
        if not machine.path.modes:
            return self.prices
        if machine.path not in self._prices:
            self._prices[machine.path] = self.prices.in_mode(machine)
        return self._prices[machine.path]

    def method(self, linear: Linear, *, is_decode: bool) -> Method:
        """Return how a layer is pruned."""
        return method_of(self.arch, self.policy, linear, is_decode=is_decode)

    def machine(self, method: Method) -> LayerMachine:
        """Return the machine as a layer with this method finds it; asked once for each method."""
        if method not in self._machines:
            self._machines[method] = self.arch.running(method)
        return self._machines[method]

    def layer(
        self,
        linear: Linear,
        selection: Selection,
        steps: Sequence[Ints] | None,
        observer: Observer | None = None,
    ) -> LayerResult:
        """Run a layer, in prefill or in all its decode steps, and price it.

        Args:
            linear: the layer.
            selection: what survives of its input.
            steps: `[steps, rows]`, rows of each decode step, steps with as many rows together;
                None for prefill.
            observer: called after each run, which then takes place by itself.
        """
        method = self.method(linear, is_decode=steps is not None)
        products = list(layer_products(self.machine, method, linear, selection))
        results = []
        for part in [None] if steps is None else steps:
            *others, last = (self._product(each, method, part, observer) for each in products)
            results.append(with_products(last, others) if others else last)
        if steps is None or len(results) == 1:
            return results[0]
        return over_steps(results, [len(part) for part in steps])

    def _product(
        self, product: Product, method: Method, steps: Ints | None, observer: Observer | None
    ) -> LayerResult:
        linear = product.linear
        with naming(self.arch, linear):
            tiled = product.tiled(steps, self.planner)
            parts = []
            if observer is None:
                parts = self._parts(tiled, linear, product.selection, steps)
        if observer is not None:
            with naming(self.arch, linear):
                weights = self._weight_masks(linear, tiled.machine.path.w)
                works = tiled.works(product.selection, steps, weights=weights, one_by_one=True)
            runs = self.watched(linear, works, tiled.machine, observer)
            parts = [(1, run.tally) for run in runs]
        with naming(self.arch, linear):
            tally = combine(parts)
        return priced_layer(
            self.arch, self.prices_on(product.machine), method, product, steps, (tiled, tally)
        )

    def linked(
        self,
        linear: Linear,
        selection: Selection,
        steps: Ints | None,
        placed: Placed,
    ) -> LayerResult:
        """Price a layer that ran as a link of a chain.

        Args:
            linear: the layer.
            selection: what survives of its input.
            steps: `[steps, batch]`, rows of each decode step; None for prefill.
            placed: the product that it ran in, and what the layer comes to.
        """
        method = self.method(linear, is_decode=steps is not None)
        (product,) = layer_products(self.machine, method, linear, selection)
        return priced_layer(
            self.arch, self.prices_on(product.machine), method, product, steps, placed
        )

    def alone_cycles(
        self, linear: Linear, selection: Selection, steps: Sequence[Ints] | None
    ) -> int:
        """Return the cycles of a layer from an empty machine to its last output."""
        cycles = 0
        method = self.method(linear, is_decode=steps is not None)
        for product in layer_products(self.machine, method, linear, selection):
            for part in [None] if steps is None else steps:
                with naming(self.arch, linear):
                    tiled = product.tiled(part, self.planner)
                    parts = self._parts(tiled, product.linear, product.selection, part)
                cycles += sum(number * tally.cycles for number, tally in parts)
        return cycles

    def _parts(
        self, tiled: TiledProduct, linear: Linear, selection: Selection, steps: Ints | None
    ) -> list[tuple[int, Tally]]:
        """Return how often which runs take place."""
        if tiled.depends_on_values:
            weights = self._weight_masks(linear, tiled.machine.path.w)
            return self.valued(tiled, selection, steps, weights)
        return [(1 if steps is None else len(steps), self.whole(tiled))]

    def watched(
        self,
        linear: Linear,
        works: Iterable[Work],
        machine: LayerMachine,
        observer: Observer,
        seams: Seams = NO_SEAMS,
    ) -> list[LayerRun]:
        """Run one step after the other, before the eyes of an observer; like steps run once."""
        runs: list[LayerRun] = []
        content: Hashable = None
        for work in works:
            if content != work.content:
                with naming(self.arch, linear):
                    run, content = self.run(work, machine, seams), work.content
            observer(linear, work, run)
            runs.append(run)
        return runs

    def whole(self, tiled: TiledProduct) -> Tally:
        """Return what a product adds up to by itself if every row of W is fetched."""
        return self.window(tiled, NO_SEAMS)[0]

    def window(self, tiled: TiledProduct, seams: Seams) -> tuple[Tally, Seams]:
        """Return what such a product adds up to between others, and what the next one finds."""
        machine, found = tiled.machine, NO_SEAMS

        def run(work: Work) -> LayerRun:
            nonlocal found
            latest = self.run(work, machine, seams)
            found = latest.found
            return latest

        def make() -> tuple[Tally, Seams]:
            if prod(tiled.tiling.counts(tiled.gemm)) <= _WALKED_TILES:
                tally = run(tiled.work()).tally
            else:
                tally = periodic_tally(tiled.work, tiled.outer_tiles, machine, run)
            return tally, found

        return self.remembered(machine, (*tiled.content, seams), make)

    def valued(
        self,
        tiled: TiledProduct,
        selection: Selection,
        steps: Ints | None,
        weights: Mask | None = None,
    ) -> list[tuple[int, Tally]]:
        """Return what a product adds up to whose time depends on values, in parts that add up.

        Args:
            tiled: the product, of one step in decode.
            selection: what survives of its input, with a mask.
            steps: `[steps, rows]`; None for prefill.
            weights: `[K, O]`, weights that are stored; None: all.
        """
        works = tiled.works(selection, steps, weights=weights)
        return [(1, self.tally(work, tiled.machine)) for work in works]

    def tally(self, work: Work, machine: LayerMachine) -> Tally:
        """Return what work adds up to on the machine as it is set for it, run if not known."""
        return self.remembered(machine, work.content, lambda: self.run(work, machine).tally)

    def remembered(
        self, machine: LayerMachine, key: tuple[Hashable, ...], make: Callable[[], Found]
    ) -> Found:
        """Return what is known of a machine by a key of all else that it depends on, or make it."""
        whole = Key(self.key(machine), self.engine, self._is_brief, *key)
        found: Found = self._memory.get(whole, make)
        return found

    def key(self, machine: LayerMachine) -> Key:
        """Return all of a machine that runs depend on; found once for each."""
        if id(machine) not in self._keys:
            self._keys[id(machine)] = machine, timing_key(machine)
        return self._keys[id(machine)][1]

    def run(
        self, work: Work, machine: LayerMachine | None = None, seams: Seams = NO_SEAMS
    ) -> LayerRun:
        """Run work on the machine as it is set for it; default: as for layers by its own method."""
        machine = machine or self.arch.running()
        if seams == NO_SEAMS:
            pipeline = build_pipeline(machine, work)
            window = Window(pipeline, self._run_network(pipeline.network), NO_SEAMS)
        else:
            pipeline = joined_pipeline(machine, work, seams)
            times = self._run_network(pipeline.network)
            late = late_loads(pipeline, times, work, machine)
            if late:
                return self.run(work, machine, seams.without(late))
            window = cut(pipeline, times, work, machine)
        parts = window.pipeline, window.times
        tally = Tally.of(machine, *parts, work, is_brief=self._is_brief)
        return LayerRun(*parts, tally, window.found)

    def result(self, trace: Trace, steps: Ints | None, layers: Sequence[LayerResult]) -> Result:
        """Put the layers of a trace together; their kinds are told from all of their names.

        Raises:
            InputError: they take more cycles than an int64 holds.
        """
        check_cycles(sum(layer.cycles for layer in layers))
        kinds = {name: place.kind for name, place in trace.places.items()}
        return Result(
            arch=self.arch.resolved(),
            trace=trace.describe(),
            phase="prefill" if steps is None else "decode",
            batch=None if steps is None else steps.shape[1],
            engine=self.engine,
            clock_mhz=self.arch.clock_mhz,
            macs_per_cycle=self.arch.path.macs_per_cycle,
            area_um2=self.prices.total_um2,
            layers=tuple(replace(layer, kind=kinds[layer.name]) for layer in layers),
            policy=self.policy,
            notes=self._notes(trace, steps, layers),
        )

    def _notes(
        self, trace: Trace, steps: Ints | None, layers: Sequence[LayerResult]
    ) -> tuple[str, ...]:
        """Return what to know of the decode steps, where it matters which tokens make a batch.

        And that a machine that gathers rows for decode only runs prefill dense.
        """
        patterns = dict.fromkeys(layer.method.pattern for layer in layers)
        if self.arch.path.is_matched:
            rows = trace.tokens if steps is None else steps.shape[1]
            products = [rows * x.in_features * x.out_features for x in layers]
            return tuple(counting_notes(self.arch.name, self.arch.path, products))
        is_dense = self.arch.diagram.is_dense_in_prefill and not self.arch.pattern.is_dense
        if steps is None and is_dense:
            return (
                f"{self.arch.name}: prefill runs dense; pattern '{self.arch.pattern}' is for "
                f"decode, where rows of W are gathered",
            )
        if steps is None or all(pattern.is_dense for pattern in patterns):
            return ()
        notes = [*decode_notes(trace.meta.sequence_lengths, steps)]
        levels = [pattern for pattern in patterns if pattern.has_level]
        if levels:
            share = "the same share for every layer"
            notes.append(
                f"{self.arch.name}: the level of each layer is the quantile of |x| over the trace "
                f"itself, {share if len(levels) == 1 else 'of the share that the policy gives it'}"
            )
        return tuple(notes)
