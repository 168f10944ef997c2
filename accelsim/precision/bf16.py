"""bf16: the upper half of fp32, without scales."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from typing_extensions import override

from accelsim.precision.base import PRECISIONS, Precision, Values


@PRECISIONS.register("bf16")
class BFloat16(Precision):
    """bfloat16 (8 exponent, 7 mantissa bits), fp32 accumulation.

    >>> BFloat16.encode(np.array([1.0, 1.00390625, 1.01171875], np.float32))[0].tolist()
    [1.0, 1.0, 1.015625]
    """

    name = "bf16"
    value_bits = 16
    significand_bits = 8
    arithmetic = "float"
    exponent_bits = 8
    torch_type = "bfloat16"
    rtl_float: ClassVar[int | None] = 1

    @classmethod
    @override
    def rounded(cls, values: Values) -> Values:
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        round_up = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))  # half to even
        return ((bits + round_up) & np.uint32(0xFFFF0000)).view(np.float32)

    @classmethod
    @override
    def encode(cls, values: Values) -> tuple[Values, float]:
        return cls.rounded(values), 1.0

    @classmethod
    @override
    def scores(cls, operands: Values, factors: Values) -> Values:
        return cls.rounded(operands * cls.rounded(factors))

    @classmethod
    @override
    def bit_patterns(cls, values: Values) -> Values:
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        return (bits >> np.uint32(16)).astype(np.uint16)
