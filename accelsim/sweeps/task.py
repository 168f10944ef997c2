"""One point of a sweep: from its settings to a machine, and from there to a row of numbers."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any

from accelsim.accounting.cost import Prices
from accelsim.base.cache import DiskCache
from accelsim.base.errors import InputError
from accelsim.base.renamed import both
from accelsim.base.yaml_source import KeyPath, YamlSource, read_yaml
from accelsim.config import Architecture
from accelsim.config.loader import arch_of
from accelsim.mapping import Gemm
from accelsim.run.following import DEFAULT_LAYERS
from accelsim.run.layers import naming
from accelsim.run.simulation import decode_steps, equip, layer_runs
from accelsim.selection.selections import Wish
from accelsim.sparsity.policy import Method, Policy, load_policy
from accelsim.sweeps.constraints import largest_within
from accelsim.sweeps.metrics import columns_of
from accelsim.sweeps.plan import RUN_KEYS, Plan
from accelsim.sweeps.technology_tables import KEY, SECTION, TableFile, name_in, with_table
from accelsim.sweeps.totals import Workload, new_memory, totals_of, wishes_of
from accelsim.trace import Trace
from accelsim.version import __version__

Row = dict[str, Any]
OK, INVALID, EXCLUDED, FAILED = "ok", "invalid", "excluded", "failed"
_ID_DIGITS = 16
_LONGEST_REASON = 2000  # signs


@dataclass(frozen=True, slots=True)
class Task:
    """One simulation as a value: equal tasks have equal results.

    Attributes:
        arch: the keys of the machine, as canonical JSON.
        trace_sha256: of the trace file.
        phase: prefill or decode.
        batch: sequences of a decode step.
        policy: contents of the policy file.
        table_sha256: of the user's own technology table, if it is one.
        layers: whether they follow each other.
        version: of accelsim.
    """

    arch: str
    trace_sha256: str
    phase: str
    batch: int | None
    policy: str
    table_sha256: str = ""
    layers: str = DEFAULT_LAYERS
    version: str = __version__

    @property
    def id(self) -> str:
        """Hash of the contents."""
        parts = [getattr(self, name) for name in self.__slots__]
        return sha256(json.dumps(parts).encode()).hexdigest()[:_ID_DIGITS]


@dataclass(frozen=True, slots=True)
class Ready:
    """A point that can run: its machine, equipped for the trace, and its task."""

    arch: Architecture
    policy: Policy | None
    task: Task
    scaled: int | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """The check of a point before any run: its row if it cannot run, else the wishes it has."""

    point: int
    row: Row | None
    trace: str = ""
    wishes: tuple[Wish, ...] = ()


@dataclass(slots=True)
class Bench:
    """A process at work on a sweep: its traces, and what it remembers from point to point.

    Attributes:
        plan: the sweep.
        runs: points that were simulated here.
    """

    plan: Plan
    runs: int = 0
    _workloads: dict[str, Workload] = field(default_factory=dict)
    _memory: Any = field(default_factory=new_memory)
    _policies: set[str] = field(default_factory=set)
    _tables: set[TableFile] = field(default_factory=set)

    def workload(self, name: str) -> Workload:
        """Return a trace, read once."""
        if name not in self._workloads:
            cache = DiskCache.of_user() if self.plan.keeps_selections else None
            self._workloads[name] = Workload(self.plan.traces[name].load(), cache)
        return self._workloads[name]

    def check(self, point: int) -> Checked:
        """Find out whether a point can run, without running it; errors are those of `run`."""
        settings = self._settings(point)
        try:
            ready = self.ready(settings)
            area = {"area_um2": _area_um2(ready.arch)}
            _check_finite(ready.arch, area)
        except InputError as error:
            return Checked(point, self._invalid(point, settings, error))
        except Exception as error:  # a defect; the other points go on
            return Checked(point, self.failed(point, f"{type(error).__name__}: {error}"))
        problem = self._problem(area)
        if problem:
            return Checked(point, self._row(point, settings, EXCLUDED, problem, ready, area))
        trace = self.workload(settings["trace"]).trace
        wishes = wishes_of(ready.arch, trace, ready.policy, settings["batch"])
        return Checked(point, None, settings["trace"], tuple(wishes))

    def run(self, point: int) -> Row:
        """Simulate a point; its row says what it comes to, or why there is nothing to say.

        Raises:
            InputError: this process does not find a file of the sweep, or finds another one.
        """
        settings = self._settings(point)
        try:
            ready = self.ready(settings)
            workload = self.workload(settings["trace"])
            self.runs += 1
            rest = settings["batch"], self._memory, self.plan.file.layers
            totals = totals_of(ready.arch, workload, ready.policy, *rest)
            totals |= both("dropped_energy_ratio", totals["dropped_squared_magnitude_ratio"])
            _check_finite(ready.arch, totals)
        except InputError as error:
            return self._invalid(point, settings, error)
        except Exception as error:  # a defect; the other points go on
            return self.failed(point, f"{type(error).__name__}: {error}")
        problem = self._problem(totals)
        status = EXCLUDED if problem else OK
        return self._row(point, settings, status, problem, ready, totals)

    def failed(self, point: int, reason: str) -> Row:
        """Return the row of a point that broke down."""
        return self._row(point, self.plan.grid.settings(point), FAILED, reason)

    def _invalid(self, point: int, settings: dict[str, Any], error: InputError) -> Row:
        """Return the row of a point that is no machine, unless that is for want of its table."""
        table = self._table(settings)
        if table is not None:
            table.check()
        base = self.plan.bases[settings["base"]].path
        # Nobody has typed --set; what replaces a key here is an axis.
        reason = str(error).replace(f"{base}: --set ", f"{base}: axis ")
        return self._row(point, settings, INVALID, reason)

    def _settings(self, point: int) -> dict[str, Any]:
        """Return the settings of a point once the files that they name are known to be there."""
        settings = self.plan.grid.settings(point)
        self.workload(settings["trace"])
        name = settings["policy"]
        if name not in self._policies:
            path, contents = self.plan.policies[name]
            if name != "none" and json.dumps(read_yaml(Path(path)).data) != contents:
                raise InputError(f"{path}: has changed since the sweep began")
            self._policies.add(name)
        table = self._table(settings)
        if table is not None and table not in self._tables:
            table.check()
            self._tables.add(table)
        return settings

    def _table(self, settings: dict[str, Any]) -> TableFile | None:
        """Return the user's own table that a point has, if it has one."""
        base, owner = self.plan.bases[settings["base"]], f"base {settings['base']}"
        name = name_in(base.data.get(SECTION))
        if SECTION in settings:
            name, owner = name_in(settings[SECTION]), "axes"
        if KEY in settings:
            name, owner = settings[KEY], "axes"
        return self.plan.tables.get((owner, name)) if isinstance(name, str) else None

    def _problem(self, metrics: dict[str, Any]) -> str:
        problems = (constraint.problem(metrics) for constraint in self.plan.constraints)
        return "; ".join(filter(None, problems))

    def _row(  # noqa: PLR0913, PLR0917
        self,
        point: int,
        settings: dict[str, Any],
        status: str,
        reason: str = "",
        ready: Ready | None = None,
        metrics: dict[str, Any] | None = None,
    ) -> Row:
        row: Row = {"point": point, "task": ready and ready.task.id, "status": status}
        row |= {"reason": " ".join(reason.split())[:_LONGEST_REASON], **settings}
        if self.plan.scaled_key is not None:
            row[self.plan.scaled_key] = ready and ready.scaled
        known = metrics or {}
        return row | {name: known.get(name) for name in columns_of(self.plan.file.metrics)}

    def ready(self, settings: dict[str, Any]) -> Ready:
        """Return the machine of a point, checked against its trace; InputError if it is none."""
        source = _source(self.plan.bases[settings["base"]], settings)
        table = self._table(settings)
        if table is not None:
            source = with_table(source, table.path)
        arch, scaled = arch_of(source), None
        if self.plan.file.iso_area is not None:
            arch, scaled = self._filled(source, arch)
        trace = self.workload(settings["trace"]).trace
        policy = self._policy(settings["policy"], arch)
        batch: int | None = settings["batch"]
        arch = equip(arch, trace, policy)
        _check_layers(arch, trace, policy, batch)
        task = Task(
            arch=json.dumps((with_table(source, "") if table else source).data, sort_keys=True),
            trace_sha256=trace.sha256,
            phase=settings["phase"],
            batch=batch,
            policy=self.plan.policies[settings["policy"]][1],
            table_sha256=table.sha256 if table else "",
            layers=self.plan.file.layers,
        )
        return Ready(arch, policy, task, scaled)

    def _policy(self, name: str, arch: Architecture) -> Policy | None:
        if name == "none":
            return None
        if arch.pattern.is_dense:
            raise InputError(f"{arch.name}: a policy is for machines that are not dense")
        return _policy_of(*self.plan.policies[name], arch.method)

    def _filled(self, source: YamlSource, arch: Architecture) -> tuple[Architecture, int]:
        """Return the machine with as many rows or columns as fit into the reference's area."""
        iso, key = self.plan.file.iso_area, self.plan.scaled_key
        assert iso is not None
        assert key is not None
        limit = self._limit_um2(arch)

        def of_size(size: int) -> Architecture:
            _set(source, key, size)
            return arch_of(source)

        size = largest_within(
            lambda size: _area_um2(of_size(size)),
            limit,
            getattr(arch.mac_array, iso.scale),
        )
        if size is None:
            raise InputError(f"{arch.name}: not even one of {key} fits into {limit:,.0f} um2")
        return of_size(size), size

    def _limit_um2(self, arch: Architecture) -> float:
        reference = self.plan.reference
        if reference is None:
            return _area_um2(arch.dense())
        section = json.dumps(arch.technology.model_dump())
        return _area_of(self.plan.digest, section, reference)


