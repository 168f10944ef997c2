"""How large may an array be for its buffers and its DRAM, dense and at 8:16?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim.report.style import (
    COLOURS,
    GREEN,
    GREY,
    MARKERS,
    PAGE_MM,
    figure,
    legend_above,
    styled,
)
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
SIZES = {32: "½", 64: "1", 128: "2", 256: "4"}
"""Kilobytes of the output buffer, and buffers over the shipped ones."""
SHIPPED_KIB = 64
COLUMNS = (4, 8, 16, 32, 64)
FASTEST = 512  # GB/s


def macs(run: Run) -> int:
    """Return the multipliers of a machine."""
    array = run["arch"]["mac_array"]
    return int(array["rows"] * array["columns"] * array["lanes"])


def bound(part: Mapping[str, Any]) -> str:
    """Return the busiest unit of a machine; the array wins ties, as buffers are in step with it."""
    units = part["units"]
    return max(("mac_array", *units), key=lambda name: units[name]["busy_cycles"])


def flat(run: Run) -> dict[str, Any]:
    """Return a run as a row, with what bounds it and its dense machine."""
    dense = run["baseline"]
    utilisation = dense["totals"]["mac_utilization_ratio"]
    return row(run) | {
        "bound": bound(run),
        "dense_bound": bound(dense),
        "dense_mac_utilization_ratio": utilisation,
    }


def macs_per_byte(part: Mapping[str, Any]) -> float:
    """Return the multiplications of the dense product for each byte to or from DRAM."""
    return part["totals"]["macs_dense"] / part["totals"]["dram_bytes"]


def needed_gb_per_s(run: Run, part: Mapping[str, Any]) -> float:
    """Return the bandwidth at which DRAM and the array of a machine would be equally busy."""
    bytes_per_cycle = part["totals"]["dram_bytes"] / part["units"]["mac_array"]["busy_cycles"]
    return bytes_per_cycle * run["arch"]["clock_mhz"] / 1000


def with_buffers(runs: Sequence[Run], size_kib: int, **settings: Any) -> list[Run]:
    """Return runs with buffers of a size."""
    return picked(runs, buffers__outputs__capacity_kib=size_kib, **settings)


def one(runs: Sequence[Run], columns: int, bandwidth: int, size_kib: int = SHIPPED_KIB) -> Run:
    """Return the run of an array, a memory and a size of buffers."""
    settings = {"mac_array__columns": columns, "dram__bandwidth_gb_per_s": bandwidth}
    return the(with_buffers(runs, size_kib), **settings)


def need_table(runs: Sequence[Run], small: Sequence[Run]) -> list[dict[str, str]]:
    """Return a row a size of the buffers: MACs a byte, and the bandwidth that arrays need."""
    layers = {f"{name}×, Llama-3-8B": with_buffers(runs, kib) for kib, name in SIZES.items()}
    rows = []
    for name, some in {**layers, "1×, shipped trace": small}.items():
        wide = picked(some, dram__bandwidth_gb_per_s=FASTEST)
        arrays = [the(wide, mac_array__columns=columns) for columns in COLUMNS]
        rows.append(
            {
                "buffers, layers": name,
                "MACs a byte": f"{macs_per_byte(arrays[1]):.0f}",
                **{
                    f"{macs(run):,} multipliers": " / ".join(
                        f"{needed_gb_per_s(run, part):.0f}" for part in (run["baseline"], run)
                    )
                    for run in arrays
                },
            }
        )
    return rows


def more_work_per_area(runs: Sequence[Run]) -> float:
    """Return the throughput per area of the second run over the first's."""
    return runs[1]["totals"]["tops_per_mm2"] / runs[0]["totals"]["tops_per_mm2"]


def claims(runs: Sequence[Run]) -> list[Claim]:
    """Return what this experiment concludes."""
    shipped, starved, large = one(runs, 8, 64), one(runs, 8, 16), one(runs, 32, 64)
    double = [one(runs, 8, 32), one(runs, 8, 32, 2 * SHIPPED_KIB)]
    wider = [one(runs, 8, 64), one(runs, 16, 64)]
    return [
        Claim(
            "1,024 multipliers at 64 GB/s: 8:16 is 1.95 times as fast as dense",
            lambda _: shipped["baseline"]["speedup"],
            [],
            above=1.95,
        ),
        Claim(
            "4,096 multipliers at 64 GB/s: 8:16 is at least 1.05 times as fast as dense",
            lambda _: large["baseline"]["speedup"],
            [],
            above=1.05,
        ),
        Claim(
            "4,096 multipliers at 64 GB/s: 8:16 does more work per area than dense",
            lambda some: some[0]["baseline"]["tops_per_mm2_ratio"],
            [large],
            above=1,
        ),
        Claim(
            "1,024 multipliers at 16 GB/s, both waiting: 8:16 saves a tenth of the energy",
            lambda some: some[0]["baseline"]["energy_ratio"],
            [starved],
            below=0.9,
        ),
        Claim(
            "8:16, 1,024 multipliers, 32 GB/s: buffers twice as large save a tenth of the energy",
            lambda some: some[1]["totals"]["energy_pj"] / some[0]["totals"]["energy_pj"],
            double,
            below=0.9,
        ),
        Claim(
            "8:16, 1,024 multipliers, 32 GB/s: buffers twice as large do more work per area",
            more_work_per_area,
            double,
            above=1,
        ),
        Claim(
            "8:16, 64 GB/s: 2,048 multipliers do more work per area than 1,024",
            more_work_per_area,
            wider,
            above=1,
        ),
    ]


