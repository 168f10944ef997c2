"""Does the answer move from 45 to 7 nm?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.report import style
from accelsim.report.plots.bars import grouped, stacked
from accelsim.studies import Claim, Page, Run, claims_table, markdown_table, row, runs_of, the

if TYPE_CHECKING:
    from accelsim.report.style import Figure

FOLDER = Path(__file__).parent
NODES = (45, 28, 16, 7)
PATTERNS = {"2:4": "nm24", "8:16": "nm816", "16:32": "nm1632"}
DRAMS = {"lpddr4": "LPDDR4", "hbm3e": "HBM3E"}
PARTS = {"DRAM": style.GREY, "SRAM": style.SKY, "MAC array": style.GREEN, "sparsity": style.ORANGE}


def point(runs: Sequence[Run], pattern: str, node_nm: int, dram: str = "lpddr4") -> Run:
    """Return one run."""
    settings = {"technology__node_nm": node_nm, "dram__standard": dram}
    return the(runs, base=PATTERNS[pattern], **settings)


def part_of(unit: str) -> str:
    """Return which part of a machine a unit belongs to; DMA engines cost nothing."""
    if unit == "compressed_buffer" or unit in ("selector", "crossbar"):
        return "sparsity"
    return {"dram": "DRAM", "mac_array": "MAC array"}.get(unit, "SRAM")


def shares(run: Run, quantity: str) -> dict[str, float]:
    """Return the share of each part in the energy or the area of a run."""
    sums = dict.fromkeys(PARTS, 0.0)
    for name, unit in run["units"].items():
        sums[part_of(name)] += unit[quantity]
    return {part: value / sum(sums.values()) for part, value in sums.items()}


def on_chip(runs: Sequence[Run]) -> float:
    """Return the energy of a run without DRAM over that of its dense machine."""
    ours, theirs = (
        side["totals"]["energy_pj"] - side["units"]["dram"]["energy_pj"]
        for side in (runs[0], runs[0]["baseline"])
    )
    return ours / theirs


def node_table(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Return a row a node and a pattern."""
    rows = []
    for node in NODES:
        for pattern in PATTERNS:
            run = point(runs, pattern, node)
            cells, other = row(run), row(point(runs, pattern, node, "hbm3e"))
            rows.append(
                {
                    "node": f"{node} nm",
                    "pattern": pattern,
                    "area, mm²": f"{cells['area_um2'] / 1e6:.2f}",
                    "over dense": f"{cells['area_overhead_ratio']:+.1%}",
                    "energy, LPDDR4": f"{cells['energy_ratio']:.2f}×",
                    "energy, HBM3E": f"{other['energy_ratio']:.2f}×",
                    "energy on chip": f"{on_chip([run]):.2f}×",
                    "DRAM's share": f"{shares(run, 'energy_pj')['DRAM']:.0%}",
                    "TOPS/W": f"{cells['tops_per_w']:.2f}",
                }
            )
    return rows


def claims(runs: Sequence[Run]) -> list[Claim]:
    """Return what this experiment concludes."""

    def ratio(name: str) -> Callable[[Sequence[Run]], float]:
        return lambda some: some[0]["baseline"][name]

    old, new = point(runs, "8:16", 45), point(runs, "8:16", 7)
    return [
        Claim(
            "8:16 is at most 15 % larger than dense at 7 nm",
            ratio("area_overhead_ratio"),
            [new],
            below=0.15,
            form="{:.3f}",
        ),
        Claim(
            "the overhead of 8:16 differs by less than a point between 45 and 7 nm",
            lambda some: abs(
                some[1]["baseline"]["area_overhead_ratio"]
                - some[0]["baseline"]["area_overhead_ratio"]
            ),
            [old, new],
            below=0.01,
            form="{:.3f}",
        ),
        Claim(
            "8:16 takes at most 0.8 of the dense energy, 45 nm, LPDDR4",
            ratio("energy_ratio"),
            [old],
            below=0.8,
        ),
        Claim(
            "8:16 takes at most 0.9 of the dense energy, 7 nm, LPDDR4",
            ratio("energy_ratio"),
            [new],
            below=0.9,
        ),
        Claim(
            "8:16 takes at most 0.9 of the dense energy, 7 nm, HBM3E",
            ratio("energy_ratio"),
            [point(runs, "8:16", 7, "hbm3e")],
            below=0.9,
        ),
        Claim(
            "8:16 takes at most 0.65 of the dense energy on chip, 7 nm", on_chip, [new], below=0.65
        ),
        Claim(
            "16:32 takes at most 2 % more energy than 2:4 at 7 nm, LPDDR4",
            lambda some: some[1]["totals"]["energy_pj"] / some[0]["totals"]["energy_pj"],
            [point(runs, "2:4", 7), point(runs, "16:32", 7)],
            below=1.02,
        ),
    ]


def answer(runs: Sequence[Run]) -> str:
    """Return two sentences."""
    old, new = (row(point(runs, "8:16", node)) for node in (45, 7))
    hbm = row(point(runs, "8:16", 7, "hbm3e"))
    ends = [point(runs, "8:16", node) for node in (45, 7)]
    dram = [f"{100 * shares(run, 'energy_pj')['DRAM']:.0f} %" for run in ends]
    chip = [f"{on_chip([run]):.2f}" for run in ends]
    return (
        f"The area overhead does not: 8:16 adds {100 * old['area_overhead_ratio']:.1f} % at 45 nm "
        f"and {100 * new['area_overhead_ratio']:.1f} % at 7 nm, and every pattern keeps its place. "
        f"The energy does, because the DRAM does not shrink: its share goes from {dram[0]} to "
        f"{dram[1]}, so that 8:16 takes {old['energy_ratio']:.2f} of the dense energy at 45 nm and "
        f"{new['energy_ratio']:.2f} at 7 nm ({hbm['energy_ratio']:.2f} with HBM3E), although on "
        f"chip it takes {chip[0]} and {chip[1]}."
    )


def picture(runs: Sequence[Run]) -> Figure:
    """Return where the energy goes by node, and the energy and area ratios of the patterns."""
    figure, axes = style.figure(3, width_mm=style.PAGE_MM, height_mm=62)
    names = [f"{node} nm" for node in NODES]
    with style.styled():
        found = [shares(point(runs, "8:16", node), "energy_pj") for node in NODES]
        parts = {part: [100 * share[part] for share in found] for part in PARTS}
        stacked(axes[0], names, parts, PARTS)
        axes[0].set_ylabel("share of the energy of 8:16 (%)")
        style.legend_above(axes[0], columns=2)
        for ax, dram in zip(axes[1:], DRAMS, strict=True):
            energies = {
                pattern: [row(point(runs, pattern, node, dram))["energy_ratio"] for node in NODES]
                for pattern in PATTERNS
            }
            grouped(ax, names, energies)
            ax.set_ylabel(f"energy over dense, {DRAMS[dram]}")
            ax.set_ylim(0, 1.2)
            style.legend_above(ax)
    return figure


def main() -> None:
    """Simulate, write the page."""
    page, _ = Page.of(__file__)
    runs = runs_of(FOLDER / "nodes.yaml")
    page.table("nodes", [row(run) for run in runs])
    page.write("answer", answer(runs))
    page.write("nodes", markdown_table(node_table(runs)))
    page.write("claims", markdown_table(claims_table(claims(runs))))
    page.figure("figure", picture(runs))
    page.finish()


if __name__ == "__main__":
    main()
