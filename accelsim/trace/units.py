"""float16 in units of a power of two, for values that its own range would cut off."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

LARGEST_HALF = 65504.0
_SMALLEST_UNIT = 2.0**-49  # of those that a trace may have: SCALES


def half_unit(peak: float) -> float:
    """Return the smallest power of two in units of which `peak` is still a float16 number.

    65504 units of 2^0 are 65504; 1 is 2^15 units of 2^-15, and 2^16 would be too many.

    >>> half_unit(65504.0), half_unit(1.0) == 2**-15, half_unit(0.0)
    (1.0, True, 1.0)
    """
    if peak == 0:
        return 1.0
    exponent = math.frexp(peak / LARGEST_HALF)
    power = exponent[1] - (exponent[0] == 0.5)  # noqa: PLR2004  # a power of two is its own
    return max(math.ldexp(1.0, power), _SMALLEST_UNIT)


def in_half_units(values: NDArray[np.float32], unit: float) -> NDArray[np.float16]:
    """Return float32 values in float16 units of a power of two, rounded once, half to even."""
    power = math.frexp(unit)[1] - 1
    halves: NDArray[np.float16] = np.ldexp(values, np.int32(-power)).astype(np.float16)
    return halves
