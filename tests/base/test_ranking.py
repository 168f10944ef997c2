"""The compiled N:M selection against sorting, on every type of value and every awkward length."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from accelsim.base.compiled.ranking import keep_largest
from accelsim.sparsity import parse_pattern
from tests.helpers.decode import kept
from tests.helpers.engines import loops

# Each pair of M and type is compiled by itself; a register of 64 bytes holds, of these, from one
# group (64 of int8) to 64 (1 of int8), with bytes left over (7, 5, 3), or less than one (64 of 8).
GROUPS = [
    (1, np.int8),
    (4, np.int8),
    (7, np.int8),
    (16, np.int8),
    (64, np.int8),
    (4, np.int16),
    (5, np.float16),
    (4, np.float32),
    (16, np.float32),
    (3, np.float64),
    (64, np.float64),
]
IDS = [f"{m} of {np.dtype(dtype)}" for m, dtype in GROUPS]


def few_values(dtype):
    """Values that often tie, on both sides of zero, and the ends of the type."""
    if np.issubdtype(dtype, np.integer):
        low, high = (int(end) for end in (np.iinfo(dtype).min, np.iinfo(dtype).max))
        return st.sampled_from([0, 1, -1, 2, -2, 100, -100, high, -high, low])
    tiny, largest = np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max
    ends = [0.0, 1.0, tiny, 3 * tiny, np.finfo(dtype).tiny, 0.5, 1.5, largest, np.inf]
    return st.sampled_from([float(sign * end) for end in ends for sign in (1, -1)])


def all_values(dtype):
    if np.issubdtype(dtype, np.integer):
        return st.integers(int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    return st.floats(allow_nan=False, width=8 * np.dtype(dtype).itemsize)


@st.composite
def rows(draw, m, dtype):
    """A few rows: shorter than a group, of whole groups, longer than registers, or anything."""
    register = m * max(1, 64 // (m * np.dtype(dtype).itemsize))
    length = draw(
        st.one_of(
            st.integers(1, m),
            st.sampled_from([m, 2 * m, register, 2 * register]),
            st.integers(1, 2 * register + m),
        )
    )
    shape = draw(st.sampled_from([(length,), (1, length), (3, length), (2, 2, length)]))
    values = draw(st.sampled_from([few_values(dtype), all_values(dtype)]))
    return draw(arrays(dtype, shape, elements=values))


def sorted_out(values, n, m):
    """Sort each group by magnitude, the lower position first; keep the first n."""
    flat = values.reshape(-1, values.shape[-1])
    mask = np.zeros(flat.shape, bool)
    for row, keep in zip(flat.tolist(), mask, strict=True):  # python numbers: no overflow of |-128|
        keep[sorted(kept(row, n, m))] = True
    return mask.reshape(values.shape)


@pytest.mark.parametrize(("m", "dtype"), GROUPS, ids=IDS)
@given(data=st.data())
@settings(max_examples=60)
def test_the_largest_of_each_group_are_those_that_sorting_puts_first(m, dtype, data):
    values = data.draw(rows(m, dtype))
    n = data.draw(st.sampled_from([1, m, (m + 1) // 2]) | st.integers(1, m))
    found = keep_largest(values, n, m)
    assert found.dtype == np.bool_
    assert found.shape == values.shape
    assert np.array_equal(found, sorted_out(values, n, m))


@pytest.mark.parametrize("text", ["1:1", "2:4", "8:16", "3:7", "7:7", "64:64", "32:64"])
@given(data=st.data())
def test_a_pattern_keeps_the_same_compiled_or_not(text, data):
    # -128 is among them; int16 is not, which no precision encodes to.
    m = int(text.split(":")[1])
    dtype = data.draw(st.sampled_from([np.int8, *([np.float32] if m in {4, 16} else [])]))
    values, pattern = data.draw(rows(m, dtype)), parse_pattern(text)
    with loops(are_compiled=True):
        compiled = pattern.keep(values)
    with loops(are_compiled=False):
        assert np.array_equal(pattern.keep(values), compiled)
    assert np.array_equal(compiled, sorted_out(values, pattern.kept_per_group, m))


# By hand ---------------------------------------------------------------------------------------


def kept_places(values, n, m):
    (mask,) = keep_largest(np.array([values]), n, m)
    return np.flatnonzero(mask).tolist()


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.float32])
def test_a_tie_keeps_the_lower_index(dtype):
    # Groups of four: of 3, -3, 1, 3 the first two; of zeros the first two; of -2, 0, 0, 5 both.
    values = np.array([3, -3, 1, 3, 0, 0, 0, 0, -2, 0, 0, 5], dtype)
    assert kept_places(values, 2, 4) == [0, 1, 4, 5, 8, 11]


def test_minus_128_is_larger_than_127():
    values = np.array([127, -128, -127, 127], np.int8)
    assert kept_places(values, 1, 4) == [1]
    assert kept_places(values, 2, 4) == [0, 1]
    assert kept_places(np.array([127, -128, -128, 127], np.int8), 2, 4) == [1, 2]


def test_the_ends_of_int16_are_told_apart():
    values = np.array([-(2**15), 2**15 - 1, -(2**15) + 1, 0], np.int16)
    assert kept_places(values, 1, 4) == [0]
    assert kept_places(values[::-1], 2, 4) == [1, 3]  # 32767 twice: the lower of the two


def test_zeros_of_either_sign_tie():
    values = np.array([-0.0, 0.0, 0.0, -0.0], np.float32)
    assert kept_places(values, 2, 4) == [0, 1]
    assert kept_places(-values, 1, 4) == [0]


def test_denormals_are_not_flushed_to_zero():
    # 1e-45 is the smallest float32 there is: larger than a zero before it, smaller than 3e-45.
    values = np.array([0.0, 1e-45, -3e-45, 0.0], np.float32)
    assert values[1] > 0
    assert kept_places(values, 1, 4) == [2]
    assert kept_places(values, 2, 4) == [1, 2]


def test_infinity_is_the_largest():
    values = np.array([3e38, -np.inf, 1, np.inf], np.float32)
    assert kept_places(values, 1, 4) == [1]
    assert kept_places(values, 2, 4) == [1, 3]


def test_padding_of_a_short_group_loses_against_zeros():
    # Six values: the second group is 0, 0 and two of padding, of which none is kept instead.
    values = np.array([1, 2, 3, 4, 0, 0], np.int8)
    assert kept_places(values, 2, 4) == [2, 3, 4, 5]
    # Three of a group of 64.
    assert kept_places(np.array([0, 5, 0], np.int8), 2, 64) == [0, 1]


def test_values_need_not_be_contiguous():
    square = np.random.default_rng(0).integers(-128, 128, (160, 160)).astype(np.int8)
    for view in (square.T, square[:, ::2], square[::-1, ::-1]):
        assert not view.flags.c_contiguous
        assert np.array_equal(keep_largest(view, 2, 4), sorted_out(view, 2, 4))


def test_values_are_left_alone():
    values = np.array([[5, -3, 0, 1, 2]], np.int8)
    before = values.copy()
    values.flags.writeable = False
    keep_largest(values, 2, 4)
    assert np.array_equal(values, before)


def test_no_tokens_keep_nothing():
    assert keep_largest(np.zeros((0, 8), np.int8), 2, 4).shape == (0, 8)
