"""fp16: IEEE half precision, without scales."""

from __future__ import annotations

import numpy as np
from typing_extensions import override

from accelsim.base.errors import InputError
from accelsim.precision.base import PRECISIONS, Precision, Values

_LARGEST = np.float32(np.finfo(np.float16).max)


@PRECISIONS.register("fp16")
class Float16(Precision):
    """IEEE half precision, fp32 accumulation."""

    name = "fp16"
    value_bits = 16
    significand_bits = 11
    arithmetic = "float"
    exponent_bits = 8
    torch_type = "float16"

    @classmethod
    @override
    def rounded(cls, values: Values) -> Values:
        """Return the nearest numbers of the format, of the same shape; larger ones saturate."""
        return values.clip(-_LARGEST, _LARGEST).astype(np.float16).astype(np.float32)

    @classmethod
    @override
    def encode(cls, values: Values) -> tuple[Values, float]:
        if np.max(np.abs(values), initial=0.0) > _LARGEST:
            raise InputError("a value exceeds the range of fp16 (65504); use bf16 or int8")
        return values.astype(np.float16).astype(np.float32), 1.0

    @classmethod
    @override
    def scores(cls, operands: Values, factors: Values) -> Values:
        small = cls.encode(factors / factors.max(initial=1e-30))[0]  # at most 1: cannot overflow
        return cls.encode(operands * small)[0]
