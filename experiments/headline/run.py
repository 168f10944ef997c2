"""Does hardware support for 8:16 or 16:32 activation sparsity earn its area over 2:4?"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.report import style
from accelsim.report.plots import draw
from accelsim.report.plots.bars import grouped
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
    from matplotlib.figure import Figure

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
ACCURACY = FOLDER.parent / "accuracy_vs_cost" / "accuracy.json"
PATTERNS = {"2:4": "nm24", "4:8": "nm48", "8:16": "nm816", "16:32": "nm1632"}
LIMITED, AMPLE = 64, 256  # GB/s of DRAM
BUDGETS = (0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2)  # of the shipped dense area


def losses() -> dict[str, tuple[float, float]]:
    """Return the increase of perplexity by pattern, and its standard error, without mitigation."""
    rows = json.loads(ACCURACY.read_text(encoding="utf-8"))["rows"]
    plain = [row for row in rows if row["mitigation"] == "none"]
    return {row["pattern"]: (row["relative_drop"], row["relative_drop_stderr"]) for row in plain}


def fastest(runs: Sequence[Run], area_um2: float) -> Run | None:
    """Return the machine with the most throughput that is not larger; of equals, the thriftiest."""
    fitting = [run for run in runs if run["totals"]["area_um2"] <= area_um2]
    order = itemgetter("effective_tops", "tops_per_w")
    return max(fitting, key=lambda run: order(run["totals"]), default=None)


def at_equal_area(runs: Sequence[Run], share: float = 1.0) -> tuple[Run | None, Run | None]:
    """Return the fastest sparse machine and the fastest dense one in the shipped dense area.

    The first run is a shipped machine, beside which the shipped dense one stands.
    """
    budget_um2 = share * runs[0]["baseline"]["totals"]["area_um2"]
    dense = [run for run in runs[1:] if run["point"]["base"] == "dense"]
    sparse = [run for run in runs[1:] if run["point"]["base"] != "dense"]
    return fastest(sparse or dense, budget_um2), fastest(dense, budget_um2)


def rivals(shipped: Run, sizes: Sequence[Run], base: str, bandwidth: int) -> list[Run]:
    """Return what `at_equal_area` chooses from."""
    names = dict.fromkeys((base, "dense"))
    some = (picked(sizes, base=name, dram__bandwidth_gb_per_s=bandwidth) for name in names)
    return [shipped, *chain.from_iterable(some)]


def gain(metric: str, share: float = 1.0) -> Callable[[Sequence[Run]], float]:
    """Return a function of rivals: a metric of the sparse over the dense machine; 0: none fits."""

    def ratio(runs: Sequence[Run]) -> float:
        sparse, dense = at_equal_area(runs, share)
        return sparse["totals"][metric] / dense["totals"][metric] if sparse and dense else 0.0

    return ratio


def equal_macs_table(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Return a row a pattern: the shipped machines, and the smallest crossbar."""
    rows = []
    for pattern, base in PATTERNS.items():
        cells = row(the(runs, base=base, crossbar__kind="full"))
        smallest = min(map(row, picked(runs, base=base)), key=lambda r: r["area_um2"])
        increase, error = losses()[pattern]
        rows.append(
            {
                "pattern": pattern,
                "speed-up": f"{cells['speedup']:.2f}×",
                "energy": f"{cells['energy_ratio']:.2f}×",
                "energy × delay": f"{cells['edp_ratio']:.2f}×",
                "area": f"{cells['area_overhead_ratio']:+.1%}",
                "smallest crossbar": f"{smallest['area_overhead_ratio']:+.1%} "
                f"({smallest['crossbar.kind']})",
                "work per area": f"{cells['tops_per_mm2_ratio']:.2f}×",
                "perplexity": f"{increase:+.0%} ± {error:.0%}",
            }
        )
    return rows


def equal_area_table(shipped: Run, sizes: Sequence[Run]) -> list[dict[str, str]]:
    """Return a row a bandwidth and a pattern: the fastest machines in the shipped dense area."""
    rows = []
    for bandwidth in (LIMITED, AMPLE):
        for pattern, base in {"dense": "dense", **PATTERNS}.items():
            best, dense = at_equal_area(rivals(shipped, sizes, base, bandwidth))
            ours, theirs = best["totals"], dense["totals"]
            rows.append(
                {
                    "DRAM": f"{bandwidth} GB/s",
                    "pattern": pattern,
                    "columns": str(best["point"]["mac_array.columns"]),
                    "TOPS": f"{ours['effective_tops']:.2f}",
                    "speed-up": f"{ours['effective_tops'] / theirs['effective_tops']:.2f}×",
                    "energy": f"{ours['energy_pj'] / theirs['energy_pj']:.2f}×",
                }
            )
    return rows


def speedups(shipped: Run, sizes: Sequence[Run], base: str, bandwidth: int) -> list[float]:
    """Return the speed-up at equal area for areas around the shipped dense one: `BUDGETS`."""
    some = rivals(shipped, sizes, base, bandwidth)
    return [gain("effective_tops", share)(some) for share in BUDGETS]


