"""How many output columns share a selector before its area stops mattering?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.report.style import COLOURS, GREY, MARKERS, PAGE_MM, figure, legend_above, styled
from accelsim.studies import (
    Claim,
    Page,
    Run,
    claims_table,
    markdown_table,
    picked,
    row,
    runs_of,
    the,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOLDER = Path(__file__).parent
PATTERNS = {"2:4": "nm24", "4:8": "nm48", "8:16": "nm816", "16:32": "nm1632"}
COLUMNS = (1, 2, 4, 8, 16, 32, 64)
SMALL = 0.01  # of the machine


def machines(runs: Sequence[Run], pattern: str, columns: int) -> list[Run]:
    """Return the machines of a pattern and a width, with more and more selectors."""
    return picked(runs, base=PATTERNS[pattern], mac_array__columns=columns)


def paying(runs: Sequence[Run]) -> Run:
    """Return the machine whose selectors pay: the most work per area."""
    return max(runs, key=lambda run: run["totals"]["tops_per_mm2"])


def share(run: Run, unit: str, metric: str = "area_um2") -> float:
    """Return what a unit takes, as a share of the machine."""
    return run["units"][unit][metric] / run["totals"][metric]


def per_mac_pj(run: Run, unit: str) -> float:
    """Return the energy of a unit for each multiplication of the dense product."""
    return run["units"][unit]["energy_pj"] / run["totals"]["macs_dense"]


def slowdown(run: Run, runs: Sequence[Run]) -> float:
    """Return the cycles of a run over the fewest of some runs."""
    return run["totals"]["cycles"] / min(other["totals"]["cycles"] for other in runs)


def instances(run: Run) -> int:
    """Return the number of selectors."""
    return int(run["arch"]["selector"]["instances"])


def never_starving(runs: Sequence[Run]) -> Run:
    """Return the machine whose selectors could feed the array with new groups in every cycle."""
    array, pattern = runs[0]["arch"]["mac_array"], runs[0]["arch"]["pattern"]
    kept = int(pattern.split(":")[0])
    return the(runs, selector__instances=array["rows"] * array["lanes"] // kept)


def area_table(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Return a row a width: shares of the area, and how many selectors pay, by pattern."""
    rows = []
    for columns in COLUMNS:
        cells = {"columns": str(columns)}
        for pattern in PATTERNS:
            some = machines(runs, pattern, columns)
            fresh, best = never_starving(some), paying(some)
            cells[pattern] = (
                f"{100 * share(fresh, 'selector'):.2f} · {100 * share(best, 'selector'):.2f} "
                f"({instances(best)}) · {100 * share(best, 'crossbar'):.1f}"
            )
        rows.append(cells)
    return rows


