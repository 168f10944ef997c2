"""What a result would be if a constant that nobody knows well were another.

Cycles and counted actions do not depend on these constants, so that a run need not be repeated:
energies and areas are sums of counts times prices, and each price is multiplied here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from types import MappingProxyType
from typing import Any

import numpy as np

from accelsim.accounting.cost import unit_pj
from accelsim.results.comparison import Ratios
from accelsim.results.result import headline
from accelsim.studies.runs import Run

SPREAD = 0.3
"""By how much the constants are taken to be uncertain, either way."""

_MEMORIES = ("_buffer", "dram")  # ends of their names; all else is logic


@dataclass(frozen=True, slots=True)
class Constant:
    """One uncertain constant: which units it prices, and in what.

    Attributes:
        units: name of a unit, or the end of it.
        is_of_others: whether it prices all units but these.
        in_area: whether it scales their area, and the leakage with it.
        in_energy: whether it scales the energy of their actions.
    """

    units: tuple[str, ...]
    in_area: bool = False
    in_energy: bool = True
    is_of_others: bool = False

    def prices(self, unit: str) -> bool:
        """Whether this constant is in the price of a unit."""
        return unit.endswith(self.units) != self.is_of_others


CONSTANTS: Mapping[str, Constant] = MappingProxyType(
    {
        # Synthesis knows no wires, and a crossbar is mostly wires.
        "crossbar wiring": Constant(("crossbar",), in_area=True),
        # CACTI, interpolated between the points of its table: median error 6 %.
        "SRAM energy": Constant(("_buffer",)),
        "SRAM area": Constant(("_buffer",), in_area=True, in_energy=False),
        # What is published differs by tens of per cent for the same standard.
        "DRAM energy": Constant(("dram",)),
        # Switching of one model's operands, in a simulation without glitches.
        "activity factors": Constant(_MEMORIES, is_of_others=True),
    }
)
"""The constants by name, each with the reason for which it is uncertain."""


class Priced:
    """A run whose prices can be multiplied again and again.

    Prices that are multiplied alike are added up once; a unit is priced by itself only if asked
    for.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._kept = {key: run[key] for key in ("arch", "point", "phase", "batch") if key in run}
        self._ours, self._theirs = (_sums(part["units"]) for part in (run, run["baseline"]))

    def at(self, factors: Mapping[str, float]) -> Run:
        """Return the run with its prices multiplied, as `scaled` does."""
        run, machine = self._run, self._run["arch"]
        ours = _Side(run, self._ours, factors, machine)
        theirs = _Side(run["baseline"], self._theirs, factors, machine)
        ratios = Ratios.between(ours["totals"], theirs["totals"]).to_dict()
        theirs.update(name=run["baseline"]["name"], **ratios)
        ours.update(self._kept, baseline=theirs)
        return ours


def scaled(run: Run, factors: Mapping[str, float]) -> Run:
    """Return a run with its prices multiplied; totals, units and baseline, without layers.

    Args:
        run: as of `runs_of`.
        factors: by name of `CONSTANTS`; those that are not named stay.

    Example:
        A crossbar of 2 µm² and 3 pJ in a machine of 10 µm² and 30 pJ, half as large again.

        >>> unit = {"area_um2": 2.0, "action_pj": {"route": 3.0}, "leakage_pj": 0.0}
        >>> _unit("crossbar", unit, {"crossbar wiring": 1.5})
        {'area_um2': 3.0, 'action_pj': {'route': 4.5}, 'leakage_pj': 0.0, 'energy_pj': 4.5}
    """
    return Priced(run).at(factors)


def corners(names: Sequence[str] = tuple(CONSTANTS)) -> Iterator[dict[str, float]]:
    """Yield every combination of the constants at both ends of their range.

    >>> len(list(corners())), list(corners(["DRAM energy"]))
    (32, [{'DRAM energy': 0.7}, {'DRAM energy': 1.3}])
    """
    for signs in product((-1, 1), repeat=len(names)):
        yield {name: 1 + sign * SPREAD for name, sign in zip(names, signs, strict=True)}


def sides() -> Iterator[dict[str, float]]:
    """Yield each constant alone at both ends of its range."""
    for name in CONSTANTS:
        yield from corners([name])


def samples(count: int = 200) -> Iterator[dict[str, float]]:
    """Yield points inside of the ranges, always the same ones.

    Where a number is not monotone, as when machines are chosen again, corners are not its extremes.
    """
    rng = np.random.default_rng(0)
    for point in rng.uniform(1 - SPREAD, 1 + SPREAD, (count, len(CONSTANTS))):
        yield dict(zip(CONSTANTS, point.tolist(), strict=True))


_Sums = Mapping[tuple[str, ...], Sequence[float]]
"""Area, leakage and energy of actions, by the constants that are in their prices."""


class _Side(dict[str, Any]):
    """Totals of a machine with its prices multiplied, and its units when they are asked for."""

    def __init__(
        self, part: Mapping[str, Any], sums: _Sums, factors: Mapping[str, float], machine: Any
    ) -> None:
        area_um2 = energy_pj = 0.0
        for names, (um2, leakage_pj, dynamic_pj) in sums.items():
            area, energy = _multipliers(names, factors)
            area_um2 += area * um2
            energy_pj += unit_pj([energy * dynamic_pj], area * leakage_pj)
        array, totals = machine["mac_array"], part["totals"]
        counts = ("cycles", "macs_dense", "macs_executed", "dram_bytes")
        super().__init__(
            totals=headline(
                **{name: totals[name] for name in counts},
                energy_pj=energy_pj,
                area_um2=area_um2,
                clock_mhz=machine["clock_mhz"],
                macs_per_cycle=array["rows"] * array["columns"] * array["lanes"],
            )
        )
        self._part, self._factors = part, factors

    def __missing__(self, key: str) -> Any:
        if key != "units":
            raise KeyError(key)
        units = {
            name: _unit(name, unit, self._factors) for name, unit in self._part["units"].items()
        }
        return self.setdefault("units", units)


def _sums(units: Mapping[str, Mapping[str, Any]]) -> _Sums:
    sums: dict[tuple[str, ...], list[float]] = {}
    for name, unit in units.items():
        known = sums.setdefault(_priced_by(name), [0.0, 0.0, 0.0])
        known[0] += unit["area_um2"]
        known[1] += unit["leakage_pj"]
        known[2] += sum(unit["action_pj"].values())
    return sums


@cache
def _priced_by(unit: str) -> tuple[str, ...]:
    return tuple(name for name, constant in CONSTANTS.items() if constant.prices(unit))


def _multipliers(names: Sequence[str], factors: Mapping[str, float]) -> tuple[float, float]:
    """Return the factors of area and leakage, and of the energy of actions."""
    area = energy = 1.0
    for name in names:
        factor = factors.get(name, 1.0)
        area *= factor if CONSTANTS[name].in_area else 1
        energy *= factor if CONSTANTS[name].in_energy else 1
    return area, energy


def _unit(name: str, unit: Mapping[str, Any], factors: Mapping[str, float]) -> dict[str, Any]:
    area, energy = _multipliers(_priced_by(name), factors)
    actions = {action: energy * pj for action, pj in unit["action_pj"].items()}
    leakage = area * unit["leakage_pj"]
    return {
        **unit,
        "area_um2": area * unit["area_um2"],
        "action_pj": actions,
        "leakage_pj": leakage,
        "energy_pj": unit_pj(actions.values(), leakage),
    }
