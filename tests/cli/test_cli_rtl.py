"""`accelsim rtl`: a folder that simulates and compares itself."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ARCHS = Path(__file__).parents[2] / "arch_configs"
SMALL = ("--set", "mac_array.rows=2", "--set", "mac_array.columns=2")


def accelsim(*arguments):
    command = [sys.executable, "-m", "accelsim", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)


def make(folder, target):
    for tool in ("make", {"icarus": "iverilog"}.get(target, target)):
        if shutil.which(tool) is None:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{tool} is not installed")
    # What Verilator writes runs for a moment, and the compiler takes long: headers are read once,
    # for all files together, and nothing is optimised.
    quick = ("VM_PARALLEL_BUILDS=0", "OPT_FAST=-O0", "OPT_SLOW=-O0", "OPT_GLOBAL=-O0")
    return subprocess.run(
        ["make", "-C", folder, target, *quick],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.parametrize(
    ("arch", "target"),
    [
        ("nm24", "icarus"),
        ("nm816_bf16", "icarus"),
        pytest.param("nm24", "verilator", marks=pytest.mark.slow),
    ],
)
def test_the_folder_simulates_and_passes(tmp_path, arch, target):
    done = accelsim("rtl", ARCHS / f"{arch}.yaml", *SMALL, "--out", tmp_path / "rtl")
    assert done.returncode == 0, done.stderr
    made = make(tmp_path / "rtl", target)
    assert made.returncode == 0, made.stdout[-2000:] + made.stderr[-2000:]
    events = (tmp_path / "rtl" / "expected.log").read_text().splitlines()
    assert f"PASS: {len(events)} events as expected" in made.stdout


def test_a_wrong_answer_fails(tmp_path):
    accelsim("rtl", ARCHS / "nm24.yaml", *SMALL, "--out", tmp_path)
    log = tmp_path / "expected.log"
    log.write_text(log.read_text().replace("cycles ", "cycles 1"))
    assert make(tmp_path, "icarus").returncode != 0


def test_json_names_parameters_and_files(tmp_path):
    done = accelsim("rtl", ARCHS / "nm816.yaml", "--out", tmp_path / "rtl", "--json")
    data = json.loads(done.stdout)
    wanted = {"N": 8, "M": 16, "B": 8, "R": 8, "C": 8, "L": 16, "INSTANCES": 4, "SELECTOR": 0}
    assert {name: data["parameters"][name] for name in wanted} == wanted
    assert all((tmp_path / "rtl" / name).is_file() for name in data["files"])
    design = (tmp_path / "rtl" / "sv" / "tile_pipeline.sv").read_text()
    assert "parameter M            = 16," in design


def test_a_dense_machine_is_refused_and_leaves_nothing(tmp_path):
    done = accelsim("rtl", ARCHS / "dense.yaml", "--out", tmp_path / "rtl")
    assert done.returncode == 2
    assert "no selector" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "rtl").exists()


def test_a_precision_without_rtl_is_refused(tmp_path):
    done = accelsim(
        "rtl", ARCHS / "nm816.yaml", "--set", "precision=fp16", "--out", tmp_path / "rtl"
    )
    assert done.returncode == 2
    assert "precision 'fp16' has no RTL; with RTL: bf16, fp8, int8" in done.stderr
