"""Points of a sweep a second on one process and on two, and the memory that 10,240 points take.

    python benchmarks/sweep.py [--quick]

Each sweep runs in processes of its own; selections are on disk from a first, short one. A rate of
`run` is of simulation alone, the rate of all includes start, checks and tables. `--quick` takes the
first and the last value of each axis: it shows that the benchmark runs, not how fast.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
SWEEPS = ROOT / "experiments/sweeps"


def measure(file: Path, out: Path, workers: int) -> dict[str, Any]:
    """Run a sweep in this process; return seconds of each stage, and peak memory."""
    import resource

    from accelsim.sweeps.plan import load_plan
    from accelsim.sweeps.run import run_plan

    stages: list[tuple[str, float]] = []

    def note(stage: str, _points: int, row: object) -> None:
        if row is None:
            stages.append((stage, time.perf_counter()))

    summary = run_plan(load_plan(file), out, workers=workers, listener=note)
    stages.append(("end", time.perf_counter()))
    seconds = {name: until - since for (name, since), (_, until) in pairwise(stages)}
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    usage = [resource.getrusage(kind) for kind in kinds]
    return {
        "points": summary.points,
        "run": summary.run,
        "seconds": seconds,
        "cpu_s": sum(used.ru_utime + used.ru_stime for used in usage),
        "peak_mib": [round(used.ru_maxrss / 1024) for used in usage],
    }


def report(title: str, file: Path, folder: Path, workers: int) -> None:
    """Measure in a process of its own, and print a line."""
    out = folder / f"{file.stem}-{workers}"
    words = [sys.executable, __file__, str(file), str(out), str(workers)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    began, load = time.perf_counter(), os.getloadavg()[0]
    done = subprocess.run(words, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE)
    wall_s, said = time.perf_counter() - began, json.loads(done.stdout)
    seconds = said["seconds"]
    print(
        f"{title:42s} {said['points']:6,} points  {said['points'] / wall_s:6.0f}/s in all  "
        f"{said['run'] / seconds['run']:6.0f}/s run  check {seconds['check']:.1f} s  "
        f"run {seconds['run']:.1f} s  write {seconds['write']:.1f} s  CPU {said['cpu_s']:.1f} s  "
        f"peak {said['peak_mib'][0]} MiB, workers {said['peak_mib'][1]} MiB  load {load:.1f}",
        flush=True,
    )


def write(name: str, folder: Path, *, quick: bool, more: Mapping[str, list[Any]] = {}) -> Path:
    """Write a shipped sweep with `more` axes to a folder; return the file."""
    text = (SWEEPS / f"{name}.yaml").read_text(encoding="utf-8").replace("../..", str(ROOT))
    data = yaml.safe_load(text)
    data["axes"] |= more
    if quick:
        data["axes"] = {axis: ends(values) for axis, values in data["axes"].items()}
    path = folder / f"{name}{'-larger' if more else ''}.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


def ends(values: list[Any] | dict[str, Any]) -> list[Any]:
    """Return the first and the last value of an axis, a list or a range."""
    return [values["from"], values["to"]] if isinstance(values, dict) else [values[0], values[-1]]


def main(*, quick: bool) -> None:
    """Measure the shipped sweeps, and a larger one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["ACCELSIM_CACHE_DIR"] = str(folder / "cache")
        shipped = partial(write, folder=folder, quick=quick)
        report("selects first: selector_sharing", shipped("selector_sharing"), folder, 1)
        crossbars = shipped("pattern_crossbar")
        for workers in (1, 2):
            title = f"pattern_crossbar, {workers} process{'es' if workers > 1 else ''}"
            report(title, crossbars, folder, workers)
        larger = shipped("pattern_crossbar", more={"dram.latency_ns": [50, 100]})
        report("… at two latencies, 1 process", larger, folder, 1)
        buffers = shipped("buffer_sizing")
        report("buffer_sizing (no point shares its runs)", buffers, folder, 1)
        report("decode_batch", shipped("decode_batch"), folder, 1)


if __name__ == "__main__":
    if sys.argv[1:] in ([], ["--quick"]):
        main(quick="--quick" in sys.argv)
    else:
        print(json.dumps(measure(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))
