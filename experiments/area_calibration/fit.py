"""Fit the prices of a technology table to synthesis and to simulated switching.

    python experiments/area_calibration/fit.py nangate45 [--check]

Reads accelsim/tech/data/synthesis_<library>.csv and energy_<library>.csv, writes <library>.yaml
beside them and held_out.csv here. Area and delay of a block are sums over its parts (`BLOCKS`,
counted in accelsim/hardware) with prices that cannot be negative, fitted to relative errors.
Held-out errors are those of every N:M pattern, predicted from a fit to all other patterns (of a
unit without patterns: of every point, from all others). Prices are per part, never per point.
"""

from __future__ import annotations

import argparse
import csv
import re
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from accelsim.base.files import replacing
from accelsim.hardware import BLOCKS
from accelsim.precision import PRECISIONS, Precision
from accelsim.tech.blocks import Parts, Shape
from accelsim.tech.technology import Technology

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "accelsim" / "tech" / "data"
NODES_NM = {"nangate45": 45, "asap7": 7, "sg13g2": 130}
EFFORTS = ("area", "delay")
Row = Mapping[str, str]


@dataclass(frozen=True)
class Point:
    """A synthesised block: its shape, and what was measured."""

    name: str
    shape: Shape
    effort: str
    area_um2: float
    delay_ps: float

    @property
    def fold(self) -> object:
        """Return what is left out together with this point."""
        return (self.shape.n, self.shape.m) if self.shape.m > 1 else self.shape


@dataclass(frozen=True)
class Fitted:
    """Prices by part, and the errors: of the fit, and of points held out of it."""

    prices: dict[str, float]
    errors: list[float]
    held_out: list[tuple[Point, float]]

    def describe(self) -> str:
        """Return the errors in one line."""
        fit = [abs(error) for error in self.errors]
        text = f"{len(fit)} points, error median {statistics.median(fit):.1%} worst {max(fit):.1%}"
        if self.held_out:
            held = [abs(error) for _, error in self.held_out]
            text += f", held out median {statistics.median(held):.1%} worst {max(held):.1%}"
        return text


def read(path: Path) -> Iterator[Row]:
    """Yield the rows of a table with comment lines."""
    with path.open(encoding="utf-8") as file:
        yield from csv.DictReader(line for line in file if not line.startswith("#"))


def number_format(row: Row) -> type[Precision]:
    """Return the format of a row: of floats that with so many bits, of integers int8 for all."""
    if row["block"] == "block_dot_product":
        return next(p for p in PRECISIONS.values() if p.dot_product.endswith(row["kind"]))
    name = {"8": "fp8", "16": "bf16"}[row["bits"]] if row["float"] == "1" else "int8"
    return PRECISIONS[name]


def module(row: Row) -> tuple[str, Shape]:
    """Return the block and the shape that a row of a table is about."""
    parts = (row["block"], row["kind"], "pipelined" if row["pipelined"] == "1" else "")
    numbers = {name: max(1, int(row[name])) for name in ("n", "m", "lanes", "columns")}
    kind, bits = number_format(row), int(row["bits"]) or 8
    floating = {"significand_bits": kind.significand_bits, "exponent_bits": kind.exponent_bits}
    if kind.block:
        numbers["scale_lanes"] = numbers.pop("n")
    if row["block"] == "match_lane":
        numbers |= {"queue": numbers.pop("lanes"), "stored": numbers.pop("columns")}
    shape = Shape(**numbers, bits=bits, is_float=kind.is_float(), **floating)
    return "_".join(filter(None, parts)), shape


def point(row: Row) -> Point:
    """Return a row of a synthesis table."""
    name, shape = module(row)
    return Point(
        name=name,
        shape=shape,
        effort=row["script"],
        area_um2=float(row["area_um2"]),
        delay_ps=float(row["delay_ps"]),
    )


