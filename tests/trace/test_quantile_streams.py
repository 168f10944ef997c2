"""Values drawn from quantiles: any tokens of an input are those of the whole."""

import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from accelsim.base.compiled import compiled as compiled_loop
from accelsim.trace import InputInfo, Linear, TraceMeta, TraceWriter, load_trace
from accelsim.trace.record import _float32_of
from accelsim.trace.synthetic import DISTRIBUTIONS, _from_quantiles, _halve, quantile_array

TABLE = np.array([-3, -1, -0.25, 0, 0, 0.5, 2, 9], np.float32)


def drawn_trace(path, shapes, *, seed=0, tables=None, distribution="quantiles"):
    """Write and open a trace of inputs {key: (tokens, width)} drawn from their tables."""
    tables = tables or dict.fromkeys(shapes, TABLE)
    (tokens,) = {tokens for tokens, _ in shapes.values()}
    with TraceWriter(path) as writer:
        for key in shapes:
            writer.add_array(quantile_array(key), tables[key])
        writer.finish(
            TraceMeta(
                model="drawn",
                sequence_lengths=(tokens,),
                linears=tuple(
                    Linear(name=f"{key}.l", input=key, in_features=width, out_features=2)
                    for key, (_, width) in shapes.items()
                ),
                inputs={key: InputInfo(dtype="float16") for key in shapes},
                synthetic={"distribution": distribution, "seed": seed, "shape_of": "nothing"},
            )
        )
    return load_trace(path)


@pytest.fixture
def trace(tmp_path):
    return drawn_trace(tmp_path / "t.npz", {"a": (23, 37), "b": (23, 64), "c": (23, 1)})


def by_hand(table, shape, seed, key):
    """Draw one stream for the whole input; find each draw in the table with Python's numbers."""
    stream = np.random.default_rng([seed, zlib.crc32(key.encode())])
    last, quantiles, values = len(table) - 1, table.tolist(), []
    for uniform in stream.random(shape[0] * shape[1], np.float32):
        place = float(uniform * np.float32(last))
        left = min(int(place), last - 1)
        share = place - left
        values.append(quantiles[left] * (1 - share) + quantiles[left + 1] * share)
    return np.array(values, np.float16).reshape(shape)


quantiles = arrays(np.float32, st.integers(2, 9), elements=st.floats(-6e4, 6e4, width=32))


@given(
    tokens=st.integers(1, 13),
    width=st.integers(1, 33),
    seed=st.integers(0, 2**40),
    table=quantiles,
    ends=st.tuples(st.integers(0, 13), st.integers(0, 13)),
)
def test_any_tokens_are_those_of_one_stream(tokens, width, seed, table, ends):
    first, last = sorted(min(end, tokens) for end in ends)
    with tempfile.TemporaryDirectory() as folder:
        shapes = {"a.b": (tokens, width)}
        path = Path(folder) / "t.npz"
        trace = drawn_trace(path, shapes, seed=seed, tables={"a.b": table})
        whole = by_hand(table, (tokens, width), seed, "a.b")
        for rows in (trace.source.read("a.b"), trace.row_reader("a.b")(slice(0, tokens))):
            assert rows.dtype == np.float16
            assert np.array_equal(rows, whole)
        assert np.array_equal(trace.values("a.b"), whole.astype(np.float32))
        part = trace.row_reader("a.b")(slice(first, last))
        assert part.shape == (last - first, width)
        assert np.array_equal(part, whole[first:last])


def test_tokens_by_hand(tmp_path):
    # Of two quantiles -2 and 6, a draw u in 0 … 1 is -2 (1 - u) + 6 u = 8 u - 2.
    table = np.array([-2, 6], np.float32)
    trace = drawn_trace(tmp_path / "t.npz", {"x": (4, 3)}, seed=5, tables={"x": table})
    stream = np.random.default_rng([5, zlib.crc32(b"x")]).random(12, np.float32)
    expected = (8 * stream.astype(np.float64) - 2).astype(np.float16)
    # Token 3 begins with draw 9: the second of a step of the generator, which makes two.
    assert np.array_equal(trace.row_reader("x")(slice(3, 4)), expected[None, 9:])
    assert np.array_equal(trace.row_reader("x")(slice(2, 4)), expected[6:].reshape(2, 3))


@pytest.mark.parametrize("key", ["a", "b", "c"])
def test_the_order_of_looking_changes_nothing(trace, key):
    rows, whole = trace.row_reader(key), trace.source.read(key)
    for token in (22, 0, 7, 7, 1, 21):
        assert np.array_equal(rows(slice(token, token + 1)), whole[token : token + 1])
        assert np.array_equal(trace.row_reader(key)(slice(token, 23)), whole[token:])


