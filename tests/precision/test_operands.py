"""Formats of X, W and Y: what goes together, how it is written, how many bits a tile takes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.base.errors import InputError
from accelsim.precision import GROUPS, PRECISIONS, OperandFormat, Operands


@pytest.mark.parametrize(
    ("text", "x", "w", "y"),
    [
        ("int8", ("int8", 8, 0, 0), ("int8", 8, 0, 0), ("int8", 8, 0, 0)),
        ("int8/int4:64", ("int8", 8, 0, 0), ("int4", 4, 64, 8), ("int8", 8, 0, 0)),
        ("bf16/int4", ("bf16", 16, 0, 0), ("int4", 4, 128, 16), ("bf16", 16, 0, 0)),
        ("fp16/int8:32", ("fp16", 16, 0, 0), ("int8", 8, 32, 16), ("fp16", 16, 0, 0)),
        ("fp8/fp8/bf16", ("fp8", 8, 0, 0), ("fp8", 8, 0, 0), ("bf16", 16, 0, 0)),
    ],
)
def test_formats_by_hand(text, x, w, y):
    formats = Operands.parse(text)
    assert formats == Operands(OperandFormat(*x), OperandFormat(*w), OperandFormat(*y))
    assert formats.unpacks == (x[0] != w[0])


@pytest.mark.parametrize("text", [*sorted(PRECISIONS), "int8/int4:64", "bf16/int4:32/fp8"])
def test_text_is_read_as_it_is_written(text):
    assert str(Operands.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("int7", r"unknown precision 'int7' \(did you mean 'int8'\?\); allowed: bf16, fp16"),
        ("int8/int4:60", "group 60: allowed: 32, 64, 128 values of K"),
        ("int8/int4:0", "group 0: allowed"),
        ("int8/int4:x", "allowed groups: 32, 64, 128"),
        ("int8/bf16", "W of format 'bf16' does not go with X of format 'int8'.*int8, int4"),
        ("int8/fp8", "W of format 'fp8' does not go with X"),
        ("int8/int8:64", "W of format 'int8' is as X and has no groups.*: int4"),
        ("int4/int4:64", "groups of its own; formats in groups: none"),
        ("bf16/int4/int8", "Y of format 'int8' does not go with X.*floats; allowed: bf16, fp16, f"),
        ("int8/int8/bf16", "sums are integers; allowed: int4, int8"),
        ("int8/int8/int8/int8", "write X, X/W or X/W/Y"),
        ("int8/", "write X, X/W or X/W/Y"),
        ("int8//int8", "write X, X/W or X/W/Y"),
        ("int8/int4:６４", "allowed groups: 32, 64, 128"),
    ],
)
def test_what_does_not_go_together_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        Operands.parse(text)


def test_a_tile_by_hand():
    # 64 × 3 codes of 4 bits are 96 bytes; each column has two scales of a byte.
    int4 = Operands.parse("int8/int4:32").w
    assert int4.tile_bits(64, 3, int4.scales(64)) == 8 * (96 + 3 * 2)
    # 40 values from position 20 on touch the groups of 0 to 31 and of 32 to 63.
    assert int4.scales(40, 20) == 2
    assert int4.scales(40, 30) == 3
    # Formats without groups take their values only.
    int8 = Operands.parse("int8").w
    assert int8.tile_bits(64, 3, int8.scales(64)) == 8 * 64 * 3


@given(st.integers(1, 300), st.integers(1, 9000), st.sampled_from(GROUPS))
def test_no_tile_has_more_scales_than_the_one_with_most(length, whole, group):
    weights = OperandFormat("int4", 4, group, 8)
    starts = np.arange(0, whole, length)
    lengths = np.minimum(length, whole - starts)
    touched = [
        len({position // group for position in range(start, start + size)})
        for start, size in zip(starts.tolist(), lengths.tolist(), strict=True)
    ]
    assert weights.scales(lengths, starts).tolist() == touched
    most = weights.most_scales(length, whole)
    assert most >= max(touched)
    if length >= whole or whole >= length * group:  # tiles begin at all places that they can
        assert most == max(touched)