def answer(runs: Sequence[Run]) -> str:
    """Return two sentences."""
    run = one(runs, 8, FASTEST)
    theirs, ours = (needed_gb_per_s(run, part) for part in (run["baseline"], run))
    small, large = (one(runs, 8, FASTEST, kib) for kib in (min(SIZES), max(SIZES)))
    return (
        f"Layers of Llama-3-8B give {macs_per_byte(run):.0f} multiplications for each byte from "
        f"DRAM with the shipped buffers ({macs_per_byte(small):.0f} with half of them, "
        f"{macs_per_byte(large):.0f} with four times as much), so that every 1,024 multipliers at "
        f"1 GHz need {theirs:.0f} GB/s dense and {ours:.0f} GB/s at 8:16. With the second, 8:16 is "
        f"{run['baseline']['speedup']:.2f}× as fast as dense, with the first or less no faster "
        f"({one(runs, 8, 16)['baseline']['speedup']:.2f}× at 16 GB/s), and in between its speed-up "
        f"is the bandwidth over {theirs:.0f} GB/s."
    )


def plot_map(runs: Sequence[Run], ax: Axes) -> None:
    """Draw which machines wait for DRAM by multipliers and bandwidth, and the speed-up of 8:16."""
    bandwidths = sorted({run["point"]["dram.bandwidth_gb_per_s"] for run in runs})
    kinds = (
        (GREEN, 0.4, "neither waits"),
        (GREY, 0.3, "8:16 waits for DRAM"),
        (GREY, 0.8, "both wait"),
    )
    for y, columns in enumerate(COLUMNS):
        for x, bandwidth in enumerate(bandwidths):
            run = one(runs, columns, bandwidth)
            waits = sum(bound(part) == "dram" for part in (run["baseline"], run))
            colour, alpha, _ = kinds[waits]
            ax.bar(x, 1, width=1, bottom=y - 0.5, color=colour, alpha=alpha, edgecolor="white")
            ax.text(x, y, f"{run['baseline']['speedup']:.2f}×", ha="center", va="center")
    for colour, alpha, label in kinds:
        ax.bar(0, 0, color=colour, alpha=alpha, label=label)
    ax.set_xticks(range(len(bandwidths)), [f"{bandwidth:g}" for bandwidth in bandwidths])
    sizes = [macs(one(runs, columns, FASTEST)) for columns in COLUMNS]
    ax.set_yticks(range(len(COLUMNS)), [f"{size:,}" for size in sizes])
    ax.set_xlim(-0.5, len(bandwidths) - 0.5)
    ax.set_ylim(-0.5, len(COLUMNS) - 0.5)
    ax.set_xlabel("DRAM bandwidth, GB/s; numbers: speed-up of 8:16")
    ax.set_ylabel("multipliers at 1 GHz, shipped buffers")


def plot_needs(runs: Sequence[Run], ax: Axes) -> None:
    """Draw the bandwidth that arrays need, by buffers, dense and 8:16."""
    for (kib, name), colour, marker in zip(SIZES.items(), COLOURS, MARKERS, strict=False):
        arrays = [one(runs, columns, FASTEST, kib) for columns in COLUMNS]
        sizes = [macs(run) for run in arrays]
        ours = [needed_gb_per_s(run, run) for run in arrays]
        theirs = [needed_gb_per_s(run, run["baseline"]) for run in arrays]
        style = {"color": colour, "marker": marker}
        ax.plot(sizes, ours, **style, label=f"{name}× buffers")
        ax.plot(sizes, theirs, **style, linestyle="--", markerfacecolor="white")
    ax.plot([], [], color="black", label="8:16")
    ax.plot([], [], color="black", linestyle="--", label="dense")
    ax.set_xscale("log", base=2)
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
    ax.set_yscale("log", base=2)
    ax.set_yticks(
        [4, 8, 16, 32, 64, 128, 256, 512], list(map(str, [4, 8, 16, 32, 64, 128, 256, 512]))
    )
    ax.set_xlabel("multipliers at 1 GHz")
    ax.set_ylabel("bandwidth needed, GB/s")


def drawn(runs: Sequence[Run]) -> Figure:
    """Return the figure: speed-ups with the shipped buffers, needs with all."""
    with styled():
        picture, (left, right) = figure(2, width_mm=PAGE_MM, height_mm=72)
        plot_map(runs, left)
        plot_needs(runs, right)
        legend_above(left, columns=3, columnspacing=1.0, handlelength=1.2)
        legend_above(right, columns=3)
    return picture


def main() -> None:
    """Simulate, write the page."""
    page, _ = Page.of(__file__)
    runs = runs_of(FOLDER / "balance.yaml")
    small = runs_of(FOLDER / "small_layers.yaml")
    page.table("balance", [flat(run) for run in runs])
    page.table("small_layers", [flat(run) for run in small])
    page.write("answer", answer(runs))
    page.figure("figure", drawn(runs))
    page.write("needs", markdown_table(need_table(runs, small)))
    page.write("claims", markdown_table(claims_table(claims(runs))))
    page.finish()


if __name__ == "__main__":
    main()
