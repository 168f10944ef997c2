"""Draw speed-up, energy and area by pattern from the folders that `compare --out` wrote."""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

# Okabe and Ito's palette: told apart by colour-blind readers.
COLOURS = {
    "dram": "#999999",
    "activation_buffer": "#E69F00",
    "compressed_buffer": "#F0E442",
    "weight_buffer": "#56B4E9",
    "output_buffer": "#CC79A7",
    "selector": "#D55E00",
    "crossbar": "#0072B2",
    "mac_array": "#009E73",
}


def load(folder: Path) -> tuple[list[dict[str, str]], dict[str, dict]]:
    """Return the rows of the comparison and the result of each machine by name."""
    with (folder / "comparison.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    results = {
        row["name"]: json.loads((folder / row["name"] / "result.json").read_text()) for row in rows
    }
    return rows, results


def plot_speedup(ax: plt.Axes, rows: list[dict[str, str]]) -> None:
    """Bars of the speed-up over the first machine."""
    labels = [row["pattern"] for row in rows]
    values = [float(row["speedup"]) for row in rows]
    bars = ax.bar(labels, values, color="#0072B2")
    ax.bar_label(bars, fmt="%.2f×", label_type="center", fontsize=8, color="white")
    ax.axhline(2, color="black", linewidth=0.8, linestyle=":")
    ax.text(-0.4, 2.02, "half the MACs", fontsize=8)
    ax.set_ylim(0, 2.3)
    ax.set_ylabel("speed-up over dense")


def plot_stack(
    ax: plt.Axes, rows: list[dict[str, str]], results: dict[str, dict], key: str, scale: float
) -> None:
    """Stacked bars by unit of one quantity of the unit tables."""
    labels = [row["pattern"] for row in rows]
    base = [0.0] * len(rows)
    for unit, colour in COLOURS.items():
        units = [results[row["name"]]["units"].get(unit, {}) for row in rows]
        values = [entry.get(key, 0.0) / scale for entry in units]
        if any(values):
            ax.bar(labels, values, bottom=base, color=colour, label=unit.replace("_", " "))
            base = [low + value for low, value in zip(base, values, strict=True)]
    for position, total in enumerate(base):
        ratio = total / base[0]
        ax.annotate(f"{ratio:.2f}×", (position, total), ha="center", va="bottom", fontsize=8)
    ax.set_ylim(0, max(base) * 1.12)


def main() -> None:
    """Read a folder of results and write one figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="what `accelsim compare --out` wrote")
    parser.add_argument("--out", type=Path, required=True, help="figure file (.png, .pdf, .svg)")
    arguments = parser.parse_args()
    try:
        rows, results = load(arguments.folder)
    except FileNotFoundError as error:
        parser.error(f"{error.filename} is missing; make it with: accelsim compare … --out FOLDER")
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.8), layout="constrained")
    plot_speedup(axes[0], rows)
    plot_stack(axes[1], rows, results, "energy_pj", 1e9)
    axes[1].set_ylabel("energy (mJ)")
    plot_stack(axes[2], rows, results, "area_um2", 1e6)
    axes[2].set_ylabel("area (mm²)")
    handles, labels = axes[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.set_xlabel("activation pattern")
    trace = results[rows[0]["name"]]["trace"]
    figure.suptitle(f"{trace['model']}, {trace['tokens']} tokens, prefill", fontsize=10)
    figure.savefig(arguments.out, dpi=200)
    print(arguments.out)


if __name__ == "__main__":
    main()
