"""Energy of counted actions and of time: the one place where counts meet prices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from accelsim.accounting.tally import Tally
from accelsim.config import Architecture
from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.tech.source import CostSource

MW_S_TO_PJ = 1e9


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of one machine, by unit.

    Attributes:
        area_um2: area.
        leakage_mw: static power.
        energy_pj: energy of one of each action.
        clock_mhz: clock of the machine, which says how long a cycle leaks.
    """

    area_um2: Mapping[str, float]
    leakage_mw: Mapping[str, float]
    energy_pj: Mapping[str, Mapping[str, float]]
    clock_mhz: float

    @classmethod
    def of(cls, arch: Architecture, tech: CostSource) -> Prices:
        """Ask every unit for its price list."""
        units, path = arch.units, arch.path
        return cls(
            area_um2={name: unit.area_um2(tech, path) for name, unit in units.items()},
            leakage_mw={name: unit.leakage_mw(tech, path) for name, unit in units.items()},
            energy_pj={name: dict(unit.energy_pj(tech, path)) for name, unit in units.items()},
            clock_mhz=arch.clock_mhz,
        )

    def in_mode(self, machine: LayerMachine) -> Prices:
        """Return the prices as a layer finds them: with modes, its mode says what actions take."""
        if not machine.path.modes:
            return self
        tech, path = machine.technology(), machine.path
        own = {name: dict(unit.energy_pj(tech, path)) for name, unit in machine.units.items()}
        return replace(self, energy_pj={**self.energy_pj, **own})

    @property
    def total_um2(self) -> float:
        """Area of all units."""
        return sum(self.area_um2.values())


def unit_pj(action_pj: Iterable[float], leakage_pj: float) -> float:
    """Return the energy of a unit: of its actions in their order, then leakage.

    Whoever adds up a unit does it here, so that sums come to the same last bit everywhere.

    >>> unit_pj([1.5, 2.0], 0.25)
    3.75
    """
    return sum(action_pj) + leakage_pj


class PricedTally:
    """Energy of what a tally counts on one machine, for any number of nonzero activations.

    Layers with the same tally differ in nothing else, so that all else is looked up once. Units
    that the tally knows nothing of are idle, and leak.
    """

    def __init__(self, prices: Prices, tally: Tally) -> None:
        """Bring counts and prices together.

        Args:
            prices: of the machine.
            tally: of a layer, or of several of its runs.
        """
        time_s = tally.cycles / (prices.clock_mhz * 1e6)
        self._terms: dict[str, list[_Term]] = {}
        self._leakage_pj = {
            name: mw * time_s * MW_S_TO_PJ for name, mw in prices.leakage_mw.items()
        }
        # Of units whose energy does not depend on what is nonzero, the energy; of others, the name.
        self._units: list[float | str] = []
        for name, price_pj in prices.energy_pj.items():
            slopes = tally.nonzero_actions.get(name, {})
            counts = tally.actions.get(name) or dict.fromkeys(sorted(price_pj), 0)
            self._terms[name] = [
                (kind, price_pj[kind], n, slopes.get(kind, 0)) for kind, n in counts.items()
            ]
            self._units.append(name if any(slopes.values()) else self._unit_pj(name, 0))

    def action_pj(self, unit: str, nonzero: int) -> dict[str, float]:
        """Return the energy of each action of a unit."""
        return {kind: price * (n + nonzero * slope) for kind, price, n, slope in self._terms[unit]}

    def leakage_pj(self, unit: str) -> float:
        """Return the leakage of a unit over the cycles of the tally."""
        return self._leakage_pj[unit]

    def energy_pj(self, nonzero: int) -> float:
        """Return the energy of all units: the actions of each, its leakage, then the next unit."""
        return sum(
            [
                self._unit_pj(unit, nonzero) if isinstance(unit, str) else unit
                for unit in self._units
            ]
        )

    def _unit_pj(self, unit: str, nonzero: int) -> float:
        actions = [price * (n + nonzero * slope) for _, price, n, slope in self._terms[unit]]
        return unit_pj(actions, self._leakage_pj[unit])


_Term = tuple[str, float, int, int]
"""Name, price in pJ and count of an action, and what one nonzero activation adds to the count."""
