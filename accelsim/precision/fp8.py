"""fp8: E4M3, with one scale a token."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from typing_extensions import override

from accelsim.precision.base import PRECISIONS, Precision, Values


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
    significand_bits: ClassVar[int] = 4
    largest: ClassVar[float] = 448.0
    smallest_exponent: ClassVar[int] = -6
    arithmetic = "fp8"
    exponent_bits = 7  # of -18 to 17
    torch_type = "float8_e4m3fn"
    rtl_float: ClassVar[int | None] = 1

    @classmethod
    @override
    def rounded(cls, values: Values) -> Values:
        """Return the nearest numbers of the format, of the same shape; larger ones saturate."""
        magnitudes = np.abs(values, dtype=np.float32)
        bits = magnitudes.view(np.uint32)
        spare = 24 - cls.significand_bits  # bits of a float32 behind those of the format
        round_up = np.uint32(2 ** (spare - 1) - 1) + ((bits >> np.uint32(spare)) & np.uint32(1))
        normal = ((bits + round_up) & np.uint32(2**32 - 2**spare)).view(np.float32)  # half to even
        smallest, unit = np.float32(2.0**cls.smallest_exponent), np.float32(cls.smallest())
        small = np.rint(magnitudes * (1 / unit)) * unit
        nearest = np.where(magnitudes < smallest, small, normal)
        signed: Values = np.copysign(np.minimum(nearest, np.float32(cls.largest)), values)
        return signed

    @classmethod
    def smallest(cls) -> float:
        """Return the smallest number above zero."""
        return float(2.0 ** (cls.smallest_exponent - cls.significand_bits + 1))

    @classmethod
    @override
    def scores(cls, operands: Values, factors: Values) -> Values:
        """Return products of two fp8 numbers, which bf16 holds exactly; no factor becomes zero."""
        return operands * np.maximum(cls.encode(factors)[0], np.float32(cls.smallest()))

    @classmethod
    @override
    def bit_patterns(cls, values: Values) -> Values:
        """Return numbers of E4M3 as their codes: sign, exponent with a bias of 7, fraction.

        1 is 1.000 × 2^0: exponent 7, fraction 0. 2^-9 is the smallest subnormal, 448 the largest.

        >>> [hex(code) for code in Float8.bit_patterns(np.array([1, -1, 2.0**-9, 448]))]
        ['0x38', '0xb8', '0x1', '0x7e']
        """
        magnitudes = np.abs(values)
        _, exponents = np.frexp(magnitudes)
        exponents = np.maximum(exponents - 1, cls.smallest_exponent)
        significands = np.rint(np.ldexp(magnitudes, 3 - exponents)).astype(np.int64)
        fields = np.where(significands < 8, 0, exponents + 7)  # noqa: PLR2004 (no leading one)
        codes = (np.signbit(values) * 128) | (fields << 3) | (significands & 7)
        found: Values = codes.astype(np.uint8)
        return found
