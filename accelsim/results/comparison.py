"""Machines side by side on the same trace, as ratios to the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accelsim.base.renamed import both
from accelsim.results.result import Result


@dataclass(frozen=True, slots=True)
class Ratios:
    """One run against a reference. Ratios of cost: below 1 is better; speed-up: above 1 is better.

    `area_overhead_ratio` is extra area as a share of the reference: 0.1 is 10 % more.
    """

    speedup: float
    energy_ratio: float
    edp_ratio: float
    area_overhead_ratio: float
    tops_per_mm2_ratio: float

    @classmethod
    def of(cls, result: Result, reference: Result) -> Ratios:
        """Divide one run by another."""
        return cls.between(result.totals(), reference.totals())

    @classmethod
    def between(cls, ours: Mapping[str, float], theirs: Mapping[str, float]) -> Ratios:
        """Divide the totals of one run by those of another."""
        return cls(
            speedup=theirs["time_s"] / ours["time_s"],
            energy_ratio=ours["energy_pj"] / theirs["energy_pj"],
            edp_ratio=ours["edp_pj_s"] / theirs["edp_pj_s"],
            area_overhead_ratio=ours["area_um2"] / theirs["area_um2"] - 1,
            tops_per_mm2_ratio=ours["tops_per_mm2"] / theirs["tops_per_mm2"],
        )

    def to_dict(self) -> dict[str, float]:
        """Return plain data."""
        return {
            "speedup": self.speedup,
            "energy_ratio": self.energy_ratio,
            "edp_ratio": self.edp_ratio,
            "area_overhead_ratio": self.area_overhead_ratio,
            "tops_per_mm2_ratio": self.tops_per_mm2_ratio,
        }


def comparison_rows(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return one row a machine: totals, and ratios to the first."""
    return [
        {
            "name": result.arch["name"],
            "pattern": result.arch["pattern"],
            "clock_mhz": result.clock_mhz,
            **result.totals(),
            **result.chip_power(),
            **Ratios.of(result, results[0]).to_dict(),
            **both("dropped_energy_ratio", result.dropped_squared_magnitude_ratio),
        }
        for result in results
    ]
