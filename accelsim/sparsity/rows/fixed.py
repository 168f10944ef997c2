"""Rows cut into tiles with a fixed number of slots each: what ELLPACK and TwELL have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from accelsim.precision import Values
from accelsim.sparsity.patterns.base import Mask
from accelsim.sparsity.rows.base import (
    Counts,
    RowFormat,
    Stored,
    longest,
    packer_parts,
    place,
    to_bits,
    to_numbers,
    words_of,
)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a row is stored: `tiles` times a count and `slots` words of a value and its column.

    Attributes:
        tiles: of a row.
        positions: of a tile, the last of which may stand for nothing.
        slots: values that a tile has room for.
        count_bits: of the number of values that a tile has.
        column_bits: of a position in the row.
        word_bits: of a value and its column.
    """

    tiles: int
    positions: int
    slots: int
    count_bits: int
    column_bits: int
    word_bits: int

    @property
    def tile_bits(self) -> int:
        """Bits of a tile, however many values it has."""
        return self.count_bits + self.slots * self.word_bits


class FixedRows(RowFormat):
    """A row has the same size whatever is left of it, so that its address is known beforehand.

    A tile with more values than slots overflows: its count says how many there were, which is the
    flag, and the last of them are missing.
    """

    @abstractmethod
    def layout(self, width: int, value_bits: int, most: int) -> Layout:
        """Return the layout of rows of K = `width` positions, at most `most` of them left."""

    @override
    def bits(self, mask: Mask, value_bits: int) -> Counts:
        layout = self.layout(mask.shape[1], value_bits, longest(mask))
        return np.full(len(mask), layout.tiles * layout.tile_bits, np.int64)

    @override
    def encode(self, values: Values, mask: Mask) -> Stored:
        (rows, width), most = mask.shape, longest(mask)
        layout = self.layout(width, 8 * values.dtype.itemsize, most)
        words = words_of(values, mask, layout.column_bits)
        row, column = np.nonzero(mask)
        padding = layout.tiles * layout.positions - width
        tiles = np.pad(mask, [(0, 0), (0, padding)]).reshape(rows, layout.tiles, -1)
        counts = tiles.sum(axis=2)
        tile, place_in_tile = np.divmod(column, layout.positions)
        slot = (np.cumsum(tiles, axis=2) - 1)[row, tile, place_in_tile]
        fits = slot < layout.slots
        slots = np.zeros((rows, layout.tiles, layout.slots), np.uint64)
        slots[row[fits], tile[fits], slot[fits]] = words[fits]
        payload = to_bits(slots, layout.word_bits).reshape(
            rows, layout.tiles, layout.slots * layout.word_bits
        )
        bits = np.concatenate([to_bits(counts, layout.count_bits), payload], axis=2)
        overflows: Mask = (counts > layout.slots).any(axis=1)
        return Stored(bits.reshape(-1), (rows, width), values.dtype, most, overflows)

    @override
    def decode(self, stored: Stored) -> tuple[Values, Mask]:
        rows, width = stored.shape
        layout = self.layout(width, 8 * stored.dtype.itemsize, stored.longest)
        tiles = stored.bits.reshape(rows, layout.tiles, layout.tile_bits)
        counts = to_numbers(tiles[..., : layout.count_bits])
        payload = tiles[..., layout.count_bits :]
        slots = payload.reshape(rows, layout.tiles, layout.slots, layout.word_bits)
        used = np.arange(layout.slots) < counts[..., None]
        return place(stored, np.nonzero(used)[0], to_numbers(slots[used]), layout.column_bits)

    @override
    def encoder_parts(self, width: int, value_bits: int, lanes: int) -> Mapping[str, int]:
        layout = self.layout(width, value_bits, width)
        return packer_parts(lanes, layout.word_bits, layout.count_bits)

    @override
    def decoder_parts(self, width: int, value_bits: int, lanes: int) -> Mapping[str, int]:
        """Return comparators that tell which of the slots read hold a value, and the count."""
        count_bits = self.layout(width, value_bits, width).count_bits
        return {"comparator_bits": lanes * count_bits, "register_bits": count_bits}
