"""Commands as processes of their own, and what they leave."""

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
ARCHS = ROOT / "arch_configs"


def write_sweep(path, trace, **keys):
    """Write a sweep over a trace; keys given replace those of a plain one, None removes a key."""
    plain = {
        "schema": 1,
        "name": "small",
        "base": str(ARCHS / "nm816.yaml"),
        "traces": str(trace),
        "axes": {"mac_array.lanes": [8, 16], "dram.bandwidth_gb_per_s": [16, 64]},
    }
    data = {key: value for key, value in (plain | keys).items() if value is not None}
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path


def command(*arguments, first="pass"):
    """Start `accelsim sweep` as a process of its own, as a user does; it may do something first."""
    start = f"{first}; import sys; from accelsim.cli import main; sys.exit(main())"
    words = [sys.executable, "-c", start, "sweep", *map(str, arguments)]
    return subprocess.Popen(
        words,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process):
    """Wait for a command that must succeed; return what it printed."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def tables(folder):
    """The bytes of the tables of a sweep."""
    return {name: (folder / name).read_bytes() for name in ("results.csv", "results.parquet")}


def rows_written(folder):
    """The rows of a sweep in the order in which they were finished."""
    lines = (folder / "points.jsonl").read_bytes().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith(b"\n")]
