"""Where the cycles of each unit went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from accelsim.report.plots.base import PLOTS, Plot, Row
from accelsim.report.saved import Run
from accelsim.report.style import CAUSES, legend_above, named

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEAST = 4.0  # per cent that are worth a number


@PLOTS.register("causes")
class Causes(Plot):
    """One bar for each unit, over all cycles of the run."""

    about: ClassVar[str] = "cycles of each unit by cause: busy, starved, blocked, contended, idle"
    is_of_one_run: ClassVar[bool] = True

    @staticmethod
    @override
    def numbers(runs: Sequence[Run]) -> list[Row]:  # type: ignore[override]
        (run,) = runs
        total = run["totals"]["cycles"]
        return [
            {
                "unit": name,
                **{f"{cause}_ratio": unit[f"{cause}_cycles"] / total for cause in CAUSES},
            }
            for name, unit in run["units"].items()
        ]

    @staticmethod
    @override
    def paint(rows: Sequence[Row], ax: Axes) -> None:
        names = [named(row["unit"]) for row in rows]
        base = [0.0] * len(rows)
        for cause, colour in CAUSES.items():
            values = [100 * row[f"{cause}_ratio"] for row in rows]
            bars = ax.barh(names, values, 0.75, left=base, color=colour, label=cause)
            texts = [f"{value:.0f}" if value >= _LEAST else "" for value in values]
            ax.bar_label(bars, texts, label_type="center", fontsize=5.5)
            base = [low + value for low, value in zip(base, values, strict=True)]
        ax.invert_yaxis()
        ax.set_xlim(0, 100)
        ax.set_xlabel("share of all cycles (%)")
        ax.tick_params(axis="y", length=0)
        legend_above(ax, columns=5, columnspacing=0.7, handlelength=0.7, handletextpad=0.3)
