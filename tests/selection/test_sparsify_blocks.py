"""Selection in blocks of tokens on several cores is selection of the whole, value by value."""

import math
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from accelsim.base.errors import InputError
from accelsim.precision import PRECISIONS
from accelsim.selection import sparsify
from accelsim.selection.sparsify import select_input
from accelsim.sparsity import parse_pattern
from accelsim.trace import InputInfo, Linear, Trace, TraceMeta
from accelsim.trace.record import ValueSource
from tests.helpers import decode as oracle
from tests.helpers.small import ROOT

PATTERNS = ("dense", "2:4", "3:5", "8:16")
SCALE = 0.3  # of stored int8 codes
COLUMNS = ("nonzero", "squared_magnitude", "dropped_squared_magnitude", "packed_mask")


@dataclass(frozen=True)
class Held(ValueSource):
    """A source that holds one array."""

    array: np.ndarray
    threads: set = field(default_factory=set)

    def read(self, key):
        assert key == "x"
        return self.array

    def open(self, key):
        def rows(tokens):
            self.threads.add(threading.get_ident())
            return self.read(key)[tokens]

        return rows


def trace_of(array):
    """A trace of one input whose stored type says how it is coded (uint16: bfloat16)."""
    tokens, width = array.shape
    stored = {"float16": "float16", "uint16": "bfloat16", "int8": "int8"}[str(array.dtype)]
    meta = TraceMeta(
        model="held",
        sequence_lengths=(tokens,),
        linears=(Linear(name="l", input="x", in_features=width, out_features=4),),
        inputs={"x": InputInfo(dtype=stored, scale=SCALE if stored == "int8" else 1)},
    )
    return Trace(Path("held.npz"), "0" * 64, meta, Held(array))


def selected(trace, precision, patterns=PATTERNS, *, with_masks=True):
    chosen = [parse_pattern(text) for text in patterns]
    return select_input(trace, "x", precision, chosen, with_masks=with_masks)


# --- a second implementation: the whole array, in lists of Python numbers ------------------------


def real_values(array):
    """What the stored numbers mean, in float32 as a trace gives them."""
    if array.dtype == np.uint16:  # the upper half of a float32
        return (array.astype(np.uint32) * 2**16).view(np.float32)
    if array.dtype == np.int8:
        return np.float32(array) * np.float32(SCALE)
    return np.float32(array)


def bfloat16(value):
    """Round to 8 bits of significand: value = m × 2^e with 128 <= |m| < 256, m to even."""
    fraction, exponent = math.frexp(value)
    return math.ldexp(round(fraction * 256), exponent - 8)


def operands(array, precision):
    """Rows of what the machine ranks."""
    real = real_values(array)
    if precision == "fp16":
        return [[float(np.float16(value)) for value in row] for row in real]
    if precision == "bf16":
        return [[bfloat16(value) for value in row] for row in real.tolist()]
    if array.dtype == np.int8:
        return array.tolist()
    rows = []
    for row in real:
        peak = max(abs(value) for value in row)
        scale = peak / np.float32(127) if peak else np.float32(1)
        rows.append([round(float(value / scale)) for value in row])  # halves to even
    return rows


def expected(array, precision, pattern):
    """Return (nonzero, energy, dropped, kept positions) of each token."""
    for row, seen in zip(real_values(array).tolist(), operands(array, precision), strict=True):
        if pattern == "dense":
            kept = set(range(len(row)))
        else:
            kept = oracle.kept(seen, *map(int, pattern.split(":")))
        nonzero = sum(1 for position in kept if seen[position] != 0)
        energy = math.fsum(value**2 for value in row)
        dropped = math.fsum(v**2 for position, v in enumerate(row) if position not in kept)
        yield nonzero, energy, dropped, kept


