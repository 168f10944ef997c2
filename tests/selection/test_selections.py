"""Selections on disk: made once, whatever is simulated; the same as fresh ones; never stale."""

import importlib.util
import sys
import threading
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import accelsim
from accelsim.base.cache import DiskCache
from accelsim.run.simulation import selections, simulate
from accelsim.selection import selections as module
from accelsim.selection import sparsify
from accelsim.selection.selections import Wish, selections_of
from accelsim.sparsity import parse_pattern
from accelsim.trace import InputInfo, Linear, TraceMeta, TraceWriter, load_trace
from accelsim.trace.shapes import synthesise
from tests.helpers.small import load, machine_for

TOKENS = 12
WIDTHS = {"a": 37, "b": 64}


def wish(pattern="2:4", precision="int8", *, with_mask=False):
    return Wish(precision, parse_pattern(pattern), with_mask)


EVERY = [
    wish(pattern, precision, with_mask=with_mask)
    for pattern, precision, with_mask in product(
        ("dense", "2:4", "3:5", "8:16"), ("int8", "bf16", "fp16"), (False, True)
    )
]


@pytest.fixture
def write(tmp_path):
    """Write a trace of two float16 inputs and open it; `seed` is of its values."""

    def _write(name="t.npz", seed=0, **changes):
        rng = np.random.default_rng(seed)
        linears = tuple(
            Linear(name=f"{key}.proj", input=key, in_features=width, out_features=8)
            for key, width in WIDTHS.items()
        )
        fields = {
            "model": "tiny",
            "sequence_lengths": (8, TOKENS - 8),
            "linears": linears,
            "inputs": {key: InputInfo(dtype="float16") for key in WIDTHS},
        }
        with TraceWriter(tmp_path / name) as writer:
            for key, width in WIDTHS.items():
                values = rng.standard_normal((TOKENS, width)) * (rng.random((TOKENS, width)) < 0.8)
                writer.add(key, values.astype(np.float16))
            writer.finish(TraceMeta(**(fields | changes)))
        return load_trace(tmp_path / name)

    return _write


@pytest.fixture
def trace(write):
    return write()


@pytest.fixture
def store(tmp_path):
    return DiskCache(tmp_path / "store")


@pytest.fixture
def selected(monkeypatch):
    """Return the list of what has been selected: (input, precision, patterns) of each pass."""
    passes, original = [], module.select_input

    def counted(trace, key, precision, patterns, **flags):
        passes.append((key, precision, [str(pattern) for pattern in patterns]))
        return original(trace, key, precision, patterns, **flags)

    monkeypatch.setattr(module, "select_input", counted)
    return passes


def assert_same(one, other, *, with_mask):
    """Compare two selections; a mask only where one was wished for."""
    assert one.features == other.features
    for name in (
        "nonzero",
        "squared_magnitude",
        "dropped_squared_magnitude",
        *(["packed_mask"] if with_mask else []),
    ):
        ours, theirs = getattr(one, name), getattr(other, name)
        assert ours.dtype == theirs.dtype, name
        assert ours.shape == theirs.shape, name
        assert np.array_equal(ours, theirs), name
    if with_mask:
        assert np.array_equal(one.kept_mask, other.kept_mask)
        steps = np.array([[0, 3], [5, 5]])
        assert np.array_equal(one.unions(steps), other.unions(steps))


# --- once ----------------------------------------------------------------------------------------


def test_the_second_time_nothing_is_selected(trace, store, selected):
    for _ in range(3):
        assert list(selections_of(trace, "a", [wish()], store)) == [wish()]
    assert selected == [("a", "int8", ["2:4"])]


def test_another_process_finds_it_too(trace, store, selected):
    selections_of(trace, "a", [wish()], store)
    selections_of(trace, "a", [wish()], DiskCache(store.folder))
    assert len(selected) == 1


