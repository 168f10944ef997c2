"""Small files that ask for much are refused before anything large is made, with both numbers."""

import json
import re
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.lib import format as npy

from accelsim.base.errors import InputError
from accelsim.cli import main
from accelsim.selection.decode import decode_batches
from accelsim.trace import load_trace

ROOT = Path(__file__).parents[2]
DENSE = str(ROOT / "arch_configs" / "dense.yaml")
LAYER = {"name": "a", "input": "a", "in_features": 64, "out_features": 64}


def write(path, *, lengths=(4,), layers=1, width=64, distribution="gaussian", arrays=()):
    """Write a trace table without the checks of the writer; `arrays` are zeros of a length."""
    names = [f"l.{place}.x" for place in range(layers)] if layers > 1 else ["a"]
    meta = {
        "schema": 1,
        "model": "m",
        "sequence_lengths": list(lengths),
        "linears": [{**LAYER, "name": n, "input": n, "in_features": width} for n in names],
        "inputs": {name: {"dtype": "float16", "scale": 1.0} for name in names},
        "synthetic": {"distribution": distribution, "seed": 0, "shape_of": "m"},
    }
    if arrays:
        del meta["synthetic"]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        with file.open("meta.npy", "w") as entry:
            npy.write_array(entry, np.array(json.dumps(meta)))
        for name, rows in arrays:
            with file.open(f"x/{name}.npy", "w", force_zip64=True) as entry:
                header = {"descr": "<f2", "fortran_order": False, "shape": (rows, width)}
                npy.write_array_header_1_0(entry, header)
                for _ in range(rows * width * 2 // 2**20):
                    entry.write(bytes(2**20))
    return path


def bomb(path):
    """256 MiB of zeros in a quarter of a megabyte."""
    return write(path, lengths=[2**11], width=2**16, arrays=[("a", 2**11)])


TOO_MUCH = {
    "tokens, as a sum": ({"lengths": [2**31] * 8}, f"{2**34} tokens; .* at most {2**31}"),
    "layers": ({"layers": 70_000}, "70000 layers; .* at most 65536"),
    "one input": ({"lengths": [2**31]}, f"take {2**31 * 64 * 4} bytes .* at most {2**33}"),
    "all inputs": (
        {"lengths": [2**20], "layers": 16_000, "width": 2**11},
        f"take {2**20 * 16_000 * 2**11 * 4} bytes; at most {2**42}",
    ),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_a_table_that_asks_for_much(name, tmp_path):
    options, message = TOO_MUCH[name]
    path = write(tmp_path / "t.npz", **options)
    assert path.stat().st_size < 2**20
    with pytest.raises(InputError, match=message):
        load_trace(path)


def test_an_archive_that_unpacks_to_much(tmp_path):
    path = bomb(tmp_path / "t.npz")
    packed = path.stat().st_size
    assert packed < 2**19
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=rf"{packed} bytes that unpack to \d{{9}}; at most"):
            load_trace(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_zeros_in_everyday_numbers_are_no_bomb(tmp_path):
    trace = load_trace(write(tmp_path / "t.npz", lengths=[8192], arrays=[("a", 8192)]))  # 1 MiB
    assert not trace.values("a").any()


def test_decode_of_many_tokens_is_refused_before_they_are_ordered(tmp_path, capsys):
    path = write(tmp_path / "t.npz", lengths=[2**31], distribution="none")
    assert main(["run", DENSE, "--trace", str(path), "--phase", "decode"]) == 2
    error = capsys.readouterr().err
    assert re.search(rf"decode of {2**31} tokens takes {2**36} bytes .* at most {2**30}", error)
    with pytest.raises(InputError, match="at most"):
        decode_batches([2**20] * 33, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--tokens", "100000000", "--seq-len", "1"), "100000000 sequences; .* at most 4194304"),
        (("--tokens", str(2**31 + 1)), f"{2**31 + 1} tokens; .* at most {2**31}"),
        (("--tokens", str(2**30)), "bytes"),
    ],
)
def test_synth(arguments, message, tmp_path, capsys):
    out = tmp_path / "t.npz"
    assert main(["synth", "--model", "llama-3-8b", *arguments, "--out", str(out)]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_messages_have_one_line():
    assert str(InputError("no file 'a\nb\x1b[0m'")) == r"no file 'a\nb\x1b[0m'"
