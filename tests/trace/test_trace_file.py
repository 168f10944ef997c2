"""The trace file: what goes in comes out, byte for byte the same, and only when asked for."""

import json
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from accelsim.base.errors import InputError
from accelsim.trace import InputInfo, Linear, TraceMeta, TraceWriter, load_trace

SHAPE = (6, 8)
finite = arrays(np.float16, SHAPE, elements=st.floats(-60000, 60000, width=16))


def bfloat16(values):
    """Truncate float32 to bfloat16, as stored: the upper halves."""
    return (np.asarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16)


reuse = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@reuse
@given(values=finite)
def test_float16_round_trips(write, values):
    trace = load_trace(write({"a": values}))
    assert trace.values("a").dtype == np.float32
    assert np.array_equal(trace.values("a"), values.astype(np.float32))


@reuse
@given(values=finite)
def test_bfloat16_round_trips(write, values):
    stored = bfloat16(values)
    expected = (stored.astype(np.uint32) << 16).view(np.float32)
    trace = load_trace(write({"a": stored}))
    assert np.array_equal(trace.values("a"), expected)
    operands, real = trace.operands("a", "bf16")
    assert np.array_equal(operands, expected)
    assert np.array_equal(real, expected)


def test_bfloat16_by_hand(write):
    # Sign, 8 bits of exponent, 7 of mantissa: 0x3F80 is 1, 0xC040 is -3, 0x0001 is 2^-133.
    stored = np.array([[0x3F80, 0xC040, 0x0001, 0x0000] * 2] * 6, np.uint16)
    assert load_trace(write({"a": stored})).values("a")[0, :4].tolist() == [1, -3, 2.0**-133, 0]


@reuse
@given(codes=arrays(np.int8, SHAPE), scale=st.floats(1e-6, 1e3))
def test_int8_round_trips_with_its_scale(write, codes, scale):
    path = write({"a": codes}, inputs={"a": InputInfo(dtype="int8", scale=scale)})
    trace = load_trace(path)
    expected = codes.astype(np.float32) * np.float32(scale)
    assert np.array_equal(trace.values("a"), expected)
    # An int8 machine takes the codes as they are, -128 included.
    operands, real = trace.operands("a", "int8")
    assert operands.dtype == np.int8
    assert np.array_equal(operands, codes)
    assert np.array_equal(real, expected)


def test_an_int8_machine_rounds_a_float_trace(write):
    values = np.zeros(SHAPE, np.float16)
    values[0, :3] = (127, -63.5, 0.25)  # the scale is 1; halves to even
    values[1, :3] = (1, 0.5, 0)  # a token of its own scale, 1 / 127
    operands, real = load_trace(write({"a": values})).operands("a", "int8")
    assert operands[:3, :3].tolist() == [[127, -64, 0], [127, 64, 0], [0, 0, 0]]
    assert np.array_equal(real, values)


def test_a_value_out_of_range_of_the_machine_names_file_and_array(write):
    path = write({"a": np.full(SHAPE, bfloat16(1e5), np.uint16)})
    with pytest.raises(InputError, match="range of fp16") as caught:
        load_trace(path).operands("a", "fp16")
    assert str(path) in str(caught.value)
    assert "x/a" in str(caught.value)


def test_the_table_round_trips(write, meta):
    path = write(
        {"a": np.zeros(SHAPE, np.float16)},
        sequence_lengths=(1, 2, 3),
        provenance={"text": "déjà vu", "nested": {"n": 1}},
    )
    trace = load_trace(path)
    expected = meta(
        {"a": "float16"},
        sequence_lengths=(1, 2, 3),
        provenance={"text": "déjà vu", "nested": {"n": 1}},
    )
    assert trace.meta == expected
    assert (trace.tokens, trace.linears) == (6, expected.linears)


def test_the_identity_of_a_trace(good):
    import hashlib

    assert load_trace(good).describe() == {
        "path": str(good),
        "sha256": hashlib.sha256(good.read_bytes()).hexdigest(),
        "model": "tiny",
        "tokens": 6,
        "sequences": 1,
        "linears": 2,
        "synthetic": False,
    }


def test_the_same_contents_give_the_same_bytes(write):
    values = {"a": np.ones(SHAPE, np.float16), "b": np.ones(SHAPE, np.int8)}
    first, second = write(values, name="1.npz"), write(values, name="2.npz")
    assert first.read_bytes() == second.read_bytes()


