"""Weights in groups: against plain loops, and exact on integer machines."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from accelsim.precision import PRECISIONS, Operands
from accelsim.precision.groups import Packed
from tests.helpers.pruning import grouped

TEXTS = ("int8/int4:32", "bf16/int4:32", "fp16/int4:32", "fp8/int4:32", "bf16/int8:32")
drawn = arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.sampled_from([1, 31, 32, 33, 70])),
    elements=st.floats(-100, 100, width=32, allow_subnormal=False),
)


@pytest.mark.parametrize("text", TEXTS)
@given(weights=drawn)
def test_packing_equals_a_loop(text, weights):
    formats = Operands.parse(text)
    held = PRECISIONS[formats.x.precision].encode_tokens(weights)
    packed = Packed.of(held, formats)
    expected = [grouped(row, text) for row in held.astype(float).tolist()]
    assert packed[:, :].T.tolist() == expected


@given(weights=drawn)
def test_an_integer_machine_gets_integers_that_it_holds(weights):
    packed = Packed.of(PRECISIONS["int8"].encode_tokens(weights), Operands.parse("int8/int4:32"))
    assert np.abs(packed.codes).max() <= 7
    assert packed.scales.min() >= 1
    assert packed.scales.max() <= 18
    numbers = packed[:, :].T
    assert numbers.dtype == np.int8
    scales = np.repeat(packed.scales, 32, axis=1)[:, : numbers.shape[1]]
    exact = packed.codes.astype(int) * scales.astype(int)
    assert np.array_equal(numbers, exact)
    assert np.abs(exact).max() <= 126


@given(drawn, st.data())
def test_a_tile_is_the_same_part_of_the_whole(weights, data):
    packed = Packed.of(PRECISIONS["bf16"].encode_tokens(weights), Operands.parse("bf16/int4:32"))
    length, outputs = packed.shape
    rows = slice(*sorted(data.draw(st.tuples(st.integers(0, length), st.integers(0, length)))))
    columns = slice(*sorted(data.draw(st.tuples(st.integers(0, outputs), st.integers(0, outputs)))))
    assert np.array_equal(packed[rows, columns], packed[:, :][rows, columns])


@given(weights=drawn)
def test_weights_are_off_by_little_more_than_half_a_step(weights):
    """A step is a seventh of the largest of a group; 16-bit scales and products add 1/2^8 each."""
    held = PRECISIONS["bf16"].encode_tokens(weights)
    packed = Packed.of(held, Operands.parse("bf16/int4:32"))
    padded = np.pad(held, ((0, 0), (0, -held.shape[1] % 32))).reshape(len(held), -1, 32)
    peak = np.repeat(np.abs(padded).max(axis=2), 32, axis=1)[:, : held.shape[1]]
    assert np.all(np.abs(packed[:, :].T - held) <= peak * (0.5 / 7 + 2 * 2.0**-8) + 1e-30)
