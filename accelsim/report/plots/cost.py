"""Speed-up, energy and area by pattern, against dense."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from accelsim.report.plots.bars import grouped
from accelsim.report.plots.base import PLOTS, Plot, Row
from accelsim.report.saved import Run, is_dense, labels, ratios
from accelsim.report.style import legend_above

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def against_dense(runs: Sequence[Run]) -> list[tuple[str, Any]]:
    """Return label and ratios of each run that is not dense; of all if they are all dense."""
    sparse = [run for run in runs if not is_dense(run)] or list(runs)
    return [(label, ratios(run, runs)) for label, run in zip(labels(sparse), sparse, strict=True)]


@PLOTS.register("cost")
class Cost(Plot):
    """Three bars for each machine, as ratios to dense."""

    about: ClassVar[str] = "speed-up, energy and area by pattern, against dense"

    @staticmethod
    @override
    def numbers(runs: Sequence[Run]) -> list[Row]:  # type: ignore[override]
        return [
            {
                "run": label,
                "speedup": ratio["speedup"],
                "energy_ratio": ratio["energy_ratio"],
                "area_ratio": 1 + ratio["area_overhead_ratio"],
            }
            for label, ratio in against_dense(runs)
        ]

    @staticmethod
    @override
    def paint(rows: Sequence[Row], ax: Axes) -> None:
        names = {"speed-up": "speedup", "energy": "energy_ratio", "area": "area_ratio"}
        series = {name: [row[key] for row in rows] for name, key in names.items()}
        grouped(ax, [row["run"] for row in rows], series)
        ax.axhline(1, color="black", linewidth=0.6, linestyle="--", zorder=0)
        ax.set_ylabel("ratio to the dense machine")
        legend_above(ax)