def test_a_trace_that_goes_to_another_process_is_the_same_or_none(write):
    """Its hash goes along, and results are kept by it."""
    sent = pickle.dumps(load_trace(write({"a": np.ones(SHAPE, np.float16)})))
    assert pickle.loads(sent).values("a")[0, 0] == 1
    write({"a": np.zeros(SHAPE, np.float16)})
    with pytest.raises(InputError, match="has changed since it was opened"):
        pickle.loads(sent)


def test_numpy_reads_the_file_without_pickles(good):
    with np.load(good, allow_pickle=False) as archive:
        assert set(archive.files) == {"meta", "x/a", "x/b"}
        assert archive["x/a"].shape == SHAPE
        assert json.loads(str(archive["meta"]))["schema"] == 1


def test_opening_and_reading_touch_only_what_is_asked_for(good, monkeypatch):
    read = []
    original = np.lib.format.read_array
    monkeypatch.setattr(
        np.lib.format,
        "read_array",
        lambda file, **options: read.append(file.name) or original(file, **options),
    )
    trace = load_trace(good)
    assert read == ["meta.npy"]
    trace.values("b")
    assert read == ["meta.npy", "x/b.npy"]


def test_a_damaged_array_does_not_hinder_the_others(write):
    noise = np.random.default_rng(0).integers(-128, 128, (300, 1000), np.int8)
    path = write({"a": noise, "b": noise}, tokens=300, features=1000)
    with zipfile.ZipFile(path) as archive:
        end = archive.getinfo("meta.npy").header_offset  # the entry after x/b
    data = bytearray(path.read_bytes())
    data[end - 100] ^= 0xFF
    path.write_bytes(bytes(data))
    trace = load_trace(path)
    assert np.array_equal(trace.values("a"), noise)
    with pytest.raises(InputError, match=r"t\.npz: array 'x/b' is damaged"):
        trace.values("b")


def test_layers_may_share_an_input(write):
    linears = tuple(
        Linear(name=f"l.{kind}_proj", input="x", in_features=8, out_features=out)
        for kind, out in (("q", 8), ("k", 2))
    )
    trace = load_trace(write({"x": np.zeros(SHAPE, np.float16)}, linears=linears))
    assert [(linear.kind, linear.input) for linear in trace.linears] == [
        ("q_proj", "x"),
        ("k_proj", "x"),
    ]


# --- the writer ----------------------------------------------------------------------------------


def test_a_failure_while_writing_leaves_nothing(tmp_path):
    def fail():
        with TraceWriter(tmp_path / "t.npz") as writer:
            writer.add("a", np.zeros(SHAPE, np.float16))
            raise RuntimeError("the model crashed")

    with pytest.raises(RuntimeError, match="the model crashed"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_writing_keeps_the_old_file(good):
    before = good.read_bytes()

    def fail():
        with TraceWriter(good):
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        fail()
    assert good.read_bytes() == before
    assert list(good.parent.iterdir()) == [good]


def test_nothing_is_there_before_the_end(tmp_path, meta):
    with TraceWriter(tmp_path / "t.npz") as writer:
        writer.add("a", np.zeros(SHAPE, np.float16))
        writer.finish(meta({"a": "float16"}))
        assert not (tmp_path / "t.npz").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["t.npz"]


@pytest.mark.parametrize("where", ["missing/t.npz", "file/t.npz", "."])
def test_an_unwritable_place_is_an_input_error(tmp_path, where):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot write"), TraceWriter(tmp_path / where):
        pass


# --- models of the table -------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), [("a.b.up_proj", "up_proj"), ("fc", "fc"), ("h.0", "0")])
def test_kind_is_the_last_part_of_the_name(name, kind):
    assert Linear(name=name, input="x", in_features=1, out_features=1).kind == kind


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf"), float("nan")])
def test_a_scale_is_positive_and_finite(scale):
    with pytest.raises(ValueError, match="scale"):
        InputInfo(dtype="int8", scale=scale)


def test_the_table_is_frozen(meta):
    with pytest.raises(ValueError, match="frozen"):
        meta({"a": "int8"}).model = "other"
    assert isinstance(meta({"a": "int8"}), TraceMeta)
