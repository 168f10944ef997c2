"""Each layer's throughput against its operations per byte, under the roofs of the machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from accelsim.report.labels import plain
from accelsim.report.plots.base import PLOTS, Plot, Row
from accelsim.report.saved import Run, bandwidths_gb_per_s
from accelsim.report.style import COLOURS, MARKERS, legend_above, plain_log_ticks
from accelsim.sparsity import parse_pattern

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@PLOTS.register("roofline")
class Roofline(Plot):
    """One point for each layer, in dense-equivalent operations: two a MAC, dropped ones included.

    A sparse machine reaches M/N times the roof of its multipliers in these operations.
    """

    about: ClassVar[str] = "dense-equivalent throughput of each layer under the machine's roofs"
    is_of_one_run: ClassVar[bool] = True

    @staticmethod
    @override
    def numbers(runs: Sequence[Run]) -> list[Row]:  # type: ignore[override]
        (run,) = runs
        arch = run["arch"]
        array, pattern = arch["mac_array"], parse_pattern(arch["pattern"])
        clock_hz = arch["clock_mhz"] * 1e6
        peak_tops = 2 * array["rows"] * array["columns"] * array["lanes"] * clock_hz / 1e12
        gain = pattern.group_size / pattern.kept_per_group
        return [
            {
                "layer": layer["name"],
                "kind": layer["kind"],
                "operations_per_byte": 2 * layer["macs_dense"] / layer["dram_bytes"],
                "effective_tops": 2 * layer["macs_dense"] * clock_hz / layer["cycles"] / 1e12,
                "multiplier_tops": peak_tops,
                "effective_peak_tops": peak_tops * gain,
                "dram_gb_per_s": sum(bandwidths_gb_per_s(arch)),
            }
            for layer in run["layers"]
        ]

    @staticmethod
    @override
    def paint(rows: Sequence[Row], ax: Axes) -> None:
        dense, peak = rows[0]["multiplier_tops"], rows[0]["effective_peak_tops"]
        slope = rows[0]["dram_gb_per_s"] / 1000  # TOPS at one operation a byte
        x = [row["operations_per_byte"] for row in rows]
        left, right = min(*x, peak / slope) / 3, max(*x, peak / slope) * 3
        ax.plot([left, peak / slope, right], [left * slope, peak, peak], color="black", zorder=1)
        if peak > dense:
            ax.plot([dense / slope, right], [dense, dense], color="black", linestyle="--", zorder=1)
            ax.text(right, dense * 0.94, "multipliers", ha="right", va="top")
        roof = "multipliers" if peak == dense else f"multipliers × {peak / dense:.3g} (skipping)"
        ax.text(right, peak * 1.05, roof, ha="right", va="bottom")
        spot: Any = {"textcoords": "offset points", "va": "bottom"}
        ax.annotate(
            f"DRAM {rows[0]['dram_gb_per_s']:g} GB/s", (left, left * slope), (12, 0), **spot
        )
        kinds = dict.fromkeys(row["kind"] for row in rows)
        for place, kind in enumerate(kinds):
            turn = place // len(COLOURS)  # with many kinds, a colour comes again with other markers
            mine = [row for row in rows if row["kind"] == kind]
            ax.scatter(
                [row["operations_per_byte"] for row in mine],
                [row["effective_tops"] for row in mine],
                s=14,
                color=COLOURS[place % len(COLOURS)],
                marker=MARKERS[(place + turn) % len(MARKERS)],
                label=plain(kind),
                zorder=2,
                linewidths=0,
            )
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_ylim(top=peak * 1.8)
        plain_log_ticks(ax)
        ax.set_xlabel("operations per byte of DRAM traffic")
        ax.set_ylabel("effective TOPS")
        legend_above(ax, columns=4, handletextpad=0.1, columnspacing=0.8)