# Zeros and equal magnitudes are what selection is about, so they are frequent: also 1 + 2^-8, which
# is 1 in bf16, and halves of a step of an int8 token whose largest value is 127.
AWKWARD = (0.0, -0.0, 1.0, -1.0, 1 + 2**-8, 127.0, 0.5, -1.5, 2.5)
numbers = st.one_of(st.sampled_from(AWKWARD), st.floats(-6e4, 6e4, width=16))


@st.composite
def stored_arrays(draw, max_tokens=9, max_width=70):
    """float16, bfloat16 or int8, of any number of tokens and any width."""
    shape = draw(st.integers(1, max_tokens)), draw(st.integers(1, max_width))
    stored = draw(st.sampled_from(["float16", "bfloat16", "int8"]))
    if stored == "int8":
        return draw(arrays(np.int8, shape))
    values = draw(arrays(np.float16, shape, elements=numbers, fill=st.just(0.0)))
    if stored == "bfloat16":  # cut off, so within the range of fp16
        return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return values


def drawn(tokens, width, stored="float16"):
    """Values from 2^-14 to 2^8 or so, whose squares no float64 adds up without rounding."""
    rng, shape = np.random.default_rng([tokens, width]), (tokens, width)
    if stored == "int8":
        return rng.integers(-128, 128, shape).astype(np.int8)
    values = rng.standard_normal(shape) * np.exp2(rng.uniform(-14, 8, shape))
    values *= rng.random(shape) < 0.8
    if stored == "bfloat16":
        return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return values.astype(np.float16)


def assert_naive(array, precision, chosen):
    for pattern, selection in zip(PATTERNS, chosen, strict=True):
        tokens = list(expected(array, precision, pattern))
        nonzero, energy, dropped, kept = zip(*tokens, strict=True)
        assert selection.nonzero.tolist() == list(nonzero)
        assert [set(np.flatnonzero(row).tolist()) for row in selection.kept_mask] == list(kept)
        assert selection.squared_magnitude == pytest.approx(energy, rel=1e-12, abs=0)
        assert selection.dropped_squared_magnitude == pytest.approx(dropped, rel=1e-12, abs=0)
        total = math.fsum(energy)
        ratio = math.fsum(dropped) / total if total else 0.0
        assert selection.dropped_squared_magnitude_ratio == pytest.approx(ratio, rel=1e-12, abs=0)


@settings(max_examples=120)
@given(
    array=stored_arrays(),
    precision=st.sampled_from(["int8", "bf16", "fp16"]),
    block=st.sampled_from([1, 64, 200, 2**18]),
)
def test_blocks_are_the_naive_whole(array, precision, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparsify, "_BLOCK_VALUES", block)
        assert_naive(array, precision, selected(trace_of(array), precision))


@pytest.mark.parametrize("stored", ["float16", "bfloat16", "int8"])
@pytest.mark.parametrize("precision", ["int8", "bf16", "fp16"])
def test_larger_arrays_are_the_naive_whole(monkeypatch, stored, precision):
    monkeypatch.setattr(sparsify, "_BLOCK_VALUES", 1000)  # 7 of 29 tokens
    array = drawn(29, 131, stored)
    assert_naive(array, precision, selected(trace_of(array), precision))


@pytest.mark.parametrize("precision", ["int8", "bf16", "fp16"])
def test_ties_and_halves_are_those_of_the_naive_whole(precision):
    array = np.random.default_rng(0).choice(AWKWARD, (29, 131)).astype(np.float16)
    assert_naive(array, precision, selected(trace_of(array), precision))


# --- the cut -------------------------------------------------------------------------------------


def assert_equal(chosen, others):
    for one, other in zip(chosen, others, strict=True):
        assert one.features == other.features
        for name in COLUMNS:
            ours, theirs = getattr(one, name), getattr(other, name)
            assert ours.dtype == theirs.dtype
            assert np.array_equal(ours, theirs), name  # to the last bit, energies too