def test_several_threads_may_look_at_once(trace):
    rows = {key: trace.row_reader(key) for key in "abc"}
    wholes = {key: trace.source.read(key) for key in "abc"}
    cuts = [(key, slice(first, first + 3)) for first in range(20) for key in "abc"] * 5
    with ThreadPoolExecutor(8) as threads:
        parts = threads.map(lambda cut: rows[cut[0]](cut[1]), cuts)
        for (key, cut), part in zip(cuts, parts, strict=True):
            assert np.array_equal(part, wholes[key][cut])


@pytest.mark.parametrize("distribution", sorted(DISTRIBUTIONS))
def test_rows_of_every_distribution_are_those_of_the_whole(tmp_path, distribution):
    trace = drawn_trace(tmp_path / "t.npz", {"x": (9, 7)}, distribution=distribution)
    rows, whole = trace.row_reader("x"), trace.source.read("x")
    for cut in (slice(0, 9), slice(3, 4), slice(3, 8), slice(9, 9)):
        assert np.array_equal(rows(cut), whole[cut])


@pytest.mark.parametrize(
    "cut", [slice(None), slice(3, None), slice(3, 99), slice(-2, 9), slice(0, 9, 2), slice(5, 3)]
)
def test_rows_may_be_any_slice(tmp_path, cut):
    trace = drawn_trace(tmp_path / "t.npz", {"x": (9, 7)})
    assert np.array_equal(trace.row_reader("x")(cut), trace.source.read("x")[cut])


# --- compiled ------------------------------------------------------------------------------------


def both_ways(draw):
    """Return what `draw` gives in numpy and compiled."""
    results = []
    for is_compiled in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("accelsim.trace.synthetic.pays", lambda _, choice=is_compiled: choice)
            results.append(draw())
    return results


unit = st.integers(0, 2**24 - 1).map(lambda step: step / 2**24)  # all that the generator makes
largest = 65504  # of float16


@given(
    uniform=arrays(np.float32, st.integers(1, 50), elements=unit),
    table=arrays(
        np.float32,
        st.one_of(st.integers(2, 9), st.sampled_from([1000, 1025, 4097])),
        elements=st.floats(-largest, largest, width=32),  # tiny ones, too
    ),
)
def test_compiled_is_interpreted_to_the_bit(uniform, table):
    interpreted, compiled = both_ways(lambda: _from_quantiles(uniform, table))
    assert interpreted.dtype == compiled.dtype == np.float16
    assert interpreted.tobytes() == compiled.tobytes()


def test_rounding_to_half_precision_is_that_of_numpy():
    """Every float16 number, the middle to the next one, what is just beside it, and ends."""
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    every = np.sort(every[np.isfinite(every)].astype(np.float64))
    middle = (every[:-1] + every[1:]) / 2
    beside = [np.nextafter(middle, side) for side in (-np.inf, np.inf)]
    numbers = np.concatenate([every, middle, *beside, [-0.0, 5e-324, -5e-324, 2.0**-25]])
    halves = np.empty(numbers.size, np.uint16)
    for halve in (_halve, compiled_loop(_halve)):
        step = 1 if halve is not _halve else 97  # the interpreter takes a part
        part = np.ascontiguousarray(numbers[::step])
        found = halves[: part.size]
        halve(part, part.view(np.int64), found)
        assert np.array_equal(found, part.astype(np.float16).view(np.uint16))


@pytest.mark.parametrize("is_compiled", [False, True])
def test_half_precision_is_read_as_numpy_reads_it(is_compiled, monkeypatch):
    monkeypatch.setattr("accelsim.trace.record.pays", lambda _: is_compiled)
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    every = every[np.isfinite(every)]
    for halves in (every, every[: 64 * 3].reshape(3, 64), every.reshape(2, -1).T):
        assert _float32_of(halves).tobytes() == halves.astype(np.float32).tobytes()


@pytest.mark.parametrize("points", [2, 3, 4, 6, 65, 1000, 1025, 4097])
def test_the_ends_of_the_table(points):
    # The least draw is the first quantile; the largest, 1 - 2^-24, lies in the last interval.
    table = np.arange(points, dtype=np.float32)
    uniform = np.array([0, 1 - 2.0**-24], np.float32)
    for drawn in both_ways(lambda: _from_quantiles(uniform, table)):
        assert drawn[0] == 0
        assert points - 2 < float(drawn[1]) <= points - 1
        assert drawn[1] == pytest.approx(points - 1, rel=2**-11)


def test_a_whole_trace_is_the_same_compiled(trace):
    for key in "abc":
        interpreted, compiled = both_ways(lambda key=key: trace.source.read(key))
        assert np.array_equal(interpreted, compiled)
        assert np.array_equal(interpreted, by_hand(TABLE, trace.meta.shape(key), 0, key))
