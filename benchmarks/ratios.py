"""Print rates and ratios, of a group to its first, from what `pytest --benchmark-json` wrote."""

from __future__ import annotations

import json
import sys
from itertools import groupby
from pathlib import Path


def main(path: str) -> None:
    """Print one line a benchmark."""
    benchmarks = json.loads(Path(path).read_text(encoding="utf-8"))["benchmarks"]
    for group, members in groupby(benchmarks, key=lambda entry: entry["group"]):
        print(group)
        first = None
        for entry in members:
            seconds = entry["stats"]["median"]
            first = first or seconds
            rates = ", ".join(
                f"{amount / seconds / 1e6:,.4g} M {unit}/s"
                for unit, amount in entry["extra_info"].items()
            )
            name = entry["name"].removeprefix("test_")
            print(
                f"  {name:30s} {seconds * 1e3:10.3f} ms {first / seconds:10.4g}× as fast  {rates}"
            )


if __name__ == "__main__":
    main(sys.argv[1])
