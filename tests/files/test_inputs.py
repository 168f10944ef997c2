"""Inputs are regular files: pipes, which never answer, and devices, which never end, are refused.

Every option of every command that takes a path is either tried here, or listed as an output.
"""

import json
import os
import signal
import time
from importlib import import_module
from pathlib import Path

import pytest

from accelsim.cli import COMMANDS, main
from accelsim.cli.paths import path_flags

ROOT = Path(__file__).parents[2]
NM24 = str(ROOT / "arch_configs" / "nm24.yaml")
LLAMA = str(ROOT / "traces" / "llama.npz")
MODEL = ROOT / "traces" / "models" / "llama-docs-16m"
BAD = "BAD"  # stands for the pipe or the device

BUDGET = ("--budget", "cycles=1", "--out", "policy.yaml")

# Each path of each command, as flag or argument, with the least that makes it read.
INPUTS = {
    "run arch": ("run", BAD, "--trace", LLAMA),
    "run --trace": ("run", NM24, "--trace", BAD),
    "run --policy": ("run", NM24, "--trace", LLAMA, "--policy", BAD),
    "run technology.table": ("run", NM24, "--trace", LLAMA, "--set", f"technology.table={BAD}"),
    "compare archs": ("compare", NM24, BAD, "--trace", LLAMA),
    "compare --trace": ("compare", NM24, NM24, "--trace", BAD),
    "compare --policy": ("compare", NM24, NM24, "--trace", LLAMA, "--policy", BAD),
    "plot folders": ("plot", "cost", BAD, "--out", "x.png"),
    "plot --accuracy": ("plot", "front", "RUN", "--out", "x.png", "--accuracy", BAD),
    "sweep sweep": ("sweep", BAD, "--out", "out"),
    "sweep --trace": ("sweep", "SWEEP", "--out", "out", "--trace", BAD),
    "pareto folder": ("pareto", BAD),
    "area arch": ("area", BAD),
    "rtl arch": ("rtl", BAD, "--out", "out"),
    "inspect trace": ("inspect", BAD),
    "capture --text": (
        *("capture", "--model", str(MODEL), "--text", BAD, "--tokens", "1", "--out", "t.npz"),
    ),
    "capture --model": (
        *("capture", "--model", BAD, "--text", NM24, "--tokens", "1", "--out", "t.npz"),
    ),
    "synth --quantiles": (
        *("synth", "--model", "llama-3-8b", "--tokens", "1", "--out", "t.npz", "--quantiles", BAD),
    ),
    "synth --shapes": ("synth", "--shapes", BAD, "--tokens", "1", "--out", "t.npz"),
    "accuracy --model": ("accuracy", "--model", BAD),
    "accuracy --text": ("accuracy", "--model", str(MODEL), "--text", BAD),
    "accuracy --calibration": ("accuracy", "--model", str(MODEL), "--calibration", BAD),
    "accuracy --policy": ("accuracy", "--model", str(MODEL), "--policy", BAD),
    "accuracy --load-calibration": (
        *("accuracy", "--model", str(MODEL), "--tokens", "40", "--load-calibration", BAD),
    ),
    "tune arch": ("tune", BAD, "--trace", LLAMA),
    "tune --trace": ("tune", NM24, "--trace", BAD),
    "tune --policy": ("tune", NM24, "--trace", LLAMA, "--policy", BAD),
    "policy arch": (
        "policy",
        "search",
        BAD,
        "--trace",
        LLAMA,
        "--budget",
        "cycles=1",
        "--out",
        "p",
    ),
    "policy --trace": (
        "policy",
        "search",
        NM24,
        "--trace",
        BAD,
        "--budget",
        "cycles=1",
        "--out",
        "p",
    ),
}
OUTPUTS = {
    *("run --csv", "run --out", "run --timeline", "run --vcd", "compare --csv"),
    *("compare --out", "plot --out", "sweep --out", "pareto --plot", "rtl --out", "capture --out"),
    *("synth --out", "accuracy --csv", "accuracy --save-calibration", "accuracy --heatmap"),
    *("policy --out", "area --csv", "inspect --csv", "tune --out"),
}
SWEEP = f"""schema: 1
name: tiny
base: {NM24}
traces: {LLAMA}
axes: {{clock_mhz: [1000]}}
"""
NEEDS_TORCH = ("capture", "accuracy")