@pytest.mark.parametrize("stored", ["float16", "bfloat16", "int8"])
@pytest.mark.parametrize(("tokens", "width"), [(1, 1), (23, 37), (50, 129), (7, 1000), (97, 64)])
def test_no_bit_depends_on_the_size_of_blocks(monkeypatch, stored, tokens, width):
    trace = trace_of(drawn(tokens, width, stored))
    for precision in ("int8", "bf16"):
        whole = selected(trace, precision)
        # Blocks of 1, 1, 1, 2, 5, …, tokens - 1 and all tokens.
        for block in (1, width, 2 * width - 1, 2 * width, 5 * width + 1, (tokens - 1) * width):
            monkeypatch.setattr(sparsify, "_BLOCK_VALUES", block)
            assert_equal(selected(trace, precision), whole)
        monkeypatch.undo()


@pytest.mark.parametrize("block", [1, 129 * 7])
def test_no_bit_depends_on_the_layout_of_the_values(monkeypatch, block):
    whole = selected(trace_of(drawn(50, 129)), "int8")
    monkeypatch.setattr(sparsify, "_BLOCK_VALUES", block)
    assert_equal(selected(trace_of(np.asfortranarray(drawn(50, 129))), "int8"), whole)
    every_second = np.repeat(drawn(50, 129), 2, axis=1)[:, ::2]
    assert_equal(selected(trace_of(every_second), "int8"), whole)


@pytest.fixture
def cores(monkeypatch):
    """Set how many cores there seem to be; threads made for others are put aside meanwhile."""

    def _cores(count):
        monkeypatch.setattr(os, "cpu_count", lambda: count)
        if count is None:
            monkeypatch.delattr(os, "sched_getaffinity", raising=False)
        else:
            monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(count), raising=False)
        sparsify._cores.cache_clear()

    yield _cores
    sparsify._cores.cache_clear()


@pytest.mark.parametrize("count", [1, 2, 7, None])
def test_no_bit_depends_on_the_number_of_cores(monkeypatch, cores, count):
    trace = trace_of(drawn(97, 129))
    whole = selected(trace, "int8")
    monkeypatch.setattr(sparsify, "_BLOCK_VALUES", 3 * 129)
    trace.source.threads.clear()
    cores(count)
    assert_equal(selected(trace, "int8"), whole)
    assert len(trace.source.threads) <= (count or 32)
    assert threading.get_ident() not in trace.source.threads


def test_inputs_of_all_sizes_in_turn_leave_nothing_of_each_other(monkeypatch):
    monkeypatch.setattr(sparsify, "_BLOCK_VALUES", 500)
    arrays = [drawn(*shape) for shape in ((40, 64), (3, 5), (97, 129), (1, 1), (40, 64))]
    for array in arrays + arrays[::-1]:
        assert_naive(array, "int8", selected(trace_of(array), "int8"))


def test_callers_on_several_threads_get_their_own_results(monkeypatch):
    monkeypatch.setattr(sparsify, "_BLOCK_VALUES", 300)
    traces = [trace_of(drawn(40, width)) for width in (31, 64, 65, 100)]
    alone = [selected(trace, "int8") for trace in traces]
    with ThreadPoolExecutor(4) as callers:
        for _ in range(5):
            together = callers.map(lambda trace: selected(trace, "int8"), traces)
            for chosen, expected_ in zip(together, alone, strict=True):
                assert_equal(chosen, expected_)


