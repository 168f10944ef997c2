"""Which crossbar and which selector, for which M, and does the clock decide?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.report.style import COLOURS, MARKERS, PAGE_MM, figure, legend_above, styled
from accelsim.studies import Claim, Page, Run, claims_table, markdown_table, row, runs_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FOLDER = Path(__file__).parent
PATTERNS = ("2:4", "4:8", "8:16", "16:32")
CLOCKS = (500, 1000)
CROSSBARS = ("full", "window", "hierarchical", "logshift")
SELECTORS = (
    *("rank", "bitonic", "radix, unrolled", "cascade, unrolled"),
    *("radix, iterative", "cascade, iterative"),
)


def selector_of(run: Run) -> str:
    """Return the kind of a run's selector, and of one with steps whether each has hardware."""
    selector = run["arch"]["selector"]
    if "pipelined" not in selector:
        return str(selector["kind"])
    return f"{selector['kind']}, {'unrolled' if selector['pipelined'] else 'iterative'}"


def those(
    runs: Sequence[Run],
    clock: int,
    pattern: str,
    selectors: Sequence[str] = ("rank",),
    crossbars: Sequence[str] = ("full",),
) -> list[Run]:
    """Return runs at a clock and a pattern, in the order of the kinds asked for."""
    found = {
        (selector_of(run), run["arch"]["crossbar"]["kind"]): run
        for run in runs
        if run["arch"]["clock_mhz"] == clock and run["arch"]["pattern"] == pattern
    }
    return [found[selector, crossbar] for selector in selectors for crossbar in crossbars]


def share(run: Run, unit: str, metric: str) -> float:
    """Return what a unit takes, as a share of what the dense machine takes in all."""
    return run["units"][unit][metric] / run["baseline"]["totals"][metric]


def both(run: Run, unit: str) -> str:
    """Return a unit's area and energy."""
    area, energy = (share(run, unit, metric) for metric in ("area_um2", "energy_pj"))
    return f"{100 * area:.1f} · {100 * energy:.1f}"


def table_of(runs: Sequence[Run], unit: str, kinds: Sequence[str]) -> list[dict[str, str]]:
    """Return a row a clock and a pattern, and a column a kind of selector or crossbar."""
    rows = []
    for clock in CLOCKS:
        for pattern in PATTERNS:
            some = {("selectors" if unit == "selector" else "crossbars"): kinds}
            cells = (both(run, unit) for run in those(runs, clock, pattern, **some))
            rows.append(
                {
                    "clock": f"{clock} MHz",
                    "pattern": pattern,
                    **dict(zip(kinds, cells, strict=True)),
                }
            )
    return rows


def least(runs: Sequence[Run], metric: str) -> Run:
    """Return the machine with the least area or energy."""
    return min(runs, key=lambda run: run["totals"][metric])


def saving(metric: str) -> Callable[[Sequence[Run]], float]:
    """Return a function: what the best of several crossbars saves over the first, as a share."""

    def saved(runs: Sequence[Run]) -> float:
        return 1 - least(runs, metric)["totals"][metric] / runs[0]["totals"][metric]

    return saved


def step(metric: str) -> Callable[[Sequence[Run]], float]:
    """Return a function of the crossbars of two patterns: the second's best over the first's."""

    def ratio(runs: Sequence[Run]) -> float:
        low, high = runs[: len(CROSSBARS)], runs[len(CROSSBARS) :]
        return least(high, metric)["totals"][metric] / least(low, metric)["totals"][metric]

    return ratio


def rank_over_next(runs: Sequence[Run]) -> float:
    """Return the area of a bank of rank selectors over the next larger one, where it is worst."""
    worst = 0.0
    for clock in CLOCKS:
        for pattern in PATTERNS:
            rank, *others = (
                run["units"]["selector"]["area_um2"]
                for run in those(runs, clock, pattern, SELECTORS)
            )
            worst = max(worst, rank / min(others))
    return worst


def crossbar_over_selector(runs: Sequence[Run]) -> float:
    """Return the area of the smallest crossbar over the rank selectors', where it is least."""
    quotients = []
    for clock in CLOCKS:
        for pattern in PATTERNS:
            units = least(those(runs, clock, pattern, crossbars=CROSSBARS), "area_um2")["units"]
            quotients.append(units["crossbar"]["area_um2"] / units["selector"]["area_um2"])
    return min(quotients)


def slowest(runs: Sequence[Run]) -> float:
    """Return the most cycles over the fewest, of any kinds at one clock."""
    cycles = {
        clock: [run["totals"]["cycles"] for run in runs if run["arch"]["clock_mhz"] == clock]
        for clock in CLOCKS
    }
    return max(max(some) / min(some) for some in cycles.values())


