"""Does hardware support for 8:16 or 16:32 activation sparsity earn its area over 2:4?"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from operator import itemgetter
from pathlib import Path

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

FOLDER = Path(__file__).parent
ACCURACY = FOLDER.parent / "accuracy_vs_cost" / "accuracy.json"
PATTERNS = {"2:4": "nm24", "4:8": "nm48", "8:16": "nm816", "16:32": "nm1632"}
LIMITED, AMPLE = 64, 256  # GB/s of DRAM


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


def rivals(runs: Sequence[Run], base: str, bandwidth: int) -> tuple[Run | None, ...]:
    """Return the fastest machine of a base, and the fastest dense one, in the shipped dense area.

    The first run is a shipped machine, beside which the shipped dense one stands.
    """
    budget_um2 = runs[0]["baseline"]["totals"]["area_um2"]
    some = [
        picked(runs[1:], base=name, dram__bandwidth_gb_per_s=bandwidth) for name in (base, "dense")
    ]
    return tuple(fastest(choices, budget_um2) for choices in some)


def gain(base: str, bandwidth: int, metric: str) -> Callable[[Sequence[Run]], float]:
    """Return a function of runs: a metric at equal area over the dense rival's; 0 if none fits."""

    def ratio(runs: Sequence[Run]) -> float:
        sparse, dense = rivals(runs, base, bandwidth)
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


def equal_area_table(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Return a row a pattern: the fastest machines in the area of the shipped dense one."""
    rows = []
    for base in ("dense", *PATTERNS.values()):
        cells = {"pattern": dict(zip(PATTERNS.values(), PATTERNS, strict=True)).get(base, base)}
        for bandwidth in (LIMITED, AMPLE):
            best, dense = (run["totals"] for run in rivals(runs, base, bandwidth))
            machine = rivals(runs, base, bandwidth)[0]["point"]
            cells |= {
                f"columns, {bandwidth} GB/s": f"{machine['mac_array.columns']}",
                f"TOPS, {bandwidth} GB/s": f"{best['effective_tops']:.2f} "
                f"({best['effective_tops'] / dense['effective_tops']:.2f}×)",
                f"energy, {bandwidth} GB/s": f"{best['energy_pj'] / dense['energy_pj']:.2f}×",
            }
        rows.append(cells)
    return rows


def claims(macs: Sequence[Run], sizes: Sequence[Run]) -> list[Claim]:
    """Return what this experiment concludes."""
    full = [the(macs, base=base, crossbar__kind="full") for base in PATTERNS.values()]

    def worst(ratio: str) -> Callable[[Sequence[Run]], float]:
        return lambda runs: max(run["baseline"][ratio] for run in runs)

    def over(metric: str) -> Callable[[Sequence[Run]], float]:
        return lambda runs: runs[1]["totals"][metric] / runs[0]["totals"][metric]

    wide, narrow = [full[0], full[2]], [full[0], full[3]]
    return [
        Claim("every pattern takes less energy than dense", worst("energy_ratio"), full, below=1),
        Claim("8:16 takes at most 5 % more energy than 2:4", over("energy_pj"), wide, below=1.05),
        Claim(
            "16:32 takes at most 5 % more energy than 2:4", over("energy_pj"), narrow, below=1.05
        ),
        Claim("8:16 is at most 5 % larger than 2:4", over("area_um2"), wide, below=1.05),
        Claim("16:32 is at most 5 % larger than 2:4", over("area_um2"), narrow, below=1.05),
        *(
            Claim(
                f"{text} at equal area, {bandwidth} GB/s",
                gain(base, bandwidth, metric),
                sizes,
                **bound,
            )
            for text, base, bandwidth, metric, bound in (
                ("8:16 is faster than dense", "nm816", LIMITED, "effective_tops", {"above": 1}),
                ("8:16 is faster than dense", "nm816", AMPLE, "effective_tops", {"above": 1}),
                ("16:32 is faster than dense", "nm1632", AMPLE, "effective_tops", {"above": 1}),
                ("8:16 takes less energy than dense", "nm816", LIMITED, "energy_pj", {"below": 1}),
            )
        ),
    ]


def main() -> None:
    """Simulate, write the page."""
    page, _ = Page.of(__file__)
    macs = runs_of(FOLDER / "equal_macs.yaml")
    sizes = [
        *macs[:1],
        *runs_of(FOLDER / "equal_area.yaml"),
        *runs_of(FOLDER / "equal_area_dense.yaml"),
    ]
    page.table("equal_macs", [row(run) for run in macs])
    page.write("equal macs", markdown_table(equal_macs_table(macs)))
    page.write("equal area", markdown_table(equal_area_table(sizes)))
    page.write("claims", markdown_table(claims_table(claims(macs, sizes))))
    page.finish()


if __name__ == "__main__":
    main()