def test_without_a_store_every_time_selects(trace, selected):
    for _ in range(3):
        selections_of(trace, "a", [wish()])
    assert len(selected) == 3


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_a_sweep_over_anything_else_selects_once(trace, store, selected, phase):
    machines = [
        load("nm816"),
        load("nm816", {"clock_mhz": 500, "dram.bandwidth_gb_per_s": 8}),
        load("nm816", {"mac_array.rows": 4, "mac_array.lanes": 8, "selector.instances": 2}),
        load("nm816", {"buffers.weights.capacity_kib": 64, "format": "index"}),
        load("nm816", {"technology.node_nm": 16}),
    ]
    cycles = {simulate(arch, trace, phase=phase, cache=store).cycles for arch in machines}
    assert len(cycles) > 2  # they are different machines
    assert selected == [("a", "int8", ["8:16"]), ("b", "int8", ["8:16"])]


def layers(*named):
    return tuple(
        Linear(name=f"{key}.{kind}", input=key, in_features=WIDTHS[key], out_features=4)
        for key, kind in named
    )


def test_neighbours_that_share_an_input_select_once_without_a_store(write, selected):
    shared = layers(("a", "q"), ("a", "k"), ("b", "up"))
    list(selections([machine_for("2:4")], write(linears=shared)))
    assert [key for key, *_ in selected] == ["a", "b"]


def test_layers_that_share_an_input_select_once(write, store, selected):
    shared = layers(("a", "q"), ("b", "up"), ("a", "k"))  # `a` is read again later
    list(selections([machine_for("2:4")], write(linears=shared), cache=store))
    assert [key for key, *_ in selected] == ["a", "b"]


def test_a_dense_machine_stores_no_masks(trace, store):
    simulate(load("dense"), trace, phase="decode", cache=store)
    assert len(list(store.folder.iterdir())) == len(WIDTHS)


def test_only_what_is_missing_is_selected(trace, store, selected):
    selections_of(trace, "a", [wish("2:4"), wish("3:5", "bf16")], store)
    selected.clear()
    wishes = [wish("2:4"), wish("8:16"), wish("3:5", "bf16"), wish("dense")]
    assert set(selections_of(trace, "a", wishes, store)) == set(wishes)
    assert selected == [("a", "int8", ["8:16", "dense"])]


def test_a_mask_is_selected_once_when_it_is_wished_for(trace, store, selected):
    with_mask = wish(with_mask=True)
    selections_of(trace, "a", [wish()], store)
    for _ in range(2):
        found = selections_of(trace, "a", [with_mask], store)[with_mask]
        assert found.kept_mask.shape == (TOKENS, WIDTHS["a"])
        assert len(selected) == 2
    selections_of(trace, "a", [wish()], store)
    assert len(selected) == 2


def test_what_was_selected_with_a_mask_is_known_without(trace, store, selected):
    selections_of(trace, "a", [wish(with_mask=True)], store)
    selections_of(trace, "a", [wish()], store)
    assert len(selected) == 1


# --- the same ------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", sorted(WIDTHS))
def test_all_wishes_at_once_are_each_alone(trace, store, key):
    fresh = selections_of(trace, key, EVERY)
    made = selections_of(trace, key, EVERY, store)
    found = selections_of(trace, key, EVERY, store)
    for one in EVERY:
        alone = selections_of(trace, key, [one])[one]
        for others in (fresh, made, found):
            assert_same(others[one], alone, with_mask=one.with_mask)
    assert fresh.keys() == made.keys() == found.keys() == set(EVERY)


