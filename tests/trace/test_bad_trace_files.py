"""Every bad trace is one error that names the file, the array or field, and what is wrong."""

import os
import struct

import numpy as np
import pytest

from accelsim.base.errors import InputError
from accelsim.trace import load_trace
from accelsim.trace.statistics import statistics


def refused(path, *parts):
    """Open the trace and read all of it; return the message, which has one line and all parts."""
    with pytest.raises(InputError) as caught:
        list(statistics(load_trace(path), ["2:4"]))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    for part in parts:
        assert part in message
    return message


# --- the file ------------------------------------------------------------------------------------


def test_missing(tmp_path):
    refused(tmp_path / "none.npz", "No such file")


def test_a_folder(tmp_path):
    refused(tmp_path, "Is a directory")


@pytest.mark.parametrize("contents", [b"", b"not a zip", b"PK\x03\x04", b"\0" * 100_000])
def test_not_a_zip(tmp_path, contents):
    path = tmp_path / "t.npz"
    path.write_bytes(contents)
    refused(path, "not a readable .npz trace")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_truncated(good, share):
    data = good.read_bytes()
    good.write_bytes(data[: int(len(data) * share)])
    refused(good, "not a readable .npz trace")


def test_a_plain_npy(tmp_path):
    path = tmp_path / "t.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    refused(path, "not a readable .npz trace")


def test_an_npz_of_something_else(tmp_path):
    np.savez(tmp_path / "t.npz", weights=np.zeros(3))
    refused(tmp_path / "t.npz", "no 'meta' entry", "is this an accelsim trace?")


def patched(good, central, local, value):
    """Overwrite a two-byte field of every zip header."""
    data = bytearray(good.read_bytes())
    for signature, offset in ((b"PK\x01\x02", central), (b"PK\x03\x04", local)):
        start = data.find(signature)
        while start >= 0:
            struct.pack_into("<H", data, start + offset, value)
            start = data.find(signature, start + 4)
    good.write_bytes(bytes(data))
    return good


def test_encrypted(good):
    refused(patched(good, 8, 6, 1), "encrypted")


@pytest.mark.parametrize("method", [1, 12, 14, 99])
def test_another_compression(good, method):
    message = refused(patched(good, 10, 8, method))
    assert not message.endswith("None")


def test_random_damage_is_always_an_input_error(good):
    rng, whole = np.random.default_rng(0), good.read_bytes()
    failures = 0
    for _ in range(400):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            data[place] = rng.integers(0, 256)
        good.write_bytes(bytes(data))
        try:
            list(statistics(load_trace(good), ["2:4"]))
        except InputError as error:
            failures += 1
            assert str(good) in str(error)  # noqa: PT017
    assert failures > 200


# --- the table -----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "{", "[1, 2", "no json", "{'a': 1}"])
def test_broken_json(edit_meta, text):
    refused(edit_meta(text), "entry 'meta'", "Invalid JSON")


@pytest.mark.parametrize("text", ["[]", "3", "null", '"x"'])
def test_json_of_something_else(edit_meta, text):
    refused(edit_meta(text), "entry 'meta'", "object")


@pytest.mark.parametrize("schema", [0, 2, "1", None])
def test_unknown_schema(edit_meta, schema):
    refused(edit_meta(lambda meta: meta.update(schema=schema)), "field schema", "should be 1")


@pytest.mark.parametrize("field", ["model", "sequence_lengths", "linears", "inputs"])
def test_missing_field(edit_meta, field):
    refused(edit_meta(lambda meta: meta.pop(field) and None), f"field {field}", "required")


@pytest.mark.parametrize("field", ["linears", "sequence_lengths", "inputs"])
def test_empty(edit_meta, field):
    def empty(meta):
        meta[field] = type(meta[field])()

    refused(edit_meta(empty), f"field {field}", "at least 1 item")


def test_unknown_field(edit_meta):
    refused(edit_meta(lambda meta: meta.update(colour=1)), "field colour")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("linears", 0, "in_features"), 0),
        (("linears", 0, "in_features"), -8),
        (("linears", 0, "out_features"), "many"),
        (("linears", 0, "name"), 5),
        (("inputs", "a", "dtype"), "float64"),
        (("inputs", "a", "scale"), 0),
        (("sequence_lengths", 0), 0),
        (("sequence_lengths", 0), 1.5),
    ],
)
def test_a_wrong_value_is_named_by_its_place(edit_meta, path, value):
    def change(meta):
        *parents, last = path
        for key in parents:
            meta = meta[key]
        meta[last] = value

    refused(edit_meta(change), f"field {'.'.join(map(str, path))}: ")


def test_a_layer_that_reads_nothing_known(edit_meta):
    def change(meta):
        meta["linears"][0]["input"] = "zz"

    refused(edit_meta(change), "layer 'a.proj' reads unknown input 'zz'")