FORK = """
import os
import numpy as np
from tests.selection.test_sparsify_blocks import assert_equal, drawn, selected, trace_of

trace = trace_of(drawn(97, 129))
whole = selected(trace, "int8")
child = os.fork()
if not child:
    assert_equal(selected(trace, "int8"), whole)
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_selects_too():
    command = [sys.executable, "-W", "ignore", "-c", FORK]
    subprocess.run(command, cwd=ROOT, timeout=60, check=True)


def test_an_error_in_one_block_leaves_the_next_call_alone(monkeypatch):
    monkeypatch.setattr(sparsify, "_BLOCK_VALUES", 1)
    good, bad = drawn(20, 8, "bfloat16"), np.full((20, 8), 0x7F00, np.uint16)  # 1.7e38
    for _ in range(3):
        with pytest.raises(InputError):
            selected(trace_of(bad), "fp16")
        assert_naive(good, "fp16", selected(trace_of(good), "fp16"))


def test_tokens_come_in_blocks_of_values(monkeypatch):
    # 20 values a block: two tokens of 9 values, of 5 tokens.
    cuts, trace = [], trace_of(drawn(5, 9))
    monkeypatch.setattr(sparsify, "_BLOCK_VALUES", 20)
    monkeypatch.setattr(
        Held, "open", lambda self, _: lambda cut: cuts.append(cut) or self.array[cut]
    )
    selected(trace, "int8")
    assert sorted(cuts, key=lambda cut: cut.start) == [slice(0, 2), slice(2, 4), slice(4, 5)]


@pytest.mark.parametrize("block", [1, 2**18])
def test_a_value_out_of_range_says_the_same_from_any_block(monkeypatch, block):
    array = drawn(20, 8, "bfloat16")
    array[13, 5] = 0x7F00  # 1.7e38
    monkeypatch.setattr(sparsify, "_BLOCK_VALUES", block)
    with pytest.raises(InputError, match=r"^held\.npz: array 'x/x': a value exceeds the range of"):
        selected(trace_of(array), "fp16")


def test_several_patterns_are_each_alone():
    trace = trace_of(drawn(23, 37))
    for pattern, selection in zip(PATTERNS, selected(trace, "bf16"), strict=True):
        assert_equal([selection], selected(trace, "bf16", [pattern]))


def test_masks_are_there_if_asked_for():
    trace = trace_of(drawn(23, 37))
    with_masks, without = selected(trace, "int8"), selected(trace, "int8", with_masks=False)
    for one, other in zip(with_masks, without, strict=True):
        assert one.packed_mask.shape == (23, 5)  # 37 bits are 5 bytes
        assert other.packed_mask is None
        assert np.array_equal(one.nonzero, other.nonzero)
        assert np.array_equal(one.dropped_squared_magnitude, other.dropped_squared_magnitude)
        with pytest.raises(ValueError, match="selected without a mask"):
            other.kept_mask  # noqa: B018
        with pytest.raises(ValueError, match="selected without a mask"):
            other.unions(np.zeros((1, 1), np.int64))


# --- masks as sets -------------------------------------------------------------------------------


@given(array=stored_arrays(), data=st.data())
def test_unions_are_unions_of_sets(array, data):
    tokens, width = array.shape
    batch = data.draw(st.integers(1, 5))
    token = st.integers(0, tokens - 1)
    steps = data.draw(st.lists(st.lists(token, min_size=batch, max_size=batch), min_size=1))
    (selection,) = selected(trace_of(array), "bf16", ["2:4"])
    sets = [oracle.kept(row, 2, 4) for row in operands(array, "bf16")]
    united = selection.unions(np.array(steps))
    assert united.shape == (len(steps), width)
    assert united.dtype == np.bool_
    for row, step in zip(united, steps, strict=True):
        assert set(np.flatnonzero(row).tolist()) == set().union(*(sets[t] for t in step))


# --- precisions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PRECISIONS))
@given(data=st.data())
def test_every_precision_rounds_each_token_by_itself(name, data):
    shape = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 20)))
    finite = st.floats(-6e4, 6e4, width=32, allow_subnormal=False)
    values = data.draw(arrays(np.float32, shape, elements=finite))
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, shape[0])] * 2)))
    encode = PRECISIONS[name].encode_tokens
    whole, before = encode(values), values.copy()
    block = encode(values[first:last])
    assert whole.shape == values.shape
    assert block.dtype == whole.dtype
    assert block.tobytes() == np.ascontiguousarray(whole[first:last]).tobytes()
    order = data.draw(st.permutations(range(shape[0])))
    assert np.array_equal(encode(values[order]), whole[order])
    assert np.array_equal(values, before)  # and leaves its input alone
