"""The layers of a trace on one machine, in a line: one by one, or as links of a chain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from accelsim.base.errors import InputError
from accelsim.mapping import Ints
from accelsim.results.result import LayerResult, Result
from accelsim.run.chain import Walk
from accelsim.run.runner import Observer, Runner
from accelsim.selection.sparsify import Selection
from accelsim.trace import Linear, Trace


@dataclass(slots=True)
class Line:
    """Layers that run one by one, each from an empty machine.

    Attributes:
        runner: of the machine.
        trace: that they are of.
        steps: `[steps, batch]`, tokens of each decode step; None for prefill.
        observer: called after each run, if there is one.
        watches: layers that it is called for.
        results: of the layers so far.
    """

    runner: Runner
    trace: Trace
    steps: Ints | None
    observer: Observer | None
    watches: Callable[[Linear], bool]
    results: list[LayerResult] = field(default_factory=list)

    def add(self, linear: Linear, selection: Selection, steps: Sequence[Ints] | None) -> None:
        """Run the next layer; arguments as of `Runner.layer`."""
        observer = self.watcher([linear])
        self.results.append(self.runner.layer(linear, selection, steps, observer))

    def watcher(self, linears: Iterable[Linear]) -> Observer | None:
        """Return who watches the run of these layers, if somebody does."""
        return self.observer if any(map(self.watches, linears)) else None

    def result(self) -> Result:
        """Return the whole run; raise InputError if there was no layer to run."""
        if not self.results:
            path = self.trace.path
            raise InputError(f"{path}: no token of any decode step reaches a layer of the trace")
        return self.runner.result(self.trace, self.steps, self.results)


class ChainedLine(Line):
    """Layers that follow each other."""

    def __init__(
        self,
        runner: Runner,
        trace: Trace,
        steps: Ints | None,
        observer: Observer | None,
        watches: Callable[[Linear], bool],
    ) -> None:
        """Get the chain ready, and a runner that counts what the layers take one by one."""
        super().__init__(runner, trace, steps, observer, watches)
        cache = runner.planner.cache
        self._alone = Runner(runner.arch, runner.engine, runner.policy, is_brief=True, cache=cache)
        self._walk = Walk(runner, trace, steps, self._alone, self.watcher)
        self._alone_cycles = 0

    def add(self, linear: Linear, selection: Selection, steps: Sequence[Ints] | None) -> None:
        """Run the next layer as a link of the chain, and by itself for the comparison."""
        placed = self._walk.of(linear, lambda: selection)
        if placed is None:
            super().add(linear, selection, steps)
            self._alone_cycles += self.results[-1].cycles
            return
        self._alone_cycles += self._alone.alone_cycles(linear, selection, steps)
        self.results.append(self.runner.linked(linear, selection, self.steps, placed))

    def result(self) -> Result:
        """Return the whole run, with what the layers would take one by one."""
        found = super().result()
        return replace(found, isolated_cycles=self._alone_cycles, chain_note=self._walk.note)
