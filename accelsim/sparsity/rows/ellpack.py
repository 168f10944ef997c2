"""ELLPACK: as many slots in each row as the longest has."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from accelsim.base.errors import InputError
from accelsim.sparsity.rows.base import ROW_FORMATS, address_bits
from accelsim.sparsity.rows.fixed import FixedRows, Layout


@ROW_FORMATS.register("ellpack")
@dataclass(frozen=True)
class Ellpack(FixedRows):
    """A count, then `slots` times a value and its column; without `slots`, those of the longest.

    With a fixed number, longer rows overflow, as in the hybrid format of arXiv 2603.23198 (128
    slots), which holds them dense elsewhere.

    Example:
        Rows of 3 and 1 of 8 values: a count of 4 bits (0 to 8), 3 slots of 8 + 3 bits.

        >>> import numpy as np
        >>> mask = np.array([[1, 0, 0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 1]], np.bool_)
        >>> Ellpack().bits(mask, value_bits=8).tolist()
        [37, 37]
        >>> codes = np.array([[5, 0, 0, 6, 7, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, -8]], np.int8)
        >>> values, _ = Ellpack().decode(Ellpack().encode(codes, mask))
        >>> bool((values == codes).all())
        True
    """

    slots: int | None = None

    def __post_init__(self) -> None:
        if self.slots is not None and self.slots < 1:
            raise InputError(f"ellpack: slots is {self.slots}; at least 1 is needed")

    @override
    def layout(self, width: int, value_bits: int, most: int) -> Layout:
        column_bits = address_bits(width)
        return Layout(
            tiles=1,
            positions=width,
            slots=most if self.slots is None else self.slots,
            count_bits=width.bit_length(),
            column_bits=column_bits,
            word_bits=column_bits + value_bits,
        )
