"""Number formats of the datapath: widths, and rounding of captured values into them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from accelsim.base.errors import InputError
from accelsim.base.registry import Registry

Values = NDArray[Any]


class Precision(ABC):
    """How one operand, accumulator and output value is represented."""

    name: ClassVar[str]
    value_bits: ClassVar[int]
    accumulator_bits: ClassVar[int] = 32
    significand_bits: ClassVar[int] = 0  # of a float, hidden bit included; 0: an integer

    @classmethod
    @abstractmethod
    def encode(cls, values: Values) -> tuple[Values, float]:
        """Round float `[..., K]` to this format; return what the hardware sees and the scale.

        `hardware value × scale` is the real value. Integer formats return integer codes.
        """

    @classmethod
    def encode_tokens(cls, values: Values) -> Values:
        """Round activations `[T, K]` as the machine sees them; a scale, if any, is per token."""
        return cls.encode(values)[0]

    @classmethod
    def token_scales(cls, values: Values) -> Values:  # noqa: ARG003
        """Return the value of one code of each token, `[T, 1]` or broadcast to it."""
        return np.ones((1, 1), np.float32)

    @classmethod
    @abstractmethod
    def scores(cls, operands: Values, factors: Values) -> Values:
        """Return what is ranked if magnitudes `[T, K]` are scaled by positive factors `[K]`.

        The factors are rounded as the hardware holds them; only their ratios count.
        """


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

    @classmethod
    @override
    def encode(cls, values: Values) -> tuple[Values, float]:
        scale = cls.scale_of(float(np.max(np.abs(values), initial=0.0)))
        # float32 is exact enough here: |x| / scale <= 127 and codes need 8 bits.
        return np.rint(values.astype(np.float32) / np.float32(scale)).astype(np.int8), scale

    @staticmethod
    def scale_of(peak: float) -> float:
        """Return the value of one code of a tensor with this largest magnitude."""
        return _scale(peak, 127)

    @classmethod
    @override
    def encode_tokens(cls, values: Values) -> Values:
        return np.rint(values.astype(np.float32) / cls.token_scales(values)).astype(np.int8)

    @classmethod
    @override
    def token_scales(cls, values: Values) -> Values:
        return _token_scales(values, 127)

    @classmethod
    @override
    def scores(cls, operands: Values, factors: Values) -> Values:
        """Return int16 products: of a code and a factor of 8 bits, of which the largest is 255.

        >>> Int8.scores(np.array([[100, -127]], np.int8), np.array([1.0, 2.0])).tolist()
        [[12800, -32385]]
        """
        codes = np.rint(255 * factors / factors.max(initial=1e-30)).clip(1, 255)
        products: Values = operands.astype(np.int16) * codes.astype(np.int16)
        return products


@PRECISIONS.register("fp8")
class Float8(Precision):
    """OCP E4M3 (4 exponent, 3 mantissa bits, subnormals, no infinities), fp32 accumulation.

    Scaled so that the largest magnitude is 448, the largest finite one; rounded half to even.
    Activations of a machine have one scale per token, like int8. Values are held as float32.

    Source: OCP 8-bit Floating Point Specification, revision 1.0 (2023); arXiv 2209.05433.

    448 is 1.75 × 2^8. Between 32 and 64 numbers are 4 apart: 34 lies in the middle, and 32 is even.

    >>> Float8.encode(np.array([448.0, -34.0, 38.0, 2.0**-10], np.float32))
    (array([448., -32.,  40.,   0.], dtype=float32), 1.0)
    """

    name = "fp8"
    value_bits = 8
    significand_bits = 4
    largest: ClassVar[float] = 448.0
    smallest_exponent: ClassVar[int] = -6

    @classmethod
    def rounded(cls, values: Values) -> Values:
        """Return the nearest numbers of the format, of the same shape; larger ones saturate."""
        magnitudes = np.abs(values, dtype=np.float32)
        bits = magnitudes.view(np.uint32)
        round_up = np.uint32(0x7FFFF) + ((bits >> np.uint32(20)) & np.uint32(1))  # half to even
        normal = ((bits + round_up) & np.uint32(0xFFF00000)).view(np.float32)
        smallest = np.float32(2.0**cls.smallest_exponent)
        small = np.rint(magnitudes * (8 / smallest)) * (smallest / 8)
        nearest = np.where(magnitudes < smallest, small, normal)
        signed: Values = np.copysign(np.minimum(nearest, np.float32(cls.largest)), values)
        return signed

    @classmethod
    @override
    def encode(cls, values: Values) -> tuple[Values, float]:
        scale = _scale(float(np.max(np.abs(values), initial=0.0)), cls.largest)
        return cls.rounded(values.astype(np.float32) / np.float32(scale)), scale

    @classmethod
    @override
    def encode_tokens(cls, values: Values) -> Values:
        return cls.rounded(values.astype(np.float32) / cls.token_scales(values))

    @classmethod
    @override
    def token_scales(cls, values: Values) -> Values:
        return _token_scales(values, cls.largest)

    @classmethod
    @override
    def scores(cls, operands: Values, factors: Values) -> Values:
        """Return products of two fp8 numbers, which bf16 holds exactly; no factor becomes zero."""
        smallest = np.float32(2.0 ** (cls.smallest_exponent - 3))
        return operands * np.maximum(cls.encode(factors)[0], smallest)


@PRECISIONS.register("fp16")
class Float16(Precision):
    """IEEE half precision, fp32 accumulation."""

    name = "fp16"
    value_bits = 16
    significand_bits = 11

    @classmethod
    @override
    def encode(cls, values: Values) -> tuple[Values, float]:
        if np.max(np.abs(values), initial=0.0) > np.finfo(np.float16).max:
            raise InputError("a value exceeds the range of fp16 (65504); use bf16 or int8")
        return values.astype(np.float16).astype(np.float32), 1.0

    @classmethod
    @override
    def scores(cls, operands: Values, factors: Values) -> Values:
        small = cls.encode(factors / factors.max(initial=1e-30))[0]  # at most 1: cannot overflow
        return cls.encode(operands * small)[0]


@PRECISIONS.register("bf16")
class BFloat16(Precision):
    """bfloat16 (8 exponent, 7 mantissa bits), fp32 accumulation.

    >>> BFloat16.encode(np.array([1.0, 1.00390625, 1.01171875], np.float32))[0].tolist()
    [1.0, 1.0, 1.015625]
    """

    name = "bf16"
    value_bits = 16
    significand_bits = 8

    @classmethod
    @override
    def encode(cls, values: Values) -> tuple[Values, float]:
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        round_up = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))  # half to even
        return ((bits + round_up) & np.uint32(0xFFFF0000)).view(np.float32), 1.0

    @classmethod
    @override
    def scores(cls, operands: Values, factors: Values) -> Values:
        return cls.encode(operands * cls.encode(factors)[0])[0]


def _scale(peak: float, largest: float) -> float:
    """Return what makes the largest magnitude of a tensor the largest code."""
    scale = peak / largest
    return scale if np.float32(scale) > 0 else 1.0  # of subnormals it may be zero


def _token_scales(values: Values, largest: float) -> Values:
    """Return what makes the largest magnitude of each token `[T, K]` the largest code, `[T, 1]`."""
    peak = np.max(np.abs(values), axis=1, keepdims=True, initial=0.0).astype(np.float32)
    scale = peak / np.float32(largest)
    return np.where(scale > 0, scale, np.float32(1))  # of subnormals it may be zero
