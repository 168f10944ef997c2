"""int4: codes of 4 bits, mostly of weights, which then have one scale a group along K."""

from __future__ import annotations

from typing import ClassVar

from accelsim.precision.base import PRECISIONS
from accelsim.precision.int8 import Int8


@PRECISIONS.register("int4")
class Int4(Int8):
    """Symmetric int4: scale = max|x| / 7, round half to even; -8 is never produced.

    As the format of X it is int8 with fewer codes. Its multiplier was not synthesised: it is priced
    as the quarter of one of int8. As the format of W of a wider X, see `accelsim.precision.groups`.

    >>> import numpy as np
    >>> Int4.encode(np.array([7.0, 3.5, -2.5], np.float32))[0].tolist()
    [7, 4, -2]
    """

    name = "int4"
    value_bits = 4
    largest: ClassVar[float] = 7
    rtl_float: ClassVar[int | None] = None
