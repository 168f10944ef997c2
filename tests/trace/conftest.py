"""A small trace file, and how to break it."""

import io
import json
import zipfile

import numpy as np
import pytest

from accelsim.trace import InputInfo, Linear, TraceMeta, TraceWriter

TOKENS, FEATURES = 6, 8


def _meta(dtypes, *, tokens=TOKENS, features=FEATURES, **changes):
    fields = {
        "model": "tiny",
        "sequence_lengths": (tokens,),
        "linears": tuple(
            Linear(name=f"{key}.proj", input=key, in_features=features, out_features=4)
            for key in dtypes
        ),
        "inputs": {key: InputInfo(dtype=dtype) for key, dtype in dtypes.items()},
    }
    return TraceMeta(**(fields | changes))


@pytest.fixture
def meta():
    """Make the table of a trace from {input: stored dtype}."""
    return _meta


@pytest.fixture
def write(tmp_path):
    """Write a trace of {input: array}; return its path."""

    def _write(arrays, dtypes=None, name="t.npz", **changes):
        stored = {"float16": "float16", "uint16": "bfloat16", "int8": "int8"}
        dtypes = dtypes or {key: stored[str(array.dtype)] for key, array in arrays.items()}
        with TraceWriter(tmp_path / name) as writer:
            for key, array in arrays.items():
                writer.add(key, array)
            writer.finish(_meta(dtypes, **changes))
        return tmp_path / name

    return _write


@pytest.fixture
def good(write):
    """A valid trace with one float16 input `a` and one int8 input `b`."""
    rng = np.random.default_rng(0)
    return write(
        {
            "a": rng.standard_normal((TOKENS, FEATURES)).astype(np.float16),
            "b": rng.integers(-128, 128, (TOKENS, FEATURES), np.int8),
        }
    )


def npy(array):
    """Return the bytes of an .npy entry; object arrays are pickled, as numpy does by default."""
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), allow_pickle=True)
    return file.getvalue()


def npy_header(descr, shape, payload=b"\0" * 96):
    """Return an .npy entry whose header says what it likes."""
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + payload


@pytest.fixture
def damage(good):
    """Rewrite the good trace with entries replaced (bytes or array), or removed (None)."""

    def _damage(entries):
        with zipfile.ZipFile(good) as archive:
            contents = {name: archive.read(name) for name in archive.namelist()}
        for name, entry in entries.items():
            contents[name] = entry if isinstance(entry, bytes | None) else npy(entry)
        with zipfile.ZipFile(good, "w") as archive:
            for name, entry in contents.items():
                if entry is not None:
                    archive.writestr(name, entry)
        return good

    _damage.header = npy_header
    return _damage


@pytest.fixture
def edit_meta(good, damage):
    """Rewrite the table of the good trace: a function of the JSON object, or a text."""

    def _edit(change):
        with np.load(good, allow_pickle=False) as archive:
            table = json.loads(str(archive["meta"]))
        text = change if isinstance(change, str) else json.dumps(change(table) or table)
        return damage({"meta.npy": np.array(text)})

    return _edit