def _check_finite(arch: Architecture, metrics: dict[str, Any]) -> None:
    """Raise InputError if a metric is no number: keys at the ends of their ranges can do that."""
    wrong = [f"{k} is {v}" for k, v in metrics.items() if v is not None and not isfinite(v)]
    if wrong:
        raise InputError(f"{arch.name}: {', '.join(wrong)}: too large or too small for a number")


def _area_um2(arch: Architecture) -> float:
    return Prices.of(arch, arch.load_technology()).total_um2


_areas: dict[tuple[str, str], float] = {}


def _area_of(digest: str, technology: str, reference: YamlSource) -> float:
    """Return the area of a reference machine at a technology."""
    if (digest, technology) not in _areas:
        data = {**reference.data, "technology": json.loads(technology)}
        machine = arch_of(YamlSource(reference.path, data, reference.lines))
        _areas[digest, technology] = _area_um2(machine)
    return _areas[digest, technology]


@cache  # by its contents too: a file may be edited between two sweeps of one process
def _policy_of(path: str, contents: str, method: Method) -> Policy:  # noqa: ARG001
    return load_policy(path, method)


def _source(base: YamlSource, settings: dict[str, Any]) -> YamlSource:
    """Return the architecture file of a point: its base with keys replaced."""
    source = YamlSource(base.path, copy.deepcopy(base.data), base.lines)
    for key, value in settings.items():
        if key not in RUN_KEYS:
            _set(source, key, value)
    return source


def _set(source: YamlSource, dotted: str, value: Any) -> None:
    """Replace a key, and remember it for messages."""
    key: KeyPath = tuple(dotted.split("."))
    section = source.data
    for part in key[:-1]:
        inner = section.setdefault(part, {})
        if not isinstance(inner, dict):  # a null section, or a plain value
            raise InputError(f"{source.path}: '{part}' is no section, so '{dotted}' has no place")
        section = inner
    section[key[-1]] = copy.deepcopy(value)
    source.overrides[key] = f"{dotted}={json.dumps(value)}"


def _check_layers(
    arch: Architecture, trace: Trace, policy: Policy | None, batch: int | None
) -> None:
    """Raise InputError if a layer has no tile or table that fits."""
    steps = None if batch is None else decode_steps(trace, "decode", batch)
    distinct = {}
    for linear in trace.linears:
        method = arch.method if policy is None else policy.of(linear.name)
        for _, tokens in layer_runs(trace, linear, steps):
            gemm = Gemm(tokens, linear.in_features, linear.out_features)
            distinct[gemm, method] = linear
    for (gemm, method), linear in distinct.items():
        with naming(arch, linear):
            arch.running(method).check_room(gemm)
