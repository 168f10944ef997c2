"""What a number format says of itself; `accelsim/precision/int8.py` and its like are the formats.

Everything that the machine, its prices, its RTL and the accuracy of models need to know of a format
is an attribute or a function of its class: a new format is one new file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from accelsim.base.registry import Registry

Values = NDArray[Any]


class Precision(ABC):
    """How one operand, accumulator and output value is represented.

    Values in a format are arrays of integer codes, or of float32 numbers that the format has.

    Attributes:
        name: in architecture files.
        value_bits: bits of a value in memory and on wires.
        accumulator_bits: bits of a sum of products.
        significand_bits: of a float, hidden bit included; 0: an integer.
        largest: what the largest magnitude of a token becomes; 0: values have no scale.
        arithmetic: whose energy multipliers and adders take: `int`, `fp4`, `fp8` or `float`.
        exponent_bits: of a product of two values, between multiplier and adders; 0: an integer.
        torch_type: the type of torch that holds it, on devices where torch does the rounding.
        block: values along K with a scale stored beside them; 0: none is.
        scale_bits: of such a scale.
        outputs: the format of Y unless another is asked for; empty: this one.
        dot_product: the block of the RTL that adds up products.
        rtl_float: the parameter FLOAT of the RTL; None: there is no RTL of it.
    """

    name: ClassVar[str]
    value_bits: ClassVar[int]
    accumulator_bits: ClassVar[int] = 32
    significand_bits: ClassVar[int] = 0
    largest: ClassVar[float] = 0.0
    arithmetic: ClassVar[str] = "int"
    block: ClassVar[int] = 0
    scale_bits: ClassVar[int] = 0
    outputs: ClassVar[str] = ""
    dot_product: ClassVar[str] = "dot_product"
    exponent_bits: ClassVar[int] = 0
    torch_type: ClassVar[str]
    rtl_float: ClassVar[int | None] = None

    @classmethod
    def is_float(cls) -> bool:
        """Return whether values are floating-point numbers, as opposed to integer codes."""
        return cls.significand_bits > 0

    @classmethod
    @abstractmethod
    def rounded(cls, values: Values) -> Values:
        """Return the nearest values of the format, same shape; halves go to the even neighbour."""

    @classmethod
    def encode(cls, values: Values) -> tuple[Values, float]:
        """Round float `[..., K]` to this format; return what the hardware sees and the scale.

        `hardware value × scale` is the real value. Integer formats return integer codes.
        """
        scale = cls.scale_of(float(np.max(np.abs(values), initial=0.0)))
        return cls.rounded(values.astype(np.float32) / np.float32(scale)), scale

    @classmethod
    def scale_of(cls, peak: float) -> float:
        """Return the real value of a hardware value of 1 in a tensor with this peak magnitude."""
        scale = peak / cls.largest if cls.largest else 1.0
        return scale if np.float32(scale) > 0 else 1.0  # of subnormals it may be zero

    @classmethod
    def encode_tokens(cls, values: Values) -> Values:
        """Round activations `[T, K]` as the machine sees them; a scale, if any, is per token."""
        if not cls.largest:
            return cls.encode(values)[0]
        return cls.rounded(values.astype(np.float32) / cls.token_scales(values))

    @classmethod
    def token_scales(cls, values: Values) -> Values:
        """Return the real value of a hardware value of 1 in each token, `[T, 1]` or like it."""
        if not cls.largest:
            return np.ones((1, 1), np.float32)
        peak = np.max(np.abs(values), axis=1, keepdims=True, initial=0.0).astype(np.float32)
        scale = peak / np.float32(cls.largest)
        return np.where(scale > 0, scale, np.float32(1))  # of subnormals it may be zero

    @classmethod
    def remainders(cls, values: Values, kept: Values) -> Values:
        """Return what tokens `[T, K]` hold beyond `kept`, rounded again, as the hardware sees it.

        Scales of tokens stay those of `values`; scales of blocks are those of the remainders.

        Args:
            values: real activations.
            kept: what `encode_tokens` made of some of them, zeros elsewhere.
        """
        return cls.rounded(values.astype(np.float32) / cls.token_scales(values) - kept)

    @classmethod
    @abstractmethod
    def scores(cls, operands: Values, factors: Values) -> Values:
        """Return what is ranked if magnitudes `[T, K]` are scaled by positive factors `[K]`.

        The factors are rounded as the hardware holds them; only their ratios count.
        """

    @classmethod
    def bit_patterns(cls, values: Values) -> Values:
        """Return hardware values as the bits on the wires of the RTL, an unsigned type."""
        raise NotImplementedError(cls.name)


PRECISIONS: Registry[Precision] = Registry("precision")
