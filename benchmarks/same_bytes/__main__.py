"""Prove that a change of the code changes no output: record a checkout, change it, compare.

    python benchmarks/same_bytes record TREE BEFORE    # TREE: a checkout of accelsim
    python benchmarks/same_bytes record . AFTER
    python benchmarks/same_bytes compare BEFORE AFTER  # exit code 1 if a value differs

`record` goes on where it stopped, and runs again what an edit of TREE may have changed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from compare import report
from record import record
from runs import RUNS


def main() -> int:
    """Run one of the two commands; return its exit code."""
    parser = argparse.ArgumentParser(prog="same_bytes", description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record", help="write what a checkout prints into a folder")
    recording.add_argument("tree", type=Path, help="a checkout of accelsim")
    recording.add_argument("folder", type=Path, help="folder to write or to complete")
    recording.add_argument("-j", "--jobs", type=int, default=2, help="processes at once")
    recording.add_argument("--only", default="*", help="runs whose names match this glob")
    comparing = commands.add_parser("compare", help="compare two folders value by value")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    comparing.add_argument("--only", default="*", help="runs whose names match this glob")
    arguments = parser.parse_args()
    if arguments.command == "compare":
        return report(arguments.before, arguments.after, arguments.only)
    return record(RUNS, arguments.tree, arguments.folder, arguments.jobs, arguments.only)


if __name__ == "__main__":
    raise SystemExit(main())
