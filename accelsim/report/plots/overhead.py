"""Area overhead over dense against the size of a group, by crossbar and selector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from accelsim.base.errors import InputError
from accelsim.report.plots.base import PLOTS, Plot, Row
from accelsim.report.saved import Run, is_dense, ratios
from accelsim.report.style import COLOURS, MARKERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINES = ("-", "--", ":", "-.")


@PLOTS.register("overhead")
class Overhead(Plot):
    """One line for each pair of crossbar (colour) and selector (line style and marker)."""

    about: ClassVar[str] = "area overhead against M, by crossbar and selector"
    same: ClassVar[Sequence[str]] = ("trace",)  # whose layers size tables; time has no area

    @staticmethod
    @override
    def numbers(runs: Sequence[Run]) -> list[Row]:  # type: ignore[override]
        rows = [
            {
                "m": int(run["arch"]["pattern"].split(":")[1]),
                "crossbar": run["arch"]["crossbar"]["kind"],
                "selector": _selector(run),
                "area_overhead_ratio": ratios(run, runs)["area_overhead_ratio"],
            }
            for run in runs
            if not is_dense(run)
        ]
        if not rows:
            raise InputError("plot 'overhead' needs runs of machines that are not dense")
        marks = [tuple(list(row.values())[:3]) for row in rows]
        if len(set(marks)) < len(marks):
            raise InputError("plot 'overhead': two runs have the same M, crossbar and selector")
        return sorted(rows, key=lambda row: row["m"])

    @staticmethod
    @override
    def paint(rows: Sequence[Row], ax: Axes) -> None:
        crossbars, selectors = (
            list(dict.fromkeys(row[name] for row in rows)) for name in ("crossbar", "selector")
        )
        for shade, crossbar in zip(COLOURS, crossbars, strict=False):
            for place, selector in enumerate(selectors):
                line = [r for r in rows if (r["crossbar"], r["selector"]) == (crossbar, selector)]
                ax.plot(
                    [row["m"] for row in line],
                    [100 * row["area_overhead_ratio"] for row in line],
                    color=shade,
                    linestyle=_LINES[place % len(_LINES)],
                    marker=MARKERS[place % len(MARKERS)],
                    markersize=3,
                )
        ax.set_xscale("log", base=2)
        sizes = sorted({row["m"] for row in rows})
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.minorticks_off()
        most = max(100 * row["area_overhead_ratio"] for row in rows)
        ax.set_ylim(0, 1.06 * most if most > 0 else None)
        ax.set_xlabel("group size M")
        ax.set_ylabel("area over the dense machine (%)")
        for shade, crossbar in zip(COLOURS, crossbars, strict=False):
            ax.plot([], [], color=shade, label=f"crossbar {crossbar}")
        for place, selector in enumerate(selectors):
            style: Any = {"linestyle": _LINES[place % 4], "marker": MARKERS[place], "markersize": 3}
            ax.plot([], [], color="black", label=f"selector {selector}", **style)
        columns = 1 if len(crossbars) + len(selectors) < 4 else 2  # noqa: PLR2004
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns)


def _selector(run: Run) -> str:
    selector = run["arch"]["selector"]
    return f"{selector['kind']}{' pipelined' if selector.get('pipelined') else ''}"
