"""Captured rows on disk: appended to raw files while the model runs, narrowed when written.

A model's activations rarely fit in memory, and the scale of an input depends on all of its values.
So rows are spilled as float32, and narrowed when the whole capture is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accelsim.base.errors import InputError
from accelsim.base.registry import did_you_mean
from accelsim.precision import BFloat16, Int8, Values
from accelsim.trace.archive import MAX_ARRAY_BYTES
from accelsim.trace.npz import STORED_DTYPES
from accelsim.trace.record import SCALES, InputInfo, StoredDtype
from accelsim.trace.units import half_unit, in_half_units

_VALUES_AT_ONCE = 2**16  # in memory as float32
# Where more than this share of the nonzero values of an input would vanish, it is said.
MAX_ZEROED_RATIO = 1e-3
# float16 numbers below this have fewer than 6 significant bits, and below 2^-25 none.
_COARSE_HALF = 2.0**-18
# Largest finite value of each format; int8 scales to any peak that float32 holds.
_LARGEST = {
    "float16": 65504.0,
    "bfloat16": (2 - 2**-7) * 2.0**127,
    "int8": 127 * SCALES[1],
}


def stored_dtype(name: str) -> StoredDtype:
    """Return `name` if a trace can be stored so; raise InputError with the allowed names if not."""
    for dtype in STORED_DTYPES:
        if dtype == name:
            return dtype  # type: ignore[return-value]  # the keys are those of the Literal
    raise InputError(
        f"unknown dtype '{name}'{did_you_mean(name, STORED_DTYPES)}; "
        f"allowed: {', '.join(STORED_DTYPES)}"
    )


@dataclass(slots=True)
class Stream:
    """One distinct layer input, in a raw file of float32.

    Attributes:
        path: the file.
        width: features of a row.
        rows: rows so far.
        peak: largest magnitude so far.
        nonzero: values so far that are not zero.
        coarse: those of them that float16 would hold with fewer than 6 significant bits.
    """

    path: Path
    width: int
    rows: int = 0
    peak: float = 0.0
    nonzero: int = 0
    coarse: int = 0

    def note(self, rows: NDArray[np.float32]) -> None:
        """Count `[rows, width]` values that are appended."""
        magnitudes = np.abs(rows)
        self.rows += len(rows)
        self.peak = max(self.peak, float(magnitudes.max(initial=0.0)))
        self.nonzero += int(np.count_nonzero(magnitudes))
        self.coarse += int(np.count_nonzero((magnitudes > 0) & (magnitudes < _COARSE_HALF)))

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield the rows again, some at a time."""
        step = max(1, _VALUES_AT_ONCE // self.width)
        for first in range(0, self.rows, step):
            shape = (min(step, self.rows - first), self.width)
            offset = first * self.width * np.dtype(np.float32).itemsize
            yield np.memmap(self.path, np.float32, "r", offset=offset, shape=shape)


class Spill:
    """The raw files of one capture, in a folder that its owner removes.

    Attributes:
        dtype: what inputs are stored as.
        zeroed: by input, the share of its nonzero values that are stored as zero, where that is
            more than `MAX_ZEROED_RATIO`.
    """

    def __init__(self, folder: Path, dtype: StoredDtype) -> None:
        self.dtype = dtype
        self.zeroed: dict[str, float] = {}
        self._folder = folder
        self._count = 0

    def open(self, width: int) -> Stream:
        """Start an empty stream of rows with `width` features."""
        self._count += 1
        return Stream(self._folder / f"{self._count}.raw", width)

    def append(self, stream: Stream, rows: NDArray[np.float32], layer: str) -> None:
        """Append float32 `[rows, width]`.

        Raises:
            InputError: NaN, infinity, a value beyond the range of the format, or more rows than
                a trace may hold; the message names the layer.
        """
        _check_range(rows, self.dtype, layer)
        stream.note(rows)
        itemsize = np.dtype(STORED_DTYPES[self.dtype]).itemsize
        if stream.rows * stream.width * itemsize > MAX_ARRAY_BYTES:
            raise InputError(
                f"layer '{layer}': more than {MAX_ARRAY_BYTES // 2**30} GiB of activations; "
                f"capture fewer tokens"
            )
        # Opened for each append: a large model has more inputs than a process may hold files.
        with stream.path.open("ab") as file:
            file.write(np.ascontiguousarray(rows, np.float32).data)

    def read(self, stream: Stream, key: str) -> tuple[Values, InputInfo]:
        """Return the rows `[rows, width]` of an input as a trace stores them, and how."""
        scale = _scale(stream, self.dtype)
        if self.dtype == "int8" and scale < SCALES[0]:
            raise InputError(
                f"an input reaches {127 * scale:.3g} only, too little for int8: use bfloat16"
            )
        stored = np.empty((stream.rows, stream.width), STORED_DTYPES[self.dtype])
        first = 0
        for rows in stream.blocks():
            stored[first : first + len(rows)] = _narrow(rows, self.dtype, scale)
            first += len(rows)
        zeroed = (stream.nonzero - _nonzero(stored, self.dtype)) / max(stream.nonzero, 1)
        if zeroed > MAX_ZEROED_RATIO:
            self.zeroed[key] = zeroed
        return stored, InputInfo(dtype=self.dtype, scale=scale)


def _check_range(rows: NDArray[np.float32], dtype: StoredDtype, layer: str) -> None:
    peak = float(np.max(np.abs(rows), initial=0.0))  # NaN wins every maximum
    if not np.isfinite(peak):
        raise InputError(f"layer '{layer}': its input holds NaN or infinity")
    if peak > _LARGEST[dtype]:
        raise InputError(
            f"layer '{layer}': its input reaches {peak:.6g}, beyond the range of {dtype} "
            f"({_LARGEST[dtype]:.6g}); use another dtype: {', '.join(STORED_DTYPES)}"
        )


def _scale(stream: Stream, dtype: StoredDtype) -> float:
    """Return the value of one stored unit.

    That of an int8 code makes the peak 127. float16 is stored as it is, unless that would cost
    digits: then its unit is the power of two that brings the peak just below the largest number.
    """
    if dtype == "int8":
        return Int8.scale_of(stream.peak)
    if dtype == "float16" and stream.coarse > MAX_ZEROED_RATIO * stream.nonzero:
        return half_unit(stream.peak)
    return 1.0


def _narrow(rows: NDArray[np.float32], dtype: StoredDtype, scale: float) -> Values:
    if dtype == "float16":
        return in_half_units(rows, scale)
    if dtype == "bfloat16":
        rounded = BFloat16.encode(rows)[0].astype(np.float32, copy=False)
        return (rounded.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    codes: Values = np.rint(rows / np.float32(scale)).astype(np.int8)
    return codes


def _nonzero(stored: Values, dtype: StoredDtype) -> int:
    """Return how many stored values are not zero; bfloat16 has a sign bit even then."""
    magnitudes = stored & np.uint16(0x7FFF) if dtype == "bfloat16" else stored
    return int(np.count_nonzero(magnitudes))