@dataclass(frozen=True)
class Quantity:
    """What is fitted: `measured` of a point is `fixed`, plus `parts` times prices."""

    parts: Callable[[Shape], Parts]
    measured: Callable[[Point], float]
    fixed: Callable[[Shape], float] = lambda _: 0.0

    def error(self, prices: Parts, p: Point) -> float:
        """Return the relative error of a prediction."""
        total = sum(count * prices.get(part, 0.0) for part, count in self.parts(p.shape).items())
        return (self.fixed(p.shape) + total) / self.measured(p) - 1

    def solve(self, points: Sequence[Point]) -> dict[str, float]:
        """Return the prices with the least squared relative error; none is negative."""
        features = [self.parts(p.shape) for p in points]
        names = sorted({name for feature in features for name in feature})
        counts = np.array([[feature.get(name, 0.0) for name in names] for feature in features])
        measured = np.array([self.measured(p) for p in points])
        fixed = np.array([self.fixed(p.shape) for p in points])
        prices, _ = nnls(counts / measured[:, None], 1 - fixed / measured)
        return dict(zip(names, prices.tolist(), strict=True))

    def fit(self, points: Sequence[Point]) -> Fitted:
        """Fit all points, and every fold from the others."""
        points = [p for p in points if self.measured(p) > 0]
        prices = self.solve(points)
        held_out = []
        for fold in {p.fold for p in points}:
            others = [p for p in points if p.fold != fold]
            seen = {part for p in others for part, count in self.parts(p.shape).items() if count}
            predictable = [p for p in points if p.fold == fold and self._used(p) <= seen]
            if predictable:
                from_others = self.solve(others)
                held_out += [(p, self.error(from_others, p)) for p in predictable]
        return Fitted(prices, [self.error(prices, p) for p in points], held_out)

    def _used(self, p: Point) -> set[str]:
        return {part for part, count in self.parts(p.shape).items() if count}


def area_of(name: str, register_um2: float) -> Quantity:
    """Return the area of a block: flip-flops have the price of a plain register."""

    def logic(shape: Shape) -> Parts:
        return {k: v for k, v in BLOCKS[name].parts(shape).items() if k != "register_bits"}

    def registers(shape: Shape) -> float:
        return BLOCKS[name].parts(shape).get("register_bits", 0) * register_um2

    return Quantity(logic, lambda p: p.area_um2, registers)


def delay_of(name: str) -> Quantity:
    """Return the delay of a block."""
    return Quantity(BLOCKS[name].path, lambda p: p.delay_ps)


def densities(library: str, table: Technology) -> dict[str, dict[str, float]]:
    """Return pJ per µm² by block and action, median over the measured shapes.

    The area is the one that the unit multiplies it with again: see `energy_pj` of the units.
    """
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in energy_rows(library):
        name, action, area_um2 = switched(row, table)
        if area_um2:
            found[name][action].append(float(row["energy_pj"]) / area_um2)
    return {
        name: {action: statistics.median(values) for action, values in actions.items()}
        for name, actions in found.items()
    }


def energy_rows(library: str) -> Iterator[Row]:
    """Yield the rows of the energy table that the model uses: logic without glitches."""
    path = DATA / f"energy_{library}.csv"
    if path.exists():
        yield from (row for row in read(path) if row["delay_model"] == "zero")


def switched(row: Row, table: Technology) -> tuple[str, str, float]:
    """Return block and action of a row, and the area that the action switches: 0 if not used."""
    (name, shape), action = module(row), row["action"]
    if row["block"] == "selector" and action == "group":
        name = name.replace("selector", "select")
        registers = shape.n * shape.bits + shape.m + 1
        area = table.block(name, shape).area_um2 + table.block("compact", shape).area_um2
        steps = {"select_radix": shape.key_bits, "select_cascade": shape.n}.get(name, 1)
        return name, action, (area + registers * table.register_um2) * steps
    if row["block"] == "crossbar":
        costs = table.block(name, shape).parts_um2
        shared = sum(um2 for part, um2 in costs.items() if part in ("places", "substep_bits"))
        route = (sum(costs.values()) - shared) / (shape.n * shape.columns)
        return name, action, shared if action == "decode" else route
    if row["block"] == "match_lane":  # the groups of a round stand still, but for the one in turn
        return name, action, table.block(name, replace(shape, queue=1)).area_um2
    if row["block"] in ("index_encoder", "index_decoder"):
        return name, action, table.block(name, shape).logic_um2
    if row["block"].endswith("dot_product") and not action.startswith("step"):
        action = f"{number_format(row).arithmetic}_{action}"
        cost = table.block(name, shape)
        blocks_um2 = cost.parts_um2.get("block_sums", 0.0)
        lane = (cost.logic_um2 - blocks_um2) / shape.lanes
        is_sum = "accumulate" in action
        return name, action, 64 * table.register_um2 + blocks_um2 if is_sum else lane
    return name, action, 0.0


