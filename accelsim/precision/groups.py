"""Weights that are narrower than the multipliers: integer codes, and one scale a group along K.

Two steps, each rounding half to even, without data (round to nearest):

1. W is rounded as the multipliers would hold it, with one scale an output where their format has
   scales (int8, fp8).
2. Of each group of these, scale = largest magnitude / largest code, rounded to the multipliers'
   format; code = value / scale, rounded.

The unpacker multiplies a code with its scale and rounds the product to the multipliers' format.
On an int8 machine that is exact: scales of int4 codes are 18 at most, their products 126, and all
sums stay integers; the scale of an output is applied behind the sum, as without groups.

Source: the two levels are the progressive group quantisation of QServe (arXiv 2405.04532), here
symmetric; with 16-bit multipliers the first does nothing but round, and it is the round-to-nearest
baseline of GPTQ (arXiv 2210.17323) and AWQ (arXiv 2306.00978).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accelsim.precision.base import PRECISIONS, Values
from accelsim.precision.operands import Operands


@dataclass(frozen=True, slots=True)
class Packed:
    """Weights as memory holds them; a slice of them, as of the array `[K, O]`, is unpacked.

    Attributes:
        codes: `[O, K]`, integers of the format of W.
        scales: `[O, ⌈K / group⌉]`, in the multipliers' format.
        formats: whose W they are.
    """

    codes: Values
    scales: Values
    formats: Operands

    @classmethod
    def of(cls, values: Values, formats: Operands) -> Packed:
        """Pack weights `[O, K]` that are in the multipliers' format.

        >>> held = np.array([[100, -50, 9, 0]], np.int8)  # scale: 100 / 7 = 14.3
        >>> packed = Packed.of(held, Operands.parse("int8/int4:32"))
        >>> packed.codes.tolist(), packed.scales.tolist(), packed[:, :].tolist()
        ([[7, -4, 1, 0]], [[14]], [[98], [-56], [14], [0]])
        """
        narrow, wide = PRECISIONS[formats.w.precision], PRECISIONS[formats.x.precision]
        group, (outputs, length) = formats.w.group, values.shape
        padded = np.pad(values.astype(np.float32), ((0, 0), (0, -length % group)))
        grouped = padded.reshape(outputs, -1, group)
        scales = wide.rounded(np.abs(grouped).max(axis=2, initial=0) / np.float32(narrow.largest))
        scales = np.where(scales > 0, scales, scales.dtype.type(1))
        codes = np.rint(grouped / scales[..., None].astype(np.float32))
        codes = codes.clip(-narrow.largest, narrow.largest).astype(np.int8)
        return cls(codes.reshape(outputs, -1)[:, :length], scales, formats)

    @property
    def shape(self) -> tuple[int, int]:
        """K and O, as of the matrix that they stand for."""
        outputs, length = self.codes.shape
        return length, outputs

    def __getitem__(self, tile: tuple[slice, slice]) -> Values:
        """Return a tile `[K, O]` as the unpacker hands it to the multipliers."""
        rows, columns = tile
        codes = self.codes[columns, rows].astype(np.float32)
        groups = np.arange(self.shape[0])[rows] // self.formats.w.group
        scales = self.scales[columns][:, groups].astype(np.float32)
        return PRECISIONS[self.formats.x.precision].rounded(codes * scales).T
