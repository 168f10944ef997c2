"""Number formats of the datapath: widths, and rounding of captured values into them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from accelsim.errors import InputError
from accelsim.registry import Registry

Values = NDArray[Any]


class Precision(ABC):
    """How one operand, accumulator and output value is represented."""

    name: ClassVar[str]
    value_bits: ClassVar[int]
    accumulator_bits: ClassVar[int] = 32
    significand_bits: ClassVar[int] = 0  # of a float, hidden bit included; 0: an integer

    @staticmethod
    @abstractmethod
    def encode(values: Values) -> tuple[Values, float]:
        """Round float `[..., K]` to this format; return what the hardware sees and the scale.

        `hardware value × scale` is the real value. Integer formats return integer codes.
        """

    @classmethod
    def encode_tokens(cls, values: Values) -> Values:
        """Round activations `[T, K]` as the machine sees them; a scale, if any, is per token."""
        return cls.encode(values)[0]


PRECISIONS: Registry[Precision] = Registry("precision")


@PRECISIONS.register("int8")
class Int8(Precision):
    """Symmetric int8: scale = max|x| / 127, round half to even; -128 is never produced.

    Activations of a machine have one scale per token, as LLM inference in int8 does: a single large
    value costs its own token resolution, not all others.

    >>> Int8.encode(np.array([1.0, -0.5, 0.25], np.float32))[0].tolist()
    [127, -64, 32]
    """

    name = "int8"
    value_bits = 8

    @staticmethod
    @override
    def encode(values: Values) -> tuple[Values, float]:
        peak = float(np.max(np.abs(values), initial=0.0))
        scale = peak / 127 if peak else 1.0
        # float32 is exact enough here: |x| / scale <= 127 and codes need 8 bits.
        return np.rint(values.astype(np.float32) / np.float32(scale)).astype(np.int8), scale

    @classmethod
    @override
    def encode_tokens(cls, values: Values) -> Values:
        peak = np.max(np.abs(values), axis=1, keepdims=True, initial=0.0).astype(np.float32)
        scale = np.where(peak > 0, peak / np.float32(127), np.float32(1))
        return np.rint(values.astype(np.float32) / scale).astype(np.int8)


@PRECISIONS.register("fp16")
class Float16(Precision):
    """IEEE half precision, fp32 accumulation."""

    name = "fp16"
    value_bits = 16
    significand_bits = 11

    @staticmethod
    @override
    def encode(values: Values) -> tuple[Values, float]:
        if np.max(np.abs(values), initial=0.0) > np.finfo(np.float16).max:
            raise InputError("a value exceeds the range of fp16 (65504); use bf16 or int8")
        return values.astype(np.float16).astype(np.float32), 1.0


@PRECISIONS.register("bf16")
class BFloat16(Precision):
    """bfloat16 (8 exponent, 7 mantissa bits), fp32 accumulation.

    >>> BFloat16.encode(np.array([1.0, 1.00390625, 1.01171875], np.float32))[0].tolist()
    [1.0, 1.0, 1.015625]
    """

    name = "bf16"
    value_bits = 16
    significand_bits = 8

    @staticmethod
    @override
    def encode(values: Values) -> tuple[Values, float]:
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        round_up = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))  # half to even
        return ((bits + round_up) & np.uint32(0xFFFF0000)).view(np.float32), 1.0
