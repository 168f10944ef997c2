"""Time accelsim beside three other simulators on the same GEMM; README.md says what that compares.

    python benchmarks/peers/run.py [--repeats 3] [--keep DIR] [--json FILE]

Needs: the accelsim environment's Python, PyPI, and a Python 3.12 or newer for AccelForge.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import measure
import report
import tools


def main() -> int:
    """Install the peers, time every case, print the table."""
    arguments = parse_arguments()
    cases = tools.plan()
    with tempfile.TemporaryDirectory(prefix="peers-") as temporary:
        scratch = (arguments.keep or Path(temporary)).resolve()
        versions = prepare_tools(cases, scratch, arguments.python312)
        loads = [os.getloadavg()]
        time_cases(cases, arguments.repeats)
        loads.append(os.getloadavg())
    sys.stdout.write(report.table(cases) + "\n")
    if arguments.json:
        machine = report.machine() | {"load_averages_before_and_after": loads}
        data = {"machine": machine, "versions": versions, "cases": report.as_data(cases)}
        arguments.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    return int(all(case.error for case in cases))


def parse_arguments() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="timed runs of each case")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="environments, reused if there")
    parser.add_argument("--python312", metavar="PATH", help="a Python 3.12 or newer")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample")
    arguments = parser.parse_args()
    if arguments.repeats < 1:
        parser.error("--repeats must be at least 1")
    return arguments


def prepare_tools(cases: list[tools.Case], scratch: Path, python312: str | None) -> dict:
    """Prepare tool by tool and return their versions; one that fails does not stop the others."""
    versions = {}
    for tool in dict.fromkeys(case.tool for case in cases):
        log(f"preparing {tool}")
        own = [case for case in cases if case.tool == tool]
        try:
            versions[tool] = tools.prepare(tool, own, scratch, python312)
        except (measure.RunFailedError, OSError) as error:
            log(f"  failed: {error}")
            for case in own:
                case.error = str(error)
    return versions


def time_cases(cases: list[tools.Case], repeats: int) -> None:
    """Run every case so many times, in turns, so that a busy minute hits all tools alike."""
    first_of_tool = {case.label: case for case in reversed(cases)}
    for case in first_of_tool.values():
        attempt(case, "warm-up", counted=False)
    for repeat in range(repeats):
        for case in cases:
            attempt(case, f"{repeat + 1}/{repeats}")


def attempt(case: tools.Case, turn: str, *, counted: bool = True) -> None:
    """Run a case once; a case that has failed is not run again."""
    if case.error:
        return
    log(f"{turn} {case.label} {case.gemm.name} {case.pattern}")
    try:
        sample = measure.run(case.command, case.read)
    except (measure.RunFailedError, OSError) as error:
        case.error = str(error)
        log(f"  failed: {error}")
    else:
        case.samples += [sample] * counted


def log(text: str) -> None:
    """Tell the person who waits."""
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
