"""What a result would be if a constant that nobody knows well were another.

Cycles and counted actions do not depend on these constants, so that a run need not be repeated:
energies and areas are sums of counts times prices, and each price is multiplied here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import Any

import numpy as np

from accelsim.results.comparison import Ratios
from accelsim.results.result import headline
from accelsim.studies.runs import Run

SPREAD = 0.3
"""By how much the constants are taken to be uncertain, either way."""

_LOGIC = (
    *("selector", "crossbar", "mac_array"),
    *("statistics", "pre_shifter", "pre_scaler", "moments", "epilogue"),
)


@dataclass(frozen=True, slots=True)
class Constant:
    """One uncertain constant: which units it prices, and in what.

    Attributes:
        why: why it is uncertain.
        units: name of a unit, or the end of it.
        in_area: whether it scales their area, and the leakage with it.
        in_energy: whether it scales the energy of their actions.
    """

    why: str
    units: tuple[str, ...]
    in_area: bool = False
    in_energy: bool = True

    def prices(self, unit: str) -> bool:
        """Return whether this constant is in the price of a unit."""
        return unit.endswith(self.units)


CONSTANTS: Mapping[str, Constant] = MappingProxyType(
    {
        "crossbar wiring": Constant(
            "synthesis knows no wires, and a crossbar is mostly wires", ("crossbar",), in_area=True
        ),
        "SRAM energy": Constant("CACTI, interpolated; median error 6 %", ("_buffer",)),
        "SRAM area": Constant(
            "CACTI, interpolated; median error 6 %", ("_buffer",), in_area=True, in_energy=False
        ),
        "DRAM energy": Constant("published pJ/bit differ by tens of per cent", ("dram",)),
        "activity factors": Constant(
            "switching of one model's operands, in a simulation without glitches", _LOGIC
        ),
    }
)


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
    machine = run["arch"]
    ours, theirs = (_side(part, factors, machine) for part in (run, run["baseline"]))
    ratios = Ratios.between(ours["totals"], theirs["totals"]).to_dict()
    baseline = {"name": run["baseline"]["name"], **theirs, **ratios}
    kept = {key: run[key] for key in ("arch", "point", "phase", "batch") if key in run}
    return {**kept, **ours, "baseline": baseline}


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


def _side(part: Mapping[str, Any], factors: Mapping[str, float], machine: Any) -> dict[str, Any]:
    units = {name: _unit(name, unit, factors) for name, unit in part["units"].items()}
    array, totals = machine["mac_array"], part["totals"]
    counts = ("cycles", "macs_dense", "macs_executed", "dram_bytes")
    return {
        "units": units,
        "totals": headline(
            **{name: totals[name] for name in counts},
            energy_pj=sum(unit["energy_pj"] for unit in units.values()),
            area_um2=sum(unit["area_um2"] for unit in units.values()),
            clock_mhz=machine["clock_mhz"],
            macs_per_cycle=array["rows"] * array["columns"] * array["lanes"],
        ),
    }


def _unit(name: str, unit: Mapping[str, Any], factors: Mapping[str, float]) -> dict[str, Any]:
    area = energy = 1.0
    for constant, factor in factors.items():
        known = CONSTANTS[constant]
        if known.prices(name):
            area *= factor if known.in_area else 1
            energy *= factor if known.in_energy else 1
    actions = {action: energy * pj for action, pj in unit["action_pj"].items()}
    leakage = area * unit["leakage_pj"]
    return {
        **unit,
        "area_um2": area * unit["area_um2"],
        "action_pj": actions,
        "leakage_pj": leakage,
        "energy_pj": sum(actions.values()) + leakage,
    }