@pytest.mark.parametrize("stored", ["float16", "bfloat16", "int8"])
def test_every_stored_type_comes_back_from_disk_as_it_was(tmp_path, store, stored):
    bits = np.random.default_rng(0).integers(0, 2**14, (TOKENS, 37))
    values = bits.astype({"float16": np.uint16, "bfloat16": np.uint16, "int8": np.int8}[stored])
    linear = Linear(name="l", input="x", in_features=37, out_features=8)
    with TraceWriter(tmp_path / "t.npz") as writer:
        writer.add("x", values.view(np.float16) if stored == "float16" else values)
        writer.finish(
            TraceMeta(
                model="tiny",
                sequence_lengths=(TOKENS,),
                linears=(linear,),
                inputs={"x": InputInfo(dtype=stored, scale=0.5)},
            )
        )
    trace = load_trace(tmp_path / "t.npz")
    fresh = selections_of(trace, "x", EVERY)
    selections_of(trace, "x", EVERY, store)
    for one, found in selections_of(trace, "x", EVERY, store).items():
        assert_same(found, fresh[one], with_mask=one.with_mask)


@pytest.mark.parametrize("flags", [{}, {"phase": "decode", "batch": 3}])
def test_results_are_those_without_a_store(trace, store, flags):
    for name in ("dense", "nm24", "nm816_bf16"):
        expected = simulate(load(name), trace, **flags).to_json()
        assert simulate(load(name), trace, cache=store, **flags).to_json() == expected
        assert simulate(load(name), trace, cache=store, **flags).to_json() == expected


# --- another entry -------------------------------------------------------------------------------


def test_the_same_contents_at_another_place_are_the_same_trace(write, store, selected):
    selections_of(write("1.npz"), "a", [wish()], store)
    selections_of(write("2.npz"), "a", [wish()], store)
    assert len(selected) == 1


def test_another_trace_is_another_entry(write, store, selected):
    first, second = write("1.npz"), write("2.npz", seed=1)
    for trace in (first, second, first, second):
        found = selections_of(trace, "a", [wish()], store)[wish()]
        assert_same(found, selections_of(trace, "a", [wish()])[wish()], with_mask=False)
    assert len(selected) == 2 + 4  # and once for each comparison


def test_a_changed_trace_at_the_same_place_is_another_trace(write, store):
    selections_of(write(), "a", [wish()], store)
    changed = write(seed=1)
    found = selections_of(changed, "a", [wish()], store)[wish()]
    assert_same(found, selections_of(changed, "a", [wish()])[wish()], with_mask=False)


def test_inputs_patterns_and_precisions_have_entries_of_their_own(trace, store, selected):
    known = [(key, one) for key in WIDTHS for one in EVERY if not one.with_mask]
    fresh = {(key, one): selections_of(trace, key, [one])[one] for key, one in known}
    selected.clear()
    for _ in range(2):
        for key, one in known:
            found = selections_of(trace, key, [one], store)[one]
            assert_same(found, fresh[key, one], with_mask=False)
    assert len(selected) == len(known)


def test_shapes_without_values_are_not_stored(tmp_path, store, selected):
    path = tmp_path / "s.npz"
    trace = synthesise("llama-3.2-1b", path, tokens=4, layers=1, distribution="none")
    for _ in range(2):
        selections_of(trace, trace.linears[0].input, [wish()], store)
    assert len(selected) == 2
    assert not store.folder.exists()


# --- changed code --------------------------------------------------------------------------------


def test_changed_code_selects_again(trace, store, selected, monkeypatch):
    selections_of(trace, "a", [wish()], store)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_CODE", "changed")  # private, but the files are not a test's
        selections_of(trace, "a", [wish()], store)
        selections_of(trace, "a", [wish()], store)
        assert len(selected) == 2
    selections_of(trace, "a", [wish()], store)
    assert len(selected) == 2  # changed back: known again


@pytest.fixture
def loaded(monkeypatch):
    """Import a file as a module, for one test."""

    def _loaded(path):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        made = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, path.stem, made)
        spec.loader.exec_module(made)
        return made

    return _loaded


