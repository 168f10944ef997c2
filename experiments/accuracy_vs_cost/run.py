"""Which pattern and mitigation is worth what it needs?"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim.base.files import write_texts
from accelsim.report import style
from accelsim.report.plots import draw
from accelsim.studies import Claim, Page, Run, claims_table, markdown_table, row, runs_of

if TYPE_CHECKING:
    from accelsim.report.style import Figure

FOLDER = Path(__file__).parent
ACCURACY = FOLDER / "accuracy.json"
HALF, MOST = (
    ("2:4", "4:8", "8:16", "16:32", "topk:0.5"),
    ("3:4", "6:8", "12:16", "24:32", "topk:0.75"),
)
# Measured by --measure: what needs no hardware. The other mitigations take longer.
MEASURED = (",".join((*HALF, *MOST)), "none,ls")
# Mean relative accuracy drop of Llama-3-8B-Instruct over four tasks, magnitude selection of all
# seven linears: arXiv 2509.22166v1, table 6.
PUBLISHED_8B = {"2:4": 14.35, "4:8": 9.29, "8:16": 7.38, "16:32": 5.40, "topk:0.5": 4.30}
Row = Mapping[str, Any]


def measure() -> None:
    """Measure perplexities on this machine, and put them into what was measured before."""
    known = json.loads(ACCURACY.read_text(encoding="utf-8"))
    rows = {_key(row): row for row in known["rows"]}
    patterns, mitigations = MEASURED
    command = ["accuracy", "--exact", "--precision", "int8", "--json", "--patterns", patterns]
    done = subprocess.run(
        [sys.executable, "-m", "accelsim", *command, "--mitigations", mitigations],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    new = json.loads(done.stdout)
    for key in ("model", "text", "settings", "compute_type"):
        if new[key] != known[key]:  # increases of different texts must not stand side by side
            raise SystemExit(f"{ACCURACY}: rows that are kept are of another {key}")
    for fresh in new["rows"]:
        rows[_key(fresh)] = {k: v for k, v in fresh.items() if k not in ("layers", "policy")}
    kept = ("accelsim", "model", "text", "settings", "compute_type", "dense")
    head = {key: new[key] for key in kept}
    write_texts({ACCURACY: json.dumps({**head, "rows": list(rows.values())}, indent=1) + "\n"})


def _key(row: Row) -> tuple[str, ...]:
    return row["pattern"], row["criterion"], row["mitigation"]


def costs(runs: Sequence[Run]) -> dict[tuple[str, str], Row]:
    """Return the ratios of each run, by pattern and mitigation."""
    return {(run["point"]["pattern"], run["point"]["mitigation"]): row(run) for run in runs}


def table(accuracy: Mapping[str, Any], runs: Sequence[Run]) -> list[dict[str, str]]:
    """Return a row a pattern and mitigation."""
    found = costs(runs)
    rows = []
    for measured in accuracy["rows"]:
        pattern, mitigation = measured["pattern"], measured["mitigation"]
        cost = found.get((pattern, mitigation))
        if cost is None and not pattern.startswith("topk"):
            continue
        increase, error = measured["relative_drop"], measured["relative_drop_stderr"]
        rows.append(
            {
                "pattern": pattern,
                "mitigation": mitigation,
                "perplexity": f"{measured['perplexity']:.2f}",
                "increase": f"{increase:+.1%} ± {error:.1%}",
                "speed-up": f"{cost['speedup']:.2f}×" if cost else "–",
                "energy": f"{cost['energy_ratio']:.2f}×" if cost else "–",
                "area": f"{cost['area_overhead_ratio']:+.1%}" if cost else "–",
            }
        )
    order = [*HALF, *MOST]
    return sorted(rows, key=lambda cells: order.index(cells["pattern"]))


def increase(
    accuracy: Mapping[str, Any], pattern: str, mitigation: str = "none"
) -> tuple[float, float]:
    """Return an increase of perplexity and its standard error."""
    (found,) = (r for r in accuracy["rows"] if _key(r) == (pattern, "act", mitigation))
    return found["relative_drop"], found["relative_drop_stderr"]


def claims(accuracy: Mapping[str, Any], runs: Sequence[Run]) -> list[Claim]:
    """Return what this experiment concludes."""

    def of(pattern: str, mitigation: str = "none") -> list[Run]:
        return [
            r
            for r in runs
            if (r["point"]["pattern"], r["point"]["mitigation"]) == (pattern, mitigation)
        ]

    def ratio(name: str) -> Callable[[Sequence[Run]], float]:
        return lambda some: some[0]["baseline"][name]

    def surely(left: tuple[float, float], right: tuple[float, float]) -> float:
        return (left[0] + 2 * left[1]) / (right[0] - 2 * right[1])

    plain, free = increase(accuracy, "2:4"), increase(accuracy, "2:4", "ls")
    return [
        Claim(
            "16:32 adds less than half of the perplexity of 2:4, by two standard errors",
            lambda _: surely(increase(accuracy, "16:32"), plain),
            [],
            below=0.5,
        ),
        Claim(
            "LS, which needs no hardware, lowers the loss of 2:4, by two standard errors each",
            lambda _: surely(free, plain),
            [],
            below=1,
        ),
        Claim(
            "24:32 adds at most 5 %, by two standard errors",
            lambda _: sum(f * x for f, x in zip((1, 2), increase(accuracy, "24:32"), strict=True)),
            [],
            below=0.05,
            form="{:.3f}",
        ),
        Claim(
            "R-Sparse 64 at 8:16 takes more energy than dense",
            ratio("energy_ratio"),
            of("8:16", "rsparse64"),
            above=1,
        ),
        Claim(
            "R-Sparse 64 at 8:16 does more work per area than dense",
            ratio("tops_per_mm2_ratio"),
            of("8:16", "rsparse64"),
            above=1,
        ),
        Claim("12:16 takes less energy than dense", ratio("energy_ratio"), of("12:16"), below=1),
        Claim("24:32 takes less energy than dense", ratio("energy_ratio"), of("24:32"), below=1),
        Claim(
            "12:16 does more work per area than dense",
            ratio("tops_per_mm2_ratio"),
            of("12:16"),
            above=1,
        ),
    ]


def answer(accuracy: Mapping[str, Any], runs: Sequence[Run]) -> str:
    """Return two sentences."""
    found = costs(runs)
    loss = {p: f"{100 * increase(accuracy, p)[0]:.0f}" for p in HALF}
    most = [100 * increase(accuracy, p)[0] for p in MOST[:-1]]
    low_rank = [100 * increase(accuracy, p, "rsparse64")[0] for p in HALF[:-1]]
    two, wide = found["2:4", "none"], found["16:32", "none"]
    return (
        f"On the shipped Llama at int8, dropping half costs {loss['2:4']} % of perplexity at 2:4, "
        f"{loss['4:8']} % at 4:8, {loss['8:16']} % at 8:16, {loss['16:32']} % at 16:32 and "
        f"{loss['topk:0.5']} % without structure, which no machine here runs; the four run at "
        f"{two['speedup']:.2f}×, and 16:32 pays with {100 * wide['area_overhead_ratio']:.0f} % of "
        f"area instead of {100 * two['area_overhead_ratio']:.0f} % and {wide['energy_ratio']:.2f} "
        f"of the dense energy instead of {two['energy_ratio']:.2f}. Between those and dense lie "
        f"patterns that keep three quarters ({found['12:16', 'none']['speedup']:.2f}× at "
        f"{min(most):.0f} to {max(most):.0f} %), and half-kept ones whose dropped values come back "
        f"through a low-rank product ({found['8:16', 'rsparse64']['speedup']:.2f}× at "
        f"{min(low_rank):.0f} to {max(low_rank):.0f} %, with more energy than dense)."
    )


def picture(accuracy: Mapping[str, Any], runs: Sequence[Run]) -> Figure:
    """Return energy and throughput per area against loss, and ours beside the published drops."""
    figure, axes = style.figure(3, width_mm=style.PAGE_MM, height_mm=70)
    draw("front", runs, axes[0], accuracy=accuracy)
    draw("front", runs, axes[1], accuracy=accuracy, cost="tops_per_mm2_ratio")
    with style.styled():
        ours, errors = zip(*(increase(accuracy, pattern) for pattern in PUBLISHED_8B), strict=True)
        places = range(len(PUBLISHED_8B))
        look: Any = {"color": style.PINK, "capsize": 1.5, "error_kw": {"linewidth": 0.6}}
        axes[2].bar(
            [p - 0.2 for p in places],
            [100 * x for x in ours],
            0.4,
            yerr=[100 * e for e in errors],
            label="16 M, perplexity",
            **look,
        )
        right = axes[2].twinx()
        right.spines["right"].set_visible(True)
        right.bar(
            [p + 0.2 for p in places],
            list(PUBLISHED_8B.values()),
            0.4,
            color=style.GREY,
            hatch="////",
            edgecolor="white",
            label="8 B, task accuracy (published)",
        )
        names = [name.replace("topk:0.5", "any") for name in PUBLISHED_8B]
        axes[2].set_xticks(places, names)
        axes[2].set_ylabel("increase of perplexity (%)")
        right.set_ylabel("drop of accuracy (%)")
        handles = [ax.get_legend_handles_labels() for ax in (axes[2], right)]
        both = [left + other for left, other in zip(*handles, strict=True)]
        axes[2].legend(*both, loc="lower left", bbox_to_anchor=(0, 1.0))
    return figure


def main() -> None:
    """Measure if asked to, simulate, write the page."""
    flag = {"action": "store_true", "help": "measure those without hardware again (minutes)"}
    page, arguments = Page.of(__file__, measure=flag)
    if arguments.measure:
        measure()
    accuracy = json.loads(ACCURACY.read_text(encoding="utf-8"))
    runs = [run for name in ("half", "most") for run in runs_of(FOLDER / f"{name}.yaml")]
    page.table("costs", [row(run) for run in runs])
    page.write("answer", answer(accuracy, runs))
    page.write("table", markdown_table(table(accuracy, runs)))
    page.write("claims", markdown_table(claims_table(claims(accuracy, runs))))
    page.figure("figure", picture(accuracy, runs))
    page.finish()


if __name__ == "__main__":
    main()
