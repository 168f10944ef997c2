"""Run a command once, as a process of its own, and measure it."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LIMIT_SECONDS = 300


class RunFailedError(Exception):
    """A command ended badly; the message is its last line of error."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool says of its run; `call_seconds` is the simulation without imports."""

    cycles: int
    call_seconds: float | None


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of a whole process, imports included. CPU time includes child processes."""

    wall_seconds: float
    cpu_seconds: float
    peak_mib: float
    answer: Answer


def run(command: list[str], read: Callable[[str], Answer]) -> Sample:
    """Run a command in an empty folder with nothing cached; `read` understands its output."""
    with tempfile.TemporaryDirectory(prefix="peers-run-") as folder:
        work = Path(folder, "work")
        work.mkdir()
        environment = clean_environment() | {"ACCELSIM_CACHE_DIR": str(Path(folder, "cache"))}
        with Path(folder, "out").open("w+") as out, Path(folder, "err").open("w+") as err:
            start = time.perf_counter()
            process = subprocess.Popen(command, cwd=work, env=environment, stdout=out, stderr=err)
            timer = threading.Timer(LIMIT_SECONDS, os.kill, (process.pid, signal.SIGKILL))
            timer.start()
            _, status, usage = os.wait4(process.pid, 0)
            wall_seconds = time.perf_counter() - start
            timer.cancel()
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            err.seek(0)
            output, errors = out.read(), err.read()
    if process.returncode:
        raise RunFailedError(last_line(errors) or f"exit status {process.returncode}")
    return Sample(
        wall_seconds=wall_seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mib=usage.ru_maxrss / 1024,  # Linux counts in KiB
        answer=read(output),
    )


def clean_environment() -> dict[str, str]:
    """Return this environment without Python's own settings (bytecode must be cached, say)."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def last_line(text: str) -> str:
    """Return the last line that is not blank."""
    return (text.strip().splitlines() or [""])[-1].strip()
