"""Damaged, cut and absurd files: each is read right, or refused in one line; neither takes long.

Every input is seeded, so that a failure can be repeated.
"""

import io
import json
import shutil
import struct
import zipfile
from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

from accelsim.base.errors import InputError
from accelsim.config import load_arch
from accelsim.report.plots import PLOTS, draw
from accelsim.report.saved import labels, load_runs
from accelsim.report.style import figure
from accelsim.run.simulation import simulate
from accelsim.trace import InputInfo, Linear, TraceMeta, TraceWriter, load_trace
from accelsim.trace.shapes import QUANTILE_ARRAYS, synthesise
from accelsim.trace.statistics import statistics

mpl.use("agg")

# Values that a field of a table may hold instead of its own.
ODD = (
    *(None, True, -1, 0, 1, 3, 2**31, 2**63, -(2**70), 10**400, 1e308, 1e-320, -0.5, [], {}, ""),
    *("x", "\x1b[31m", "a\nb", "\u202e", "gaussian", "none", "quantiles", [[]], [1, 2], {"a": 1}),
    *([2**31] * 8, "float16", "int8", "../../etc/passwd", "x" * 5000),
)
HEADERS = (
    "{'descr': '<f2', 'fortran_order': False, 'shape': (6, 8), }",
    "{'descr': '<f2', 'fortran_order': True, 'shape': (6, 8), }",
    "{'descr': '<f2', 'fortran_order': False, 'shape': (6, -8), }",
    "{'descr': '<f2', 'fortran_order': False, 'shape': (99999999999, 99999999999), }",
    "{'descr': '<f2', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",), }",
    "{'descr': '<f2', 'fortran_order': False, 'shape': (True, 2.5), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (6, 8), }",
    "{'descr': '<U9', 'fortran_order': False, 'shape': (6, 8), }",
    "{'descr': [('a', '<f2'), ('b', '|O')], 'fortran_order': False, 'shape': (6,), }",
    "{'descr': ('<f2', (8,)), 'fortran_order': False, 'shape': (6,), }",
    "{'descr': 'nonsense', 'fortran_order': False, 'shape': (6, 8), }",
    "{'descr': 7, 'fortran_order': 'maybe', 'shape': 'none'}",
    "{'descr': '|V0', 'fortran_order': False, 'shape': (6, 8), }",
    "(" * 300 + ")" * 300,
    "{'descr': '<f2', 'fortran_order': False}",
    "__import__('os').system('true')",
    "\x00\x01\x02",
    "",
)


def one_line(action):
    """Run `action`; an InputError must have one printable line. Return whether it was refused."""
    try:
        action()
    except InputError as error:
        message = str(error)
    else:
        return False
    assert message.isprintable()
    return True


@cache
def bases():
    """Return the entries of good archives, by what they are."""
    linears = tuple(
        Linear(name=name, input="a", in_features=8, out_features=4) for name in ("a", "b")
    )
    values = np.random.default_rng(0).standard_normal((6, 8)).astype(np.float16)
    stored = TraceMeta(
        model="m",
        sequence_lengths=(4, 2),
        linears=linears,
        inputs={"a": InputInfo(dtype="float16")},
    )
    recipe = {"distribution": "gaussian", "seed": 0, "shape_of": "m"}
    drawn = stored.model_copy(update={"synthetic": recipe})
    asked = stored.model_copy(update={"synthetic": {**recipe, "distribution": "quantiles"}})
    row = np.linspace(-1, 1, 9, dtype=np.float32)
    return {
        "stored": {"x/a": values, "meta": text_of(stored)},
        "drawn": {"meta": text_of(drawn)},
        "quantiles": {"q/a": row, "meta": text_of(asked)},
    }


def text_of(meta):
    return np.array(json.dumps(meta.model_dump(by_alias=True, mode="json")))


def npy(array):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), allow_pickle=False)
    return buffer.getvalue()


