"""The tile of a layer: set by hand, searched for once, or known from an earlier search.

What a search found is remembered by content, in the process and on disk: machine, layer, aim. A
stored tile that is out of date cannot make a number wrong, since layers are run with the tile, not
with what the search said of it; so that results do not depend on what is stored, an entry also
depends on the files of the program that it came from.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cache
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from accelsim.base.cache import DiskCache
from accelsim.base.errors import DeadlockError
from accelsim.dataflows.layer_machine import LayerMachine, Objective, those_that
from accelsim.dataflows.memory import Memory, timing_key
from accelsim.mapping import Gemm, Tiling, check_tiling
from accelsim.mapping.mapper import choose_tiling, nominal_cycles
from accelsim.mapping.tiling import Reuse, dram_bytes
from accelsim.version import __version__

if TYPE_CHECKING:
    from accelsim.planning.found import Found, Plan

_ROOMS = ("mapping", "hardware", "dataflows", "engine", "planning", "precision", "tech")
Kept = TypeVar("Kept")
_EQUAL = 1.001  # so near to each other, splits are taken by what they move
_known = Memory(8192)


@dataclass(frozen=True, slots=True)
class Planner:
    """Finds the tiles of layers.

    Attributes:
        cache: where found tiles are kept from process to process, if anywhere.
    """

    cache: DiskCache | None = None

    def tile(self, machine: LayerMachine, gemm: Gemm, *, is_decode: bool = False) -> Tiling:
        """Return the tile of a layer.

        Args:
            machine: as the layer finds it.
            gemm: the layer; of decode, one step of it.
            is_decode: whether it is a decode step.

        Raises:
            InputError: no tile, or not the one set by hand, fits the buffers.
        """
        if isinstance(machine.tiling, Tiling):
            check_tiling(machine.tiling, gemm, machine.path, machine.stores)
            return machine.tiling
        if machine.tiling == "quick":
            columns = machine.least_columns(is_decode=is_decode)
            tokens = machine.least_tokens(gemm, is_decode=is_decode)
            return choose_tiling(
                gemm, machine.path, machine.stores, least_columns=columns, least_tokens=tokens
            )
        key = timing_key(machine), gemm, is_decode
        found: Tiling = _known.get(key, lambda: self._stored(machine, gemm, is_decode=is_decode))
        return found

    def fitted(
        self, machine: LayerMachine, gemm: Gemm, *, is_decode: bool = False
    ) -> tuple[LayerMachine, Tiling]:
        """Return the machine as a layer runs on it, and its tile; arguments and errors: `tile`.

        Where X and W share a memory, that is the split of it with which the layer is fastest; of
        equal ones (within 0.1 %) that which moves least off chip, then on chip. For a tile by hand
        it is the split of the fewest cycles, for an estimated one that of the shortest estimate; of
        equal ones that which moves least off chip, then the most even one.
        """
        if not machine.splits:
            return machine, self.tile(machine, gemm, is_decode=is_decode)
        key = "split", timing_key(machine), gemm, is_decode

        def choose() -> tuple[int, Tiling]:
            return self._stored_split(machine, gemm, is_decode=is_decode)

        split, tiling = _known.get(key, choose)
        return machine.splits[split], tiling

    def _stored_split(
        self, machine: LayerMachine, gemm: Gemm, *, is_decode: bool
    ) -> tuple[int, Tiling]:
        """Return number of a split and tile from disk, or choose them and store them."""
        if not machine.is_searched:
            return self._estimated_split(machine, gemm, is_decode=is_decode)

        def read(stored: Any) -> tuple[int, Tiling]:
            split, tiling = stored
            return int(split) % len(machine.splits), Tiling(**tiling)

        def search() -> Any:
            split, tiling = _fastest_split(machine, gemm, is_decode=is_decode)
            return [split, asdict(tiling)]

        return self._kept(lambda: _key(machine, gemm, is_decode, "split"), read, search)

    def _estimated_split(
        self, machine: LayerMachine, gemm: Gemm, *, is_decode: bool
    ) -> tuple[int, Tiling]:
        """Choose a split for a tile by hand, by a run of each; or for an estimate, by estimate."""
        tiles = those_that(
            machine.splits, lambda split: self.tile(split, gemm, is_decode=is_decode)
        )

        def rank(pair: tuple[LayerMachine, Tiling]) -> tuple[float, int, int]:
            split, tiling = pair
            reuse = Reuse.of(tiling, gemm, split.path, split.stores)
            x, w = split.stores.of_x_and_w
            if split.tiling == "quick":
                cycles = nominal_cycles(tiling, gemm, split.path, split.stores, reuse)
            else:
                cycles = _cycles(split, gemm, tiling, is_decode=is_decode)
            moved = dram_bytes(gemm, split.path, reuse)
            return cycles, moved, abs(x.capacity_bytes - w.capacity_bytes)

        split, tiling = min(tiles, key=rank)
        return machine.splits.index(split), tiling

    def _stored(self, machine: LayerMachine, gemm: Gemm, *, is_decode: bool) -> Tiling:
        """Return a tile from disk, or search for it and store it."""

        def search() -> Any:
            return asdict(plan(machine, gemm, is_decode=is_decode).best.tiling)

        return self._kept(
            lambda: _key(machine, gemm, is_decode), lambda stored: Tiling(**stored), search
        )

    def _kept(
        self, key: Callable[[], str], read: Callable[[Any], Kept], search: Callable[[], Any]
    ) -> Kept:
        """Return what plain data on disk stand for, or what a search finds, and store that.

        Args:
            key: returns the key of the data; called where something is stored.
            read: returns what they stand for.
            search: finds them.
        """
        if self.cache is None:
            return read(search())
        name = key()
        stored = self.cache.get(name)
        with suppress(ValueError, TypeError):  # of another program, or damaged: found again
            if stored is not None:
                return read(json.loads(stored))
        found = search()
        self.cache.put(name, json.dumps(found).encode())
        return read(found)


def plan(machine: LayerMachine, gemm: Gemm, *, is_decode: bool = False) -> Plan:
    """Search for the tile of a layer, and return all that was found; arguments: `Planner.tile`."""
    from accelsim.planning.search import Search  # most runs find their tiles on disk

    objective: Objective = "cycles"
    if machine.tiling in ("energy", "edp"):
        objective = machine.tiling
    return Search(machine, gemm, is_decode=is_decode).plan(objective)


def _cycles(machine: LayerMachine, gemm: Gemm, tiling: Tiling, *, is_decode: bool) -> float:
    """Return the cycles of a layer under a tiling; infinite where its loads and stores block."""
    from accelsim.planning.candidates import Candidates
    from accelsim.planning.exact import ExactRuns
    from accelsim.planning.services import Services

    services = Services.of(machine, gemm, Candidates.only(tiling), is_decode=is_decode)
    try:
        return ExactRuns(machine, gemm, services, is_decode).cycles(0, tiling) or inf
    except DeadlockError:
        return inf


def _fastest_split(machine: LayerMachine, gemm: Gemm, *, is_decode: bool) -> tuple[int, Tiling]:
    """Search for a tile in each split, and return the number of the best one, and its tile."""
    plans = those_that(machine.splits, lambda split: plan(split, gemm, is_decode=is_decode).best)

    def aim(found: Found) -> float:
        cost = {"energy": found.energy_pj, "edp": (found.energy_pj or 0) * found.cycles}
        return cost.get(str(machine.tiling)) or found.cycles

    least = min(aim(found) for _, found in plans)
    near = [pair for pair in plans if aim(pair[1]) <= _EQUAL * least]
    split, best = min(near, key=lambda pair: (pair[1].off_chip_bytes, pair[1].on_chip_bytes))
    return machine.splits.index(split), best.tiling


def _key(machine: LayerMachine, gemm: Gemm, is_decode: bool, *what: str) -> str:  # noqa: FBT001
    """Return all that a search for a tile, or for something else of it, depends on, as text."""
    return json.dumps([_written(machine), asdict(gemm), is_decode, *what, _program(machine)])


def _written(machine: LayerMachine) -> list[str]:
    """Return all of a machine that the choice of a tile depends on, as text."""
    stages = [_text(stage) for stage in machine.diagram.stages]
    units = [f"{name} {unit.timing_key()!r}" for name, unit in machine.units.items()]
    others = (
        machine.path,
        machine.stores,
        machine.deciding_costs,
        machine.tiling,
        machine.diagram.name,
    )
    return [*map(repr, others), *stages, *units]


def _text(value: Any) -> str:
    """Return a text that is equal for equal stages; functions by where they are defined."""
    if is_dataclass(value):
        return f"{[_text(getattr(value, f.name)) for f in fields(value)]}"
    if isinstance(value, tuple):
        return f"{[_text(each) for each in value]}"
    if callable(value):
        line = getattr(getattr(value, "__code__", None), "co_firstlineno", "")
        return f"{_module(value)} {getattr(value, '__qualname__', '')} {line}"
    return repr(value)


def _module(value: Any) -> str:
    """Return the module of a function, or of the class of anything else."""
    return str(getattr(value, "__module__", None) or type(value).__module__)


def _modules(value: Any) -> Iterator[str]:
    """Yield the modules of the classes and functions that a diagram is made of."""
    if isinstance(value, tuple):
        for each in value:
            yield from _modules(each)
    elif is_dataclass(value):
        yield _module(value)
        for field in fields(value):
            yield from _modules(getattr(value, field.name))
    elif callable(value):
        yield _module(value)


def _program(machine: LayerMachine) -> list[str]:
    """Return the state of the program, and of a user's units and dataflow, for a search."""
    modules = {_module(unit) for unit in machine.units.values()} | {*_modules(machine.diagram)}
    own = [name for name in sorted(modules) if not name.startswith("accelsim.")]
    places = (getattr(sys.modules.get(name), "__file__", None) for name in own)
    return [*_source(), *(_state(Path(place)) for place in places if place)]


@cache
def _source() -> tuple[str, ...]:
    """Return the state of the files that a search runs."""
    return (__version__, *(_state(path) for path in sorted(_files())))


def _files() -> Iterator[Path]:
    for room in _ROOMS:
        yield from (Path(__file__).parents[1] / room).rglob("*.py")


def _state(path: Path) -> str:
    with suppress(OSError):
        found = path.stat()
        return f"{path.name} {found.st_size} {found.st_mtime_ns}"
    return f"{path.name}"
