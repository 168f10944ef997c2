"""Run the experiments: each writes the answer, tables and figures of its folder again.

    python experiments/run_all.py [--check] [--keep] [NAME …]

`--check` compares with what is there; `--keep` takes perplexities that were measured before.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

FOLDER = Path(__file__).parent
# The headline shows perplexities that accuracy_vs_cost measures; the others are by themselves.
FIRST = ("accuracy_vs_cost", "headline")


def names() -> list[str]:
    """Return the experiments, those first that others rely on."""
    found = sorted(path.parent.name for path in FOLDER.glob("*/run.py"))
    return [*FIRST, *(name for name in found if name not in FIRST)]


def run(name: str, flags: argparse.Namespace) -> tuple[bool, float, str]:
    """Run one experiment; return whether it went well, its seconds, and what it printed."""
    script = FOLDER / name / "run.py"
    given = ["--check"] if flags.check else [] if flags.keep else ["--measure"]
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(script), *given], capture_output=True, text=True, check=False
    )
    return done.returncode == 0, time.monotonic() - start, done.stdout + done.stderr


def main() -> None:
    """Run what is asked for, and go on after a failure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names())}")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--keep", action="store_true", help="measure no perplexity again")
    flags = parser.parse_args()
    unknown = sorted(set(flags.names) - set(names()))
    if unknown:
        parser.error(f"no experiment '{unknown[0]}'; there are {', '.join(names())}")
    chosen = [name for name in names() if not flags.names or name in flags.names]
    console = Console()
    table = Table("experiment", "seconds", "", title="Experiments", title_justify="left", box=None)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    failed = 0
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task("", total=len(chosen))
        for name in chosen:
            bar.update(task, description=name)
            went_well, seconds, output = run(name, flags)
            failed += not went_well
            if not console.is_terminal:
                print(f"{name}: {seconds:.0f} s", flush=True)
            if not went_well:
                bar.console.print(f"{name}:\n{output}", markup=False, highlight=False)
            table.add_row(name, f"{seconds:.0f}", "" if went_well else "failed")
            bar.advance(task)
    console.print(table)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