def test_an_input_that_nothing_reads(edit_meta):
    def change(meta):
        meta["linears"].pop(1)

    refused(edit_meta(change), "input 'b'")


def test_layers_that_disagree_on_the_width_of_their_input(edit_meta):
    def change(meta):
        meta["linears"].append({**meta["linears"][0], "name": "c", "in_features": 9})

    refused(edit_meta(change), "input 'a' has 2 widths")


def test_a_table_that_is_an_object_array(damage):
    refused(damage({"meta.npy": np.array([{}], dtype=object)}), "entry 'meta'", "object array")


@pytest.mark.parametrize("table", [np.zeros((2, 2)), np.array(3), np.array(["{}", "{}"])])
def test_a_table_that_is_not_a_text(damage, table):
    refused(damage({"meta.npy": table}), "entry 'meta'")


@pytest.mark.parametrize(
    ("descr", "shape"),
    [("<U1000", (10**12,)), ("<f8", (10**15,)), ("<U99999999999", ()), ("<U1000", (-1,))],
)
def test_a_table_with_a_huge_header(damage, descr, shape):
    refused(damage({"meta.npy": damage.header(descr, shape)}), "entry 'meta'")


# --- the arrays ----------------------------------------------------------------------------------

SHAPE = (6, 8)


def test_a_missing_array(damage):
    refused(damage({"x/b.npy": None}), "array 'x/b' is missing")


def test_an_object_array(damage):
    objects = np.full(SHAPE, None, dtype=object)
    refused(damage({"x/a.npy": objects}), "array 'x/a' is an object array", "allowed: float16")


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint16", "bool", ">f2", "<U4"])
def test_the_wrong_dtype(damage, dtype):
    refused(
        damage({"x/a.npy": np.zeros(SHAPE, dtype)}), "array 'x/a' is ", "the table says float16"
    )


@pytest.mark.parametrize("shape", [(6, 7), (5, 8), (8, 6), (48,), (1, 6, 8), (6, 0), ()])
def test_the_wrong_shape(damage, shape):
    refused(
        damage({"x/a.npy": np.zeros(shape, np.float16)}),
        f"array 'x/a' has shape {list(shape)}",
        "expected [6, 8]",
    )


def test_a_sequence_table_that_does_not_fit_the_array(edit_meta):
    def change(meta):
        meta["sequence_lengths"] = [6, 1]

    refused(edit_meta(change), "array 'x/a' has shape [6, 8]", "expected [7, 8]")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(damage, value):
    values = np.zeros(SHAPE, np.float16)
    values[3, 4] = value
    refused(damage({"x/a.npy": values}), "array 'x/a' holds NaN or infinity")


@pytest.mark.parametrize("bits", [0x7F80, 0xFF80, 0x7FC0, 0x7F81])
def test_bfloat16_that_is_not_finite(write, bits):
    values = np.zeros(SHAPE, np.uint16)
    values[3, 4] = bits
    refused(write({"a": values}), "array 'x/a' holds NaN or infinity")


def test_the_largest_bfloat16_is_finite(write):
    values = np.full(SHAPE, 0x7F7F, np.uint16)
    assert load_trace(write({"a": values})).values("a").max() > 3e38


@pytest.mark.parametrize(
    ("descr", "shape"),
    [("<f2", (10**12, 10**12)), ("<f2", (10**30,)), ("<f2", (6, 9)), ("<f2", (-6, -8))],
)
def test_a_header_that_declares_what_is_not_there(damage, descr, shape):
    refused(damage({"x/a.npy": damage.header(descr, shape)}), "array 'x/a'")


def test_a_table_and_header_that_agree_on_a_huge_size(damage, edit_meta):
    def change(meta):
        meta["sequence_lengths"] = [10**9]

    edit_meta(change)
    path = damage({"x/a.npy": damage.header("<f2", (10**9, 8))})
    refused(path, "array 'x/a' declares 16000000", "but the file holds")


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"garbage",
        b"\x93NUMPY\x09\x00",
        b"\x93NUMPY\x01\x00\xff\xff",
        b"\x93NUMPY\x01\x00\x03\x00{}\n",
    ],
)
def test_a_broken_header(damage, entry):
    refused(damage({"x/a.npy": entry}), "array 'x/a' has a damaged header")


def test_an_array_that_ends_early(damage):
    refused(damage({"x/a.npy": damage.header("<f2", SHAPE, b"\0" * 95)}), "array 'x/a'")


def test_nothing_is_unpickled(damage, tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    bomb = np.empty(SHAPE, dtype=object)
    bomb[:] = Bomb()
    refused(damage({"x/a.npy": bomb}), "object array")
    assert not (tmp_path / "exploded").exists()
