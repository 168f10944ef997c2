"""int8: codes of 8 bits, with one scale a token."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from typing_extensions import override

from accelsim.precision.base import PRECISIONS, Precision, Values


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
    largest: ClassVar[float] = 127
    torch_type = "int8"
    rtl_float: ClassVar[int | None] = 0

    @classmethod
    @override
    def rounded(cls, values: Values) -> Values:
        # float32 is exact enough here: |x| / scale is the largest code at most, of 8 bits.
        return np.rint(values).astype(np.int8)

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

    @classmethod
    @override
    def bit_patterns(cls, values: Values) -> Values:
        return values.astype(np.int8).view(np.uint8)
