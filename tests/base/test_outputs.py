"""Outputs: whole or not at all, with the user's permissions; nothing is left of a killed one."""

import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from accelsim.base.errors import InputError
from accelsim.base.files import filling, folder_beside, replacing
from accelsim.cli import main

ROOT = Path(__file__).parents[2]
NM24 = ROOT / "arch_configs" / "nm24.yaml"
SMALL = ("--set", "mac_array.rows=2", "--set", "mac_array.columns=2")

# A process that is killed while it writes `out` and holds a folder beside it.
KILLED = """
import os, signal, sys
from pathlib import Path
from accelsim.base.files import folder_beside, replacing
out = Path(sys.argv[1])
with replacing(out) as temporary, folder_beside(out) as folder:
    temporary.write_text("half")
    (folder / "spilled").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def umask():
    """Return a function that sets the umask until the test ends."""
    former = os.umask(0o022)
    yield os.umask
    os.umask(former)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_have_the_permissions_that_the_umask_leaves(tmp_path, umask, mask, expected):
    umask(mask)
    with replacing(tmp_path / "out") as temporary:
        temporary.write_text("new")
    assert mode(tmp_path / "out") == expected
    assert main(["rtl", str(NM24), *SMALL, "--out", str(tmp_path / "rtl")]) == 0
    assert {mode(path) for path in (tmp_path / "rtl").rglob("*") if path.is_file()} == {expected}


def test_what_a_killed_process_leaves_goes_with_the_next(tmp_path):
    out = tmp_path / "t [1].npz"
    killed = subprocess.run([sys.executable, "-c", KILLED, out], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    left = sorted(path.is_dir() for path in tmp_path.iterdir())
    assert left == [False, True]
    with replacing(out) as temporary, folder_beside(out) as folder:
        assert sorted(tmp_path.iterdir()) == sorted([temporary, folder])
    assert [path.name for path in tmp_path.iterdir()] == ["t [1].npz"]


def test_what_a_living_process_holds_stays(tmp_path):
    """Each has a lock on what it writes; the last one to finish wins."""
    out, other = tmp_path / "out", tmp_path / ".another.x.tmp"
    other.write_text("somebody else's")
    with replacing(out) as first, folder_beside(out) as folder:
        first.write_text("first")
        with replacing(out) as second:
            assert first.exists()
            assert folder.exists()
            second.write_text("second")
        assert out.read_text() == "second"
    assert out.read_text() == "first"
    assert sorted(tmp_path.iterdir()) == [other, out]


def test_rtl_leaves_a_folder_alone_that_is_not_empty(tmp_path, capsys):
    (tmp_path / "README.md").write_text("mine")
    assert main(["rtl", str(NM24), *SMALL, "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path}: is not empty; choose another folder\n"
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_rtl_leaves_nothing_where_the_disk_is_full(tmp_path, capsys):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        code = main(["rtl", str(NM24), *SMALL, "--out", str(tmp_path / "rtl")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert code == 2
    assert (
        capsys.readouterr().err == f"error: {tmp_path / 'rtl'}: cannot write here: File too large\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_filled_whole(tmp_path):
    def fill(path):
        with filling(path) as folder:
            (folder / "sub").mkdir()
            (folder / "sub" / "a").write_text("a")
            assert [part.name for part in path.iterdir()] == [folder.name]

    fill(tmp_path)  # empty
    fill(tmp_path / "new" / "deep")
    with pytest.raises(InputError, match="is not empty"):
        fill(tmp_path)


TRACE = ("--trace", str(ROOT / "traces" / "llama.npz"))
EMPTY = [
    ("rtl", NM24, "--out", ""),
    ("rtl", NM24, "--out="),
    ("run", NM24, *TRACE, "--out", ""),
    ("run", NM24, *TRACE, "--csv", ""),
    ("run", NM24, *TRACE, "--timeline", ""),
    ("compare", NM24, NM24, *TRACE, "--out", ""),
    ("synth", "--model", "llama-3-8b", "--tokens", "1", "--out", ""),
    ("capture", "--model", "x", "--text", "x", "--tokens", "1", "--out", ""),
    ("accuracy", "--csv", ""),
    ("accuracy", "--save-calibration", ""),
    ("accuracy", "--heatmap", ""),
    ("policy", "search", NM24, *TRACE, "--budget", "cycles=0.5", "--out", ""),
    ("sweep", "x.yaml", "--out", ""),
    ("pareto", "x", "--plot", ""),
    ("plot", "cost", "x", "--out", ""),
    ("plot", "cost", "", "--out", "x.png"),
    ("area", ""),
]


@pytest.mark.parametrize("arguments", EMPTY, ids=lambda one: " ".join(map(str, one))[-40:])
def test_empty_paths_are_refused(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([str(part) for part in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "empty; name a file or folder" in error
    assert list(tmp_path.iterdir()) == []
