"""Write what a checkout of accelsim prints for a list of runs: a folder a run, a file an output."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

# Of TREE, what outputs depend on.
SOURCES = ("accelsim/**/*.py", "accelsim/**/*.yaml", "accelsim/**/*.csv", "accelsim/**/*.sv")
INPUTS = ("arch_configs/**/*.yaml", "traces/*", "traces/text/*", "LICENSE")
# Of what a run writes, what is made from the rest, holds hashes of it, or is no text.
DROPPED = ("*.npz", "*.parquet", "*.db", "*.svg", "sweep.json", "search.id", "points.jsonl", ".*")
KEY = ".key"  # file in the folder of a run: what it was made from


@dataclass(frozen=True, slots=True)
class Case:
    """One run.

    Attributes:
        commands: arguments of `accelsim`, one command after the other, as in a shell; a command
            that begins with `python ` is arguments of the interpreter. `{tree}` is the checkout,
            `{out}` a folder of the run's own. What the first prints is kept as `1.out`, and so on.
        files: name and text of files put into `{out}` first, with `{tree}` and `{out}` too.
    """

    commands: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)


def record(cases: Mapping[str, Case], tree: Path, folder: Path, jobs: int, only: str) -> int:
    """Run what is missing in `folder`; return 1 if a run failed, else 0."""
    tree, folder = tree.resolve(), folder.resolve()
    chosen = {name: case for name, case in cases.items() if fnmatch(name, only)}
    folder.mkdir(parents=True, exist_ok=True)
    state, began, failed = _state(tree), time.monotonic(), 0
    with tempfile.TemporaryDirectory() as work, ThreadPoolExecutor(jobs) as pool:
        recorder = Recorder(tree, folder, Path(work), state)
        said = pool.map(lambda item: recorder.run(*item), chosen.items())
        for number, (name, line) in enumerate(zip(chosen, said, strict=True), 1):
            failed += line.startswith("FAILED")
            print(f"{number:3d} of {len(chosen)}  {name:28s} {line}", flush=True)
    print(f"{len(chosen)} runs in {time.monotonic() - began:.0f} s, {failed} failed: {folder}")
    return int(failed > 0)


@dataclass(frozen=True, slots=True)
class Recorder:
    """Where runs are made and kept.

    Attributes:
        tree: the checkout.
        folder: of the record.
        work: for files of runs and for selections; shared by the runs of one record only, so that
            what another checkout selected is never taken.
        state: hash of the checkout.
    """

    tree: Path
    folder: Path
    work: Path
    state: str

    def run(self, name: str, case: Case) -> str:
        """Make one run if it is not there; return a line about it."""
        kept = self.folder / name
        key = hashlib.sha256(f"{self.state} {case}".encode()).hexdigest()
        if (kept / KEY).exists() and (kept / KEY).read_text() == key:
            return "is there"
        shutil.rmtree(kept, ignore_errors=True)
        out, began = self.work / name, time.monotonic()
        out.mkdir()
        for file, text in case.files.items():
            (out / file).write_text(self._filled(text, out), encoding="utf-8")
        for number, command in enumerate(case.commands, 1):
            done = self._execute(self._filled(command, out))
            if done.returncode:
                return f"FAILED with {done.returncode}: {command}\n{done.stderr}"
            (out / f"{number}.out").write_text(done.stdout, encoding="utf-8")
        self._keep(out, kept)
        (kept / KEY).write_text(key)
        return f"{time.monotonic() - began:.1f} s"

    def _filled(self, text: str, out: Path) -> str:
        return text.replace("{tree}", str(self.tree)).replace("{out}", str(out))

    def _execute(self, command: str) -> subprocess.CompletedProcess[str]:
        words = shlex.split(command)
        words = words[1:] if words[0] == "python" else ["-m", "accelsim", *words]
        environment = os.environ | {
            "PYTHONPATH": str(self.tree),
            "PYTHONHASHSEED": "0",
            "OMP_NUM_THREADS": "1",  # of the model: sums in the same order
            "COLUMNS": "120",  # width of tables
            "ACCELSIM_CACHE_DIR": str(self.work / ".cache"),
        }
        return subprocess.run(
            [sys.executable, *words],
            cwd=self.tree,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def _keep(self, out: Path, kept: Path) -> None:
        """Copy text files, with names instead of the paths that differ between two records."""
        for path in sorted(out.rglob("*")):
            if path.is_dir() or any(fnmatch(path.name, pattern) for pattern in DROPPED):
                continue
            text = path.read_text(encoding="utf-8")
            text = text.replace(str(out), "<out>").replace(str(self.tree), "<tree>")
            target = kept / path.relative_to(out)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")


def _state(tree: Path) -> str:
    """Return a hash of what outputs of a checkout depend on."""
    paths = {path for pattern in (*SOURCES, *INPUTS) for path in tree.glob(pattern)}
    digest = hashlib.sha256()
    for path in sorted(path for path in paths if path.is_file()):
        digest.update(f"{path.relative_to(tree)}\n".encode() + path.read_bytes())
    return digest.hexdigest()
