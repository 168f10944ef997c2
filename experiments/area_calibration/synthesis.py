"""Turn one module of our RTL into mapped area and delay, with Yosys, its ABC and a Liberty file.

    python experiments/area_calibration/synthesis.py select_rank N=8 M=16 B=8 --library nangate45

Areas are cell areas: no wires, placement, clock tree or memories. Delays are what ABC's timer finds
between ports and flip-flops (either end), with cell loads, without wires, without clock-to-output
and set-up times: use them for ratios.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from liberty import Library

ROOT = Path(__file__).resolve().parents[2]
RTL = ROOT / "accelsim" / "rtl" / "sv"
LIBERTY = ROOT.parent / "shared" / "liberty"


@dataclass(frozen=True)
class Kit:
    """How a cell library is used here."""

    file: str
    unwanted: (
        str  # cells that mapping must not use: test, tri-state, clock, delay, fill, tie cells,
    )
    # latches, full adders (they hide the adder from ABC), drives of 8 and more, and every flip-flop
    # but the smallest, so that area does not depend on which one dfflibmap happens to find
    driver: str  # drives the inputs
    load_ff: float  # on the outputs: the data pin of the flip-flop


KITS = {
    "nangate45": Kit(
        "nangate45_typ.lib.gz",
        r"ANTENNA|FILL|CLK|LOGIC|SDFF|TBUF|TINV|TLAT|DL[HL]_|DFF[RS]|DFF_X2|[FH]A_|_X(8|16|32)$",
        "BUF_X2",
        1.14,
    ),
    "asap7": Kit(
        "asap7_rvt_tt_pruned.lib.gz",
        r"DFFASR|DFFL|DFFHQNx[23]|DFFHQx4|FAx|x(6|8|1\d|24)f?_",
        "BUFx2_ASAP7_75t_R",
        0.56,
    ),
    "sg13g2": Kit(
        "sg13g2_typ.lib.gz",
        r"antenna|decap|fill|dl[hly]|ebufn|einvn|lgcp|sdf|sighold|tie|dfrbp_|dfrbpq_2|_(8|16)$",
        "sg13g2_buf_2",
        1.42,
    ),
}

# Restructuring and mapping in ABC. Each was the best of about 30 sequences: see README.md.
_REDUCE = "strash; ifraig; scorr"
_SMALLER = (
    "balance -l; resub -K 6 -l; rewrite -l; resub -K 6 -N 2 -l; refactor -l; resub -K 8 -l; "
    "balance -l; resub -K 8 -N 2 -l; rewrite -l; resub -K 10 -l; rewrite -z -l; "
    "resub -K 10 -N 2 -l; balance -l; resub -K 12 -l; refactor -z -l; resub -K 12 -N 2 -l; "
    "rewrite -z -l; balance -l"
)
SCRIPTS = {
    "area": f"{_REDUCE}; {_SMALLER}; dch; amap -m; strash; dch; amap -m; strash; dch; amap -m",
    "delay": f"{_REDUCE}; dc2; strash; if -g -K 6; strash; dch -f; map -B 0.9; topo; buffer; "
    "upsize; dnsize",
}

# Multiplier and adder modules are turned into carry-save arithmetic one by one (alumacc), and only
# then merged; otherwise Yosys fuses them into a larger $macc. Full adders stay logic.
FLOW = """
read_verilog -sv {source}
hierarchy -check -libdir {folder} -top {top} {parameters}
proc; opt; check -assert
wreduce; peepopt; opt_clean; alumacc; opt
flatten; opt -full
techmap; opt
dfflibmap -liberty {liberty}
opt
abc -liberty {liberty} -constr {constraints} -script {script}
opt_clean -purge
stat -liberty {liberty}
{last}
"""


class SynthesisError(RuntimeError):
    """Yosys failed, or what it made is not what it should be."""


@dataclass(frozen=True)
class Kitted:
    """A library ready for use: parsed, and on disk without the unwanted cells."""

    name: str
    kit: Kit
    library: Library
    path: Path


@dataclass(frozen=True)
class Row:
    """What synthesis of one module gives."""

    area_um2: float
    comb_um2: float
    seq_um2: float
    flip_flops: int
    ge: float
    cells: int
    delay_ps: float
    script: str
    yosys: str
    library: str
    library_sha256: str
    library_version: str


@contextmanager
def kitted(name: str, liberty: Path | None = None) -> Iterator[Kitted]:
    """Prepare a library: the one of `KITS` from ../shared, or the given file in its place."""
    kit = KITS[name]
    library = Library.read(liberty or LIBERTY / kit.file)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.lib"
        path.write_text(library.without(kit.unwanted), encoding="utf-8")
        yield Kitted(name, kit, library, path)


def synthesise(  # noqa: PLR0913
    kit: Kitted,
    top: str,
    parameters: Mapping[str, int],
    script: str,
    *,
    folder: Path = RTL,
    netlist: Path | None = None,
    timeout_s: float | None = None,
) -> Row:
    """Synthesise `folder/top.sv`.

    Args:
        kit: the library.
        top: a module; its file and those of the modules below it have their names.
        parameters: of the module.
        script: a name of `SCRIPTS`, or the text of an ABC script.
        folder: where the sources are.
        netlist: where to write the mapped netlist, as JSON.
        timeout_s: after which to give up.

    Raises:
        SynthesisError: Yosys fails, or leaves a latch or an unmapped cell.
        subprocess.TimeoutExpired: it takes too long.
    """
    with tempfile.TemporaryDirectory() as work:
        abc, constraints = Path(work) / "script.abc", Path(work) / "constraints"
        commands = f"{SCRIPTS.get(script, script)}; topo; stime -p"
        abc.write_text("\n".join(re.split(r";\s*", commands)) + "\n", encoding="utf-8")
        constraints.write_text(f"set_driving_cell {kit.kit.driver}\nset_load {kit.kit.load_ff}\n")
        flow = FLOW.format(
            source=folder / f"{top}.sv",
            folder=folder,
            top=top,
            parameters=" ".join(f"-chparam {key} {value}" for key, value in parameters.items()),
            liberty=kit.path,
            constraints=constraints,
            script=abc,
            last=f"write_json {netlist}" if netlist else "",
        )
        log = _yosys(flow, timeout_s)
    return _row(kit, top, script, log)


def _yosys(flow: str, timeout_s: float | None) -> str:
    command = ["yosys", "-T", "-"]
    pipe = subprocess.PIPE
    # In a session of its own, so that a time-out also ends ABC, which Yosys starts.
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        try:
            log, errors = process.communicate(flow, timeout=timeout_s)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        raise SynthesisError(f"yosys failed: {errors.strip() or log[-2000:]}")
    return log


@cache
def yosys_version() -> str:
    """Return the version of Yosys, such as 0.23."""
    done = subprocess.run(["yosys", "-V"], capture_output=True, text=True, check=True)
    return done.stdout.split()[1]


def _row(kit: Kitted, top: str, script: str, log: str) -> Row:
    """Read the statistics that end a log."""
    statistics = log[log.rindex("Printing statistics.") :]
    counts = Counter(
        {name: int(number) for name, number in re.findall(r"^ {5}(\S+) +(\d+)$", statistics, re.M)}
    )
    cells = kit.library.cells
    if strange := set(counts) - set(cells):
        raise SynthesisError(f"{top}: cells that are not of the library: {sorted(strange)}")
    printed = re.search(r"Chip area for (?:top )?module '.*': ([\d.]+)", statistics)
    if printed is None:
        raise SynthesisError(f"{top}: no area was printed")
    area = {name: cells[name].area_um2 * number for name, number in counts.items()}
    total = math.fsum(area.values())
    if abs(total - float(printed[1])) > 1e-6 * total + 1e-6:
        raise SynthesisError(f"{top}: Yosys prints {printed[1]} um2, its cells take {total} um2")
    flip_flops = [name for name in counts if cells[name].flip_flop]
    sequential = math.fsum(area[name] for name in flip_flops)
    delays = re.findall(r"Delay = *([\d.]+) ps", log)
    return Row(
        area_um2=round(total, 5),
        comb_um2=round(total - sequential, 5),
        seq_um2=round(sequential, 5),
        flip_flops=sum(counts[name] for name in flip_flops),
        ge=round(total / kit.library.nand2_um2, 2),
        cells=counts.total(),
        delay_ps=float(delays[-1]) if delays else 0.0,  # no logic between ports and registers
        script=script,
        yosys=yosys_version(),
        library=kit.name,
        library_sha256=kit.library.sha256,
        library_version=kit.library.version,
    )


def main() -> None:
    """Synthesise one module from the command line."""
    parser = argparse.ArgumentParser(description="Synthesise one module of accelsim/rtl/sv.")
    parser.add_argument("top")
    parser.add_argument("parameters", nargs="*", metavar="NAME=VALUE")
    parser.add_argument("--library", choices=KITS, default="nangate45")
    parser.add_argument("--liberty", type=Path, help="this file instead of the one in ../shared")
    parser.add_argument("--script", choices=SCRIPTS, action="append")
    parser.add_argument("--folder", type=Path, default=RTL)
    arguments = parser.parse_args()
    pairs = (pair.split("=") for pair in arguments.parameters)
    parameters = {name: int(value) for name, value in pairs}
    with kitted(arguments.library, arguments.liberty) as kit:
        for script in arguments.script or SCRIPTS:
            row = synthesise(kit, arguments.top, parameters, script, folder=arguments.folder)
            print("  ".join(f"{key} {value}" for key, value in asdict(row).items()))


if __name__ == "__main__":
    main()