def budget_table(shipped: Run, sizes: Sequence[Run]) -> list[dict[str, str]]:
    """Return a row a bandwidth and a pattern: the speed-up by area."""
    return [
        {"DRAM": f"{bandwidth} GB/s", "pattern": pattern}
        | {
            f"{share:.2f} ×": f"{value:.2f}×"
            for share, value in zip(BUDGETS, speedups(shipped, sizes, base, bandwidth), strict=True)
        }
        for bandwidth in (LIMITED, AMPLE)
        for pattern, base in PATTERNS.items()
    ]


def ratio_of(metric: str) -> Callable[[Sequence[Run]], float]:
    """Return a function of two runs: a metric of the second over the first."""
    return lambda runs: runs[1]["totals"][metric] / runs[0]["totals"][metric]


def steepness(runs: Sequence[Run]) -> float:
    """Return how much more perplexity an area buys from 2:4 to 8:16 than from there to 16:32.

    With two standard errors each to the bad side.
    """
    areas = [run["totals"]["area_um2"] for run in runs]
    (first, second, third), errors = zip(
        *(losses()[pattern] for pattern in ("2:4", "8:16", "16:32")), strict=True
    )
    steep = first - second - 2 * (errors[0] + errors[1])
    flat = second - third + 2 * (errors[1] + errors[2])
    return steep / (areas[1] - areas[0]) * (areas[2] - areas[1]) / flat


def share_of_loss(pattern: str) -> float:
    """Return the loss of a pattern over that of 2:4, two standard errors to the bad side."""
    (ours, our_error), (theirs, their_error) = losses()[pattern], losses()["2:4"]
    return (ours + 2 * our_error) / (theirs - 2 * their_error)


def claims(macs: Sequence[Run], sizes: Sequence[Run]) -> list[Claim]:
    """Return what this experiment concludes."""
    full = {p: the(macs, base=base, crossbar__kind="full") for p, base in PATTERNS.items()}
    two, eight, sixteen = full["2:4"], full["8:16"], full["16:32"]
    energy, area = ratio_of("energy_pj"), ratio_of("area_um2")
    tops, joules = gain("effective_tops"), gain("energy_pj")
    limited, ample = (
        {base: rivals(two, sizes, base, bandwidth) for base in ("nm816", "nm1632")}
        for bandwidth in (LIMITED, AMPLE)
    )
    return [
        Claim(
            "every pattern takes less than 0.8 of the dense energy",
            lambda runs: max(run["baseline"]["energy_ratio"] for run in runs),
            list(full.values()),
            below=0.8,
        ),
        Claim("8:16 takes at most 5 % more energy than 2:4", energy, [two, eight], below=1.05),
        Claim("16:32 takes at most 5 % more energy than 2:4", energy, [two, sixteen], below=1.05),
        Claim("8:16 is at most 5 % larger than 2:4", area, [two, eight], below=1.05),
        Claim("16:32 is at most 5 % larger than 2:4", area, [two, sixteen], below=1.05),
        Claim(
            "8:16 adds less than half of the perplexity of 2:4, by two standard errors",
            lambda _: share_of_loss("8:16"),
            [],
            below=0.5,
        ),
        Claim(
            "16:32 adds less than half of the perplexity of 2:4, by two standard errors",
            lambda _: share_of_loss("16:32"),
            [],
            below=0.5,
        ),
        Claim(
            "an area buys three times more perplexity from 2:4 to 8:16 than from there to 16:32",
            steepness,
            [two, eight, sixteen],
            above=3,
        ),
        Claim(
            "8:16 is 1.2 times as fast as dense at equal area, 256 GB/s",
            tops,
            ample["nm816"],
            above=1.2,
        ),
        Claim("16:32 is as fast as dense at equal area, 256 GB/s", tops, ample["nm1632"], above=1),
        Claim("8:16 is as fast as dense at equal area, 64 GB/s", tops, limited["nm816"], above=1),
        Claim(
            "8:16 takes less than 0.9 of the energy of dense at equal area, 64 GB/s",
            joules,
            limited["nm816"],
            below=0.9,
        ),
    ]


def more(runs: Sequence[Run], metric: str) -> str:
    """Return by how many per cent the second of two runs has more of a metric."""
    return f"{100 * ratio_of(metric)(runs) - 100:.1f} %"


def answer(macs: Sequence[Run], sizes: Sequence[Run]) -> str:
    """Return two sentences."""
    full = {p: the(macs, base=base, crossbar__kind="full") for p, base in PATTERNS.items()}
    wider, widest = [full["2:4"], full["8:16"]], [full["8:16"], full["16:32"]]
    loss = {p: f"{100 * more:.0f} ± {100 * error:.0f} %" for p, (more, error) in losses().items()}
    ample, limited = (
        speedups(macs[0], sizes, "nm816", bandwidth) for bandwidth in (AMPLE, LIMITED)
    )
    return (
        f"8:16 does, 16:32 hardly: all run {full['8:16']['baseline']['speedup']:.2f}× as fast as "
        f"dense, and going from 2:4 to 8:16 takes the increase of perplexity from {loss['2:4']} to "
        f"{loss['8:16']} for {more(wider, 'area_um2')} of area and {more(wider, 'energy_pj')} of "
        f"energy, while 16:32 takes it to {loss['16:32']} for another "
        f"{more(widest, 'area_um2')} and {more(widest, 'energy_pj')}. A dense machine that spends "
        f"the same area on more multipliers comes nearer: 8:16 is {min(ample):.2f} to "
        f"{max(ample):.2f}× as fast where DRAM has room (256 GB/s) and {min(limited):.2f} to "
        f"{max(limited):.2f}× where it has not (64 GB/s), depending on the area, since columns are "
        f"whole."
    )


