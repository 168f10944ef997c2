"""Make `accelsim/tech/data/sram_cacti.csv`, the built-in SRAM cost table, with CACTI 7.

Every step happens here: fetch the PyPI package `hwcomponents-cacti` (it carries the C++ source of
CACTI and a default configuration), make CACTI print one number it already computes, compile it,
run it once per grid point, and write the table. The package's Python class is not used: it cannot
set ports, cell types or temperature. It is therefore only unpacked, so any Python >= 3.11 will do.

    python experiments/sram_table/generate.py            # make the table (a few minutes)
    python experiments/sram_table/generate.py --check    # print its leave-one-out errors
    python experiments/sram_table/generate.py --off-grid # compare with CACTI off the grid

Needs: pip with access to PyPI, make, g++. What the settings mean and why: README.md next to this.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import itertools
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "accelsim" / "tech" / "data" / "sram_cacti.csv"
PACKAGE = "hwcomponents-cacti"
PACKAGE_VERSION = "1.0.40"

NODES_NM = (22, 32, 45)
CAPACITIES = tuple(1024 << i for i in range(13))  # 1 KiB .. 4 MiB
WIDTHS = (8, 16, 32, 64, 128, 256, 512)
BANKS = (1, 2, 4, 8)
MIN_ROWS = 16  # rows (words) per bank below which a point is not tried

# Written after the package's default configuration; CACTI takes the last value of a key.
SETTINGS = """
-cache type "ram"
-associativity 1
-tag size (b) 0
-read-write port 0
-exclusive read port 1
-exclusive write port 1
-Data array cell type - "itrs-lstp"
-Data array peripheral type - "itrs-hp"
-operating temperature (K) 350
-Optimize ED or ED^2 (ED, ED^2, NONE): "NONE"
-design objective (weight delay, dynamic power, leakage power, cycle time, area) 100:75:0:0:100
-deviate (delay, dynamic power, leakage power, cycle time, area) \
1000000:1000000:1000000:1000000:1000000
"""
SETTINGS_TEXT = (
    "ram (no tags), 1 read port + 1 write port, itrs-lstp cells, itrs-hp periphery, 350 K,\n"
    "design objective delay:read energy:leakage:cycle:area = 100:75:0:0:100 without limits,\n"
    "wires Global_30 / semi-global, no power gating, no ECC (package defaults)"
)

# CACTI reports leakage "of a bank" but adds the routing between the banks to it. The total over
# banks needs the two apart, so CACTI is made to print the routing; no number changes.
PATCH_AFTER = "fr->data_array2->power_routing_to_bank.readOp.gate_leakage) * 1e3 << endl;"
PATCH = """
    cout << "\\tLeakage of the routing between banks (mW): " <<
        (fr->data_array2->power_routing_to_bank.readOp.leakage +
         fr->data_array2->power_routing_to_bank.readOp.gate_leakage) * 1e3 << endl;"""

COLUMNS = {
    "read_energy_pj": "Dynamic read energy (nJ)",
    "write_energy_pj": "Dynamic write energy (nJ)",
    "leakage_mw": "Standby leakage per bank(mW)",
    "area_um2": "Area (mm2)",
    "cycle_time_ns": "Random cycle time (ns)",
}


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the grid."""

    node_nm: int
    capacity_bytes: int
    width_bytes: int
    banks: int


# --- CACTI ----------------------------------------------------------------------------------------
def build_cacti(work: Path) -> tuple[Path, str]:
    """Fetch, patch and compile CACTI in `work`.

    Returns:
        The folder with the binary, and the package's default configuration.
    """
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(work)]
    # The package asks for Python 3.12 for its Python code, which is not used here.
    pip += ["--ignore-requires-python", f"{PACKAGE}=={PACKAGE_VERSION}"]
    subprocess.run(pip, check=True)
    package = work / "hwcomponents_cacti"
    source = package / "cacti" / "io.cc"
    text = source.read_text(encoding="utf-8", errors="surrogateescape")
    if text.count(PATCH_AFTER) != 1:
        raise SystemExit(f"{source.name}: the place to print the routing leakage is gone")
    text = text.replace(PATCH_AFTER, PATCH_AFTER + PATCH, 1)
    source.write_text(text, encoding="utf-8", errors="surrogateescape")
    for target in ("clean", "all"):  # the shipped binary asks for a recent glibc
        subprocess.run(["make", target], cwd=package / "cacti", check=True, capture_output=True)
    return package / "cacti", (package / "default_cfg.cfg").read_text(encoding="utf-8")


