"""Draw quality against cost, and beside published drops, from `results.json`; print the table."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

# Okabe and Ito's palette: told apart by colour-blind readers.
FAMILIES = {
    "half": (("2:4", "4:8", "8:16", "16:32"), "topk:0.5", "#0072B2", "half kept"),
    "most": (("3:4", "6:8", "12:16", "24:32"), "topk:0.75", "#D55E00", "three quarters kept"),
}
LEAST = 0.5  # per cent, where the axis begins
MARKERS = {"none": "o", "ls": "^", "rsparse64": "s"}
# Mean relative accuracy drop of Llama-3-8B-Instruct over four tasks, magnitude selection of all
# seven linears: arXiv 2509.22166v1, table 6.
PUBLISHED_8B = {"2:4": 14.35, "4:8": 9.29, "8:16": 7.38, "16:32": 5.40, "topk:0.5": 4.30}


def measured(row: dict[str, Any]) -> list[str]:
    """Return the mitigations whose cost was simulated; without hardware, perplexity says which."""
    costed = [name for name in row if "speedup" in row[name]]
    best = min(row, key=lambda name: row[name]["perplexity"])
    return costed or list(dict.fromkeys(("none", best)))


def table(data: dict[str, Any]) -> str:
    """Return the table of the README."""
    lines = [
        "| pattern | mitigation | perplexity | increase | speed-up | energy | area |",
        "|---|---|---|---|---|---|---|",
        f"| dense | | {data['dense']['perplexity']:.2f} | | 1.00× | 1.00× | +0.0% |",
    ]
    for patterns, bound, *_ in FAMILIES.values():
        for pattern in (*patterns, bound):
            row = data["patterns"][pattern]
            lines.extend(_line(pattern, name, row[name]) for name in measured(row))
    return "\n".join(lines)


def _line(pattern: str, mitigation: str, row: dict[str, Any]) -> str:
    increase = f"{row['relative_drop']:+.1%} ± {row['relative_drop_stderr']:.1%}"
    cells = [pattern, mitigation, f"{row['perplexity']:.2f}", increase, *_costs(row)]
    return f"| {' | '.join(cells)} |"


def _costs(row: dict[str, Any]) -> list[str]:
    if "speedup" not in row:
        return ["–", "–", "–"]
    area = f"{row['area_overhead_ratio']:+.1%}"
    return [f"{row['speedup']:.2f}×", f"{row['energy_ratio']:.2f}×", area]


def plot_front(ax: plt.Axes, data: dict[str, Any], key: str, *, more_is_better: bool) -> None:
    """Draw one cost against the increase of perplexity, with the points that nothing dominates."""
    points = [(LEAST, 1.0)]  # dense: no increase, which a logarithmic axis cannot show
    for patterns, bound, colour, label in FAMILIES.values():
        for pattern in patterns:
            row = data["patterns"][pattern]
            for mitigation in measured(row):
                entry = row[mitigation]
                x, y = 100 * entry["relative_drop"], entry[key]
                points.append((x, y))
                error = 100 * entry["relative_drop_stderr"]
                shape, is_plain = MARKERS.get(mitigation, "D"), mitigation == "none"
                face = "white" if is_plain else colour
                ax.errorbar(x, y, xerr=error, fmt=shape, color=colour, mfc=face, capsize=2, ms=5)
                if is_plain:
                    ax.annotate(pattern, (x, y), (4, 4), textcoords="offset points", fontsize=7)
        limit = 100 * data["patterns"][bound]["none"]["relative_drop"]
        ax.axvline(limit, color=colour, linewidth=0.8, linestyle=":")
        ax.plot([], [], "o", color=colour, mfc="white", label=label)
    front = _front(points, more_is_better=more_is_better)
    ax.step(*zip(*front, strict=True), where="post", color="black", linewidth=0.8, alpha=0.6)
    ax.axhline(1, color="black", linewidth=0.8, linestyle="--")
    ax.annotate("dense", (LEAST, 1), (3, 3), textcoords="offset points", fontsize=7)
    ax.set_xscale("log")
    ax.set_xlim(LEAST, 200)
    ax.set_xticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
    ax.set_xlabel("increase of perplexity (%)")


def _front(points: list[tuple[float, float]], *, more_is_better: bool) -> list[tuple[float, float]]:
    """Return the points that no other one beats in both, from left to right."""
    sign = -1 if more_is_better else 1
    front: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda point: (point[0], sign * point[1])):
        if not front or sign * y < sign * front[-1][1]:
            front.append((x, y))
    return front


def plot_published(ax: plt.Axes, data: dict[str, Any]) -> None:
    """Draw our increases beside the published drops of an 8 B model, in its own units."""
    names = list(PUBLISHED_8B)
    ours = [100 * data["patterns"][name]["none"]["relative_drop"] for name in names]
    errors = [100 * data["patterns"][name]["none"]["relative_drop_stderr"] for name in names]
    places = range(len(names))
    left = ax.bar([p - 0.2 for p in places], ours, 0.4, yerr=errors, color="#0072B2", capsize=2)
    other = ax.twinx()
    right = other.bar([p + 0.2 for p in places], list(PUBLISHED_8B.values()), 0.4, color="#E69F00")
    ax.set_xticks(places, [name.replace("topk:0.5", "top-K\n50 %") for name in names])
    ax.set_ylabel("increase of perplexity, 16 M (%)")
    other.set_ylabel("drop of task accuracy, Llama-3-8B (%)")
    other.spines["top"].set_visible(False)
    ax.legend([left, right], ["this model", "published, 8 B"], fontsize=7, loc="upper right")


def main() -> None:
    """Read the results, print the table and write one figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results.json")
    parser.add_argument("--out", type=Path, required=True, help="figure file (.png, .pdf, .svg)")
    arguments = parser.parse_args()
    try:
        data = json.loads(arguments.results.read_text(encoding="utf-8"))
    except FileNotFoundError:
        parser.error(f"{arguments.results} is missing; make it with cost.py")
    print(table(data))
    figure, axes = plt.subplots(1, 3, figsize=(12.5, 4), layout="constrained")
    plot_front(axes[0], data, "energy_ratio", more_is_better=False)
    axes[0].set_ylabel("energy over dense")
    plot_front(axes[1], data, "tops_per_mm2_ratio", more_is_better=True)
    axes[1].set_ylabel("throughput per area over dense")
    plot_published(axes[2], data)
    axes[0].plot([], [], "k^", label="LS: no hardware")
    axes[0].plot([], [], "ks", label="R-Sparse, rank 64")
    axes[0].plot([], [], "k:", label="unstructured (no hardware)")
    axes[0].legend(fontsize=7)
    for ax in axes:
        ax.spines["top"].set_visible(False)
    for ax in axes[:2]:
        ax.spines["right"].set_visible(False)
    model, text = data["model"]["model_id"], data["text"]
    figure.suptitle(f"{model}, int8, {text['tokens']:,} tokens of {text['name']}", fontsize=10)
    figure.savefig(arguments.out, dpi=200)


if __name__ == "__main__":
    main()