def pace_table(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Return a row a width of 8:16 machines: cycles by number of selectors, over the fewest."""
    counts = sorted({instances(run) for run in runs})
    rows = []
    for columns in COLUMNS:
        some = picked(runs, mac_array__columns=columns)
        times = {instances(run): f"{slowdown(run, some):.2f}×" for run in some}
        rows.append({"columns": str(columns)} | {str(count): times[count] for count in counts})
    return rows


def energy_table(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Return a row a width: energy a dense multiplication of selection and of the crossbar."""
    rows = []
    for columns in COLUMNS:
        cells = {"columns": str(columns)}
        for pattern in PATTERNS:
            best = paying(machines(runs, pattern, columns))
            cells[pattern] = (
                f"{1000 * per_mac_pj(best, 'selector'):.1f} · "
                f"{1000 * per_mac_pj(best, 'crossbar'):.0f}"
            )
        rows.append(cells)
    return rows


def largest(
    runs: Sequence[Run], of: Callable[[Sequence[Run]], Run], metric: str = "area_um2"
) -> float:
    """Return the largest share of selectors of machines that are chosen for each width."""
    widths = {run["arch"]["mac_array"]["columns"] for run in runs}
    groups = (
        [run for run in runs if run["arch"]["mac_array"]["columns"] == width] for width in widths
    )
    return max(share(of(some), "selector", metric) for some in groups)


def from_width(runs: Sequence[Run], pattern: str, of: Callable[[Sequence[Run]], Run]) -> int:
    """Return the least width from which on the selectors are small."""
    wide = [
        columns
        for columns in COLUMNS
        if share(of(machines(runs, pattern, columns)), "selector") >= SMALL
    ]
    return 2 * max(wide, default=0) or 1


def claims(runs: Sequence[Run]) -> list[Claim]:
    """Return what this experiment concludes."""
    percent = {"form": "{:.2%}"}
    shipped = machines(runs, "8:16", 8)

    def from_on(pattern: str, columns: int) -> list[Run]:
        widths = [width for width in COLUMNS if width >= columns]
        return [run for width in widths for run in machines(runs, pattern, width)]

    return [
        *(
            Claim(
                f"selectors for new groups in every cycle take less than 1 % at {pattern} from "
                f"{columns} columns on",
                partial(largest, of=never_starving),
                from_on(pattern, columns),
                below=SMALL,
                **percent,
            )
            for pattern, columns in (("2:4", 8), ("8:16", 32), ("16:32", 64))
        ),
        *(
            Claim(
                f"selectors that pay take less than 1 % at {pattern} with 8 columns",
                partial(largest, of=paying),
                machines(runs, pattern, 8),
                below=SMALL,
                **percent,
            )
            for pattern in ("8:16", "16:32")
        ),
        Claim(
            "selection takes less than 1 % of the energy at 8:16 from 8 columns on",
            partial(largest, of=paying, metric="energy_pj"),
            from_on("8:16", 8),
            below=SMALL,
            **percent,
        ),
        Claim(
            "the crossbar takes 4 times what selectors that pay do at 8:16 with 8 columns",
            lambda some: share(paying(some), "crossbar") / share(paying(some), "selector"),
            shipped,
            above=4,
        ),
        Claim(
            "the crossbar takes more of 64 columns than of 8 at 8:16",
            lambda some: share(some[1], "crossbar") / share(some[0], "crossbar"),
            [paying(machines(runs, "8:16", columns)) for columns in (8, 64)],
            above=1,
        ),
        Claim(
            "one selector costs more than half of the speed at 8:16 with 8 columns",
            lambda _: slowdown(the(shipped, selector__instances=1), shipped),
            [],
            above=2,
        ),
    ]


def answer(runs: Sequence[Run], large: Sequence[Run]) -> str:
    """Return two sentences."""
    fresh = {pattern: from_width(runs, pattern, never_starving) for pattern in PATTERNS}
    eight = {pattern: paying(machines(runs, pattern, 8)) for pattern in PATTERNS}
    one = the(large, mac_array__columns=8, selector__instances=1)
    slow = slowdown(one, picked(large, mac_array__columns=8))
    shares = {p: f"{100 * share(run, 'selector'):.1f} %" for p, run in eight.items()}
    return (
        f"If rank selectors must bring new groups in every cycle, {fresh['2:4']} columns have to "
        f"share them at 2:4, {fresh['4:8']} at 4:8, {fresh['8:16']} at 8:16 and "
        f"{fresh['16:32']} at 16:32 before they take less than 1 % of the machine; the crossbar "
        f"takes {100 * share(eight['8:16'], 'crossbar'):.1f} % of one with 8 columns at 8:16, and "
        f"more of wider ones. They need not, "
        f"since a selected tile serves all columns of the layer one block after the other: the "
        f"{instances(eight['8:16'])} that pay with 8 columns take {shares['8:16']} at 8:16 "
        f"({shares['16:32']} at 16:32), and on layers of Llama-3-8B a single one "
        f"({100 * share(one, 'selector'):.1f} %) costs {100 * slow - 100:.1f} % of the time."
    )


def plot_shares(runs: Sequence[Run], ax: Axes) -> None:
    """Draw the area of selectors for new groups, and of crossbars, by columns."""
    for pattern, colour, marker in zip(PATTERNS, COLOURS, MARKERS, strict=False):
        some = [never_starving(machines(runs, pattern, columns)) for columns in COLUMNS]
        for unit, line, face in (("selector", "-", colour), ("crossbar", "--", "white")):
            ax.plot(
                COLUMNS,
                [100 * share(run, unit) for run in some],
                color=colour,
                marker=marker,
                linestyle=line,
                markerfacecolor=face,
                label=pattern if unit == "selector" else None,
            )
    ax.plot([], [], color="black", label="selectors (new groups)")
    ax.plot([], [], color="black", linestyle="--", label="crossbar")
    ax.axhline(100 * SMALL, color=GREY, linewidth=0.6, zorder=0)
    ax.set_xscale("log", base=2)
    ax.set_xticks(COLUMNS, list(map(str, COLUMNS)))
    ax.set_yscale("log")
    ax.set_yticks([0.1, 0.3, 1, 3, 10], ["0.1", "0.3", "1", "3", "10"])
    ax.minorticks_off()
    ax.set_xlabel("columns that share the selectors")
    ax.set_ylabel("area, % of machine")


def plot_pace(runs: Sequence[Run], large: Sequence[Run], ax: Axes) -> None:
    """Draw cycles by selectors for some widths, small and large layers."""
    for columns, colour, marker in zip((4, 8, 16, 64), COLOURS, MARKERS, strict=False):
        for some, line, face in ((runs, "-", colour), (large, "--", "white")):
            wide = picked(some, mac_array__columns=columns)
            ax.plot(
                [instances(run) for run in wide],
                [slowdown(run, wide) for run in wide],
                color=colour,
                marker=marker,
                linestyle=line,
                markerfacecolor=face,
                label=f"{columns} columns" if some is runs else None,
            )
    ax.plot([], [], color="black", label="shipped trace")
    ax.plot([], [], color="black", linestyle="--", label="Llama-3-8B")
    ax.set_xscale("log", base=2)
    ax.set_xticks(COLUMNS, list(map(str, COLUMNS)))
    ax.minorticks_off()
    ax.set_yticks([1, 1.5, 2, 2.5])
    ax.set_xlabel("selectors, 8:16")
    ax.set_ylabel("cycles over the fewest")


def drawn(runs: Sequence[Run], large: Sequence[Run]) -> Figure:
    """Return the figure: area by columns, cycles by selectors."""
    with styled():
        picture, (left, right) = figure(2, width_mm=PAGE_MM, height_mm=70)
        plot_shares(runs, left)
        plot_pace(picked(runs, base="nm816"), large, right)
        for ax in (left, right):
            legend_above(ax, columns=3)
    return picture


def main() -> None:
    """Simulate, write the page."""
    page, _ = Page.of(__file__)
    runs = runs_of(FOLDER / "sharing.yaml")
    large = runs_of(FOLDER / "large_layers.yaml")
    page.table("sharing", [row(run) for run in runs])
    page.table("large_layers", [row(run) for run in large])
    page.write("answer", answer(runs, large))
    page.write("area", markdown_table(area_table(runs)))
    page.write("energy", markdown_table(energy_table(runs)))
    page.write("pace", markdown_table(pace_table(picked(runs, base="nm816"))))
    page.write("large layers", markdown_table(pace_table(large)))
    page.figure("figure", drawn(runs, large))
    page.write("claims", markdown_table(claims_table(claims(runs))))
    page.finish()


if __name__ == "__main__":
    main()
