"""The number of the choice among all C(M, N): the fewest bits that tell all masks apart."""

from __future__ import annotations

from collections.abc import Mapping
from math import comb
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from accelsim.sparsity.formats.base import FORMATS, Bits, Format, Positions, positions_of
from accelsim.sparsity.patterns.base import Mask


@FORMATS.register("combinadic")
class Combinadic(Format):
    """Number = sum over i of C(position i, i + 1), which no two choices share.

    This is the combinatorial number system (D. Knuth, The Art of Computer Programming 4A,
    7.2.1.3). It takes ceil(log2 C(M, N)) bits a group. No machine stores it here: there is neither
    RTL nor a price of what reads it, which is slow, as position i is known only after all above it.

    >>> [Combinadic.bits_per_group(n, 2 * n) for n in (2, 4, 8, 16)]
    [3, 7, 14, 30]
    >>> Combinadic.encode(np.array([[0, 1, 0, 1]], np.bool_)).astype(int).tolist()
    [[0, 0, 1]]

    That is C(1, 1) + C(3, 2) = 1 + 3 = 4, the lowest bit first.
    """

    has_hardware: ClassVar[bool] = False

    @staticmethod
    @override
    def bits_per_group(n: int, m: int) -> int:
        return (comb(m, n) - 1).bit_length()

    @staticmethod
    @override
    def encode(mask: Mask) -> Bits:
        positions = positions_of(mask)
        n, m = positions.shape[1], mask.shape[1]
        terms = _table(n, m)[positions, np.arange(n)]
        places = np.arange(Combinadic.bits_per_group(n, m), dtype=np.uint64)
        numbers = terms.sum(axis=1, dtype=np.uint64)
        bits: Bits = ((numbers[:, None] >> places) & np.uint64(1)).astype(np.bool_)
        return bits

    @staticmethod
    @override
    def decode(bits: Bits, n: int, m: int) -> Positions:
        places = np.arange(bits.shape[1], dtype=np.uint64)
        rest = (bits.astype(np.uint64) << places).sum(axis=1, dtype=np.uint64)
        table, positions = _table(n, m), np.zeros((len(bits), n), np.int64)
        for i in reversed(range(n)):  # the largest position whose C does not exceed what is left
            positions[:, i] = np.searchsorted(table[:, i], rest, side="right") - 1
            rest = rest - table[positions[:, i], i]
        return positions

    @staticmethod
    def encoder_parts(n: int, m: int) -> Mapping[str, int]:
        """Return what an encoder is made of: a table of N × (M − N + 1) constants, and a sum.

        Multiplexers pick the constants as an index encoder's pick positions; N − 1 adders follow.

        >>> Combinadic.encoder_parts(2, 4)
        {'leg_bits': 18, 'adder_bits': 3}
        """
        bits = Combinadic.bits_per_group(n, m)
        return {"leg_bits": n * (m - n + 1) * bits, "adder_bits": (n - 1) * bits}

    @staticmethod
    def decoder_parts(n: int, m: int) -> Mapping[str, int]:
        """Return what a decoder is made of that finds the N positions one after the other.

        Each compares what is left with its M − N + 1 constants, picks the largest that is not
        larger, and subtracts it: N comparisons and N − 1 subtractions in a chain.

        >>> Combinadic.decoder_parts(2, 4)
        {'comparator_bits': 18, 'leg_bits': 18, 'adder_bits': 3}
        """
        picked = Combinadic.encoder_parts(n, m)
        return {"comparator_bits": picked["leg_bits"], **picked}


def _table(n: int, m: int) -> NDArray[np.uint64]:
    """Return C(position, i + 1), `[M, N]`."""
    return np.array([[comb(p, i + 1) for i in range(n)] for p in range(m)], np.uint64)
