"""Captured rows on disk: appended to raw files while the model runs, narrowed when written.

A model's activations rarely fit in memory, and int8 needs the largest value of the whole capture
before the first code is known. So rows are spilled: float16 and bfloat16 as they will be stored,
int8 as float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import InputError
from accelsim.precision import BFloat16, Int8, Values
from accelsim.registry import did_you_mean
from accelsim.trace.archive import MAX_ARRAY_BYTES
from accelsim.trace.npz import STORED_DTYPES
from accelsim.trace.record import SCALES, InputInfo, StoredDtype

_SPILLED = {"float16": np.float16, "bfloat16": np.uint16, "int8": np.float32}
# Largest finite value of each format; int8 has a scale.
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
    """One distinct layer input: `rows` rows of `width` features so far, in a raw file."""

    path: Path
    width: int
    rows: int = 0


class Spill:
    """The raw files of one capture, in a folder that its owner removes."""

    def __init__(self, folder: Path, dtype: StoredDtype) -> None:
        self.dtype = dtype
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
        stream.rows += len(rows)
        itemsize = np.dtype(STORED_DTYPES[self.dtype]).itemsize
        if stream.rows * stream.width * itemsize > MAX_ARRAY_BYTES:
            raise InputError(
                f"layer '{layer}': more than {MAX_ARRAY_BYTES // 2**30} GiB of activations; "
                f"capture fewer tokens"
            )
        # Opened for each append: a large model has more inputs than a process may hold files.
        with stream.path.open("ab") as file:
            file.write(np.ascontiguousarray(_narrow(rows, self.dtype)).data)

    def read(self, stream: Stream) -> tuple[Values, InputInfo]:
        """Return the rows `[rows, width]` as a trace stores them, and how they are stored."""
        shape = (stream.rows, stream.width)
        raw = np.asarray(np.memmap(stream.path, _SPILLED[self.dtype], "r", shape=shape))
        if self.dtype != "int8":
            return raw, InputInfo(dtype=self.dtype)
        codes, scale = Int8.encode(raw)
        if scale < SCALES[0]:
            raise InputError(
                f"an input reaches {127 * scale:.3g} only, too little for int8: use bfloat16"
            )
        return codes, InputInfo(dtype=self.dtype, scale=scale)


def _check_range(rows: NDArray[np.float32], dtype: StoredDtype, layer: str) -> None:
    peak = float(np.max(np.abs(rows), initial=0.0))  # NaN wins every maximum
    if not np.isfinite(peak):
        raise InputError(f"layer '{layer}': its input holds NaN or infinity")
    if peak > _LARGEST[dtype]:
        raise InputError(
            f"layer '{layer}': its input reaches {peak:.6g}, beyond the range of {dtype} "
            f"({_LARGEST[dtype]:.6g}); use another dtype: {', '.join(STORED_DTYPES)}"
        )


def _narrow(rows: NDArray[np.float32], dtype: StoredDtype) -> Values:
    if dtype == "float16":
        return rows.astype(np.float16)
    if dtype == "bfloat16":
        rounded = BFloat16.encode(rows)[0].astype(np.float32, copy=False)
        return (rounded.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    return rows
