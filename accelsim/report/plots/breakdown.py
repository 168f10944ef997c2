"""Energy or area of each machine, by unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from accelsim.errors import InputError
from accelsim.report.plots.bars import stacked
from accelsim.report.plots.base import PLOTS, Plot, Row
from accelsim.report.saved import Run, labels
from accelsim.report.style import legend_beside, unit_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_AXES = {"energy_pj": ("energy (mJ)", 1e-9), "area_um2": ("area (mm²)", 1e-6)}


@PLOTS.register("breakdown")
class Breakdown(Plot):
    """A stack a machine; over it its ratio to the first."""

    about: ClassVar[str] = "energy (or area: --quantity area_um2) by unit"
    options: ClassVar[tuple[str, ...]] = ("quantity",)

    @staticmethod
    @override
    def numbers(runs: Sequence[Run], quantity: str = "energy_pj") -> list[Row]:  # type: ignore[override]
        if quantity not in _AXES:
            raise InputError(f"quantity '{quantity}': allowed: {', '.join(_AXES)}")
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
        label, scale = _AXES[rows[0]["quantity"]]
        units = dict.fromkeys(
            name for row in rows for name in row if name not in ("run", "quantity")
        )
        parts = {name: [scale * row.get(name, 0.0) for row in rows] for name in units}
        colours = {name: unit_colour(name) for name in units}
        heights = stacked(ax, [row["run"] for row in rows], parts, colours)
        for place, height in enumerate(heights):
            text = f"{height / heights[0]:.2f}×"
            ax.annotate(text, (place, height), (0, 1), textcoords="offset points", ha="center")
        ax.set_ylim(0, 1.1 * max(heights))
        ax.set_ylabel(label)
        legend_beside(ax)
