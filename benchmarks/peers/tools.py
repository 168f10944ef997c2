"""The simulators, how each is installed, and what each is asked to run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from measure import Answer, RunFailedError, Sample, clean_environment, last_line

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIST_PACKAGES = """
import importlib.metadata, json, platform
found = {package.name: package.version for package in importlib.metadata.distributions()}
print(json.dumps({"python": platform.python_version(), "packages": dict(sorted(found.items()))}))
"""


@dataclass(frozen=True, slots=True)
class Gemm:
    """`Y[tokens, out_features] = X[tokens, in_features] @ W`."""

    name: str
    tokens: int
    in_features: int
    out_features: int


@dataclass(frozen=True, slots=True)
class Peer:
    """A simulator on PyPI, and what it can be asked.

    Variant `fast` has the settings with which it gives the same answer soonest; its driver knows.
    """

    requirements: tuple[str, ...]
    gemms: tuple[Gemm, ...]
    patterns: tuple[str, ...] = ("dense",)
    variants: tuple[str, ...] = ("",)
    minimum_python: tuple[int, int] = (3, 11)


@dataclass(slots=True)
class Case:
    """One tool on one GEMM: the command, and what came of it."""

    tool: str
    gemm: Gemm
    pattern: str
    variant: str = ""
    command: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    error: str = ""

    @property
    def label(self) -> str:
        """Name of the row."""
        return f"{self.tool} {self.variant}".strip()

    @property
    def from_command_line(self) -> bool:
        """Whether this is `accelsim run` and not a driver, which knows the time of its call."""
        return self.variant == COMMAND

    def read(self, output: str) -> Answer:
        """Understand what the command printed."""
        try:
            if self.from_command_line:
                return Answer(json.loads(output)["totals"]["cycles"], None)
            said = json.loads(last_line(output))
            return Answer(said["cycles"], said["seconds"])
        except (ValueError, KeyError) as error:
            raise RunFailedError(f"cannot read its output: {error!r}") from error


TINY = Gemm("tiny", tokens=64, in_features=256, out_features=256)
BIG = Gemm("big", tokens=512, in_features=2048, out_features=2048)
ACCELSIM, COMMAND, FAST = "accelsim", "run", "fast"
ACCELSIM_MACHINES = {"dense": "dense", "2:4": "nm24", "8:16": "nm816"}
PEERS = {
    "scalesim": Peer(
        ("scalesim==3.0.0", "numpy==2.3.5"),  # it dies at the end of a layer with numpy >= 2.4
        gemms=(TINY,),  # the big one takes minutes and gigabytes
        patterns=("dense", "2:4", "8:16"),
    ),
    "zigzag": Peer(
        ("zigzag-dse==3.9.1", "six==1.17.0"),  # it imports six without asking for it
        gemms=(TINY, BIG),
        variants=("", FAST),
    ),
    "accelforge": Peer(
        ("accelforge==1.0.467",),
        gemms=(TINY, BIG),
        variants=("", FAST),
        minimum_python=(3, 12),
    ),
}


def plan() -> list[Case]:
    """Return every case, not yet prepared."""
    ours = [
        Case(ACCELSIM, gemm, pattern, variant)
        for gemm in (TINY, BIG)
        for pattern in ACCELSIM_MACHINES
        for variant in ("", COMMAND)
    ]
    theirs = [
        Case(name, gemm, pattern, variant)
        for name, peer in PEERS.items()
        for variant in peer.variants
        for gemm in peer.gemms
        for pattern in peer.patterns
    ]
    return ours + theirs


def prepare(tool: str, cases: list[Case], scratch: Path, python312: str | None) -> dict:
    """Install a tool, write the inputs of its cases, and return the versions in use.

    Raises:
        RunFailedError: it cannot be installed.
    """
    if tool == ACCELSIM:
        _prepare_accelsim(cases, scratch)
        return {"commit": _commit(), **_versions(sys.executable)}
    peer = PEERS[tool]
    python = _install(peer, scratch / "environments" / tool, python312)
    for case in cases:
        inputs = scratch / "inputs" / f"{tool}-{case.gemm.name}-{case.pattern.replace(':', '_')}"
        _write_inputs(case, inputs)
        case.command = _driver(python, tool, inputs, case.variant)
    return _versions(python)


def _prepare_accelsim(cases: list[Case], scratch: Path) -> None:
    """Write a trace a GEMM; accelsim itself is in the environment that runs this."""
    traces = {case.gemm: scratch / "inputs" / f"accelsim-{case.gemm.name}.npz" for case in cases}
    for gemm, trace in traces.items():
        trace.parent.mkdir(parents=True, exist_ok=True)
        sizes = (gemm.tokens, gemm.in_features, gemm.out_features)
        _output([sys.executable, "-P", str(HERE / "make_trace.py"), str(trace), *map(str, sizes)])
    for case in cases:
        arch = ROOT / "arch_configs" / f"{ACCELSIM_MACHINES[case.pattern]}.yaml"
        trace = traces[case.gemm]
        if case.from_command_line:
            case.command = [sys.executable, "-m", "accelsim", "run", str(arch)]
            case.command += ["--trace", str(trace), "--baseline", "none", "--json"]
        else:
            case.command = _driver(sys.executable, ACCELSIM, arch, trace)


def _install(peer: Peer, folder: Path, python312: str | None) -> str:
    """Return the Python of an environment that has the peer; make it unless it is there."""
    python, stamp = str(folder / "bin" / "python"), folder / "requirements.txt"
    wanted = "\n".join(peer.requirements)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    _output([_find_python(peer.minimum_python, python312), "-m", "venv", "--clear", str(folder)])
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _output([*pip, *peer.requirements])
    stamp.write_text(wanted, encoding="utf-8")
    return python


def _find_python(minimum: tuple[int, int], given: str | None) -> str:
    """Return a Python that is new enough: this one, the given one, or one on the machine."""
    if sys.version_info >= minimum:
        return sys.executable
    names = [f"python3.{minor}" for minor in range(minimum[1], minimum[1] + 3)]
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{minimum[0]}.{minimum[1]}*/bin/python"))
    for candidate in (given, *map(str, pyenv), *map(shutil.which, names)):
        if candidate:
            return candidate
    raise RunFailedError(f"needs Python {minimum[0]}.{minimum[1]} or newer: --python312 PATH")


def _write_inputs(case: Case, folder: Path) -> None:
    """Fill in the templates of the tool's input files."""
    folder.mkdir(parents=True, exist_ok=True)
    dense = case.pattern == "dense"
    values = {
        "tokens": case.gemm.tokens,
        "in_features": case.gemm.in_features,
        "out_features": case.gemm.out_features,
        "ratio": "1:1" if dense else case.pattern,
        "sparse": str(not dense).lower(),
    }
    for template in (HERE / "inputs" / case.tool).iterdir():
        text = Template(template.read_text(encoding="utf-8")).substitute(values)
        (folder / template.name).write_text(text, encoding="utf-8")


def _driver(python: str, tool: str, *arguments: str | Path) -> list[str]:
    """Return the command of a driver; -P keeps the modules of this folder away from the tool."""
    return [python, "-P", str(HERE / f"{tool}_driver.py"), *map(str, arguments)]


def _versions(python: str) -> dict:
    return json.loads(_output([python, "-P", "-c", LIST_PACKAGES]))


def _commit() -> str:
    try:
        return _output(["git", "-C", str(ROOT), "describe", "--always", "--dirty"]).strip()
    except (RunFailedError, OSError):
        return "unknown"


def _output(command: list[str]) -> str:
    """Run a command and return its output; raise RunFailedError with its last line of error."""
    done = subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RunFailedError(last_line(done.stderr) or f"{command[0]} failed")
    return done.stdout
