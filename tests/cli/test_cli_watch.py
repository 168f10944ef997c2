"""`accelsim run --watch-layers … --watch-tiles …`: the part of a run that is drawn."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest


def test_a_window_makes_files_smaller_and_changes_no_number(cli, arch, trace, tmp_path):
    whole, part = tmp_path / "whole.json", tmp_path / "part.json"
    command = ("run", arch("nm816"), "--trace", trace, "--json")
    everything = cli(*command, "--timeline", whole)
    some = cli(*command, "--timeline", part, "--watch-layers", "layers.1.*", "--watch-tiles", ":1")
    assert json.loads(some.out) == json.loads(everything.out)
    assert 0 < part.stat().st_size < whole.stat().st_size
    assert "layers.1.linear" in part.read_text()
    assert "layers.0.linear" not in part.read_text()


def test_a_window_of_nothing_is_refused(cli, arch, trace, tmp_path):
    command = ("run", arch("nm816"), "--trace", trace, "--timeline", tmp_path / "t.json")
    for flags, part in (
        (("--watch-layers", "nope"), "no layer matches 'nope'"),
        (("--watch-tiles", "7"), "--watch-tiles '7': must be a range such as 0:32"),
    ):
        outcome = cli(*command, *flags)
        assert outcome.code == 2
        assert part in outcome.err
        assert "Traceback" not in outcome.err
    assert not (tmp_path / "t.json").exists()


def test_a_window_without_anything_to_show_is_refused(cli, arch, trace):
    for flags in (("--watch-tiles", ":4"), ("--watch-layers", "layers.0.*")):
        outcome = cli("run", arch("nm816"), "--trace", trace, *flags)
        assert outcome.code == 2
        assert "--timeline or --vcd" in outcome.err


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A block of Llama-3-8B, shapes only: hundreds of thousands of tiles."""
    from accelsim.trace.shapes import synthesise

    path = tmp_path_factory.mktemp("large") / "t.npz"
    synthesise("llama-3-8b", path, tokens=2048, distribution="none", layers=1)
    return path


def test_much_to_draw_is_said_before(cli, arch, large, tmp_path):
    few = ("--watch-tiles", "0:2", "--timeline", tmp_path / "t.json")
    outcome = cli("run", arch("nm816"), "--trace", large, "--baseline", "none", *few)
    assert (outcome.code, outcome.err) == (0, "")


@pytest.mark.skipif(os.name == "nt", reason="no SIGTERM")
def test_a_run_that_is_terminated_leaves_nothing(arch, large, tmp_path):
    command = [sys.executable, "-m", "accelsim", "run", arch("nm816"), "--trace", large]
    command += ["--timeline", tmp_path / "t.json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert " tiles will be drawn, some 0." in process.stderr.readline()
    end = time.monotonic() + 60
    while not list(tmp_path.iterdir()) and time.monotonic() < end:
        time.sleep(0.02)
    assert list(tmp_path.iterdir())
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []
