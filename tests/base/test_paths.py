"""Paths that no file can have, and those where the system does not tell: named, not a traceback."""

import os
import sys
from pathlib import Path

import pytest

from accelsim.base.errors import InputError, MissingExtraError, check_extra
from accelsim.base.files import check_folders, filling, folder, replacing, write_texts
from accelsim.sweeps.run import sweep

ROOT = Path(__file__).parents[2]
LONG = "a" * 300  # a name has at most 255 bytes
DEEP = "a/" * 3000  # and a path 4096


@pytest.mark.parametrize("name", [LONG, DEEP, "nul\0"])
def test_outputs_that_cannot_be(name, tmp_path):
    out = tmp_path / name
    for write in (replacing, folder, filling):
        with pytest.raises(InputError, match="cannot"), write(out):
            pass
    with pytest.raises(InputError, match="cannot write here"):
        write_texts({out: "text"})


@pytest.mark.parametrize("name", [LONG, DEEP])
def test_sweeps_into_folders_that_cannot_be(name, tmp_path):
    pytest.importorskip("pyarrow")
    arch, trace = ROOT / "arch_configs" / "nm24.yaml", ROOT / "traces" / "llama.npz"
    text = f"{{schema: 1, name: s, base: {arch}, traces: {trace}, axes: {{clock_mhz: [1000]}}}}"
    (tmp_path / "sweep.yaml").write_text(text)
    with pytest.raises(InputError, match="cannot make this folder"):
        sweep(tmp_path / "sweep.yaml", out=tmp_path / name)


def test_a_pipe_without_a_reader_is_not_waited_for(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="pipe: cannot write here: nobody reads from it"):
        write_texts({pipe: "text"})
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_texts({pipe: "text"})
    assert os.read(reader, 10) == b"text"
    assert os.read(reader, 10) == b""
    os.close(reader)


def test_a_full_device_is_named():
    with pytest.raises(InputError, match="/dev/full: cannot write: No space left on device"):
        write_texts({Path("/dev/full"): "text"})


def test_folders_are_no_targets_before_the_work(tmp_path):
    with pytest.raises(InputError, match="a folder of this name exists"):
        check_folders(tmp_path)


def test_long_messages_keep_their_ends():
    said = str(InputError(f"file: '{'x' * 10**6}': allowed: this"))
    assert said.startswith("file: 'xx")
    assert said.endswith("xx': allowed: this")
    assert len(said) == 1000


def test_a_sweep_in_a_folder_whose_name_is_not_utf_8(tmp_path):
    pytest.importorskip("pyarrow")
    arch, trace = ROOT / "arch_configs" / "nm24.yaml", ROOT / "traces" / "llama.npz"
    text = f"{{schema: 1, name: s, base: {arch}, traces: {trace}, axes: {{clock_mhz: [1000]}}}}"
    (tmp_path / "sweep.yaml").write_text(text)
    assert len(sweep(tmp_path / "sweep.yaml", out=tmp_path / "\udce9")) == 1


def test_extras_that_cannot_be_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match="needs the package 'matplotlib'"):
        check_extra("matplotlib", "plot")
