"""fp4: E2M1, whose values share a scale in blocks along K, as NVFP4 or MXFP4.

A value is an element, one of ±{0, 1/2, 1, 3/2, 2, 3, 4, 6}, times the scale of its block. Values
of the datapath are held as float32 numbers, elements and scales multiplied: exactly what a product
takes, since an element has 2 and a scale at most 4 significant bits.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from typing_extensions import override

from accelsim.precision.base import PRECISIONS, Precision, Values
from accelsim.precision.bf16 import BFloat16
from accelsim.precision.fp8 import Float8


class E2M1(Float8):
    """Elements of blocks (2 exponent bits, 1 mantissa bit); a machine has none without scales.

    Source: OCP Microscaling Formats (MX) Specification, version 1.0 (2023).

    Halves go to the even code: 1/4 to 0, 5/2 to 2, 5 to 4. What is larger than 6 becomes 6.

    >>> E2M1.rounded(np.array([0.25, 0.75, 1.25, -2.5, 3.5, 5, 7], np.float32)).tolist()
    [0.0, 1.0, 1.0, -2.0, 4.0, 4.0, 6.0]
    """

    name = "e2m1"
    value_bits = 4
    significand_bits: ClassVar[int] = 2
    largest: ClassVar[float] = 6.0
    smallest_exponent: ClassVar[int] = 0
    magnitudes: ClassVar[tuple[float, ...]] = (0, 0.5, 1, 1.5, 2, 3, 4, 6)  # by their codes

    @classmethod
    @override
    def bit_patterns(cls, values: Values) -> Values:
        """Return elements as their codes: sign, exponent with a bias of 1, fraction.

        >>> E2M1.bit_patterns(np.array([0, 0.5, 1, 6, -6])).tolist()
        [0, 1, 2, 7, 15]
        """
        codes = np.searchsorted(cls.magnitudes, np.abs(values)) | np.signbit(values) * 8
        found: Values = codes.astype(np.uint8)
        return found

    @classmethod
    def decoded(cls, codes: Values) -> Values:
        """Return the elements of codes."""
        sizes = np.array(cls.magnitudes, np.float32)[codes & 7]
        found: Values = np.where(codes & 8, -sizes, sizes)
        return found


class BlockScaled(Precision):
    """E2M1 with a scale for each block of values along K, the last axis; a last one may be short.

    Sums are fp32. Y is bf16: the scale of a block of outputs is none of a product's business.
    """

    value_bits = 4
    significand_bits = E2M1.significand_bits
    exponent_bits = 4  # of a product of elements, between 1/4 and 36
    scale_bits = 8
    arithmetic = "fp4"
    outputs = "bf16"
    torch_type = "float32"  # holds the values; numpy rounds them

    @classmethod
    @abstractmethod
    def scales(cls, peaks: Values) -> Values:
        """Return the scales of blocks with these largest magnitudes, as float32."""

    @classmethod
    def blocks(cls, values: Values) -> tuple[Values, Values]:
        """Return elements `[..., K]` and scales `[..., ⌈K / block⌉]` nearest to values `[..., K]`.

        >>> elements, scales = MXFP4.blocks(np.array([[11.0, -3.2, 0.4]]))  # 8 <= 11 < 16
        >>> elements.tolist(), scales.tolist()
        ([[6.0, -1.5, 0.0]], [[2.0]])
        """
        length = values.shape[-1]
        padding = [(0, 0)] * (values.ndim - 1) + [(0, -length % cls.block)]
        padded = np.pad(values.astype(np.float32), padding)
        grouped = padded.reshape(*values.shape[:-1], padded.shape[-1] // cls.block, cls.block)
        scales = cls.scales(np.abs(grouped).max(axis=-1, initial=0))
        elements = E2M1.rounded(grouped / scales[..., None])
        return elements.reshape(padded.shape)[..., :length], scales

    @classmethod
    @override
    def rounded(cls, values: Values) -> Values:
        elements, scales = cls.blocks(values)
        spread = np.repeat(scales, cls.block, axis=-1)[..., : values.shape[-1]]
        found: Values = elements * spread
        return found

    @classmethod
    @override
    def scores(cls, operands: Values, factors: Values) -> Values:
        """Return products with factors in bf16, rounded to bf16."""
        return BFloat16.scores(operands, factors)


@PRECISIONS.register("nvfp4")
class NVFP4(BlockScaled):
    """Blocks of 16 with a scale in E4M3, under a scale in fp32 that makes the largest value 2,688.

    Of a block, scale = largest magnitude / 6, rounded to E4M3 but never to zero. The scale in fp32
    is one a token (of W: an output), where the published recipe has one a tensor.

    Source: NVIDIA, Pretraining Large Language Models with NVFP4 (arXiv 2509.25149).

    6 × 448 = 2,688. The first block ends in 1: scale 1/6, of which 0.171875 is nearest in E4M3.

    >>> values = np.zeros(32, np.float32)
    >>> values[[0, 1, 16, 17]] = 1.0, 0.4, 2688.0, 700.0
    >>> NVFP4.rounded(values)[[0, 1, 16, 17]].tolist()
    [1.03125, 0.34375, 2688.0, 672.0]
    """

    name = "nvfp4"
    block = 16
    largest: ClassVar[float] = 6 * 448.0
    dot_product = "block_dot_product_e4m3"

    @classmethod
    @override
    def scales(cls, peaks: Values) -> Values:
        return np.maximum(Float8.rounded(peaks / np.float32(6)), np.float32(Float8.smallest()))


@PRECISIONS.register("mxfp4")
class MXFP4(BlockScaled):
    """Blocks of 32 with a power of two as their scale (E8M0), and no other scale.

    Of a block, scale = 2^(floor(log2 largest magnitude) - 2), so that the largest element is in
    [4, 8): from 6 on it saturates.

    Source: OCP Microscaling Formats (MX) Specification, version 1.0 (2023), 6.3.
    """

    name = "mxfp4"
    block = 32
    dot_product = "block_dot_product_e8m0"

    @classmethod
    @override
    def scales(cls, peaks: Values) -> Values:
        _, exponents = np.frexp(peaks)  # peak = m × 2^exponent with 1/2 <= m < 1
        least = np.where(peaks > 0, exponents - 3, -127)
        found: Values = np.ldexp(np.float32(1), np.clip(least, -127, 127)).astype(np.float32)
        return found