def claims(runs: Sequence[Run]) -> list[Claim]:
    """Return what this experiment concludes."""
    fast = {p: those(runs, 1000, p, crossbars=CROSSBARS) for p in PATTERNS}
    slow = {p: those(runs, 500, p, crossbars=CROSSBARS) for p in PATTERNS}
    steps = fast["2:4"] + fast["16:32"]
    percent = {"form": "{:.1%}"}
    return [
        Claim(
            "all banks keep up: the slowest run takes at most 5 % more cycles",
            lambda _: slowest(runs),
            [],
            below=1.05,
        ),
        Claim(
            "rank selectors are the smallest at every M, at both clocks",
            lambda _: rank_over_next(runs),
            [],
            below=1,
        ),
        *(
            Claim(
                f"rank selectors for {pattern} take less than 1 % of the dense area, 1 GHz",
                lambda some: share(some[0], "selector", "area_um2"),
                fast[pattern][:1],
                below=0.01,
                **percent,
            )
            for pattern in ("8:16", "16:32")
        ),
        Claim(
            "even the smallest crossbar is twice as large as the rank selectors",
            crossbar_over_selector,
            [run for run in runs if selector_of(run) == "rank"],
            above=2,
        ),
        *(
            Claim(
                f"the best crossbar for {pattern} saves 1 % of the machine, {clock}",
                saving("area_um2"),
                some[pattern],
                above=0.01,
                **percent,
            )
            for pattern, clock, some in (
                ("8:16", "500 MHz", slow),
                ("8:16", "1 GHz", fast),
                ("16:32", "1 GHz", fast),
            )
        ),
        Claim(
            "16:32 is at most 5 % larger than 2:4, each with its best crossbar, 1 GHz",
            step("area_um2"),
            steps,
            below=1.05,
        ),
        Claim(
            "16:32 takes at most 5 % more energy than 2:4, each with its best crossbar, 1 GHz",
            step("energy_pj"),
            steps,
            below=1.05,
        ),
    ]


def answer(runs: Sequence[Run]) -> str:
    """Return two sentences."""
    ranks = {p: those(runs, 1000, p)[0] for p in PATTERNS}
    best = {
        clock: {p: least(those(runs, clock, p, crossbars=CROSSBARS), "area_um2") for p in PATTERNS}
        for clock in CLOCKS
    }
    kind = {
        clock: [some[p]["arch"]["crossbar"]["kind"] for p in PATTERNS]
        for clock, some in best.items()
    }
    share_of = {
        p: f"{100 * share(best[1000][p], 'crossbar', 'area_um2'):.1f} % instead of "
        f"{100 * share(ranks[p], 'crossbar', 'area_um2'):.1f} %"
        for p in ("8:16", "16:32")
    }
    small, large = (100 * share(ranks[p], "selector", "area_um2") for p in ("2:4", "16:32"))
    return (
        f"Rank selectors at every M: a bank for 64 activations a cycle takes {small:.1f} % (2:4) "
        f"to {large:.1f} % (16:32) of the dense machine's area at 1 GHz, at most "
        f"{rank_over_next(runs):.2f} of what any other kind takes. The crossbar costs more and the "
        f"clock decides which: at 1 GHz {kind[1000][2]} for 8:16 ({share_of['8:16']} for a full "
        f"one) and {kind[1000][3]} for 16:32 ({share_of['16:32']}), at 500 MHz "
        f"{' and '.join(dict.fromkeys(kind[500]))} at any M "
        f"({100 * share(best[500]['16:32'], 'crossbar', 'area_um2'):.1f} % for 16:32)."
    )


def plot_shares(runs: Sequence[Run], ax: Axes, unit: str, kinds: Sequence[str], clock: int) -> None:
    """Draw the area of kinds of a unit at a clock, by M."""
    sizes = [int(pattern.split(":")[1]) for pattern in PATTERNS]
    for kind, colour, marker in zip(kinds, COLOURS, MARKERS, strict=False):
        some = {("selectors" if unit == "selector" else "crossbars"): (kind,)}
        shares = [
            100 * share(those(runs, clock, pattern, **some)[0], unit, "area_um2")
            for pattern in PATTERNS
        ]
        ax.plot(sizes, shares, color=colour, marker=marker, label=kind)
    ax.set_xscale("log", base=2)
    ax.set_xticks(sizes, [f"{m}\n{p}" for m, p in zip(sizes, PATTERNS, strict=True)])
    ax.set_xlabel(f"group size M, {clock / 1000:g} GHz")
    ax.set_ylabel(f"area of {unit}{'s' * (unit == 'selector')}, % of dense machine")


def drawn(runs: Sequence[Run]) -> Figure:
    """Return the figure: selectors at the fast clock, crossbars at both."""
    with styled():
        picture, (left, *right) = figure(3, width_mm=PAGE_MM, height_mm=70)
        plot_shares(runs, left, "selector", SELECTORS, max(CLOCKS))
        left.set_yscale("log")
        ticks = (0.2, 0.5, 1, 2, 5, 10, 20)
        left.set_yticks(ticks, list(map(str, ticks)))
        left.minorticks_off()
        for ax, clock in zip(right, reversed(CLOCKS), strict=True):
            plot_shares(runs, ax, "crossbar", CROSSBARS, clock)
            ax.set_ylim(0, 9)
        for ax in (left, *right):
            legend_above(ax, columns=2, handlelength=1.4, columnspacing=0.8)
    return picture


def main() -> None:
    """Simulate, write the page."""
    page, _ = Page.of(__file__)
    files = ("pipelines", "unrolled", "iterative")
    runs = [run for name in files for run in runs_of(FOLDER / f"{name}.yaml")]
    page.table("kinds", [row(run) | {"selector": selector_of(run)} for run in runs])
    page.write("answer", answer(runs))
    page.write("crossbars", markdown_table(table_of(runs, "crossbar", CROSSBARS)))
    page.write("selectors", markdown_table(table_of(runs, "selector", SELECTORS)))
    page.figure("figure", drawn(runs))
    page.write("claims", markdown_table(claims_table(claims(runs))))
    page.finish()


if __name__ == "__main__":
    main()
