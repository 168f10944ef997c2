"""A bench for machines that are tried: is it one, how large is it, how many cycles does it take?

A machine is tried as the contents of its architecture file. How many memories a buffer is made of
touches no cycle, so it is never tried: the bench takes the smallest that meets the clock.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from accelsim.base.errors import InputError
from accelsim.base.yaml_source import KeyPath, YamlSource
from accelsim.config import Architecture
from accelsim.config.file import key_of
from accelsim.config.loader import arch_of
from accelsim.config.resolve import with_units
from accelsim.dataflows.memory import Memory
from accelsim.hardware import Buffer, Unit
from accelsim.run.area import clock_notes
from accelsim.run.simulation import Phase, equip
from accelsim.sparsity.policy import Policy
from accelsim.sweeps.totals import Workload, new_memory, totals_of
from accelsim.tech.source import CostSource

Contents = Mapping[str, Any]
"""The contents of an architecture file: keys and sections, as YAML reads them."""

_MOST_MACROS = 64
# The smallest memory that the table of SRAM costs has: below, areas are extrapolated in proportion
# to the capacity, which nothing that is built would keep, and which a search would run after.
_LEAST_BYTES, _LEAST_ROWS, _LEAST_WIDTH_BYTES = 1024, 32, 8


@dataclass(frozen=True, slots=True)
class Duty:
    """What a machine has to do with a trace.

    Attributes:
        batch: sequences of a decode step; None: prefill.
    """

    batch: int | None = None

    @property
    def phase(self) -> Phase:
        """The phase that it is."""
        return "prefill" if self.batch is None else "decode"

    def __str__(self) -> str:
        return "prefill" if self.batch is None else f"decode, batch {self.batch}"


@dataclass(frozen=True)
class Candidate:
    """A machine that exists and meets its clock.

    Attributes:
        contents: of its architecture file, with the memories that its buffers are made of.
        arch: the machine, equipped for the trace.
    """

    contents: Contents
    arch: Architecture

    @cached_property
    def unit_um2(self) -> dict[str, float]:
        """The area of each unit on the chip."""
        tech, path = self.arch.load_technology(), self.arch.path
        return {
            name: unit.area_um2(tech, path)
            for name, unit in self.arch.units.items()
            if not unit.is_off_chip
        }

    @cached_property
    def area_um2(self) -> float:
        """The area of the machine."""
        return sum(self.unit_um2.values())


@dataclass
class Workbench:
    """A bench for machines on one trace.

    Attributes:
        source: the architecture file that they are made from.
        workload: the trace.
        duties: what they have to do with it.
        policy: how which layer is pruned; None: all as the machine says.
        fixed: keys that stay as the file has them, as dotted texts; sections stand for all in them.
        simulations: machines that were simulated, each on all duties.
    """

    source: YamlSource
    workload: Workload
    duties: Sequence[Duty] = (Duty(),)
    policy: Policy | None = None
    fixed: Sequence[str] = ()
    simulations: int = 0
    _memory: Memory = field(default_factory=new_memory)
    _cycles: dict[Architecture, tuple[int, ...] | None] = field(default_factory=dict)

    def is_fixed(self, key: str) -> bool:
        """Whether a key stays as it is."""
        return any(f"{key}.".startswith(f"{fixed}.") for fixed in self.fixed)

    def machine(self, contents: Contents) -> Candidate:
        """Return the machine that these contents describe.

        Raises:
            InputError: they describe none, it misses its clock, or it has a buffer that is smaller
            than memories of known area, and not that of the file.
        """
        data = copy.deepcopy(dict(contents))
        self._open_macros(data)
        source = YamlSource(self.source.path, data, self.source.lines, self.source.overrides)
        arch = arch_of(source)
        tech = arch.load_technology()
        buffers = {name: it for name, it in arch.units.items() if isinstance(it, Buffer)}
        built: dict[str, Unit | None] = {}
        for name, buffer in buffers.items():
            self._check_known(name, buffer)
            if not self.is_fixed(_dotted(name, "macros")):
                macros = smallest_macros(buffer, tech, arch.clock_mhz)
                put(data, (*key_of(name), "macros"), macros)
                built[name] = buffer.model_copy(update={"macros": macros})
        arch = equip(with_units(arch, built), self.workload.trace, self.policy)
        late = [note.text for note in clock_notes(arch, tech) if note.is_warning]
        if late:
            raise InputError(f"{self.source.path}: {'; '.join(late)}")
        return Candidate(data, arch)

    def as_written(self) -> Candidate:
        """Return the machine of the file as it is, whether it meets its clock or not.

        Raises:
            InputError: it is none, or one with a memory that X and W share.
        """
        arch = equip(arch_of(self.source), self.workload.trace, self.policy)
        if arch.buffers.shared is not None:
            raise InputError(
                f"{arch.name}: 'buffers.shared' is not tuned; write activations and weights apart"
            )
        return Candidate(self.source.data, arch)

    def candidate(self, contents: Contents) -> Candidate | None:
        """Return the machine that these contents describe; None if there is none in time."""
        try:
            return self.machine(contents)
        except InputError:
            return None

    def cycles(self, candidate: Candidate) -> tuple[int, ...] | None:
        """Return the cycles of each duty; None if a layer has no place on the machine."""
        if candidate.arch not in self._cycles:
            try:
                self._cycles[candidate.arch] = self.checked_cycles(candidate)
            except InputError:
                self._cycles[candidate.arch] = None
        return self._cycles[candidate.arch]

    def checked_cycles(self, candidate: Candidate) -> tuple[int, ...]:
        """Return the cycles of each duty.

        Raises:
            InputError: a layer has no place on the machine, or the trace too few tokens.
        """
        totals = [self.totals(candidate, duty) for duty in self.duties]
        self.simulations += 1
        return tuple(int(total["cycles"] or 0) for total in totals)

    def totals(self, candidate: Candidate, duty: Duty) -> dict[str, float | None]:
        """Return the headline numbers of one duty."""
        return totals_of(candidate.arch, self.workload, self.policy, duty.batch, self._memory)

    def _check_known(self, name: str, buffer: Buffer) -> None:
        """Raise InputError if a buffer is below memories of known area, and was not before."""
        written = got(self.source.data, key_of(name))
        sizes = ("capacity_kib", "port_bytes")
        if has_known_area(buffer) or all(getattr(buffer, key) == written[key] for key in sizes):
            return
        raise InputError(
            f"{self.source.path}: {name}: a memory of {buffer.capacity_kib:g} KiB with a port of "
            f"{buffer.port_bytes} bytes is smaller than any whose area is known"
        )

    def _open_macros(self, contents: dict[str, Any]) -> None:
        """Make each buffer one memory, which fits every port, until its best number is known."""
        for section in _sections(contents):
            if not self.is_fixed(f"{'.'.join(section)}.macros"):
                put(contents, (*section, "macros"), 1)


def has_known_area(buffer: Buffer) -> bool:
    """Whether each memory of a buffer is within the table of costs, not below it."""
    macro_bytes = buffer.store.capacity_bytes // buffer.macros
    width_bytes = buffer.port_bytes // buffer.macros
    rows = macro_bytes // (width_bytes * buffer.banks)
    is_wide = width_bytes >= _LEAST_WIDTH_BYTES or buffer.macros == 1
    return macro_bytes >= _LEAST_BYTES and rows >= _LEAST_ROWS and is_wide


def smallest_macros(buffer: Buffer, tech: CostSource, clock_mhz: float) -> int:
    """Return how many memories side by side make the smallest such buffer that meets a clock.

    Where none meets it, those that come nearest; memories of known area, where there are any.
    """

    def rank(macros: int) -> tuple[bool, float, float, int]:
        built = buffer.model_copy(update={"macros": macros})
        cost = built.macro(tech)
        late_ns = max(0.0, cost.cycle_time_ns - 1000 / clock_mhz)
        return not has_known_area(built), late_ns, macros * cost.area_um2, macros

    most = min(buffer.port_bytes, _MOST_MACROS)
    return min((n for n in range(1, most + 1) if buffer.port_bytes % n == 0), key=rank)


def _sections(contents: Contents) -> Iterator[KeyPath]:
    """Yield where the sections of buffers stand: what has a port is one."""
    for name in ("buffers", "units"):
        sections = contents.get(name)
        for inner, section in sections.items() if isinstance(sections, dict) else ():
            if isinstance(section, dict) and "port_bytes" in section:
                yield name, inner


def _dotted(unit: str, field_name: str) -> str:
    return ".".join((*key_of(unit), field_name))


def got(contents: Contents, key: KeyPath) -> Any:
    """Return the value at a key; None if it is not given."""
    value: Any = contents
    for part in key:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def put(contents: dict[str, Any], key: KeyPath, value: Any) -> None:
    """Set the value at a key, in sections that are there."""
    section = contents
    for part in key[:-1]:
        section = section[part]
    section[key[-1]] = value


def changed(contents: Contents, key: KeyPath, value: Any) -> dict[str, Any]:
    """Return contents with another value at a key."""
    new = copy.deepcopy(dict(contents))
    put(new, key, value)
    return new
