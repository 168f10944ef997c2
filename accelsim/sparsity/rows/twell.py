"""TwELL: ELLPACK in tiles, which the tile of a matrix product can write by itself."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import override

from accelsim.base.errors import InputError
from accelsim.sparsity.rows.base import ROW_FORMATS
from accelsim.sparsity.rows.fixed import FixedRows, Layout

_COLUMN_BITS = 16


@ROW_FORMATS.register("twell")
@dataclass(frozen=True)
class TwELL(FixedRows):
    """Each tile of `tile` columns of a row is tile / compression words: a count, then payloads.

    A payload is a value and, in 16 bits, its column in the row ("Sparser, Faster,
    Lighter", arXiv 2603.23198; SakanaAI/sparser-faster-llms, where a word is 32 bits for bf16, and
    a tile of 256 at a compression of 8 has 32 words, 31 of them payloads). A last tile that is
    shorter takes as many words. One that has more values than payloads overflows.

    Not as there: payloads are in the order of columns (there, in the order of arrival), values of
    8 bits make words of 24, and the values that do not fit are left out, not wrapped around.

    Example:
        Rows of 512 bf16 values are two tiles: 2 × 32 × 32 bits, a quarter of dense, whether
        nothing is left of them or 31 of each 256.

        >>> import numpy as np
        >>> TwELL().bits(np.zeros((1, 512), np.bool_), value_bits=16).tolist(), 512 * 16
        ([2048], 8192)
    """

    tile: int = 256
    compression: int = 8

    def __post_init__(self) -> None:
        words, rest = divmod(self.tile, max(1, self.compression))
        if self.compression < 1 or rest or words < 2:  # noqa: PLR2004
            raise InputError(
                f"twell: a tile of {self.tile} at a compression of {self.compression} is not two "
                f"or more whole words"
            )

    @override
    def layout(self, width: int, value_bits: int, most: int) -> Layout:
        if width > 1 << _COLUMN_BITS:
            raise InputError(f"twell: a row of {width} positions is longer than 65,536")
        word_bits = _COLUMN_BITS + value_bits
        return Layout(
            tiles=-(-width // self.tile),
            positions=self.tile,
            slots=self.tile // self.compression - 1,
            count_bits=word_bits,
            column_bits=_COLUMN_BITS,
            word_bits=word_bits,
        )
