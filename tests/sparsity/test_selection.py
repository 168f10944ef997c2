"""What selection keeps of a layer input: masks, zeros among the kept, energy dropped."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from accelsim.selection.sparsify import select
from accelsim.sparsity import magnitude, parse_pattern

codes = arrays(np.int8, st.tuples(st.integers(1, 4), st.integers(1, 40)))


def test_selection_by_hand():
    # 2:4 keeps 3 and -4 of the first group and two zeros of the second; 25 of 30 of the energy.
    chosen = select(np.array([[3, 1, 2, -4, 0, 0, 0, 0]], np.int8), parse_pattern("2:4"))
    assert chosen.kept_mask.tolist() == [[1, 0, 0, 1, 1, 1, 0, 0]]
    assert chosen.nonzero.tolist() == [2]
    assert chosen.dropped_squared_magnitude_ratio == pytest.approx((1 + 4) / 30)


def test_energy_is_that_of_the_real_values():
    # Codes 2 and 1 stand for 4 and 3: the mask follows the codes, the energy the values.
    codes, real = np.array([[2, 1]], np.int8), np.array([[4.0, 3.0]], np.float32)
    chosen = select(codes, parse_pattern("1:2"), real)
    assert chosen.kept_mask.tolist() == [[True, False]]
    assert chosen.dropped_squared_magnitude_ratio == pytest.approx(9 / 25)


@pytest.mark.parametrize("text", ["dense", "1:4", "2:4", "3:5", "8:16"])
@given(x=codes)
def test_selection_equals_a_loop_over_the_values(text, x):
    chosen = select(x, parse_pattern(text))
    kept = dropped = 0
    for row, keep, nonzero in zip(x.tolist(), chosen.kept_mask, chosen.nonzero, strict=True):
        assert nonzero == sum(1 for value, k in zip(row, keep, strict=True) if k and value)
        kept += sum(value**2 for value, k in zip(row, keep, strict=True) if k)
        dropped += sum(value**2 for value, k in zip(row, keep, strict=True) if not k)
    expected = dropped / (kept + dropped) if kept + dropped else 0
    assert chosen.dropped_squared_magnitude_ratio == pytest.approx(expected)


@given(x=codes)
def test_dense_drops_nothing(x):
    chosen = select(x, parse_pattern("dense"))
    assert chosen.dropped_squared_magnitude_ratio == 0.0
    assert chosen.nonzero.tolist() == np.count_nonzero(x, axis=1).tolist()


@given(x=arrays(np.int8, st.tuples(st.integers(1, 3), st.sampled_from([32, 64]))))
def test_more_freedom_drops_less(x):
    # Every 2:4 choice is a 4:8 choice, and so on.
    ladder = ("2:4", "4:8", "8:16", "16:32")
    dropped = [select(x, parse_pattern(text)).dropped_squared_magnitude_ratio for text in ladder]
    assert all(a >= b - 1e-12 for a, b in pairwise(dropped))


def test_zeros_only_drop_nothing():
    chosen = select(np.zeros((2, 8), np.float32), parse_pattern("2:4"))
    assert (chosen.nonzero.tolist(), chosen.dropped_squared_magnitude_ratio) == ([0, 0], 0.0)


def test_energy_does_not_overflow():
    x = np.full((1, 4096), 3e38, np.float32)
    assert select(x, parse_pattern("2:4")).dropped_squared_magnitude_ratio == pytest.approx(0.5)
    x = np.full((1, 4096), -128, np.int8)
    assert select(x, parse_pattern("1:4")).dropped_squared_magnitude_ratio == pytest.approx(0.75)


def test_magnitude_widens_int8_only():
    assert magnitude(np.array([-128, 127], np.int8)).tolist() == [128, 127]
    assert magnitude(np.array([-1.5], np.float32)).dtype == np.float32
