"""A sweep made ready to run: everything read, checked and frozen, to be sent to any worker."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from accelsim.base.errors import InputError
from accelsim.base.yaml_source import YamlSource, read_yaml
from accelsim.config import Architecture
from accelsim.config.loader import arch_of
from accelsim.sweeps.axes import Axis, Grid
from accelsim.sweeps.constraints import Constraint
from accelsim.sweeps.metrics import METRICS
from accelsim.sweeps.spec import SweepFile, at, load_sweep
from accelsim.sweeps.technology_tables import KEY, SECTION, TableFile, table_in, with_table
from accelsim.trace import Trace, load_trace
from accelsim.version import __version__

RUN_KEYS = ("base", "trace", "phase", "batch", "policy")
"""What a point says besides keys of its architecture."""

MOST_POINTS = 1_000_000  # of one sweep: some 300 bytes each in memory, 750 on the disk
_MOST_IN_SPACE = 2**63 - 1  # what a table can number
_SHARED = ("accelsim", "bases", "reference", "traces", "policies", "tables")

# Keys that change what things cost and never the order of events: neighbours in them share runs.
_COST_KEYS = ("technology.", "crossbar.kind", "dram.standard")


@dataclass(frozen=True, slots=True)
class TraceFile:
    """A trace on disk, and the hash of what must be in it."""

    path: str
    sha256: str

    def load(self) -> Trace:
        """Read the trace; raise InputError if it is another one than was swept."""
        trace = load_trace(self.path)
        if trace.sha256 != self.sha256:
            raise InputError(f"{self.path}: has changed since the sweep began")
        return trace


@dataclass(frozen=True)
class Plan:
    """All points of a sweep, and what is done with them.

    Attributes:
        file: the sweep file as it was read.
        grid: the points.
        bases: contents of the architecture files, by name of the machine.
        reference: of an area to fill; None: each point's own dense machine.
        traces: by name.
        policies: paths and contents of policy files, by name.
        tables: the user's own technology tables, by who names them and how.
        keeps_selections: whether selections are kept on disk, shared by processes.
    """

    file: SweepFile
    grid: Grid
    bases: dict[str, YamlSource]
    reference: YamlSource | None
    traces: dict[str, TraceFile]
    policies: dict[str, tuple[str, str]]
    tables: dict[tuple[str, str], TableFile]
    keeps_selections: bool = True

    @cached_property
    def constraints(self) -> tuple[Constraint, ...]:
        """The constraints that points must meet."""
        return tuple(map(Constraint.parse, self.file.constraints))

    @property
    def scaled_key(self) -> str | None:
        """The key that is set so that an area is filled."""
        return f"mac_array.{self.file.iso_area.scale}" if self.file.iso_area else None

    @cached_property
    def contents(self) -> dict[str, Any]:
        """Everything that the results depend on, as plain data."""
        return {
            "schema": 1,
            "accelsim": __version__,
            "sweep": self.file.model_dump(by_alias=True, mode="json"),
            "points_in_space": self.grid.size,
            "bases": {name: source.data for name, source in self.bases.items()},
            "reference": self.reference and self.reference.data,
            "traces": {name: trace.sha256 for name, trace in self.traces.items()},
            "policies": {name: text for name, (_, text) in self.policies.items()},
            "tables": {" ".join(name): table.sha256 for name, table in self.tables.items()},
        }

    @cached_property
    def digest(self) -> str:
        """Hash of the contents: two sweeps with the same one have the same results."""
        return digest_of(self.contents)

    @property
    def identity(self) -> dict[str, str]:
        """Hashes, by part, of everything that searches must share to learn from each other."""
        bests = [(name, METRICS[name]) for name in self.file.objectives]
        limits = sorted(repr(constraint) for constraint in self.constraints)
        axes = [(axis.keys, axis.settings) for axis in self.grid.axes]
        parts = {"objectives": bests, "constraints": limits, "axes": axes}
        parts |= {name: self.contents[name] for name in _SHARED}
        parts["layers"] = self.file.layers
        parts["iso_area"] = self.file.iso_area and self.file.iso_area.scale
        return {name: digest_of(part)[:16] for name, part in parts.items()}

    def in_order_of_time(self, points: Sequence[int]) -> list[int]:
        """Return points in an order in which those that share layer runs follow each other."""
        is_cost = [all(k.startswith(_COST_KEYS) for k in axis.keys) for axis in self.grid.axes]

        def order(point: int) -> tuple[int, ...]:
            places = self.grid.places(point)
            timing = [p for p, cheap in zip(places, is_cost, strict=True) if not cheap]
            return (*timing, point)

        return sorted(points, key=order)


def digest_of(contents: Any) -> str:
    """Return the hash of plain data."""
    text = json.dumps(contents, sort_keys=True, allow_nan=False)
    return sha256(text.encode()).hexdigest()


def load_plan(path: Path, trace: Path | None = None, *, keeps_selections: bool = True) -> Plan:
    """Read a sweep file and all files that it names.

    Args:
        path: the sweep file.
        trace: replaces the traces of the file.
        keeps_selections: use the user's cache of selections.

    Raises:
        InputError: something is missing or wrong; with file, line and key.
    """
    file, source = load_sweep(path)
    folder = path.parent
    bases: dict[str, YamlSource] = {}
    tables = _tables_of_axes(file, source, folder)
    for text in file.base:
        with at(source, "base"):
            base = read_yaml(folder / text)
            name = _machine(base, "base", tables).name
            if name in bases:
                raise InputError(f"two machines are called '{name}'")
            bases[name] = base
    with at(source, "iso_area"):
        reference = _reference(file, folder, tables)
    traces = _traces(file, source, folder, trace)
    policies = _policies(file, source, folder)
    grid = Grid(
        (
            Axis.of({"base": list(bases)}),
            Axis.of({"trace": list(traces)}),
            _runs(file, source),
            Axis.of({"policy": list(policies)}),
            *(Axis.of(group) for group in file.linked),
            *(Axis.of({key: values}) for key, values in file.axes.items()),
        )
    )
    scaled = f"mac_array.{file.iso_area.scale}" if file.iso_area else None
    if scaled in grid.keys:
        raise InputError(f"{source.where(('iso_area',))}: iso_area: sets {scaled}, an axis as well")
    _check_budget(file, source, grid)
    return Plan(file, grid, bases, reference, traces, policies, tables, keeps_selections)


def _check_budget(file: SweepFile, source: YamlSource, grid: Grid) -> None:
    """Raise InputError if a sweep wants more points than there are, or than can be kept in mind."""
    if grid.size > _MOST_IN_SPACE:
        raise InputError(
            f"{source.where(('axes',))}: axes: a space of {grid.size:.3g} points; "
            f"at most {_MOST_IN_SPACE:.3g} can be numbered"
        )
    if file.points is None and grid.size > MOST_POINTS:
        raise InputError(
            f"{source.where(('axes',))}: axes: mode: grid runs all {grid.size:,} points of the "
            f"space, more than {MOST_POINTS:,}; let mode: random or optuna choose some"
        )
    if file.points is not None and file.points > MOST_POINTS:
        raise InputError(
            f"{source.where(('points',))}: points: {file.points:,}; at most {MOST_POINTS:,} are run"
        )
    if file.points is not None and file.mode == "random" and file.points > grid.size:
        raise InputError(
            f"{source.where(('points',))}: points: {file.points} of a space of {grid.size}"
        )


def _runs(file: SweepFile, source: YamlSource) -> Axis:
    """Return phases with their batches; prefill has none."""
    if "decode" not in file.phases and "batches" in source.data:
        raise InputError(f"{source.where(('batches',))}: batches: only for phase decode")
    pairs: list[tuple[str, int | None]] = []
    for phase in dict.fromkeys(file.phases):
        batches = dict.fromkeys(file.batches) if phase == "decode" else [None]
        pairs += [(phase, batch) for batch in batches]
    return Axis(("phase", "batch"), tuple(pairs))


def _machine(
    source: YamlSource, owner: str, tables: dict[tuple[str, str], TableFile]
) -> Architecture:
    """Return the machine of an architecture file; note its table under the name of the machine."""
    for name, table in table_in(source.data.get(SECTION), source.path.parent):
        arch = arch_of(with_table(source, table.path))
        tables[f"{owner} {arch.name}", name] = table
        return arch
    return arch_of(source)


def _tables_of_axes(
    file: SweepFile, source: YamlSource, folder: Path
) -> dict[tuple[str, str], TableFile]:
    """Return the tables that the values of axes name."""
    places: list[tuple[tuple[str, ...], str, list[Any]]] = [
        (("axes", key), key, values) for key, values in file.axes.items()
    ]
    places += [(("linked",), *item) for group in file.linked for item in group.items()]
    found: dict[tuple[str, str], TableFile] = {}
    for place, key, values in places:
        for value in values if key in {KEY, SECTION} else []:
            with at(source, *place):
                for name, table in table_in({"table": value} if key == KEY else value, folder):
                    found["axes", name] = table
    return found


def _reference(
    file: SweepFile, folder: Path, tables: dict[tuple[str, str], TableFile]
) -> YamlSource | None:
    if file.iso_area is None or file.iso_area.reference == "dense":
        return None
    reference = read_yaml(folder / file.iso_area.reference)
    _machine(reference, "reference", tables)
    return reference


def _traces(
    file: SweepFile, source: YamlSource, folder: Path, given: Path | None
) -> dict[str, TraceFile]:
    paths = [folder / text for text in file.traces] if given is None else [given]
    if not paths:
        raise InputError(f"{source.path}: no traces: name them in the file, or with --trace")
    found: dict[str, TraceFile] = {}
    for path in paths:
        if path.stem in found:
            raise InputError(f"{source.where(('traces',))}: traces: two are called '{path.stem}'")
        found[path.stem] = _trace_file(path)
    return found


def _trace_file(path: Path) -> TraceFile:
    """Read a trace; return where it is, which is certain only now: links may lead in circles."""
    sha256 = load_trace(path).sha256
    return TraceFile(str(path.resolve()), sha256)


def _policies(file: SweepFile, source: YamlSource, folder: Path) -> dict[str, tuple[str, str]]:
    """Return path and contents of each policy; `none` is how the machine prunes by itself."""
    found: dict[str, tuple[str, str]] = {}
    for text in file.policies:
        path = folder / text
        name = "none" if text == "none" else path.stem
        with at(source, "policies"):
            if name in found:
                raise InputError(f"two policies are called '{name}'")
            contents = "" if name == "none" else json.dumps(read_yaml(path).data)
        found[name] = (str(path.resolve()), contents)
    return found
