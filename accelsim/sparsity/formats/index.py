"""One index a kept value, as NVIDIA's 2:4 stores it."""

from __future__ import annotations

import numpy as np
from typing_extensions import override

from accelsim.sparsity.formats.base import FORMATS, Bits, Format, Positions, positions_of
from accelsim.sparsity.patterns.base import Mask


@FORMATS.register("index")
class Index(Format):
    """N × ceil(log2 M) bits a group: 2 bits a kept value at 2:4, 5 bits at 16:32.

    >>> Index.bits_per_group(2, 4), Index.bits_per_group(8, 16), Index.bits_per_group(16, 32)
    (4, 32, 80)
    """

    @staticmethod
    @override
    def bits_per_group(n: int, m: int) -> int:
        return n * _index_bits(m)

    @staticmethod
    @override
    def encode(mask: Mask) -> Bits:
        positions = positions_of(mask)
        places = np.arange(_index_bits(mask.shape[1]))
        return ((positions[:, :, None] >> places) & 1).astype(np.bool_).reshape(len(mask), -1)

    @staticmethod
    @override
    def decode(bits: Bits, n: int, m: int) -> Positions:
        weights = 1 << np.arange(_index_bits(m))
        positions: Positions = bits.reshape(len(bits), n, -1) @ weights
        return positions


def _index_bits(m: int) -> int:
    """Return ceil(log2 m): bits that tell m positions apart."""
    return (m - 1).bit_length()