@pytest.fixture(params=["pipe", "device", "circle", "long"])
def bad(request, tmp_path):
    """A pipe that nobody writes to, a device without an end, a link to itself, or no name."""
    if request.param == "device":
        return "/dev/zero"
    if request.param == "long":
        return "a" * 300  # a name has at most 255 bytes
    if request.param == "circle":
        (tmp_path / "circle").symlink_to("circle")
        return str(tmp_path / "circle")
    os.mkfifo(tmp_path / "pipe")
    return str(tmp_path / "pipe")


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(arguments, capsys):
    """Run a command that must end at once with one line; return the line."""
    if arguments[0] in NEEDS_TORCH:
        pytest.importorskip("transformers")

    def late(*_):
        raise TimeoutError("it waits, or reads without end")

    former = signal.signal(signal.SIGALRM, late)
    signal.alarm(30)  # importing torch takes some of it
    try:
        code = main([str(part) for part in arguments])
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)
    error = capsys.readouterr().err
    assert code == 2, error
    *_warnings, last = error.splitlines()
    assert last.startswith("error: ")
    assert error.count("error: ") == 1
    return last


def saved_run(folder, **changes):
    """Write the least that a saved result holds."""
    folder.mkdir()
    totals = ("cycles", "time_s", "energy_pj", "area_um2", "edp_pj_s", "tops_per_mm2")
    layer = {
        "name": "a",
        "needed_rows_ratio": 1.0,
        "unit_busy_cycles": {"mac_array": 1},
        "cycles": 1,
    }
    run = {
        "schema": 1,
        "arch": {"name": "m", "pattern": "2:4", "clock_mhz": 1000.0},
        "trace": {"sha256": "0"},
        "phase": "prefill",
        "totals": dict.fromkeys(totals, 1.0),
        "units": {"mac_array": {"busy_cycles": 1}},
        "layers": [layer],
    }
    (folder / "result.json").write_text(json.dumps(run | changes))
    return folder


@pytest.mark.parametrize("name", INPUTS)
def test_what_is_no_file_is_refused(name, bad, tmp_path, capsys):
    (tmp_path / "SWEEP").write_text(SWEEP)
    if "RUN" in INPUTS[name]:
        saved_run(tmp_path / "RUN")
    arguments = [str(part).replace(BAD, bad) for part in INPUTS[name]]
    assert bad[:40] in refused(arguments, capsys)  # long ones are cut


def test_every_path_of_every_command_is_known():
    found = set()
    for name in COMMANDS:
        module = import_module(f"accelsim.cli.{name}")
        command = getattr(module, "command", None) or module.search_command
        found |= {f"{name} {flag}" for flag in path_flags(command)}
    # Arguments have no flag of their own: the name of the parameter stands for it.
    known = {name.replace(" ", " --", 1) if " --" not in name else name for name in INPUTS}
    assert found <= known | OUTPUTS
    assert len(found) > 25


@pytest.mark.parametrize(
    "file", ["config.json", "model.safetensors", "tokenizer.json", "vocab.json"]
)
def test_files_of_a_model(file, tmp_path, capsys):
    folder = tmp_path / "model"
    folder.mkdir()
    for path in MODEL.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / file).unlink(missing_ok=True)
    os.mkfifo(folder / file)
    for arguments in (
        ("capture", "--model", folder, "--text", NM24, "--tokens", "1", "--out", "t.npz"),
        ("accuracy", "--model", folder),
    ):
        assert f"model/{file}: cannot read: not a regular file" in refused(arguments, capsys)


@pytest.mark.parametrize("file", ["result.json", "comparison.csv", "timeline.json"])
def test_files_of_results(file, tmp_path, capsys):
    folder = saved_run(tmp_path / "run")
    (folder / file).unlink(missing_ok=True)
    os.mkfifo(folder / file)
    arguments = ("plot", "utilization", folder, "--out", "x.png")
    assert f"run/{file}: " in refused(arguments, capsys)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"trace": {"sha256": []}}, "trace.sha256"),
        ({"batch": {}}, "batch"),
        ({"trace": 1}, "trace"),
    ],
)
def test_results_of_other_types(changes, key, tmp_path, capsys):
    saved_run(tmp_path / "run", **changes)
    last = refused(("plot", "front", tmp_path / "run", "--out", "x.svg"), capsys)
    assert f"run/result.json: key '{key}' is missing" in last


@pytest.mark.parametrize("file", ["points.jsonl", "sweep.json"])
def test_files_of_a_sweep(file, tmp_path, capsys):
    pytest.importorskip("pyarrow")
    (tmp_path / "SWEEP").write_text(SWEEP)
    assert main(["sweep", "SWEEP", "--out", "out", "--workers", "1"]) == 0
    capsys.readouterr()
    (tmp_path / "out" / file).unlink()
    os.mkfifo(tmp_path / "out" / file)
    refused(("pareto", "out"), capsys)
    refused(("sweep", "SWEEP", "--out", "out", "--workers", "1", "--resume"), capsys)


def test_files_that_end_late_or_never(capsys):
    """Files of /proc say that they are empty; some of them never end."""
    if not Path("/proc/self/pagemap").exists():
        pytest.skip("no /proc here")
    begun = time.monotonic()
    for path in ("/proc/self/pagemap", "/proc/self/mem", "/proc/self/maps"):
        refused(("inspect", path), capsys)
        refused(("area", path), capsys)
    assert time.monotonic() - begun < 10
