"""Make `accelsim/tech/data/synthesis_<library>.csv`: our RTL over patterns, widths and kinds.

    python experiments/area_calibration/grid.py --library nangate45 --jobs 2 [--only select]

A run can be stopped and repeated: points that are in the table, made from the same sources, are not
made again. Points that take too long are named in the log, and have no row.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import hashlib
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from pathlib import Path

from synthesis import KITS, ROOT, RTL, SCRIPTS, Kitted, Row, SynthesisError, kitted, synthesise

from accelsim.base.files import replacing

HERE = Path(__file__).parent
DATA = ROOT / "accelsim" / "tech" / "data"

PATTERNS = (
    (1, 4), (2, 4), (3, 4), (2, 8), (4, 8), (6, 8), (2, 16), (4, 16), (8, 16), (12, 16),
    (8, 32), (16, 32),
)  # fmt: skip
FEW_PATTERNS = ((1, 4), (2, 4), (4, 8), (4, 16), (8, 16), (16, 32))
LARGE = 32  # group from which pipelines of 16-bit values take ABC too long
CROSSBARS = ("full", "window", "logshift", "hierarchical")
SELECTORS = (
    ("rank", 0),
    ("bitonic", 0),
    ("radix", 0),
    ("radix", 1),
    ("cascade", 0),
    ("cascade", 1),
)
BLOCKS = ((4, 4), (8, 4), (8, 8), (16, 4), (16, 8), (16, 16), (32, 16), (32, 32))  # L, of a scale
SUBSTEPS = ((2, 4, 1), (4, 8, 2), (8, 16, 4), (16, 32, 8), (16, 32, 16))  # N, M, L <= N
JOINED = ((2, 2, 4), (4, 4, 8), (4, 8, 16), (8, 4, 16), (8, 8, 16))  # N of X, N of W, M
MATCHED = ((2, 4), (1, 8), (2, 8), (3, 8), (4, 8), (5, 8), (6, 8), (4, 16), (8, 16))
SEVERAL_GROUPS = ((2, 4, 8), (4, 8, 16))  # N, M, L > N: groups side by side


@dataclass(frozen=True, order=True)
class Point:
    """One module with its parameters; 0 where a parameter does not apply.

    Of a dot product of blocks, `n` lanes share a scale, and `kind` is the format of scales. Of a
    lane that joins masks, `lanes` are groups of a round, and `columns` values of W in a group.
    """

    block: str
    kind: str = ""
    n: int = 0
    m: int = 0
    bits: int = 0
    float: int = 0
    lanes: int = 0
    columns: int = 0
    pipelined: int = 0
    script: str = "area"

    def __str__(self) -> str:
        parameters = " ".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"{self.top} {parameters} {self.script}"

    @property
    def top(self) -> str:
        """Return the module."""
        is_family = self.block in ("select", "crossbar")
        return f"{self.block}_{self.kind}" if is_family else self.block

    @property
    def format(self) -> str:
        """Return the number format of the values."""
        if self.block == "block_dot_product":
            return {"e4m3": "nvfp4", "e8m0": "mxfp4"}[self.kind]
        return {(8, 0): "int8", (8, 1): "fp8", (16, 1): "bf16"}[self.bits, self.float]

    @property
    def folder(self) -> Path:
        """Return where its source is."""
        return HERE if self.block == "register" else RTL

    @property
    def parameters(self) -> dict[str, int]:
        """Return the parameters of the module."""
        if self.block == "block_dot_product":
            return {"L": self.lanes, "S": self.n, "E4M3": int(self.kind == "e4m3")}
        if self.block == "match_lane":
            own = {"N": self.n, "S": self.columns, "M": self.m, "Q": self.lanes}
            return {**own, "B": self.bits}
        own = {"N": self.n, "M": self.m, "B": self.bits, "L": self.lanes, "C": self.columns}
        result = {name: value for name, value in own.items() if value}
        if self.block in ("select", "selector", "mac", "dot_product"):
            result["FLOAT"] = self.float
        if self.kind in ("radix", "cascade"):
            result["PIPELINED"] = self.pipelined
        if self.block == "selector":
            result["KIND"] = ("rank", "bitonic", "radix", "cascade").index(self.kind)
        if self.block == "register":
            result["ENABLE"] = int(self.kind == "enable")
        return result

    @property
    def size(self) -> int:
        """Return a guess of its size, by which points are ordered."""
        return max(self.n * self.m, self.lanes**2) * self.bits * max(self.columns, 1)


def full_grid() -> Iterator[Point]:
    """Yield the points of the library that the technology is built on."""
    for bits in (8, 16, 32):
        yield from (Point("register", kind, bits=bits) for kind in ("plain", "enable"))
    for bits, is_float in ((8, 0), (16, 0), (8, 1), (16, 1)):
        yield Point("mac", bits=bits, float=is_float)
    yield from (Point("dot_product", bits=8, lanes=lanes) for lanes in (1, 2, 4, 8, 16, 32))
    for bits in (8, 16):
        yield from (Point("dot_product", bits=bits, float=1, lanes=lanes) for lanes in (1, 4, 16))
    yield from blocks_of_fp4()
    for n, m in PATTERNS:
        yield from (Point(block, n=n, m=m) for block in ("index_encoder", "index_decoder"))
        yield Point("compact", n=n, m=m, bits=8)
        yield from selection("select", n, m, 8)
        for columns in (1, 4, 8):
            yield from crossbars(n, m, n, 8, columns)
    yield from wide_values()
    yield from joined((1, 2, 4, 8))
    yield from selection("selector", 8, 16, 8)
    yield from matching()
    for n, m, lanes in (*SUBSTEPS, *SEVERAL_GROUPS):
        for columns in (1, 4):
            yield from crossbars(n, m, lanes, 8, columns)


def blocks_of_fp4() -> Iterator[Point]:
    """Yield dot products with scales of blocks."""
    for kind, (lanes, shared) in product(("e4m3", "e8m0"), BLOCKS):
        yield Point("block_dot_product", kind, n=shared, bits=4, float=1, lanes=lanes)


def joined(queues: tuple[int, ...]) -> Iterator[Point]:
    """Yield lanes that join masks, with rounds of so many groups."""
    for (n, stored, m), queue in product(JOINED, queues):
        yield Point("match_lane", n=n, m=m, bits=8, lanes=queue, columns=stored)
    yield Point("match_lane", n=8, m=16, bits=16, lanes=2, columns=8)


def matching() -> Iterator[Point]:
    """Yield what finds the stored weight of an activation, `columns` of which share a decoder.

    And sums of the magnitudes of blocks.
    """
    for (n, m), columns in product(MATCHED, (1, 4, 8)):
        yield Point("crossbar", "matching", n, m, 8, lanes=1, columns=columns)
    yield Point("crossbar", "matching", 4, 8, 8, lanes=4, columns=8)
    for n, m in ((2, 4), (4, 8)):
        yield Point("crossbar", "matching", n, m, 16, lanes=1, columns=4)
    yield from (Point("mask_stepper", m=m) for m in (4, 8, 16, 32))
    yield from (Point("magnitude_sum", n=n, bits=bits) for n in (1, 2, 3, 4) for bits in (8, 16))


def wide_values() -> Iterator[Point]:
    """Yield blocks for 16-bit values."""
    for n, m in FEW_PATTERNS:
        yield Point("compact", n=n, m=m, bits=16)
        yield from (p for p in selection("select", n, m, 16) if m < LARGE or not p.pipelined)
        for columns in (1, 4):
            yield from crossbars(n, m, n, 16, columns)


def reduced_grid() -> Iterator[Point]:
    """Yield the points of a library that serves to compare."""
    yield from (Point("register", kind, bits=8) for kind in ("plain", "enable"))
    for bits, is_float in ((8, 0), (16, 0), (16, 1)):
        yield Point("mac", bits=bits, float=is_float)
    yield from (Point("dot_product", bits=8, lanes=lanes) for lanes in (1, 4, 16))
    yield Point("dot_product", bits=16, float=1, lanes=4)
    for n, m in FEW_PATTERNS:
        yield from (Point(block, n=n, m=m) for block in ("index_encoder", "index_decoder"))
        yield Point("compact", n=n, m=m, bits=8)
        yield from selection("select", n, m, 8)
        for columns in (1, 8):
            yield from crossbars(n, m, n, 8, columns)
    yield from selection("select", 8, 16, 16)
    yield from joined((1, 4))


def selection(block: str, n: int, m: int, bits: int) -> Iterator[Point]:
    """Yield every kind of selector; 16-bit values are bf16."""
    for kind, pipelined in SELECTORS:
        yield Point(block, kind, n, m, bits, float=int(bits == 16), pipelined=pipelined)


def crossbars(n: int, m: int, lanes: int, bits: int, columns: int) -> Iterator[Point]:
    """Yield every kind of crossbar."""
    for kind in CROSSBARS:
        yield Point("crossbar", kind, n, m, bits, lanes=lanes, columns=columns)


def points(library: str) -> list[Point]:
    """Return all points of a library, small ones first; the delay script where it says most.

    Wide values and many columns repeat the logic of narrow ones: the area script covers them.
    """
    grid = full_grid() if library == "nangate45" else reduced_grid()
    result = []
    for point in sorted(set(grid), key=lambda point: (point.size, point)):
        is_repeat = point.kind in CROSSBARS and (point.bits > 8 or point.columns > 4)
        scripts = ("area",) if is_repeat else tuple(SCRIPTS)
        result.extend(replace(point, script=script) for script in scripts)
    return result


def sources_sha256(folder: Path, top: str) -> str:
    """Return 12 digits of a hash over a module and the modules below it, without comments."""
    found: dict[str, str] = {}
    queue = [top]
    while queue:
        name = queue.pop()
        text = re.sub(r"//.*|\s+", " ", (folder / f"{name}.sv").read_text(encoding="utf-8"))
        found[name] = " ".join(text.split())
        words = set(re.findall(r"\w+", text)) - set(found)
        queue += [word for word in sorted(words) if (folder / f"{word}.sv").exists()]
    together = "\n".join(found[name] for name in sorted(found))
    return hashlib.sha256(together.encode()).hexdigest()[:12]


class Results:
    """The table on disk; every new row rewrites it whole, in order."""

    def __init__(self, path: Path, kit: Kitted) -> None:
        self.path = path
        self.kit = kit
        self.names = [field.name for field in fields(Point)]
        self.lock = threading.Lock()
        self.rows: dict[Point, dict[str, str]] = {}
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines()
            for row in csv.DictReader(line for line in lines if not line.startswith("#")):
                self.rows[self._point(row)] = row

    def _point(self, row: dict[str, str]) -> Point:
        values = (row[name] for name in self.names)
        texts = ("block", "kind", "script")
        return Point(
            *(v if n in texts else int(v) for n, v in zip(self.names, values, strict=True))
        )

    def has(self, point: Point, rtl_sha256: str) -> bool:
        """Tell whether a point was made from these sources and this library."""
        row = self.rows.get(point, {})
        same = row.get("library_sha256") == self.kit.library.sha256
        return same and row.get("rtl_sha256") == rtl_sha256

    def add(self, point: Point, row: Row, rtl_sha256: str) -> None:
        """Add a row."""
        data = {key: str(value) for key, value in (asdict(row) | asdict(point)).items()}
        del data["library_version"]
        with self.lock:
            self.rows[point] = data | {"rtl_sha256": rtl_sha256}
            self._write()

    def _write(self) -> None:
        library = self.kit.library
        columns = [*self.names, *(k for k in next(iter(self.rows.values())) if k not in self.names)]
        with replacing(self.path) as path, path.open("w", encoding="utf-8", newline="") as file:
            file.write(
                f"# Our RTL mapped to {library.root.argument}, {library.version}: cell areas, "
                "no wires, placement or clock tree.\n"
                f"# Made {datetime.datetime.now(datetime.UTC):%Y-%m-%d} by: "
                f"python experiments/area_calibration/grid.py --library {self.kit.name}\n"
                f"# ge: area over the smallest NAND2, {library.nand2_um2} um2. delay_ps: between "
                "ports and registers, unwired, for ratios only.\n"
                f"# script: {'; '.join(SCRIPTS)}, see experiments/area_calibration/synthesis.py\n"
            )
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows[point] for point in sorted(self.rows))


def run(point: Point, results: Results, timeout_s: float) -> str:
    """Make one point unless it is there; return what became of it."""
    rtl = sources_sha256(point.folder, point.top)
    if results.has(point, rtl):
        return "known"
    start = time.monotonic()
    try:
        row = synthesise(
            results.kit, point.top, point.parameters, point.script,
            folder=point.folder, timeout_s=timeout_s,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"MISSED, over {timeout_s:.0f} s"
    except SynthesisError as error:
        return f"FAILED: {error}"
    results.add(point, row, rtl)
    return f"{row.area_um2} um2, {row.delay_ps} ps, {time.monotonic() - start:.1f} s"


def main() -> None:
    """Run the grid of one library."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", choices=KITS, required=True)
    parser.add_argument("--liberty", type=Path, help="this file instead of the one in ../shared")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", help="points whose module's name begins like this")
    parser.add_argument("--timeout", type=float, default=180, help="seconds a point may take")
    arguments = parser.parse_args()
    wanted = [p for p in points(arguments.library) if p.top.startswith(arguments.only or "")]
    start, bad = time.monotonic(), 0
    with kitted(arguments.library, arguments.liberty) as kit:
        results = Results(DATA / f"synthesis_{arguments.library}.csv", kit)
        with ThreadPoolExecutor(arguments.jobs) as pool:
            outcomes = pool.map(lambda point: run(point, results, arguments.timeout), wanted)
            for number, (point, outcome) in enumerate(zip(wanted, outcomes, strict=True), 1):
                bad += outcome.startswith(("MISSED", "FAILED"))
                print(f"{number}/{len(wanted)} {point}: {outcome}", flush=True)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{len(wanted)} points, {bad} of them not made, {time.monotonic() - start:.0f} s, "
        f"{spent.ru_utime + spent.ru_stime:.0f} s of processors"
    )
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
