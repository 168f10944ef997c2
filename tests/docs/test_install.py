"""What the Makefile makes of `.venv`: installs that fail, end halfway or lie in another folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A Python whose venv is quick and whose pip does what $PIP_STUB says.
STUB = """#!/bin/sh
case "$*" in
  *ensurepip*) exit ${NO_ENSUREPIP-0} ;;
  "-m venv"*)
    [ -z "${FAIL-}" ] || { mkdir -p .venv/bin; ln -s "$0" .venv/bin/python; exit 1; }
    "%(python)s" -m venv --without-pip --clear .venv || exit
    echo 'import os
if __name__ == "__main__":
    exec(os.environ.get("PIP_STUB", ""))' > "$(echo .venv/lib/python*/site-packages)/pip.py" ;;
  *) exec "%(python)s" "$@" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path):
    """A folder with what the Makefile needs; its path has a space and a quote."""
    folder = tmp_path / "a checkout's folder"
    (folder / ".ci").mkdir(parents=True)
    for name in ("Makefile", ".ci/venv", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def python(tmp_path):
    path = tmp_path / "a python"
    path.write_text(STUB % {"python": sys.executable})
    path.chmod(0o755)
    return path


def make(folder, python, target=".venv/.run", **environment):
    command = ["make", "-C", folder, target, *([f"PYTHON={python}"] if python else [])]
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        command, check=False, capture_output=True, text=True, env={**env, **environment}
    )


def mark(folder):
    (folder / ".venv" / "mark").touch()


def is_kept(folder):
    return (folder / ".venv" / "mark").exists()


@pytest.mark.parametrize("fault", [{"NO_ENSUREPIP": "1"}, {"FAIL": "1"}])
def test_a_venv_that_cannot_be_made_leaves_nothing(checkout, python, fault):
    for _ in range(2):
        done = make(checkout, python, **fault)
        assert done.returncode != 0
        assert "venv" in done.stderr
        assert not (checkout / ".venv").exists()
    assert make(checkout, python).returncode == 0
    mark(checkout)
    assert make(checkout, python).returncode == 0
    assert make(checkout, None).returncode == 0
    assert is_kept(checkout)


def test_a_half_made_one_is_made_anew(checkout, python):
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "bin" / "python").symlink_to(sys.executable)
    mark(checkout)
    done = make(checkout, python)
    assert done.returncode == 0, done.stderr
    assert "anew" in done.stdout
    assert not is_kept(checkout)


@pytest.mark.parametrize(
    ("end", "kept"), [("raise SystemExit(1)", True), ("os.kill(os.getpid(), 9)", False)]
)
def test_only_an_installation_that_was_cut_off_is_made_anew(checkout, python, end, kept):
    assert make(checkout, python, ".venv/.made").returncode == 0
    mark(checkout)
    assert make(checkout, python, PIP_STUB=end).returncode != 0
    assert make(checkout, python).returncode == 0
    assert is_kept(checkout) is kept


def test_a_moved_checkout_gets_its_own(checkout, python):
    assert make(checkout, python).returncode == 0
    mark(checkout)
    moved = checkout.rename(checkout.parent / "moved")
    assert make(moved, python).returncode == 0
    assert not is_kept(moved)


def test_another_python_than_asked_for_is_replaced(checkout, python):
    assert make(checkout, python).returncode == 0
    (packages,) = (checkout / ".venv" / "lib").iterdir()
    packages.rename(packages.with_name("python3.0"))  # as after an upgrade of the system
    mark(checkout)
    assert make(checkout, python).returncode == 0
    assert not is_kept(checkout)


@pytest.mark.parametrize("wrong", ["no-such-python", "false", ""])
def test_what_is_no_python_is_named(checkout, wrong):
    done = make(checkout, wrong or " ")
    assert done.returncode != 0
    assert "accelsim needs Python 3.11 or newer" in done.stderr
    assert not (checkout / ".venv").exists()
