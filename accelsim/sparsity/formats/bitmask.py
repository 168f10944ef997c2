"""One bit a position."""

from __future__ import annotations

from typing_extensions import override

from accelsim.sparsity.formats.base import FORMATS, Bits, Format, Positions, positions_of
from accelsim.sparsity.patterns.base import Mask


@FORMATS.register("bitmask")
class Bitmask(Format):
    """M bits a group, whatever N is: 1 bit a position, M/N bits a kept value.

    >>> Bitmask.bits_per_group(2, 4), Bitmask.bits_per_group(16, 32)
    (4, 32)
    """

    @staticmethod
    @override
    def bits_per_group(n: int, m: int) -> int:
        return m

    @staticmethod
    @override
    def encode(mask: Mask) -> Bits:
        return mask

    @staticmethod
    @override
    def decode(bits: Bits, n: int, m: int) -> Positions:
        return positions_of(bits)
