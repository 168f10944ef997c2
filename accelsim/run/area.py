"""The area of a machine by unit, and what its file and its clock make of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from accelsim.accounting.cost import Prices
from accelsim.base.note import Note, warning
from accelsim.config import Architecture
from accelsim.hardware.buffer import Buffer
from accelsim.hardware.lanes import UNSIZED_KIB, TableUnit
from accelsim.run.balance import area_notes
from accelsim.tech.source import CostSource


@dataclass(frozen=True, slots=True)
class AreaReport:
    """Area of a machine by unit, and against the dense machine of the same array and buffers.

    Attributes:
        area_um2: by unit.
        gate_equivalents: the same in units of the smallest NAND2.
        dense_um2: of the whole dense machine.
        scope: what the areas are of, and are not.
        off_chip: units that have no area, as they are no part of the chip.
        buffers: units that are memories between stages.
        notes: what the clock made of the units, and what keeps them from their speed.
    """

    area_um2: Mapping[str, float]
    gate_equivalents: Mapping[str, float]
    dense_um2: float
    scope: str
    off_chip: frozenset[str]
    buffers: frozenset[str]
    notes: tuple[Note, ...] = ()

    @classmethod
    def of(cls, arch: Architecture) -> AreaReport:
        """Size every unit of `arch`."""
        tech = arch.load_technology()
        areas = Prices.of(arch, tech).area_um2
        dense = Prices.of(arch.dense(), tech)
        equivalents = {name: tech.gate_equivalents(area) for name, area in areas.items()}
        off_chip = frozenset(name for name, unit in arch.units.items() if unit.is_off_chip)
        buffers = frozenset(n for n, unit in arch.units.items() if isinstance(unit, Buffer))
        notes = (*clock_notes(arch, tech), *size_notes(arch), *area_notes(arch))
        return cls(areas, equivalents, dense.total_um2, tech.scope, off_chip, buffers, notes)

    @property
    def total_um2(self) -> float:
        """Area of all units."""
        return sum(self.area_um2.values())

    @property
    def overhead_vs_dense_ratio(self) -> float:
        """Extra area over the dense machine, as a share of the dense machine: 0.1 is 10 % more."""
        return self.total_um2 / self.dense_um2 - 1


def clock_notes(arch: Architecture, tech: CostSource) -> Iterator[Note]:
    """Yield what the clock made of the units, and warnings of those that miss it."""
    for unit in arch.units.values():
        yield from unit.timing_notes(tech, arch.path)
    yield from slow_memories(arch, tech)


def slow_memories(arch: Architecture, tech: CostSource) -> Iterator[Note]:
    """Warn of memories that cannot take an access every cycle of the clock."""
    period_ns = 1000 / arch.clock_mhz
    for name, unit in arch.units.items():
        if isinstance(unit, Buffer):
            needed_ns, cure = unit.macro(tech).cycle_time_ns, "use more macros or banks"
        elif isinstance(unit, TableUnit):
            needed_ns = unit.macro(tech, arch.path).cycle_time_ns
            cure = "use a smaller table_kib, or more lanes, which share it"
        else:
            continue
        if needed_ns > period_ns:
            yield warning(
                f"{name}: its memory needs {needed_ns:.2f} ns an access, the clock gives "
                f"{period_ns:.2f} ns; {cure}"
            )


def size_notes(arch: Architecture) -> Iterator[Note]:
    """Say of which tables the size is not known, as it follows from the layers of a trace."""
    for name, unit in arch.units.items():
        if isinstance(unit, TableUnit) and unit.has_table and unit.table_kib is None:
            yield Note(
                f"{name}: a table of {UNSIZED_KIB} KiB is assumed; a run sizes it for the layers "
                f"of its trace, {name}.table_kib fixes it"
            )
