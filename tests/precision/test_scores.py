"""What the ranking sees of scaled magnitudes, and what a code of a token is worth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from accelsim.precision import PRECISIONS, BFloat16, Float16, Int8
from tests.helpers import pruning as naive

FLOATS = ("bf16", "fp16")
values = arrays(np.float32, (3, 7), elements=st.floats(-1e3, 1e3, width=16))
factors = arrays(np.float64, 7, elements=st.floats(1e-3, 1e3))


def test_int8_scores_by_hand():
    # The largest factor is 255; 1/2 of it 127.5, to even 128; 1/1000 would be 0 and is 1.
    codes = np.array([[2, -127, 100, 5]], np.int8)
    scores = Int8.scores(codes, np.array([8.0, 4.0, 8e-3, 1e-9]))
    assert scores.tolist() == [[2 * 255, -127 * 128, 100 * 1, 5]]
    assert scores.dtype == np.int16


def test_int8_scores_fit_into_16_bits_with_a_sign():
    extremes = Int8.scores(np.array([[-128, -127, 127]], np.int8), np.ones(3))
    assert extremes.tolist() == [[-32640, -32385, 32385]]


def test_bf16_scores_round_the_factor_and_the_product():
    # 1 + 3/256 rounds up to 1 + 4/256; times 1.0078125 = 1 + 2/256 it is 1.0236…, of which
    # 1 + 6/256 = 1.0234… is nearest.
    scores = BFloat16.scores(np.array([[1 + 2 / 256]], np.float32), np.array([1 + 3 / 256]))
    assert scores.tolist() == [[1 + 6 / 256]]


def test_fp16_scores_cannot_overflow():
    scores = Float16.scores(np.array([[65504.0, 1.0]], np.float32), np.array([1e6, 5e5]))
    assert scores.tolist() == [[65504.0, 0.5]]


@pytest.mark.parametrize("precision", sorted(PRECISIONS))
@given(x=values, factors=factors)
def test_scores_equal_a_loop(precision, x, factors):
    operands = PRECISIONS[precision].encode_tokens(x)
    expected = [naive.scores(row, factors.tolist(), precision) for row in operands.tolist()]
    assert PRECISIONS[precision].scores(operands, factors).tolist() == expected


@pytest.mark.parametrize("precision", sorted(PRECISIONS))
@given(x=values)
def test_equal_factors_do_not_change_the_order(precision, x):
    """Ranking by scores with one factor for all is ranking by magnitude."""
    operands = PRECISIONS[precision].encode_tokens(x)
    scores = PRECISIONS[precision].scores(operands, np.full(7, 3.0))
    order = np.argsort(np.abs(operands.astype(np.int64 if precision == "int8" else np.float64)))
    for row, places in zip(np.abs(scores.astype(np.float64)), order, strict=True):
        assert (np.diff(row[places]) >= 0).all()


@pytest.mark.parametrize("precision", ["int8", "fp16"])
@given(x=values, factors=factors, power=st.integers(-20, 20))
def test_only_the_ratios_of_factors_count(precision, x, factors, power):
    operands = PRECISIONS[precision].encode_tokens(x)
    once, scaled = (
        PRECISIONS[precision].scores(operands, factors * scale) for scale in (1.0, 2.0**power)
    )
    assert np.array_equal(once, scaled)


@given(x=values)
def test_a_code_of_a_token_is_worth_a_127th_of_its_peak(x):
    scales = Int8.token_scales(x)
    assert (scales.shape, scales.dtype) == ((3, 1), np.float32)
    for row, scale in zip(x.tolist(), scales[:, 0].tolist(), strict=True):
        peak = max(map(abs, row))
        assert scale == (pytest.approx(peak / 127, rel=1e-6) if peak else 1.0)
    # A code is off by half its worth at most.
    error = np.abs(Int8.encode_tokens(x) * scales - x)
    assert (error <= 0.5 * scales * (1 + 1e-5)).all()


@pytest.mark.parametrize("name", FLOATS)
def test_floats_are_worth_themselves(name):
    x = np.array([[3.0, -4.0], [0.0, 1.5]], np.float32)
    scales = PRECISIONS[name].token_scales(x)
    assert np.array_equal(PRECISIONS[name].encode_tokens(x) * scales, x)
