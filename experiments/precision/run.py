"""int8, fp8 or bf16: does the number format change what sparsity support is worth?"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim.base.files import write_texts
from accelsim.report import style
from accelsim.report.plots.bars import grouped, stacked
from accelsim.studies import Claim, Page, Run, claims_table, markdown_table, row, runs_of, the

if TYPE_CHECKING:
    from accelsim.report.style import Figure

FOLDER = Path(__file__).parent
ACCURACY = FOLDER / "accuracy.json"
INT8 = FOLDER.parent / "accuracy_vs_cost" / "accuracy.json"
PRECISIONS, PATTERNS = ("int8", "fp8", "bf16"), ("2:4", "8:16", "16:32")


def measure() -> None:
    """Measure perplexities of both float formats; those of int8 are accuracy_vs_cost's."""
    found = {}
    for precision in PRECISIONS[1:]:
        command = ["accuracy", "--exact", "--precision", precision, "--json"]
        done = subprocess.run(
            [sys.executable, "-m", "accelsim", *command, "--patterns", ",".join(PATTERNS)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        data = json.loads(done.stdout)
        rows = [
            {key: value for key, value in measured.items() if key not in ("layers", "policy")}
            for measured in data["rows"]
        ]
        kept = ("accelsim", "model", "text", "settings", "compute_type", "dense")
        head = {key: data[key] for key in kept}
        found[precision] = head | {"rows": rows}
    write_texts({ACCURACY: json.dumps(found, indent=1) + "\n"})


def accuracies() -> dict[str, Mapping[str, Any]]:
    """Return what was measured, by precision."""
    floats = json.loads(ACCURACY.read_text(encoding="utf-8"))
    return {"int8": json.loads(INT8.read_text(encoding="utf-8")), **floats}


def increase(precision: str, pattern: str) -> str:
    """Return an increase of perplexity with its standard error."""
    (found,) = (
        measured
        for measured in accuracies()[precision]["rows"]
        if (measured["pattern"], measured["mitigation"]) == (pattern, "none")
    )
    return f"{found['relative_drop']:+.0%} ± {found['relative_drop_stderr']:.0%}"


def point(runs: Sequence[Run], precision: str, pattern: str) -> Run:
    """Return one run."""
    return the(runs, precision=precision, pattern=pattern)


def dense_table(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Return a row a precision: the dense machines."""
    first = point(runs, "int8", "8:16")["baseline"]["totals"]
    rows = []
    for precision in PRECISIONS:
        totals = point(runs, precision, "8:16")["baseline"]["totals"]
        rows.append(
            {
                "precision": precision,
                "area, mm²": f"{totals['area_um2'] / 1e6:.2f}",
                "area over int8": f"{totals['area_um2'] / first['area_um2']:.2f}×",
                "energy, mJ": f"{totals['energy_pj'] / 1e9:.2f}",
                "energy over int8": f"{totals['energy_pj'] / first['energy_pj']:.2f}×",
                "perplexity": f"{accuracies()[precision]['dense']['perplexity']:.2f}",
            }
        )
    return rows


def sparse_table(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Return a row a precision and pattern, as ratios to the dense machine of that precision."""
    rows = []
    for precision in PRECISIONS:
        for pattern in PATTERNS:
            cells = row(point(runs, precision, pattern))
            rows.append(
                {
                    "precision": precision,
                    "pattern": pattern,
                    "speed-up": f"{cells['speedup']:.2f}×",
                    "energy": f"{cells['energy_ratio']:.2f}×",
                    "area": f"{cells['area_overhead_ratio']:+.1%}",
                    "work per area": f"{cells['tops_per_mm2_ratio']:.2f}×",
                    "metadata": f"{1 / (1 + cells_per_bit(precision)):.1%}",
                    "perplexity": increase(precision, pattern),
                }
            )
    return rows


def cells_per_bit(precision: str) -> float:
    """Return the bits of kept values a bit of bitmask: half of the positions hold a value."""
    return {"int8": 8, "fp8": 8, "bf16": 16}[precision] / 2


def claims(runs: Sequence[Run]) -> list[Claim]:
    """Return what this experiment concludes."""

    def ratio(name: str) -> Callable[[Sequence[Run]], float]:
        return lambda some: some[0]["baseline"][name]

    def gap(name: str) -> Callable[[Sequence[Run]], float]:
        return lambda some: some[1]["baseline"][name] - some[0]["baseline"][name]

    pair = [point(runs, "fp8", "8:16"), point(runs, "int8", "8:16")]
    wide = [point(runs, "bf16", "2:4"), point(runs, "bf16", "16:32")]
    points = {"form": "{:.3f}"}
    return [
        Claim(
            "8:16 adds a smaller share of area in fp8 than in int8",
            gap("area_overhead_ratio"),
            pair,
            above=0,
            **points,
        ),
        Claim(
            "8:16 saves a larger share of energy in fp8 than in int8",
            gap("energy_ratio"),
            pair,
            above=0,
            **points,
        ),
        Claim(
            "8:16 takes at most 0.7 of the dense energy in fp8",
            ratio("energy_ratio"),
            pair[:1],
            below=0.7,
        ),
        Claim(
            "8:16 takes at most 0.7 of the dense energy in bf16",
            ratio("energy_ratio"),
            [point(runs, "bf16", "8:16")],
            below=0.7,
        ),
        Claim(
            "in bf16, 16:32 adds at most 10 points more of area than 2:4",
            gap("area_overhead_ratio"),
            wide,
            below=0.1,
            **points,
        ),
        Claim(
            "a dense fp8 machine is at least a quarter larger than one of int8",
            lambda some: (
                some[0]["baseline"]["totals"]["area_um2"]
                / some[1]["baseline"]["totals"]["area_um2"]
            ),
            pair,
            above=1.25,
        ),
    ]


def answer(runs: Sequence[Run]) -> str:
    """Return two sentences."""
    cells = {p: row(point(runs, p, "8:16")) for p in PRECISIONS}
    area = {p: f"{100 * c['area_overhead_ratio']:.1f} %" for p, c in cells.items()}
    energy = {p: f"{c['energy_ratio']:.2f}" for p, c in cells.items()}
    return (
        f"Hardly: 8:16 adds {area['int8']} of area in int8, {area['fp8']} in fp8 and "
        f"{area['bf16']} in bf16, and takes {energy['int8']}, {energy['fp8']} and "
        f"{energy['bf16']} of the dense energy, the least in fp8, whose multipliers are dear "
        f"(fp32 adders) while what is routed stays 8 bits wide. Quality does not depend on it "
        f"either: 8:16 adds {increase('int8', '8:16')}, {increase('fp8', '8:16')} and "
        f"{increase('bf16', '8:16')} of perplexity."
    )


def picture(runs: Sequence[Run]) -> Figure:
    """Return area by unit at 8:16, and the ratios of the patterns."""
    figure, axes = style.figure(3, width_mm=style.PAGE_MM, height_mm=65)
    with style.styled():
        names = [label for p in PRECISIONS for label in (f"{p}\ndense", f"{p}\n8:16")]
        sides = [
            side["units"]
            for p in PRECISIONS
            for run in [point(runs, p, "8:16")]
            for side in (run["baseline"], run)
        ]
        colours = style.unit_colours()
        units = [u for u in colours if any(side.get(u, {}).get("area_um2") for side in sides)]
        parts = {u: [side.get(u, {}).get("area_um2", 0) / 1e6 for side in sides] for u in units}
        stacked(axes[0], names, parts, dict(colours))
        axes[0].tick_params(axis="x", labelsize=5.5)
        axes[0].set_ylabel("area (mm²)")
        style.legend_above(axes[0], columns=2)
        for ax, (name, label) in zip(
            axes[1:],
            {
                "energy_ratio": "energy over dense",
                "area_overhead_ratio": "area over dense (%)",
            }.items(),
            strict=True,
        ):
            scale, form = (100, "{:.1f}") if name == "area_overhead_ratio" else (1, "{:.2f}")
            series = {
                pattern: [scale * row(point(runs, p, pattern))[name] for p in PRECISIONS]
                for pattern in PATTERNS
            }
            grouped(ax, PRECISIONS, series, form=form)
            ax.set_ylabel(label)
            style.legend_above(ax)
    return figure


def main() -> None:
    """Measure if asked to, simulate, write the page."""
    flag = {"action": "store_true", "help": "measure perplexities again (2 minutes on two cores)"}
    page, arguments = Page.of(__file__, measure=flag)
    if arguments.measure:
        measure()
    runs = runs_of(FOLDER / "precisions.yaml")
    page.table("precisions", [row(run) for run in runs])
    page.write("answer", answer(runs))
    page.write("dense", markdown_table(dense_table(runs)))
    page.write("sparse", markdown_table(sparse_table(runs)))
    page.write("claims", markdown_table(claims_table(claims(runs))))
    page.figure("figure", picture(runs))
    page.finish()


if __name__ == "__main__":
    main()
