"""The README shows what the commands really print, and the first plot can be drawn."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_commands_print_what_the_readme_shows():
    script = [sys.executable, ".ci/readme.py", "check"]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_plot_of_the_first_look_runs_after_compare(tmp_path):
    pytest.importorskip("matplotlib")
    folder = tmp_path / "first_look"
    configs = [f"arch_configs/{name}.yaml" for name in ("dense", "nm24", "nm816")]
    accelsim = [sys.executable, "-m", "accelsim", "compare", *configs]
    subprocess.run(
        [*accelsim, "--trace", "traces/llama.npz", "--out", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    figure = tmp_path / "first_look.png"
    script = [sys.executable, "experiments/first_look/plot.py", str(folder), "--out", str(figure)]
    subprocess.run(script, cwd=ROOT, check=True, capture_output=True)
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert figure.stat().st_size > 20_000
