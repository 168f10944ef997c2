"""Standard output and error that are closed, full, or lack characters."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from accelsim.cli import main

SHIPPED = Path(__file__).parents[2] / "arch_configs"
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


# Characters -------------------------------------------------------------------------------------


@pytest.fixture
def printed(monkeypatch, capsys):
    """Run a command whose output is in an encoding; return the code and the text."""

    def _printed(encoding, *arguments):
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2))
        with monkeypatch.context() as patch, capsys.disabled():
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            code = main([str(argument) for argument in arguments])
        return code, out.buffer.getvalue().decode(encoding)

    return _printed


@pytest.mark.parametrize("encoding", ["ascii", "gbk", "cp437", "latin-1", "koi8-r"])
@pytest.mark.parametrize("command", ["run", "compare", "area", "block", "inspect", "help"])
def test_every_encoding_will_do(printed, arch, trace, encoding, command):
    arguments = {
        "run": ("run", arch("nm816"), "--trace", trace, "--explain"),
        "compare": ("compare", arch("dense"), arch("nm816"), "--trace", trace),
        "area": ("area", arch("nm816")),
        "block": ("area", "--block", "mac"),
        "inspect": ("inspect", trace),
        "help": ("run", "--help"),
    }[command]
    code, text = printed(encoding, *arguments)
    assert code == 0
    assert text.strip()


def test_ascii_has_lookalikes_and_straight_columns(printed, arch, trace):
    _, text = printed("ascii", "run", arch("nm816"), "--trace", trace)
    assert "8x8x16 MACs" in text
    assert "mm^2" in text
    assert "uJ" in text or "nJ" in text
    tables = [line for line in text.splitlines() if line.startswith(("|", "+"))]
    assert tables
    widths = {}
    for line in tables:
        widths.setdefault(len(line), []).append(line)
    assert len(widths) == 3  # layers, cycles, units: all lines of a table are as long


def test_what_an_encoding_has_is_kept(printed, arch, trace):
    _, text = printed("latin-1", "run", arch("nm816"), "--trace", trace)
    assert "8×8×16" in text
    assert "mm²" in text


def test_files_are_utf8_whatever_the_terminal(printed, arch, trace, tmp_path):
    flags = ("--out", tmp_path / "o", "--csv", tmp_path / "l.csv")
    code, _ = printed("ascii", "run", arch("nm816"), "--trace", trace, *flags)
    assert code == 0
    assert "×" in (tmp_path / "l.csv").read_text(encoding="utf-8")  # in the tiling


# Closed and full ---------------------------------------------------------------------------------


def shell(script, trace):
    """Run a shell script with $R, a run on the trace, and $X, a refused one."""
    python = f"{sys.executable} -m accelsim"
    env = {
        **os.environ,
        "R": f"{python} run {SHIPPED / 'nm816.yaml'} --trace {trace} --baseline none",
        "X": f"{python} run {SHIPPED / 'nm816.yaml'} --trace missing.npz",
    }
    flags = {"capture_output": True, "text": True, "env": env}
    return subprocess.run(["bash", "-c", script], check=False, **flags)


FULL = "error: cannot write the output: no space left on the device\n"
CLOSED = "error: cannot write the output: standard output is closed\n"


@pytest.mark.parametrize(
    ("script", "code", "err"),
    [
        ("$R >&-", 2, CLOSED),
        ("$R --json >&- <&-", 2, CLOSED),
        pytest.param("$R > /dev/full", 2, FULL, marks=needs_full),
        pytest.param("$R --help > /dev/full", 2, FULL, marks=needs_full),
        ("set -o pipefail; $R | head -n 1 > /dev/null", 0, ""),
        ("set -o pipefail; $R --json | true", 0, ""),
    ],
)
def test_output_that_goes_nowhere(trace, script, code, err):
    done = shell(script, trace)
    assert (done.returncode, done.stderr, done.stdout) == (code, err, "")


@pytest.mark.parametrize("where", ["2>&-", pytest.param("2> /dev/full", marks=needs_full)])
def test_messages_that_go_nowhere_change_nothing(trace, where):
    done = shell(f"$R --phase decode --batch 8 --json {where}", trace)  # which gets a warning
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["warnings"]
    done = shell(f"$X {where}", trace)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")
