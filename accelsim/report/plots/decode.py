"""Decode speed-up against batch size, and how many rows of W a batch needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from typing_extensions import override

from accelsim.base.errors import InputError
from accelsim.report.plots.base import PLOTS, Plot, Row
from accelsim.report.saved import Run, is_dense, ratios
from accelsim.report.style import BLUE, COLOURS, MARKERS, ORANGE
from accelsim.sparsity import parse_pattern

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@PLOTS.register("decode")
class Decode(Plot):
    """Speed-up on the left axis; on the right the share of weight rows that a step fetches.

    If the B sequences of a batch kept a share d of the values each, independently of each other, a
    step would need 1 - (1 - d)^B of the rows. Real masks need fewer, as far as sequences agree.
    """

    about: ClassVar[str] = "decode speed-up and needed weight rows against batch size"
    same: ClassVar[Sequence[str]] = ("trace",)  # its own message tells other phases; batches vary

    @staticmethod
    @override
    def numbers(runs: Sequence[Run]) -> list[Row]:  # type: ignore[override]
        sparse = [run for run in runs if not is_dense(run)]
        wrong = [run for run in sparse if run["phase"] != "decode"]
        if wrong or not sparse:
            names = ", ".join(run["arch"]["name"] for run in wrong) or "none"
            raise InputError(
                f"plot 'decode' needs sparse runs of phase decode (--phase decode --batch B); "
                f"these are not: {names}"
            )
        rows = [_row(run, runs) for run in sparse]
        places = [(row["run"], row["batch"]) for row in rows]
        if len(set(places)) < len(places):
            raise InputError("plot 'decode' shows one machine a pattern: two have the same batch")
        return sorted(rows, key=lambda row: (row["run"], row["batch"]))

    @staticmethod
    @override
    def paint(rows: Sequence[Row], ax: Axes) -> None:
        right = ax.twinx()
        right.spines["right"].set_visible(True)
        names = list(dict.fromkeys(row["run"] for row in rows))
        for place, name in enumerate(names):
            line = [row for row in rows if row["run"] == name]
            batches = [row["batch"] for row in line]
            marker, shade = MARKERS[place % len(MARKERS)], COLOURS[place % len(COLOURS)]
            if len(names) == 1:
                shade = BLUE
            speed = [row["speedup"] for row in line]
            ax.plot(batches, speed, color=shade, marker=marker, label=f"speed-up, {name}")
            needed = [row["needed_rows_ratio"] for row in line]
            other = ORANGE if len(names) == 1 else shade
            right.plot(
                batches,
                needed,
                color=other,
                marker=marker,
                markerfacecolor="white",
                linestyle="--",
                label=f"rows needed, {name}",
            )
        batches = sorted({row["batch"] for row in rows})
        chance = sorted({(row["batch"], row["independent_rows_ratio"]) for row in rows})
        look = "k:" if len(chance) == len(batches) else "k."  # the same for all, or not
        right.plot(*zip(*chance, strict=True), look, label="1 − (1 − d)^B")
        ax.axhline(1, color="black", linewidth=0.5)
        ax.set_xscale("log", base=2)
        ax.set_xticks(batches, [str(batch) for batch in batches])
        ax.minorticks_off()
        ax.set_ylim(0, None)
        right.set_ylim(0, 1.05)
        ax.set_xlabel("sequences in a decode step")
        ax.set_ylabel("speed-up over dense")
        right.set_ylabel("share of weight rows (dashed)")
        handles = [part.get_legend_handles_labels() for part in (ax, right)]
        both = [left + other for left, other in zip(*handles, strict=True)]
        ax.legend(*both, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2)


def _row(run: Run, runs: Sequence[Run]) -> Row:
    rows = [layer["in_features"] for layer in run["layers"]]
    kept = [_kept_ratio(layer) for layer in run["layers"]]

    def mean(shares: Sequence[float]) -> float:
        return float(np.average(shares, weights=rows))

    return {
        "run": run["arch"]["pattern"],
        "batch": run["batch"],
        "speedup": ratios(run, runs)["speedup"],
        "needed_rows_ratio": mean([layer["needed_rows_ratio"] for layer in run["layers"]]),
        "independent_rows_ratio": mean([1 - (1 - d) ** run["batch"] for d in kept]),
    }


def _kept_ratio(layer: Any) -> float:
    """Return the share d that a layer keeps of each token."""
    width: int = layer["in_features"]
    kept: int = parse_pattern(layer["pattern"]).kept_count(width)
    return min(1.0, kept / width)
