"""Every experiment makes what is committed, and says what holds."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SHARED = EXPERIMENTS.parents[1] / "shared/reference/activation_quantiles_llama-3-8b.npz"
NAMES = sorted(path.parent.name for path in EXPERIMENTS.glob("*/run.py"))
ASKED = {
    *("headline", "crossbar_and_selector", "selector_sharing", "decode_batch", "precision"),
    *("technology", "balance", "scale", "accuracy_vs_cost", "designs"),
}
NEED_SHARED = {"scale"}
OUTSIDE = [
    pytest.mark.shared,
    pytest.mark.skipif(
        "CI" not in os.environ and not SHARED.exists(), reason="needs ../shared outside CI"
    ),
]


def run(*arguments):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_question_has_an_experiment():
    assert set(NAMES) >= ASKED


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=OUTSIDE if name in NEED_SHARED else []) for name in NAMES],
)
def test_the_page_shows_what_the_script_makes(name):
    pytest.importorskip("matplotlib")
    done = run(EXPERIMENTS / name / "run.py", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_its_parts(name):
    page = (EXPERIMENTS / name / "README.md").read_text(encoding="utf-8")
    assert page.startswith("# ")
    assert f"python experiments/{name}/run.py" in page
    assert "## What this does not show" in page or "Not shown:" in page
    assert (EXPERIMENTS / name / "figure.png").is_file()
    for section in ("answer", "claims"):
        found = re.findall(rf"<!-- {section} -->\n(.+?)<!-- / -->", page, re.DOTALL)
        assert len(found) == 1, section
        assert found[0].strip(), section


def test_an_unknown_experiment_is_refused():
    done = run(EXPERIMENTS / "run_all.py", "headlines")
    assert done.returncode == 2
    assert "no experiment 'headlines'" in done.stderr


def test_scale_says_what_it_needs(tmp_path):
    pytest.importorskip("matplotlib")
    done = run(EXPERIMENTS / "scale" / "run.py", "--check", "--quantiles", tmp_path / "none.npz")
    assert done.returncode == 2
    assert "none.npz: no quantiles" in done.stderr
    assert "Traceback" not in done.stderr
