"""Tables and figures of `docs/rtl.md`, from the tables of synthesis.

    python experiments/area_calibration/report.py [--out docs]

Every entry of the tables is put together from synthesised modules (script `area`), none from the
fits: a row of the crossbar is as many modules of one group side by side as the lanes hold groups,
the array is rows x columns dot products. Figures over output columns use the fits.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from fit import DATA, HERE, point, read

from accelsim.config import load_arch
from accelsim.run.area import AreaReport
from accelsim.tech.blocks import Shape
from accelsim.tech.technology import Technology

LIBRARIES = ("nangate45", "asap7")
PATTERNS = ((2, 4), (4, 8), (8, 16), (16, 32))
SELECTORS = {
    "select_rank": ("rank", "#D55E00", "o"),
    "select_bitonic": ("bitonic", "#CC79A7", "s"),
    "select_radix": ("radix, iterative", "#0072B2", "^"),
    "select_radix_pipelined": ("radix, pipelined", "#56B4E9", "v"),
    "select_cascade": ("cascade, iterative", "#009E73", "<"),
    "select_cascade_pipelined": ("cascade, pipelined", "#E69F00", ">"),
}
CROSSBARS = {
    "crossbar_full": ("full", "#D55E00", "o"),
    "crossbar_window": ("window", "#0072B2", "^"),
    "crossbar_logshift": ("logshift", "#009E73", "s"),
    "crossbar_hierarchical": ("hierarchical", "#CC79A7", "v"),
}
ROWS, COLUMNS, LANES = 8, 8, 16
INSTANCES = 4  # of one-cycle 8:16 selectors: 64 positions a cycle, as in the shipped machines


class Synthesis:
    """Areas of one library, by module."""

    def __init__(self, library: str) -> None:
        rows = list(read(DATA / f"synthesis_{library}.csv"))
        self.library = library
        self.points = {
            (p.name, p.shape, p.effort): (p, float(row["area_um2"]))
            for row in rows
            for p in (point(row),)
        }
        self.nand2_um2 = next(float(r["area_um2"]) / float(r["ge"]) for r in rows)
        plain = next(row for row in rows if (row["block"], row["kind"]) == ("register", "plain"))
        self.register_um2 = float(plain["area_um2"]) / int(plain["bits"])

    def area_um2(self, name: str, shape: Shape, effort: str = "area") -> float:
        """Return the area of a module."""
        return self.points[name, shape, effort][1]

    def delay_ps(self, name: str, shape: Shape, effort: str = "area") -> float:
        """Return the slowest path of a module."""
        return self.points[name, shape, effort][0].delay_ps

    def selector_um2(self, kind: str, n: int, m: int) -> float:
        """Return a selector: core, compaction, and a register for what it keeps."""
        shape = Shape(n=n, m=m)
        output = (n * 8 + m + 1) * self.register_um2
        return self.area_um2(kind, shape) + self.area_um2("compact", shape) + output

    def crossbar_um2(self, kind: str, n: int, m: int) -> float:
        """Return the crossbars of the array, without pipeline registers."""
        return ROWS * (LANES // n) * self.area_um2(kind, self.row(n, m))

    def row(self, n: int, m: int) -> Shape:
        """Return the crossbar of one group, shared by the columns of the array."""
        return Shape(n=n, m=m, lanes=n, columns=COLUMNS)

    def array_um2(self) -> float:
        """Return the MAC array."""
        return ROWS * COLUMNS * self.area_um2("dot_product", Shape(lanes=LANES))


def pattern_table(data: Synthesis, buffers_um2: float) -> Iterator[str]:
    """Yield the rows of the table of patterns; buffers are those of the dense machine."""
    array = data.array_um2()
    yield (
        "| pattern | rank selector, µm² | radix (iterative), µm² | crossbars, % of the array: full "
        "| window | logshift | hierarchical | metadata, bits a kept value | selectors + crossbar, "
        "% of the array: full | window | best | % of the core: best | critical path (delay "
        "script), ps: rank | compaction | full | window | best crossbar |"
    )
    yield "|---" * 17 + "|"
    for n, m in PATTERNS:
        crossbars = {kind: data.crossbar_um2(kind, n, m) for kind in CROSSBARS}
        best = min(crossbars, key=lambda kind: crossbars[kind])
        selectors = INSTANCES * 16 // m * data.selector_um2("select_rank", n, m)
        extra = {kind: um2 + selectors for kind, um2 in crossbars.items()}
        row = replace(data.row(n, m), columns=4)  # the widest one with a delay
        delays = [data.delay_ps(f"crossbar_{k}", row, "delay") for k in ("full", "window")]
        cells = [
            f"{n}:{m}",
            f"{data.selector_um2('select_rank', n, m):,.0f}",
            f"{data.selector_um2('select_radix', n, m):,.0f}",
            *(f"{um2 / array:.1%}" for um2 in crossbars.values()),
            f"{m / n:.0f}",
            f"{extra['crossbar_full'] / array:.1%}",
            f"{extra['crossbar_window'] / array:.1%}",
            f"{extra[best] / array:.1%} ({best.removeprefix('crossbar_')})",
            f"{extra[best] / (array + buffers_um2):.1%}",
            f"{data.delay_ps('select_rank', Shape(n=n, m=m), 'delay'):,.0f}",
            f"{data.delay_ps('compact', Shape(n=n, m=m), 'delay'):,.0f}",
            *(f"{delay:,.0f}" for delay in delays),
            f"{data.delay_ps(best, row, 'delay'):,.0f}",
        ]
        yield "| " + " | ".join(cells) + " |"


def buffers_um2() -> float:
    """Return the memories of the shipped dense machine (45 nm)."""
    dense = AreaReport.of(load_arch(HERE.parents[1] / "arch_configs" / "dense.yaml"))
    return sum(um2 for unit, um2 in dense.area_um2.items() if unit.endswith("_buffer"))


def kinds_table(datas: list[Synthesis]) -> Iterator[str]:
    """Yield gate equivalents of selectors and crossbars by kind and pattern, for each library."""
    yield "| kind | pattern | " + " | ".join(f"{d.library}, kGE" for d in datas) + " |"
    yield "|---" * (len(datas) + 2) + "|"
    for kind in (*SELECTORS, *CROSSBARS):
        for n, m in PATTERNS:
            cells = []
            for data in datas:
                try:
                    if kind in SELECTORS:
                        um2 = data.selector_um2(kind, n, m)
                    else:
                        um2 = data.area_um2(kind, data.row(n, m)) * LANES // n
                    cells.append(f"{um2 / data.nand2_um2 / 1e3:.2f}")
                except KeyError:
                    cells.append("—")
            yield f"| {kind} | {n}:{m} | " + " | ".join(cells) + " |"


def plot_kinds(data: Synthesis, path: Path) -> None:
    """Draw the area of selectors and crossbars against M, at N = M / 2."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    sizes = [m for _, m in PATTERNS]
    for kind, (label, colour, marker) in SELECTORS.items():
        areas = [data.selector_um2(kind, n, m) / m for n, m in PATTERNS]
        axes[0].plot(sizes, areas, marker=marker, color=colour, label=label)
    for kind, (label, colour, marker) in CROSSBARS.items():
        areas = [data.area_um2(kind, data.row(n, m)) / (n * COLUMNS) for n, m in PATTERNS]
        axes[1].plot(sizes, areas, marker=marker, color=colour, label=label)
    mac = data.area_um2("dot_product", Shape(lanes=LANES)) / LANES
    axes[1].axhline(mac, color="black", linestyle=":", linewidth=0.8)
    axes[1].text(4, mac * 0.93, "one int8 MAC", fontsize=8, va="top")
    axes[0].set_title("selector, µm² a position", fontsize=10)
    axes[1].set_title(f"crossbar, µm² a multiplier ({COLUMNS} columns)", fontsize=10)
    for ax in axes:
        ax.set_xscale("log", base=2)
        ax.set_xticks(sizes, [f"{n}:{m}" for n, m in PATTERNS])
        ax.set_xlabel("pattern")
        ax.legend(frameon=False, fontsize=8)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_yscale("log")
    axes[1].set_ylim(bottom=0)
    figure.suptitle(f"int8, {data.library}, mapped for area; no wires", fontsize=10)
    figure.savefig(path, dpi=150)


