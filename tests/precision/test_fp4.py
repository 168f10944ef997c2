"""fp4 in blocks, against a loop over its numbers, its definition and hand-made blocks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from accelsim.precision import MXFP4, NVFP4, PRECISIONS
from accelsim.precision.fp4 import E2M1
from accelsim.precision.fp8 import Float8
from accelsim.sparsity import parse_pattern
from tests.helpers import pruning as naive

BLOCKED = ("mxfp4", "nvfp4")
rows = arrays(np.float32, (2, 70), elements=st.floats(-1e4, 1e4, width=32, allow_subnormal=False))


def test_every_code_is_read_as_it_is_written():
    codes = np.arange(16, dtype=np.uint8)
    numbers = E2M1.decoded(codes)
    # By the definition: fraction f, exponent e with a bias of 1; e = 0 has no leading one.
    sign, e, f = codes >> 3, codes >> 1 & 3, codes & 1
    sizes = np.where(e == 0, f * 0.5, (1 + f * 0.5) * 2.0 ** (e.astype(int) - 1))
    assert np.array_equal(numbers, np.where(sign, -sizes, sizes))
    assert np.array_equal(E2M1.bit_patterns(numbers), codes)  # -0 too
    assert np.array_equal(E2M1.rounded(numbers), numbers)


def test_elements_round_to_the_nearest_and_ties_to_even_codes():
    x = np.arange(-800, 801, dtype=np.float32) / 64  # ties, and all between; up to 12.5
    assert E2M1.rounded(x).tolist() == [naive.fp4(value) for value in x.tolist()]


def test_nvfp4_by_hand():
    # Largest 12: scale 2. 12/2 = 6, 5/2 = 2.5 is a tie of 2 and 3 (codes 4 and 5), 7/2 = 3.5 of 3
    # and 4 (5 and 6). The next block has the largest 5.7: 0.95, of which E4M3 has 0.9375 nearest.
    x = np.zeros((1, 20), np.float32)
    x[0, :3], x[0, 16:18] = (12, 5, -7), (5.7, 0.2)
    elements, scales = NVFP4.blocks(x)
    assert scales.tolist() == [[2, 0.9375]]
    assert elements[0, :3].tolist() == [6, 2, -4]
    assert elements[0, 16:18].tolist() == [6, 0]  # 5.7 / 0.9375 = 6.08; 0.2133 is below 1/4
    assert NVFP4.rounded(x)[0, 16] == 5.625


def test_nvfp4_scales_of_small_blocks_are_never_zero():
    x = np.full((1, 16), 2.0**-11, np.float32)  # / 6 is nearest to 0 in E4M3
    elements, scales = NVFP4.blocks(x)
    assert scales.tolist() == [[2.0**-9]]
    assert set(elements.ravel().tolist()) == {0.0}  # a quarter: to even


def test_mxfp4_by_hand():
    # floor(log2 7.9) = 2: scale 1, and 7.9 saturates; floor(log2 0.75) = -1: scale 1/8.
    x = np.zeros((1, 34), np.float32)
    x[0, :2], x[0, 32:] = (7.9, 0.25), (0.75, -0.0625)
    elements, scales = MXFP4.blocks(x)
    assert scales.tolist() == [[1, 0.125]]
    assert elements[0, :2].tolist() == [6, 0]
    assert elements[0, 32:].tolist() == [6, -0.5]


@pytest.mark.parametrize("name", BLOCKED)
@given(x=rows)
def test_tokens_equal_a_loop(name, x):
    kind = PRECISIONS[name]
    expected = [naive.blocks(row, name) for row in x.tolist()]
    held = kind.encode_tokens(x)
    assert held.tolist() == [numbers for numbers, _ in expected]
    assert (held * kind.token_scales(x)).tolist() == [reals for _, reals in expected]


@pytest.mark.parametrize("name", BLOCKED)
@given(x=rows)
def test_errors_are_within_a_step_of_the_block(name, x):
    """Nearest, by the widest gap of the grid: 2 between 4 and 6, or what saturates behind it."""
    elements, scales = PRECISIONS[name].blocks(x)
    spread = np.repeat(scales, PRECISIONS[name].block, axis=1)[:, : x.shape[1]].astype(float)
    lost = np.abs(np.float64(x) - elements * spread)
    within = np.abs(x) <= 6 * spread
    assert (lost[within] <= spread[within] * (1 + 1e-6)).all()
    if name == "mxfp4":  # the largest element is below 8
        assert (np.abs(x) < 8 * spread).all()


@pytest.mark.parametrize("name", BLOCKED)
@given(x=rows)
def test_a_scale_is_a_number_of_its_format(name, x):
    scales = PRECISIONS[name].blocks(x / PRECISIONS[name].token_scales(x))[1]
    if name == "nvfp4":
        assert np.array_equal(Float8.rounded(scales), scales)
        assert (scales > 0).all()
    else:
        assert (np.frexp(scales)[0] == 0.5).all()


@pytest.mark.parametrize(("name", "pattern"), [("nvfp4", "8:16"), ("mxfp4", "16:32")])
@given(x=rows)
def test_a_group_of_a_block_is_ranked_by_its_codes(name, pattern, x):
    """What a selector of 3-bit magnitudes keeps is what is kept of elements times scales."""
    kind, chosen = PRECISIONS[name], parse_pattern(pattern)
    elements = kind.blocks(x / kind.token_scales(x))[0]
    codes = (E2M1.bit_patterns(elements) & 7).astype(np.int8)
    assert np.array_equal(chosen.keep(codes), chosen.keep(kind.encode_tokens(x)))
