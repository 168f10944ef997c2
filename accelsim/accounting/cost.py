"""What units cost: counted actions × price, leakage × time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from accelsim.config import Architecture
from accelsim.tech.source import CostSource

MW_S_TO_PJ = 1e9


@dataclass(frozen=True, slots=True)
class Prices:
    """What the units of one machine cost: area, leakage and energy of each action."""

    area_um2: Mapping[str, float]
    leakage_mw: Mapping[str, float]
    energy_pj: Mapping[str, Mapping[str, float]]

    @classmethod
    def of(cls, arch: Architecture, tech: CostSource) -> Prices:
        """Ask every unit for its price list."""
        units, path = arch.units, arch.path
        return cls(
            area_um2={name: unit.area_um2(tech, path) for name, unit in units.items()},
            leakage_mw={name: unit.leakage_mw(tech, path) for name, unit in units.items()},
            energy_pj={name: dict(unit.energy_pj(tech, path)) for name, unit in units.items()},
        )

    def dynamic_pj(self, unit: str, actions: Mapping[str, int]) -> dict[str, float]:
        """Price the counted actions of a unit."""
        return {name: self.energy_pj[unit][name] * count for name, count in actions.items()}

    def static_pj(self, unit: str, time_s: float) -> float:
        """Return the leakage of a unit over a time."""
        return self.leakage_mw[unit] * time_s * MW_S_TO_PJ
