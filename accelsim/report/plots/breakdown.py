"""Energy or area of each machine, by unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from accelsim.base.errors import InputError
from accelsim.report.plots.bars import stacked
from accelsim.report.plots.base import PLOTS, Plot, Row
from accelsim.report.quantity import area_scale, scale_of, times
from accelsim.report.saved import Run, labels
from accelsim.report.style import legend_beside, unit_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_QUANTITIES = ("energy_pj", "area_um2")
_J_PER_PJ = 1e-12
_LEVEL = 5  # stacks whose ratios have room side by side


@PLOTS.register("breakdown")
class Breakdown(Plot):
    """One stack for each machine; above it, the ratio of its sum to that of the first."""

    about: ClassVar[str] = "energy (or area: --quantity area_um2) by unit"
    options: ClassVar[tuple[str, ...]] = ("quantity",)

    @staticmethod
    @override
    def numbers(runs: Sequence[Run], quantity: str = "energy_pj") -> list[Row]:  # type: ignore[override]
        if quantity not in _QUANTITIES:
            raise InputError(f"quantity '{quantity}': allowed: {', '.join(_QUANTITIES)}")
        return [
            {
                "run": label,
                "quantity": quantity,
                **{name: unit[quantity] for name, unit in run["units"].items() if unit[quantity]},
            }
            for label, run in zip(labels(runs), runs, strict=True)
        ]

    @staticmethod
    @override
    def paint(rows: Sequence[Row], ax: Axes) -> None:
        units = dict.fromkeys(
            name for row in rows for name in row if name not in ("run", "quantity")
        )
        label, scale = _axis(rows[0]["quantity"], [_total(row) for row in rows])
        parts = {name: [scale * row.get(name, 0.0) for row in rows] for name in units}
        colours = {name: unit_colour(name) for name in units}
        heights = stacked(ax, [row["run"] for row in rows], parts, colours)
        look: Any = {"textcoords": "offset points", "ha": "center", "fontsize": 5.5}
        look["rotation"] = 90 if len(rows) > _LEVEL else 0
        for place, height in enumerate(heights):
            ax.annotate(times(height / heights[0]), (place, height), (0, 1.5), **look)
        ax.set_ylim(0, (1.1 if len(rows) <= _LEVEL else 1.18) * max(heights))
        ax.set_ylabel(label)
        legend_beside(ax)


def _total(row: Row) -> float:
    return float(sum(value for name, value in row.items() if name not in ("run", "quantity")))


def _axis(quantity: str, totals: Sequence[float]) -> tuple[str, float]:
    """Return a label with the unit that fits, and what numbers are multiplied by."""
    if quantity == "area_um2":
        area = area_scale(totals)
        return f"area ({area.unit})", area.factor
    energy = scale_of([_J_PER_PJ * total for total in totals], "J")
    return f"energy ({energy.unit})", _J_PER_PJ * energy.factor