def cacti_version(cacti: Path) -> str:
    """Read CACTI's own version header."""
    header = (cacti / "version_cacti.h").read_text(encoding="utf-8", errors="replace")
    found = dict(re.findall(r"#define\s+VER_(\w+)_CACTI\s+\"?([^\"\t\n]+)", header))
    return f"{found['MAJOR']}.{found['MINOR']} {found['COMMENT']}, {found['UPDATE']}"


def run_cacti(cacti: Path, defaults: str, point: Point) -> dict[str, float] | None:
    """Run CACTI for one point; None where it finds no organisation."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "memory.cfg"
        own = (
            f"-size (bytes) {point.capacity_bytes}\n"
            f"-block size (bytes) {point.width_bytes}\n"
            f"-output/input bus width {point.width_bytes * 8}\n"
            f"-technology (u) {point.node_nm / 1000}\n"
            f"-UCA bank count {point.banks}\n"
        )
        config.write_text(f"{defaults}\n{SETTINGS}{own}", encoding="utf-8")
        run = subprocess.run(
            [str(cacti / "cacti"), "-infile", str(config)],
            cwd=cacti, capture_output=True, text=True, check=False, errors="replace",
        )  # fmt: skip
        output = config.with_name("memory.cfg.out")
        if not output.exists():
            if "no valid" not in run.stdout:
                raise RuntimeError(f"CACTI failed at {point}: {run.stdout[-200:]}{run.stderr}")
            return None
        header, values = list(csv.reader(output.open(encoding="utf-8")))[:2]
    raw = dict(zip(map(str.strip, header), values, strict=False))
    row = {ours: float(raw[theirs]) for ours, theirs in COLUMNS.items()}
    row["read_energy_pj"] *= 1e3
    row["write_energy_pj"] *= 1e3
    row["area_um2"] *= 1e6
    routing = re.search(r"routing between banks \(mW\): (\S+)", run.stdout)
    if routing is None:
        raise RuntimeError("the patched CACTI does not print the routing leakage")
    shared = float(routing[1])
    row["leakage_mw"] = point.banks * (row["leakage_mw"] - shared) + shared
    return row


def grid() -> Iterator[Point]:
    """Every point worth trying."""
    for node, capacity, width, banks in itertools.product(NODES_NM, CAPACITIES, WIDTHS, BANKS):
        if capacity >= MIN_ROWS * width * banks:
            yield Point(node, capacity, width, banks)


def make_table() -> None:
    """Run the grid on two cores and write the CSV."""
    points = list(grid())
    with tempfile.TemporaryDirectory() as folder:
        cacti, defaults = build_cacti(Path(folder))
        version = cacti_version(cacti)
        with ThreadPoolExecutor(2) as pool:
            rows = list(pool.map(lambda point: run_cacti(cacti, defaults, point), points))
    kept = [(point, row) for point, row in zip(points, rows, strict=True) if row]
    comments = [
        f"SRAM cost from CACTI {version}, as packaged in {PACKAGE} {PACKAGE_VERSION} (PyPI).",
        f"Made {datetime.datetime.now(tz=datetime.UTC).date()} by:"
        " python experiments/sram_table/generate.py",
        *SETTINGS_TEXT.splitlines(),
        "width_bytes: one access of the whole memory; it is served by one bank, of this width.",
        "capacity_bytes, leakage_mw, area_um2: all banks together. Energies: per access.",
        f"Grid: {len(points)} points with >= {MIN_ROWS} rows per bank tried, {len(kept)} kept;"
        f" CACTI finds no organisation for {len(points) - len(kept)}.",
    ]
    temporary = TABLE.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8", newline="") as file:
        file.writelines(f"# {line}\n" for line in comments)
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*(field.name for field in fields(Point)), *COLUMNS])
        for point, row in kept:
            writer.writerow([*astuple(point), *(f"{row[name]:.5g}" for name in COLUMNS)])
    shutil.move(temporary, TABLE)
    dropped = [point for point, row in zip(points, rows, strict=True) if not row]
    print(f"{TABLE.relative_to(ROOT)}: {len(kept)} points, {len(dropped)} infeasible")
    for point in dropped:
        print(" ", point, point.capacity_bytes // (point.width_bytes * point.banks), "rows/bank")


# --- how well the table interpolates --------------------------------------------------------------
def read_table() -> dict[Point, npt.NDArray[np.float64]]:
    """Read the CSV: the quantities of each point, in the order of `COLUMNS`."""
    with TABLE.open(encoding="utf-8") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return {
            Point(*(int(row[field.name]) for field in fields(Point))): np.array(
                [float(row[name]) for name in COLUMNS]
            )
            for row in rows
        }


def leave_one_out_errors() -> npt.NDArray[np.float64]:
    """Predict each interior point from its two neighbours along capacity, then along width.

    The neighbours are a factor of four apart, twice the distance that a real query sees.

    Returns:
        Relative errors `[prediction, quantity]`, quantities in the order of `COLUMNS`.
    """
    table = read_table()
    steps: list[Callable[[Point, float], Point]] = [
        lambda p, f: replace(p, capacity_bytes=int(p.capacity_bytes * f)),
        lambda p, f: replace(p, width_bytes=int(p.width_bytes * f)),
    ]
    errors = [
        # Halfway between two points a factor apart, log-log interpolation is the geometric mean.
        np.sqrt(table[step(point, 0.5)] * table[step(point, 2)]) / true - 1
        for point, true in table.items()
        for step in steps
        if step(point, 0.5) in table and step(point, 2) in table
    ]
    return np.abs(errors)


def check() -> None:
    """Print the leave-one-out error of every quantity as a Markdown table."""
    errors = leave_one_out_errors() * 100
    print(f"Leave-one-out over {len(errors)} predictions along capacity or width, in percent:\n")
    print("| quantity | median | 90th percentile | worst |\n|---|---|---|---|")
    for name, column in zip(COLUMNS, errors.T, strict=True):
        median, high, worst = np.percentile(column, [50, 90, 100])
        print(f"| {name} | {median:.1f} | {high:.1f} | {worst:.1f} |")
    table = read_table()
    doubled = [
        table[twice] / values
        for point, values in table.items()
        if (twice := replace(point, capacity_bytes=2 * point.capacity_bytes)) in table
    ]
    print(f"\nDoubling the capacity ({len(doubled)} pairs of {len(table)} points):\n")
    print("| quantity | factor: least | median | most | falls |\n|---|---|---|---|---|")
    for name, column in zip(COLUMNS, np.array(doubled).T, strict=True):
        least, median, most = np.percentile(column, [0, 50, 100])
        print(f"| {name} | {least:.3f} | {median:.3f} | {most:.3f} | {(column < 1).sum()} |")


def check_off_grid() -> None:
    """Compare the lookup with fresh CACTI runs between and outside the points of the table."""
    from accelsim.tech.sram import sram_cost

    table = read_table()
    cases: dict[str, list[Point]] = {
        "1.5 x a grid capacity": [
            replace(p, capacity_bytes=p.capacity_bytes * 3 // 2)
            for p in list(table)[::7]
            if p.capacity_bytes < CAPACITIES[-1]
        ],
        "8 MiB": [
            replace(p, capacity_bytes=8 << 20) for p in table if p.capacity_bytes == CAPACITIES[-1]
        ],
        "4 B wide": [replace(p, width_bytes=4) for p in table if p.width_bytes == WIDTHS[0]],
        "512 B": [replace(p, capacity_bytes=512) for p in table if p.capacity_bytes == 1024],
    }
    print("| case | quantity | lookup / CACTI: least | 10 % | median | 90 % | most |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        cacti, defaults = build_cacti(Path(folder))
        for case, points in cases.items():
            rows = list(pool.map(lambda point: run_cacti(cacti, defaults, point), points))
            ratios = [
                np.array(astuple(sram_cost(**asdict(point)))) / list(row.values())
                for point, row in zip(points, rows, strict=True)
                if row
            ]
            for name, column in zip(COLUMNS, np.array(ratios).T, strict=True):
                spread = np.percentile(column, [0, 10, 50, 90, 100])
                cells = " | ".join(f"{value:.2f}" for value in spread)
                print(f"| {case} ({len(ratios)}) | {name} | {cells} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="print leave-one-out errors")
    parser.add_argument("--off-grid", action="store_true", help="compare with CACTI off the grid")
    options = parser.parse_args()
    if options.check:
        check()
    elif options.off_grid:
        check_off_grid()
    else:
        make_table()