def header(library: str, rows: Sequence[Row]) -> list[str]:
    """Return the top of the table: flip-flops, gate equivalent, leakage."""
    made = source(library, rows)
    text = (DATA / f"synthesis_{library}.csv").read_text(encoding="utf-8")
    nand2 = float(re.search(r"smallest NAND2, ([\d.]+) um2", text)[1])
    energies = list(read(DATA / f"energy_{library}.csv"))
    # Of what every machine has: a number format more must not change the leakage of all others.
    common = [row for row in energies if row["block"] != "block_dot_product"]
    leakage = statistics.median(float(row["leakage_nw_per_um2"]) for row in common)
    register = next(float(r["energy_pj"]) / int(r["bits"]) for r in energies if is_register(r))
    numbers = {
        "nand2_um2": (nand2, f"smallest NAND2 of {library}"),
        "register_um2": (plain_register(rows), made),
        "register_pj": (register, "energy_*.csv: a cycle of a register that follows activations"),
        "leakage_nw_per_um2": (leakage, "energy_*.csv: median of the mapped netlists"),
    }
    return [
        "# Prices of the parts of our RTL, made by fit.py of experiments/area_calibration.",
        "# area: netlist mapped for area; delay: for speed, taken where the small one misses the",
        "# clock. um2 and ps a part; energy in pJ per um2 that an action switches.",
        "schema: 2",
        f"name: {library}",
        f"node_nm: {NODES_NM[library]}",
        *(f'{k}: {{value: {v:.4g}, source: "{where}"}}' for k, (v, where) in numbers.items()),
        "blocks:",
    ]


def is_register(row: Row) -> bool:
    """Return whether a row is the energy of a plain register."""
    return row["block"] == "register"


def source(library: str, rows: Sequence[Row]) -> str:
    """Return where the prices of a library come from."""
    return (
        f"our RTL, Yosys {rows[0]['yosys']}, {library} (sha256 {rows[0]['library_sha256']}), "
        f"synthesis_{library}.csv"
    )


def write_held_out(library: str, held_out: Sequence[tuple[str, str, str, Point, float]]) -> None:
    """Write the error of every held-out point."""
    with replacing(HERE / f"held_out_{library}.csv") as path, path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(
            ("block", "script", "quantity", "n", "m", "bits", "lanes", "columns", "error")
        )
        for name, effort, key, p, error in sorted(held_out, key=str):
            s = p.shape
            table.writerow(
                (name, effort, key, s.n, s.m, s.bits, s.lanes, s.columns, f"{error:+.4f}")
            )


def fitted_blocks(rows: Sequence[Row]) -> Iterator[tuple[str, str, str, Fitted]]:
    """Yield (block, script, quantity, fit) of every block."""
    points = [point(row) for row in rows]
    register_um2 = plain_register(rows)
    for name in sorted(BLOCKS):
        for effort in EFFORTS if BLOCKS[name].priced_like is None else ():
            chosen = [p for p in points if p.name == name and p.effort == effort]
            yield name, effort, "area_um2", area_of(name, register_um2).fit(chosen)
            yield name, effort, "delay_ps", delay_of(name).fit(chosen)


def plain_register(rows: Sequence[Row]) -> float:
    """Return the area of a flip-flop."""
    return next(float(r["area_um2"]) / int(r["bits"]) for r in rows if r["kind"] == "plain")


def main() -> None:
    """Write the table of one library."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", choices=NODES_NM)
    parser.add_argument("--check", action="store_true", help="print, write nothing")
    options = parser.parse_args()
    library = options.library
    rows = list(read(DATA / f"synthesis_{library}.csv"))
    results = list(fitted_blocks(rows))
    for name, effort, key, result in results:
        print(f"{name:26} {effort:6} {key:9} {result.describe()}")
    if options.check:
        return
    top = header(library, rows)
    # Densities need the areas, so the table is written without them first.
    for energies in ({}, None):
        found = densities(library, Technology.load(library)) if energies is None else {}
        with replacing(DATA / f"{library}.yaml") as path:
            lines = top + list(block_lines(results, found, source(library, rows)))
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_held_out(
        library,
        [(n, e, key, p, error) for n, e, key, r in results for p, error in r.held_out],
    )


def block_lines(
    results: Sequence[tuple[str, str, str, Fitted]],
    energies: Mapping[str, Mapping[str, float]],
    made: str,
) -> Iterator[str]:
    """Yield the lines of the blocks, errors as comments."""
    for name in dict.fromkeys(own for own, *_ in results):
        yield f"  {name}:"
        for effort in EFFORTS:
            yield f"    {effort}:"
            for own, script, key, result in results:
                if (own, script) == (name, effort):
                    inner = ", ".join(f"{k}: {v:.4g}" for k, v in result.prices.items())
                    yield f"      # {result.describe()}"
                    yield f"      {key}: {{{inner}}}"
        if name in energies:
            inner = ", ".join(f"{k}: {v:.4g}" for k, v in energies[name].items())
            yield f"    energy_pj_per_um2: {{{inner}}}"
        yield f'    source: "{made}"'


if __name__ == "__main__":
    main()
