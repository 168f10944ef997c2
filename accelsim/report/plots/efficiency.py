"""Throughput per area and energy-delay product by pattern, against dense."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from accelsim.report.plots.bars import grouped
from accelsim.report.plots.base import PLOTS, Plot, Row
from accelsim.report.plots.cost import against_dense
from accelsim.report.saved import Run
from accelsim.report.style import BLUE, PINK, legend_above

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@PLOTS.register("efficiency")
class Efficiency(Plot):
    """Two bars for each machine, as ratios to dense."""

    about: ClassVar[str] = "throughput per area and energy-delay product, against dense"

    @staticmethod
    @override
    def numbers(runs: Sequence[Run]) -> list[Row]:  # type: ignore[override]
        return [
            {
                "run": label,
                "tops_per_mm2_ratio": ratio["tops_per_mm2_ratio"],
                "edp_ratio": ratio["edp_ratio"],
            }
            for label, ratio in against_dense(runs)
        ]

    @staticmethod
    @override
    def paint(rows: Sequence[Row], ax: Axes) -> None:
        names = {
            "TOPS/mm² (more is better)": "tops_per_mm2_ratio",
            "energy × delay (less is better)": "edp_ratio",
        }
        series = {name: [row[key] for row in rows] for name, key in names.items()}
        grouped(ax, [row["run"] for row in rows], series, colours=(BLUE, PINK))
        ax.axhline(1, color="black", linewidth=0.6, linestyle="--", zorder=0)
        ax.set_ylabel("ratio to the dense machine")
        legend_above(ax, columns=1)
