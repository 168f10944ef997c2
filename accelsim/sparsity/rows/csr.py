"""CSR: where each row ends, then every value and its column, one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from accelsim.precision import Values
from accelsim.sparsity.patterns.base import Mask
from accelsim.sparsity.rows.base import (
    ROW_FORMATS,
    Counts,
    RowFormat,
    Stored,
    address_bits,
    longest,
    packer_parts,
    place,
    to_bits,
    to_numbers,
    words_of,
)


@ROW_FORMATS.register("csr")
@dataclass(frozen=True)
class Csr(RowFormat):
    """Compressed sparse rows: no slot is empty, but where a row begins depends on all before it.

    Each of T rows has the number of values up to its end, in bits for T × K; the start of the first
    is 0 and not stored. Columns have ceil(log2 K) bits.

    Example:
        Rows of 3 and 1 of 8 values: ends of 5 bits (0 to 16), and 8 + 3 bits a value.

        >>> mask = np.array([[1, 0, 0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 1]], np.bool_)
        >>> Csr().bits(mask, value_bits=8).tolist()
        [38, 16]
        >>> codes = np.array([[5, 0, 0, 6, 7, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, -8]], np.int8)
        >>> values, _ = Csr().decode(Csr().encode(codes, mask))
        >>> bool((values == codes).all())
        True
    """

    @override
    def bits(self, mask: Mask, value_bits: int) -> Counts:
        word_bits = address_bits(mask.shape[1]) + value_bits
        bits: Counts = mask.sum(axis=1) * word_bits + mask.size.bit_length()
        return bits

    @override
    def encode(self, values: Values, mask: Mask) -> Stored:
        column_bits = address_bits(mask.shape[1])
        words = words_of(values, mask, column_bits)
        ends = to_bits(np.cumsum(mask.sum(axis=1)), mask.size.bit_length())
        slots = to_bits(words, column_bits + 8 * values.dtype.itemsize)
        bits = np.concatenate([ends.reshape(-1), slots.reshape(-1)])
        overflows = np.zeros(len(mask), np.bool_)
        return Stored(bits, mask.shape, values.dtype, longest(mask), overflows)

    @override
    def decode(self, stored: Stored) -> tuple[Values, Mask]:
        (rows, width), column_bits = stored.shape, address_bits(stored.shape[1])
        pointers = rows * (rows * width).bit_length()
        ends = to_numbers(stored.bits[:pointers].reshape(rows, -1)).astype(np.int64)
        slots = stored.bits[pointers:].reshape(-1, column_bits + 8 * stored.dtype.itemsize)
        row = np.repeat(np.arange(rows), np.diff(ends, prepend=0))
        return place(stored, row, to_numbers(slots), column_bits)

    @override
    def encoder_parts(self, width: int, value_bits: int, lanes: int) -> Mapping[str, int]:
        """Return the parts of a packer; its count runs over all rows of a block of 65,536 values.

        As the length of what is written is not known, it must be written in the order of rows.
        """
        return packer_parts(lanes, address_bits(width) + value_bits, 16)

    @override
    def decoder_parts(self, width: int, value_bits: int, lanes: int) -> Mapping[str, int]:
        """Return the difference of two ends, and comparators that tell the last slots of a row."""
        return {"adder_bits": 16, "comparator_bits": lanes * 16, "register_bits": 2 * 16}
