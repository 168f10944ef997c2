"""The protocol of a row format, and fields of bits that all of them are made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.base.errors import InputError
from accelsim.base.registry import Registry
from accelsim.precision import Values
from accelsim.sparsity.formats.base import Bits
from accelsim.sparsity.patterns.base import Mask

Numbers = NDArray[np.uint64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Stored:
    """Rows as a format stores them.

    Attributes:
        bits: `[bits]`, all that is stored.
        shape: rows T and positions K of a row, which a decoder is built for.
        dtype: of the values.
        longest: most values in a row, which decoders know (one number for all rows, not counted).
        overflows: `[T]`, the flag of rows of which values did not fit and are missing.
    """

    bits: Bits
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    longest: int
    overflows: Mask


class RowFormat(ABC):
    """Stores values `[T, K]` of which any number may be left in a row, by a mask.

    Formats of groups (`FORMATS`) say where in a group of M its N values stood; these hold values
    and positions of masks without groups: top-K, thresholds, zeros of a ReLU. Parameters are those
    of the constructor.
    """

    @abstractmethod
    def bits(self, mask: Mask, value_bits: int) -> Counts:
        """Return the bits that each row of a mask `[T, K]` takes, values included, `[T]`."""

    @abstractmethod
    def encode(self, values: Values, mask: Mask) -> Stored:
        """Store those of `[T, K]` values, of 1, 2 or 4 bytes each, that the mask has set."""

    @abstractmethod
    def decode(self, stored: Stored) -> tuple[Values, Mask]:
        """Return values, 0 where none is stored, and the mask of what is stored, both `[T, K]`."""

    @abstractmethod
    def encoder_parts(self, width: int, value_bits: int, lanes: int) -> Mapping[str, int]:
        """Return what an encoder is made of that takes `lanes` of K = `width` positions a cycle."""

    @abstractmethod
    def decoder_parts(self, width: int, value_bits: int, lanes: int) -> Mapping[str, int]:
        """Return what a decoder is made of that gives `lanes` values and positions a cycle."""


ROW_FORMATS: Registry[RowFormat] = Registry("row format")


def address_bits(positions: int) -> int:
    """Return ceil(log2 positions): bits that tell them apart."""
    return (positions - 1).bit_length()


def to_bits(numbers: NDArray[Any], width: int) -> Bits:
    """Return `[..., width]`, the lowest bit first.

    >>> to_bits(np.array([6]), 4).astype(int).tolist()
    [[0, 1, 1, 0]]
    """
    places = np.arange(width, dtype=np.uint64)
    return ((numbers.astype(np.uint64)[..., None] >> places) & np.uint64(1)).astype(np.bool_)


def to_numbers(bits: Bits) -> Numbers:
    """Return the numbers `[...]` that bits `[..., width]` stand for."""
    places = np.arange(bits.shape[-1], dtype=np.uint64)
    numbers: Numbers = (bits.astype(np.uint64) << places).sum(axis=-1, dtype=np.uint64)
    return numbers


def words_of(values: Values, mask: Mask, column_bits: int) -> Numbers:
    """Return what is stored of each set position, row by row: its column, above it its value."""
    if values.shape != mask.shape or values.dtype.itemsize not in (1, 2, 4):
        raise InputError(
            f"a row format stores values of 1, 2 or 4 bytes by a mask of their shape, not "
            f"{values.dtype} {list(values.shape)} by {list(mask.shape)}"
        )
    columns = np.nonzero(mask)[1].astype(np.uint64)
    codes = np.ascontiguousarray(values).view(f"u{values.dtype.itemsize}")[mask]
    words: Numbers = columns | codes.astype(np.uint64) << np.uint64(column_bits)
    return words


def place(
    stored: Stored, rows: NDArray[Any], words: Numbers, column_bits: int
) -> tuple[Values, Mask]:
    """Return values and mask `[T, K]` with each word in its row, at its column."""
    columns = (words & np.uint64((1 << column_bits) - 1)).astype(np.int64)
    code = np.dtype(f"u{stored.dtype.itemsize}")
    values, mask = np.zeros(stored.shape, code), np.zeros(stored.shape, np.bool_)
    values[rows, columns] = (words >> np.uint64(column_bits)).astype(code)
    mask[rows, columns] = True
    return values.view(stored.dtype), mask


def longest(mask: Mask) -> int:
    """Return the most values that are set in a row of `[T, K]`."""
    return int(mask.sum(axis=1).max(initial=0))


def packer_parts(lanes: int, word_bits: int, count_bits: int) -> dict[str, int]:
    """Return what packs the values that are left of `lanes` positions, a cycle, without gaps.

    A prefix network counts those before each lane (lanes / 2 × log2 lanes adders), a log shifter
    closes the gaps, another rotates them to where the last cycle's ended, and two rows of words
    are registers: one fills while the other is written. The running count is one adder.
    """
    levels = address_bits(lanes)
    return {
        "adder_bits": lanes // 2 * levels * (levels + 1) + count_bits,
        "mux_bits": 2 * levels * lanes * word_bits,
        "register_bits": 2 * lanes * word_bits + count_bits,
    }
