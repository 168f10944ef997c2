"""fp8 (E4M3) against torch, which has it too, and its codes against their definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from accelsim.precision import PRECISIONS, BFloat16, Float8


def decoded(codes):
    """Numbers of codes by the definition of the format; 0x7f and 0xff are no numbers."""
    codes = np.asarray(codes, np.int64)
    sign, field, fraction = codes >> 7, codes >> 3 & 15, codes & 7
    normal = (8 + fraction) * 2.0 ** (field - 10)
    return np.where(sign, -1, 1) * np.where(field == 0, fraction * 2.0**-9, normal)


CODES = np.array([code for code in range(256) if code & 127 != 127], np.uint8)


def test_every_code_is_a_number_that_rounding_keeps():
    numbers = decoded(CODES).astype(np.float32)
    assert np.array_equal(Float8.rounded(numbers), numbers)
    assert np.array_equal(Float8.bit_patterns(numbers), CODES)
    assert numbers.max() == Float8.largest == 448


def test_rounds_every_float16_as_torch_does():
    torch = pytest.importorskip("torch")
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    values = halves[np.isfinite(halves)].astype(np.float32)
    clamped = torch.from_numpy(values.clip(-448, 448))  # torch makes NaN of larger ones
    expected = clamped.to(torch.float8_e4m3fn).float().numpy()
    assert np.array_equal(Float8.rounded(values), expected)


@given(arrays(np.float32, (3, 9), elements=st.floats(-1e5, 1e5, width=32, allow_subnormal=False)))
def test_tokens_use_the_whole_range_and_are_off_by_a_sixteenth(x):
    codes = Float8.encode_tokens(x)
    scales = Float8.token_scales(x)
    peaks = np.abs(x).max(axis=1)
    assert np.all(np.abs(codes).max(axis=1)[peaks > 1e-30] == 448)
    # Half a unit in the last place of 1.xxx is 2^-4; below 2^-6 the step is 2^-9.
    error = np.abs(codes * scales - x)
    assert np.all(error <= np.maximum(np.abs(x) / 16, scales * 2.0**-10) * (1 + 1e-6))


def test_scores_are_products_that_bf16_holds():
    rng = np.random.default_rng(0)
    operands = decoded(rng.choice(CODES, (4, 64))).astype(np.float32)
    scores = Float8.scores(operands, rng.random(64) + 1e-9)
    assert np.array_equal(BFloat16.encode(scores)[0], scores)
    assert np.array_equal(scores == 0, operands == 0)


def test_torch_on_other_devices_rounds_the_same():
    torch = pytest.importorskip("torch")
    from accelsim.accuracy.masks import _round_in_torch

    x = np.random.default_rng(0).standard_normal((16, 96)).astype(np.float32) * 30
    x[3] = 0
    for name in ("fp8", "int8"):
        codes, reals = _round_in_torch(torch.from_numpy(x), name)
        assert np.array_equal(codes.numpy(), PRECISIONS[name].encode_tokens(x))
        expected = PRECISIONS[name].encode_tokens(x) * PRECISIONS[name].token_scales(x)
        assert np.array_equal(reals.numpy(), expected)