def plot_sharing(path: Path) -> None:
    """Draw the overhead over the dense array as more columns share selector and decoding."""
    tech = Technology.load("nangate45")
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained", sharey=True)
    columns = [1, 2, 4, 8, 16, 32, 64]
    colours = ("#999999", "#56B4E9", "#0072B2", "#D55E00")
    for ax, kinds in zip(axes, (("full",), ("window", "logshift", "hierarchical")), strict=True):
        for (n, m), colour in zip(PATTERNS, colours, strict=True):
            values = []
            for count in columns:
                shape = Shape(n=n, m=m, lanes=LANES, columns=count)
                array = count * tech.block("dot_product", shape).area_um2
                crossbar = min(tech.block(f"crossbar_{k}", shape).area_um2 for k in kinds)
                # A row takes LANES / N groups in a step of the array, so it needs as many selectors
                # to be fed anew in every step; that is the worst case, no reuse over columns.
                select = (LANES // n) * sum(
                    tech.block(name, shape).area_um2 for name in ("select_rank", "compact")
                )
                values.append(100 * (crossbar + select) / array)
            ax.plot(columns, values, marker="o", color=colour, label=f"{n}:{m}")
        ax.set_title("full" if len(kinds) == 1 else "the smallest of the others", fontsize=10)
        ax.set_xscale("log", base=2)
        ax.set_xticks(columns, [str(c) for c in columns])
        ax.set_xlabel("output columns that share selection")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("selector + crossbar, % of the dense array")
    axes[0].set_yscale("log")
    axes[0].legend(frameon=False, fontsize=8)
    figure.suptitle("int8, rank selectors for every step, nangate45 (fitted)", fontsize=10)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Print the tables and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder of the figures")
    options = parser.parse_args()
    datas = [Synthesis(name) for name in LIBRARIES if (DATA / f"synthesis_{name}.csv").exists()]
    print(f"\n{datas[0].library}: array {datas[0].array_um2():,.0f} µm²\n")
    print("\n".join(pattern_table(datas[0], buffers_um2())))
    print()
    print("\n".join(kinds_table(datas)))
    plot_kinds(datas[0], options.out / "rtl_area.png")
    plot_sharing(options.out / "rtl_sharing.png")


if __name__ == "__main__":
    main()
