"""Accuracy against cost, and the points that nothing beats."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from accelsim.base.errors import InputError
from accelsim.base.renamed import with_new_names
from accelsim.report.labels import label_line, label_point
from accelsim.report.plots.base import PLOTS, Plot, Row
from accelsim.report.saved import Run, is_dense, ratios
from accelsim.report.style import COLOURS, MARKERS, legend_above
from accelsim.sparsity import parse_pattern

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COSTS = {
    "energy_ratio": ("energy over dense", False),
    "edp_ratio": ("energy × delay over dense", False),
    "speedup": ("speed-up over dense", True),
    "tops_per_mm2_ratio": ("TOPS/mm² over dense", True),
}
"""By cost: its name on the axis, and whether more of it is better."""

_LEAST = 0.005  # increase of perplexity where the axis begins: none cannot be shown


@PLOTS.register("front")
class Front(Plot):
    """One point for each pattern and mitigation that was both simulated and measured.

    Rows without hardware, such as the unstructured bound, are vertical lines.
    """

    about: ClassVar[str] = "increase of perplexity against cost, with the Pareto front"
    options: ClassVar[tuple[str, ...]] = ("accuracy", "cost")

    @staticmethod
    @override
    def numbers(  # type: ignore[override]
        runs: Sequence[Run], accuracy: Any = None, cost: str = "energy_ratio"
    ) -> list[Row]:
        if cost not in COSTS:
            raise InputError(f"cost '{cost}': allowed: {', '.join(COSTS)}")
        if accuracy is None:
            raise InputError("plot 'front' needs what `accelsim accuracy --json` prints")
        sparse = [run for run in runs if not is_dense(run)]
        _check_phase(sparse, accuracy)
        known = {_method(run["arch"], run.get("policy")): run for run in sparse}
        if len(known) < len(sparse):
            raise InputError("plot 'front': two runs have the same pattern, mitigation and policy")
        rows = [
            {
                "pattern": row["pattern"],
                "mitigation": row["mitigation"],
                "increase": row["perplexity_increase_ratio"],
                "stderr": row.get("perplexity_increase_ratio_stderr"),
                "cost": cost,
                "value": ratios(run, runs)[cost] if run is not None else None,
            }
            for row in map(with_new_names, accuracy["rows"])
            for run in [known.get(_method(row, row.get("policy")))]
        ]
        if all(row["value"] is None for row in rows):
            raise InputError(
                "no row of accuracy has the pattern, criterion and mitigation of a run"
            )
        best = _best([row for row in rows if row["value"] is not None], more=COSTS[cost][1])
        return [{**row, "is_best": id(row) in best} for row in rows]

    @staticmethod
    @override
    def paint(rows: Sequence[Row], ax: Axes) -> None:
        name, more = COSTS[rows[0]["cost"]]
        points = [row for row in rows if row["value"] is not None]
        kept = list(dict.fromkeys(_share(row) for row in points))
        mitigations = list(dict.fromkeys(row["mitigation"] for row in points))
        for row in points:
            shade = COLOURS[kept.index(_share(row)) % len(COLOURS)]
            marker = MARKERS[mitigations.index(row["mitigation"]) % len(MARKERS)]
            x = 100 * max(row["increase"], _LEAST)
            error = None if row["stderr"] is None else 100 * row["stderr"]
            face = "white" if row["mitigation"] == "none" else shade
            ax.errorbar(
                x,
                row["value"],
                xerr=error,
                fmt=marker,
                color=shade,
                mfc=face,
                ms=3.5,
                elinewidth=0.6,
                capsize=1.2,
            )
            if row["mitigation"] == "none":
                label_point(ax, row["pattern"], (x, row["value"]))
        for row in rows:
            if _is_bound(row):
                ax.axvline(100 * row["increase"], color="black", linestyle=":", linewidth=0.6)
                label_line(ax, row["pattern"], 100 * row["increase"])
        front = [(100 * _LEAST, 1.0)]
        front += [(100 * row["increase"], row["value"]) for row in points if row["is_best"]]
        ax.step(*zip(*sorted(front), strict=True), where="post", color="black", alpha=0.6, zorder=0)
        ax.axhline(1, color="black", linewidth=0.6, linestyle="--", zorder=0)
        ax.set_xscale("log")
        ticks = [
            tick
            for tick in (1, 3, 10, 30, 100, 300)
            if tick <= 150 * max(r["increase"] for r in points)
        ]
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.minorticks_off()
        ax.set_xlabel("increase of perplexity (%)")
        ax.set_ylabel(name + (" (more is better)" if more else " (less is better)"))
        for shade, share in zip(COLOURS, kept, strict=False):
            ax.plot([], [], "o", color=shade, label=f"{share:.0%} kept")
        for marker, mitigation in zip(MARKERS, mitigations, strict=False):
            face = "white" if mitigation == "none" else "black"
            ax.plot([], [], marker, color="black", mfc=face, label=mitigation, linestyle="")
        legend_above(ax, columns=3, handletextpad=0.2, columnspacing=0.8)


def _method(part: Any, policy: Any) -> tuple[str, ...]:
    """Return how a machine prunes, or a row of accuracy was pruned; a policy by its rules."""
    rules = json.dumps(policy) if policy and policy["layers"] else ""
    return part["pattern"], part["criterion"], part["mitigation"], rules


def _check_phase(runs: Sequence[Run], accuracy: Any) -> None:
    """Raise InputError if accuracy was measured in another phase than the runs are of."""
    phase = accuracy.get("settings", {}).get("phase")
    other = [run for run in runs if phase is not None and run.get("phase", phase) != phase]
    if other:
        raise InputError(
            f"plot 'front': accuracy was measured in {phase}, {other[0]['arch']['name']} is a run "
            f"of {other[0]['phase']}"
        )


def _is_bound(row: Row) -> bool:
    """Whether a row is of a pattern that no machine runs, and has a place on the axis."""
    is_plain = row["mitigation"] == "none" and row["increase"] > _LEAST
    return is_plain and not parse_pattern(row["pattern"]).is_grouped


def _share(row: Row) -> float:
    n, _, m = row["pattern"].partition(":")
    return int(n) / int(m)


def _best(rows: Sequence[Row], *, more: bool) -> set[int]:
    """Return which rows no other one beats in both; dense, with no increase, costs one."""
    sign = -1 if more else 1
    best, least = set(), sign * 1.0
    for row in sorted(rows, key=lambda row: (row["increase"], sign * row["value"])):
        if sign * row["value"] < least:
            best.add(id(row))
            least = sign * row["value"]
    return best
