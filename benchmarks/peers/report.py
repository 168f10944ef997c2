"""The table and the JSON file."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from pathlib import Path
from statistics import median

from tools import ACCELSIM, Case

TITLES = ("tool", "GEMM", "pattern", "cycles", "wall s", "CPU s", "MiB", "call s", "wall", "call")
TEXT_COLUMNS = 3  # the others are numbers, to the right
LEGEND = """
wall, CPU, MiB (peak): the whole process, imports included; call: the simulation without imports.
Medians. Last two columns: wall and call over those of accelsim, same GEMM and pattern."""


def table(cases: list[Case]) -> str:
    """Return medians as plain text: whole processes, calls, and their ratios to accelsim."""
    reference = {(c.gemm, c.pattern): medians(c) for c in cases if c.label == ACCELSIM}
    rows = [_row(case, reference[case.gemm, case.pattern]) for case in cases]
    widths = [max(map(len, column)) for column in zip(TITLES, *rows, strict=True)]
    lines = [_line(TITLES, widths), "  ".join("-" * width for width in widths)]
    for case, row in zip(cases, rows, strict=True):
        tail = f"  failed: {case.error}" if case.error else ""
        lines.append(_line(row, widths) + tail)
    return "\n".join([*lines, LEGEND])


def medians(case: Case) -> dict[str, float]:
    """Return the median of every measured quantity; empty for a case without samples."""
    if not case.samples:
        return {}
    found = {
        "wall_seconds": median(s.wall_seconds for s in case.samples),
        "cpu_seconds": median(s.cpu_seconds for s in case.samples),
        "peak_mib": median(s.peak_mib for s in case.samples),
    }
    if not case.from_command_line:
        found["call_seconds"] = median(s.answer.call_seconds for s in case.samples)
    return found


def as_data(cases: list[Case]) -> list[dict]:
    """Return everything that was measured, for a JSON file."""
    return [
        {
            "tool": case.label,
            "gemm": asdict(case.gemm),
            "pattern": case.pattern,
            "error": case.error or None,
            "medians": medians(case),
            "samples": [asdict(sample) for sample in case.samples],
        }
        for case in cases
    ]


def machine() -> dict:
    """Describe the machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "platform": platform.platform(),
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
    }


def _row(case: Case, reference: dict[str, float]) -> tuple[str, ...]:
    found = medians(case)
    numbers = [
        f"{case.samples[0].answer.cycles:,}" if found else "-",
        _number(found.get("wall_seconds"), "{:.2f}"),
        _number(found.get("cpu_seconds"), "{:.2f}"),
        _number(found.get("peak_mib"), "{:.0f}"),
        _number(found.get("call_seconds"), "{:.3f}"),
    ]
    for key in ("wall_seconds", "call_seconds"):
        both = key in found and key in reference
        numbers.append(f"{found[key] / reference[key]:.1f}×" if both else "-")
    return (case.label, case.gemm.name, case.pattern, *numbers)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    padded = [
        cell.ljust(width) if index < TEXT_COLUMNS else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()