def uncertainty(found: Sequence[Claim]) -> str:
    """Return how far the numbers of the answer move, and which claims flip."""

    def span(start: str, form: str, *, is_gain: bool = False) -> str:
        (claim,) = (claim for claim in found if claim.text.startswith(start))
        low, high = (100 * value - 100 if is_gain else value for value in claim.extremes)
        return f"{form.format(low)} to {form.format(high)}"

    area = span("8:16 is at most 5 % larger", "{:.1f}", is_gain=True)
    energy = span("8:16 takes at most 5 % more energy", "{:.1f}", is_gain=True)
    ample = span("8:16 is 1.2 times as fast", "{:.2f}")
    limited = span("8:16 is as fast as dense", "{:.2f}")
    priced = [claim for claim in found if claim.runs]
    flipped = [claim for claim in priced if not claim.is_robust]
    return (
        f"If crossbar wiring, SRAM energy and area, DRAM energy and activity factors are each off "
        f"by up to 30 %, in any combination tried, 8:16 takes {area} % more area and {energy} % "
        f"more energy than 2:4, and is {ample}× (256 GB/s) and {limited}× (64 GB/s) as fast as "
        f"dense in the area of the shipped dense machine; of {len(priced)} claims that depend on "
        f"prices {len(flipped)} flip. Speed-ups at equal multipliers and perplexities depend on "
        f"none of these."
    )


def picture(macs: Sequence[Run], sizes: Sequence[Run]) -> Figure:
    """Return loss, cost at equal multipliers, and speed-up at equal area, by pattern."""
    figure, (left, middle, right) = style.figure(3, width_mm=style.PAGE_MM, height_mm=62)
    with style.styled():
        means, errors = zip(*(losses()[pattern] for pattern in PATTERNS), strict=True)
        percents = [100 * mean for mean in means]
        look = {"color": style.PINK, "capsize": 2, "error_kw": {"linewidth": 0.8}}
        bars = left.bar(list(PATTERNS), percents, 0.7, yerr=[100 * e for e in errors], **look)
        left.bar_label(bars, [f"{value:.0f}" for value in percents], padding=1)
        bound = 100 * losses()["topk:0.5"][0]
        any_half = f"any half (no hardware): {bound:.0f}"
        left.axhline(bound, color="black", linewidth=0.8, linestyle=":", label=any_half)
        left.set_ylabel("increase of perplexity (%)")
        style.legend_above(left, columns=1)
        draw(
            "cost",
            [the(macs, base=base, crossbar__kind="full") for base in PATTERNS.values()],
            middle,
        )
        gains = {
            f"{bandwidth} GB/s": [
                gain("effective_tops")(rivals(macs[0], sizes, base, bandwidth))
                for base in PATTERNS.values()
            ]
            for bandwidth in (AMPLE, LIMITED)
        }
        grouped(right, list(PATTERNS), gains, colours=(style.BLUE, style.SKY))
        right.axhline(1, color="black", linewidth=0.6, linestyle="--", zorder=0)
        right.set_ylim(0, 1.6)
        right.set_ylabel("speed-up at the same area")
        style.legend_above(right)
        for ax in (left, middle, right):
            ax.set_xlabel("activation pattern")
    return figure


def main() -> None:
    """Simulate, write the page and what the project's README shows of it."""
    page, _ = Page.of(__file__)
    macs = runs_of(FOLDER / "equal_macs.yaml")
    files = ("equal_area", "equal_area_1632", "equal_area_dense")
    sizes = [run for name in files for run in runs_of(FOLDER / f"{name}.yaml")]
    page.table("equal_macs", [row(run) for run in macs])
    page.write("answer", answer(macs, sizes))
    page.write("equal macs", markdown_table(equal_macs_table(macs)))
    page.write("equal area", markdown_table(equal_area_table(macs[0], sizes)))
    found = claims(macs, sizes)
    page.write("budgets", markdown_table(budget_table(macs[0], sizes)))
    page.write("claims", markdown_table(claims_table(found)))
    page.write("uncertainty", uncertainty(found))
    page.write("uncertainty", uncertainty(found), path=ROOT / "README.md")
    page.write("headline", markdown_table(equal_macs_table(macs)), path=ROOT / "README.md")
    page.write("answer", answer(macs, sizes), path=ROOT / "README.md")
    page.figure("figure", picture(macs, sizes))
    page.finish()


if __name__ == "__main__":
    main()