def archive(entries):
    """Return the bytes of an .npz."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries.items():
            file.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def with_header(content, header, rng):
    """Replace the header of an .npy, sometimes with a length or version that is not its own."""
    length = int.from_bytes(content[8:10], "little")
    data = content[10 + length :]
    said = len(header) if rng.random() < 0.8 else int(rng.integers(0, 70000))
    version = bytes(rng.integers(0, 4, 2).tolist()) if rng.random() < 0.2 else b"\x01\x00"
    return content[:6] + version + struct.pack("<H", min(said, 65535)) + header.encode() + data


def places(data, at=()):
    """Yield the path of every value in nested lists and dicts."""
    yield at
    if isinstance(data, dict | list):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from places(value, (*at, key))


def edited(data, rng):
    """Return data in which one place holds something odd, is gone or is there twice."""
    data = json.loads(json.dumps(data))
    paths = list(places(data))[1:]
    *parents, last = paths[int(rng.integers(len(paths)))]
    inside = data
    for key in parents:
        inside = inside[key]
    choice = rng.random()
    if choice < 0.2:
        del inside[last]
    elif choice < 0.3 and isinstance(inside, list):
        inside.append(inside[last])
    else:
        inside[last] = ODD[int(rng.integers(len(ODD)))]
    return data


def flipped(content, rng):
    """Return bytes that are cut, or of which some have changed."""
    if rng.random() < 0.3:
        return content[: int(rng.integers(len(content)))]
    damaged = bytearray(content)
    for place in rng.integers(0, len(content), int(rng.integers(1, 4))):
        damaged[place] = int(rng.integers(256))
    return bytes(damaged)


def mutated(entries, rng):
    """Return the bytes of an archive of arrays after one kind of damage."""
    contents = {name: npy(array) for name, array in entries.items()}
    kind = int(rng.integers(4))
    name = list(contents)[int(rng.integers(len(contents)))]
    if kind == 0:
        return flipped(archive(contents), rng)
    if kind == 1:
        contents[name] = flipped(contents[name], rng)
    elif kind == 2:
        contents[name] = with_header(contents[name], HEADERS[int(rng.integers(len(HEADERS)))], rng)
    else:
        table = edited(json.loads(str(entries["meta"])), rng)
        contents["meta"] = npy(np.array(json.dumps(table)))
    return archive(contents)


@pytest.mark.parametrize("base", ["stored", "drawn", "quantiles"])
def test_traces(tmp_path, base, nm24):
    rng, path, refused = np.random.default_rng(1), tmp_path / "t.npz", 0
    for _ in range(300):
        path.write_bytes(mutated(bases()[base], rng))

        def use():
            trace = load_trace(path)
            if trace.has_values and trace.tokens * 8 < 2**20:
                list(statistics(trace, ["2:4"]))
                simulate(nm24, trace, cache=None)

        refused += one_line(use)
    assert 150 < refused < 300  # some damage does not matter


@pytest.fixture(scope="module")
def nm24():
    return load_arch(Path(__file__).parents[2] / "arch_configs" / "nm24.yaml")


def test_quantiles(tmp_path):
    rng, path, out = np.random.default_rng(2), tmp_path / "q.npz", tmp_path / "t.npz"
    rows = np.sort(rng.standard_normal((1, 9)), axis=1).astype(np.float32)
    odd = [
        *(rows.astype(kind) for kind in (np.float16, np.int8, np.complex64, "U3", "S3", bool)),
        *(rows * value for value in (np.nan, np.inf, 1e30, -1, 0, 1e-20, 1e-44)),
        *(rows[0], rows[:, :1], rows[:0], rows[None], np.array("text"), np.float32(1)),
    ]
    for _ in range(300):
        arrays = dict.fromkeys(QUANTILE_ARRAYS.values(), rows)
        is_odd = rng.random() < 0.3
        if is_odd:
            name = list(arrays)[int(rng.integers(4))]
            arrays[name] = odd[int(rng.integers(len(odd)))]
        whole = archive({key: npy(array) for key, array in arrays.items()})
        path.write_bytes(whole if is_odd else flipped(whole, rng))

        def use():
            trace = synthesise("llama-2-7b", out, tokens=1, layers=1, quantiles=path)
            for key in trace.meta.inputs:
                assert np.isfinite(trace.values(key)).all()

        one_line(use)


def test_saved_results(tmp_path, nm24):
    with TraceWriter(tmp_path / "t.npz") as writer:
        entries = bases()["stored"]
        writer.add("a", entries["x/a"])
        writer.finish(TraceMeta.model_validate_json(str(entries["meta"])))
    run = simulate(nm24, load_trace(tmp_path / "t.npz"), cache=None).to_dict()
    rng, path, refused = np.random.default_rng(3), tmp_path / "result.json", 0
    kinds = list(PLOTS)
    for _ in range(200):
        text = json.dumps(edited(run, rng))
        path.write_bytes(flipped(text.encode(), rng) if rng.random() < 0.3 else text.encode())
        kind = kinds[int(rng.integers(len(kinds)))]

        def use(kind=kind):
            runs = load_runs([tmp_path])
            labels(runs)
            _, (ax,) = figure(1)
            draw(kind, runs, ax)

        refused += one_line(use)
        plt.close("all")
    assert refused > 100


def test_calibration(tmp_path):
    torch = pytest.importorskip("torch")
    from accelsim.accuracy.calibration import (
        Calibration,
        check_states,
        load_calibration,
        save_calibration,
    )
    from accelsim.capture.linears import find_linears
    from accelsim.sparsity import parse_pattern
    from accelsim.sparsity.policy import Method

    method = Method(parse_pattern("2:4"), "amber", "spts")
    state = {"shift": np.ones(4, np.float32), "factors": np.ones(4)}
    facts = {"model": "m", "precision": "float"}
    path, good = tmp_path / "c.npz", tmp_path / "good.npz"
    save_calibration(good, Calibration(facts, {("a", str(method)): state}))
    with np.load(good) as file:
        entries = {name: file[name] for name in file.files}
    linears = {"a": find_linears(torch.nn.Linear(4, 2))["Linear"]}

    def use():
        states = load_calibration(path, facts, "cpu").states
        check_states(path, states, [("a", method)], linears)
        for found in states.values():
            assert all(np.isfinite(np.asarray(value)).all() for value in found.values())

    shutil.copy(good, path)
    assert not one_line(use)
    rng, refused = np.random.default_rng(4), 0
    for _ in range(300):
        path.write_bytes(mutated(entries, rng))
        refused += one_line(use)
    assert 150 < refused < 300
    wrong = (
        *(np.ones(3, np.float32), np.ones((1, 4), np.float32), np.full(4, np.nan)),
        *(np.ones(4, int), np.array(["x"] * 4)),
    )
    for shift in wrong:
        changed = entries | {"0": shift}
        path.write_bytes(archive({name: npy(array) for name, array in changed.items()}))
        assert one_line(use)
