"""Every precision rounds once, within its error, and has a price."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from accelsim.base.errors import InputError
from accelsim.hardware import MacArray
from accelsim.mapping import Datapath
from accelsim.precision import PRECISIONS, BFloat16, Float16, Int8, Operands
from accelsim.tech.technology import Technology

shapes = st.tuples(st.integers(1, 4), st.integers(1, 20))
values = arrays(np.float32, shapes, elements=st.floats(-1e4, 1e4, width=32, allow_subnormal=False))


def test_the_registry_holds_what_is_documented():
    assert {"int8", "fp16", "bf16"} <= set(PRECISIONS)


@pytest.mark.parametrize("name", sorted(PRECISIONS))
def test_the_registered_name_is_the_class_name(name):
    assert PRECISIONS[name].name == name


@pytest.mark.parametrize("name", sorted(PRECISIONS))
def test_the_shipped_technology_prices_it(name):
    tech, array = Technology.load("nangate45"), MacArray(rows=2, columns=2, lanes=4)
    path = Datapath(
        rows=2,
        columns=2,
        lanes=4,
        formats=Operands.of(name),
        accumulator_bits=PRECISIONS[name].accumulator_bits,
    )
    energy = array.energy_pj(tech, path)
    assert energy["mac"] >= energy["mac_idle"] > 0
    assert energy["accumulate"] > 0
    assert array.area_um2(tech, path) > 0


@pytest.mark.parametrize("name", sorted(PRECISIONS))
@given(x=values)
def test_rounding_twice_is_rounding_once(name, x):
    if PRECISIONS[name].block:  # scales of very small blocks have few digits, and change once more
        x = np.where(np.abs(x) < np.abs(x).max() / 1024, np.float32(0), x)
    once, scale = PRECISIONS[name].encode(x)
    assert once.shape == x.shape
    twice, _ = PRECISIONS[name].encode(once.astype(np.float32) * np.float32(scale))
    assert np.array_equal(once, twice)


@pytest.mark.parametrize("name", sorted(PRECISIONS))
@given(x=values)
def test_rounding_is_odd_and_keeps_the_order(name, x):
    encode = PRECISIONS[name].encode
    assert np.array_equal(encode(-x)[0], -encode(x)[0])
    block = PRECISIONS[name].block  # values of another one have another scale
    part = (slice(1), slice(block)) if block else ...
    order = np.argsort(x[part], axis=None)
    assert (np.diff(encode(x)[0][part].ravel()[order].astype(np.float64)) >= 0).all()


@pytest.mark.parametrize("name", sorted(PRECISIONS))
def test_zeros_stay_zeros(name):
    codes, scale = PRECISIONS[name].encode(np.zeros((2, 3), np.float32))
    assert not codes.any()
    assert scale == 1.0


@given(x=values)
def test_int8_is_off_by_at_most_half_a_step_and_uses_the_whole_range(x):
    codes, scale = Int8.encode(x)
    assert codes.dtype == np.int8
    assert codes.min() >= -127
    error = np.abs(codes * np.float64(scale) - x)
    assert error.max() <= 0.5 * scale * (1 + 1e-5)
    if x.any():
        assert np.abs(codes).max() == 127


@given(x=values)
def test_int8_activations_have_a_scale_for_each_token(x):
    rows = [Int8.encode(row)[0].tolist() for row in x]
    tokens = Int8.encode_tokens(x)
    assert tokens.dtype == np.int8
    assert np.abs(tokens - np.array(rows, np.int64)).max() <= 1  # a tie may fall either way
    for row, codes in zip(x, tokens, strict=True):
        assert np.abs(codes).max() == (127 if row.any() else 0)


@pytest.mark.parametrize("name", ["fp16", "bf16"])
@given(x=values)
def test_floats_have_no_scale(name, x):
    assert np.array_equal(PRECISIONS[name].encode_tokens(x), PRECISIONS[name].encode(x)[0])
    assert PRECISIONS[name].encode(x)[1] == 1.0


def test_int8_rounds_halves_to_even():
    # max = 127, so the scale is 1 and the codes are the rounded values.
    codes, scale = Int8.encode(np.array([127, 0.5, 1.5, 2.5, -0.5, -1.5], np.float32))
    assert (codes.tolist(), scale) == ([127, 0, 2, 2, 0, -2], 1.0)


def test_int8_of_the_smallest_bfloat16_does_not_divide_by_zero():
    tiny = np.array([1 << 16], np.uint32).view(np.float32)  # 2**-133
    assert Int8.encode(tiny)[0].tolist() == [127]


@given(x=values)
def test_fp16_is_numpys(x):
    assert np.array_equal(Float16.encode(x)[0], x.astype(np.float16).astype(np.float32))


@given(x=values)
def test_bf16_is_off_by_at_most_half_a_unit_in_the_last_place(x):
    rounded, _ = BFloat16.encode(x)
    assert not (rounded.view(np.uint32) & 0xFFFF).any()  # the lower half is gone
    assert (np.abs(rounded - x) <= np.abs(x) * 2.0**-8).all()  # 7 explicit mantissa bits


def test_bf16_is_torchs():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 1 << 32, 100_000, np.uint64).astype(np.uint32)
    halves = (bits & np.uint32(0xFFFF0000)) | np.uint32(0x8000)  # ties, exactly between two
    x = np.concatenate([bits, halves]).view(np.float32)
    x = x[np.isfinite(x) & (np.abs(x) < 3e38)]
    expected = torch.from_numpy(x).to(torch.bfloat16).to(torch.float32).numpy()
    assert np.array_equal(BFloat16.encode(x)[0], expected)


@pytest.mark.parametrize(("name", "bits"), [("int8", 8), ("fp16", 16), ("bf16", 16)])
def test_widths(name, bits):
    assert PRECISIONS[name].value_bits == bits
    assert PRECISIONS[name].accumulator_bits == 32


def test_fp16_refuses_what_it_cannot_hold():
    assert Float16.encode(np.array([65504.0], np.float32))[0].tolist() == [65504.0]
    with pytest.raises(InputError, match=r"range of fp16 \(65504\)"):
        Float16.encode(np.array([65505.0], np.float32))