def test_a_pattern_of_the_users_own_file_is_selected_each_time(
    trace, store, selected, tmp_path, loaded
):
    """What its code calls is not known, so no result of it is kept."""
    source = """
from dataclasses import dataclass
from accelsim.sparsity import Pattern

@dataclass(frozen=True)
class Ends(Pattern):
    group_size: int = 4
    kept_per_group: int = 2

    @classmethod
    def parse(cls, text):
        return None

    def keep(self, values):
        mask = values == values
        mask[:, {first}::4] = mask[:, {first} + 1::4] = False
        return mask

    def __str__(self):
        return "ends"
"""
    found = []
    for first in (0, 2, 0):
        path = tmp_path / f"ends{len(found)}.py"
        path.write_text(source.format(first=first), encoding="utf-8")
        ends = Wish("int8", loaded(path).Ends())
        found.append(selections_of(trace, "a", [ends], store)[ends])
    assert not np.array_equal(
        found[0].dropped_squared_magnitude, found[1].dropped_squared_magnitude
    )
    assert np.array_equal(found[0].dropped_squared_magnitude, found[2].dropped_squared_magnitude)
    assert len(selected) == 3
    assert not store.folder.exists()


@contextmanager
def watched():
    """Yield the set of our source files whose functions are called meanwhile, on any thread."""
    root, called = Path(accelsim.__file__).parent, set()

    def note(frame, event, _):
        path = Path(frame.f_code.co_filename)
        if event == "call" and root in path.parents:
            called.add(path)

    sparsify._cores.cache_clear()  # its threads are not watched
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield called
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        sparsify._cores.cache_clear()


# What is called, but cannot change what is selected.
PLUMBING = {"cache.py", "files.py", "registry.py"}


@pytest.mark.parametrize(
    "is_compiled",
    [
        False,
        True,
    ],
)
def test_all_code_that_selects_is_in_the_name(trace, store, monkeypatch, is_compiled):
    digested = set(module._files_of_package())
    monkeypatch.setattr("accelsim.sparsity.patterns.nm.pays", lambda _: is_compiled)
    selections_of(trace, "a", [wish()])  # compiled from here on, if at all
    with watched() as called:
        selections_of(trace, "a", [wish()], store)
    assert {"nm.py", "sparsify.py", "int8.py"} <= {path.name for path in called}
    assert {path for path in called if path.name not in PLUMBING} - digested == set()


# --- trouble -------------------------------------------------------------------------------------


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path):
    stored = bytearray(path.read_bytes())
    stored[-1] ^= 1
    path.write_bytes(bytes(stored))


def overwrite(path):
    path.write_bytes(b"not an entry")


def empty(path):
    path.write_bytes(b"")


def remove(path):
    path.unlink()


@pytest.mark.parametrize("every", [1, 2, 3])  # all entries, every second, every third
@pytest.mark.parametrize("damage", [truncate, flip, overwrite, empty, remove])
def test_a_damaged_store_gives_the_right_results_and_is_repaired(
    trace, store, selected, damage, every
):
    wishes = [wish(with_mask=True), wish("8:16", "bf16", with_mask=True), wish("3:5")]
    fresh = selections_of(trace, "a", wishes)
    selections_of(trace, "a", wishes, store)
    for path in sorted(store.folder.iterdir())[::every]:
        damage(path)
    selected.clear()
    for one, found in selections_of(trace, "a", wishes, store).items():
        assert_same(found, fresh[one], with_mask=one.with_mask)
    assert selected != []
    selected.clear()
    selections_of(trace, "a", wishes, store)
    assert selected == []


def test_a_store_that_cannot_be_written_gives_the_right_results(trace, tmp_path):
    (tmp_path / "file").write_text("mine")
    store = DiskCache(tmp_path / "file")
    fresh = selections_of(trace, "a", EVERY)
    for one, found in selections_of(trace, "a", EVERY, store).items():
        assert_same(found, fresh[one], with_mask=one.with_mask)


def test_a_store_too_small_for_masks_gives_the_right_results(trace, tmp_path):
    store = DiskCache(tmp_path / "store", 300)  # counts: 3 × 12 numbers and a header; too much
    fresh = selections_of(trace, "a", EVERY)
    for _ in range(2):
        for one, found in selections_of(trace, "a", EVERY, store).items():
            assert_same(found, fresh[one], with_mask=one.with_mask)
