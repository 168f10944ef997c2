"""Measure how the cost of a run grows with tokens and layers, over three decades, and draw it."""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np

import accelsim as acs
from accelsim.trace import InputInfo, Linear, Trace, TraceMeta, TraceWriter, load_trace
from accelsim.trace.shapes import model_shape
from accelsim.trace.synthetic import QUANTILES, Recipe, quantile_array

mpl.use("Agg")
import matplotlib.pyplot as plt

ARCH = Path(__file__).parents[2] / "arch_configs/nm816.yaml"
DECADES = [64 * 2**power for power in range(0, 11, 2)]  # 64 … 65,536 tokens
BLOCKS = [1, 4, 16, 64, 256, 1024]
FEW_TOKENS = 64
KINDS = {"values": "8:16, values drawn and selected", "shapes": "8:16, shapes only"}


def laplace_quantiles(points: int = 2049) -> np.ndarray:
    """Return equally spaced quantiles of a Laplace distribution, cut where float16 still holds."""
    share = np.linspace(1e-6, 1 - 1e-6, points) - 0.5
    return (-np.sign(share) * np.log1p(-2 * np.abs(share))).astype(np.float32)


def make_trace(path: Path, *, tokens: int, blocks: int, kind: str) -> Trace:
    """Write a trace of so many transformer blocks with the shapes of Llama-3-8B."""
    first = [linear for linear in model_shape("llama-3-8b").linears() if ".0." in linear.name]
    linears = tuple(
        Linear(
            **linear.model_dump()
            | {
                name: getattr(linear, name).replace(".0.", f".{block}.")
                for name in ("name", "input")
            }
        )
        for block in range(blocks)
        for linear in first
    )
    keys = list(dict.fromkeys(linear.input for linear in linears))
    distribution = QUANTILES if kind == "values" else "none"
    recipe = Recipe(distribution=distribution, seed=0, shape_of="llama-3-8b")
    meta = TraceMeta(
        model=f"{blocks} blocks of llama-3-8b",
        sequence_lengths=(tokens,),
        linears=linears,
        inputs={key: InputInfo(dtype="float16") for key in keys},
        synthetic=recipe.model_dump(),
    )
    with TraceWriter(path) as writer:
        for key in keys if kind == "values" else ():
            writer.add_array(quantile_array(key), laplace_quantiles())
        writer.finish(meta)
    return load_trace(path)


def measure() -> Iterator[dict[str, object]]:
    """Yield one row a point; everything is compiled before the first."""
    arch = acs.load_arch(ARCH)
    points = [("tokens", tokens, 1) for tokens in DECADES]
    points += [("layers", FEW_TOKENS, blocks) for blocks in BLOCKS]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.npz"
        acs.simulate(arch, make_trace(path, tokens=2048, blocks=1, kind="values"))
        for axis, tokens, blocks in points:
            for kind in KINDS:
                trace = make_trace(path, tokens=tokens, blocks=blocks, kind=kind)
                began = time.perf_counter()
                result = acs.simulate(arch, trace)
                yield {
                    "axis": axis,
                    "tokens": tokens,
                    "layers": len(trace.linears),
                    "kind": kind,
                    "seconds": time.perf_counter() - began,
                    "cycles": result.cycles,
                }


def slope(sizes: list[float], seconds: list[float]) -> float:
    """Return the exponent of growth over the last three points (a factor of 16)."""
    return float(np.polyfit(np.log(sizes[-3:]), np.log(seconds[-3:]), 1)[0])


def plot(ax: plt.Axes, rows: list[dict[str, str]], axis: str) -> None:
    """Draw seconds against tokens or layers, with the growth over the upper end."""
    for colour, (kind, label) in zip(("#0072B2", "#D55E00"), KINDS.items(), strict=True):
        chosen = [row for row in rows if row["axis"] == axis and row["kind"] == kind]
        sizes = [float(row[axis]) for row in chosen]
        seconds = [float(row["seconds"]) for row in chosen]
        exponent = round(slope(sizes, seconds), 2) + 0.0  # no "-0.00"
        grows = f"{label}: size^{exponent:.2f}"
        ax.loglog(sizes, seconds, "o-", color=colour, label=grows)
        if kind == "values":
            ideal = [seconds[-1] * size / sizes[-1] for size in sizes]
            ax.loglog(sizes, ideal, ":", color="black", linewidth=0.8, label="proportional")
    ax.set_xlabel({"tokens": "tokens (7 layers)", "layers": f"layers ({FEW_TOKENS} tokens)"}[axis])
    ax.set_ylabel("seconds")
    ax.legend(fontsize=8)
    ax.grid(visible=True, which="major", linewidth=0.3)


def main() -> None:
    """Measure unless the table exists already, then draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, default=Path(__file__).parent / "scaling.csv")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if not options.table.exists():
        rows = []
        for row in measure():
            rows.append(row)
            print(*row.values(), flush=True)
        with options.table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    with options.table.open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for ax, axis in zip(axes, ("tokens", "layers"), strict=True):
        plot(ax, table, axis)
    figure.savefig(options.out, dpi=160)


if __name__ == "__main__":
    main()
