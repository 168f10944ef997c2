"""Reading arrays out of an .npz that may be damaged or hostile: size first, then bytes."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from accelsim.errors import InputError
from accelsim.precision import Values

MAX_ARRAY_BYTES = 8 * 2**30  # one layer must fit in memory; refuse before allocating
# Everything that zipfile, its decompressors and numpy raise on a broken file (an encrypted entry is
# a RuntimeError, an unknown compression a NotImplementedError, which is one too).
DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_array(path: Path, name: str, *, noun: str = "array") -> Values:
    """Read array `name` of an .npz; raise InputError naming file and array if it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            check_header(path, archive, name, noun=noun)
            with archive.open(f"{name}.npy") as file:
                values: Values = npy.read_array(file, allow_pickle=False)
                return values
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(f"{path}: {noun} '{name}' is damaged ({error})") from error


def check_header(
    path: Path, archive: zipfile.ZipFile, name: str, *, noun: str = "array"
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and dtype of an array after comparing them with the bytes that are there.

    Raises:
        InputError: missing, an object array, a damaged header, or a size that the file cannot hold.
    """
    where = f"{path}: {noun} '{name}'"
    if f"{name}.npy" not in archive.namelist():
        raise InputError(f"{where} is missing")
    stored_bytes = archive.getinfo(f"{name}.npy").file_size
    try:
        with archive.open(f"{name}.npy") as file:
            shape, dtype, header_bytes = _read_header(file)
    except DAMAGE as error:
        raise InputError(f"{where} has a damaged header ({error})") from error
    if dtype.hasobject:
        raise InputError(f"{where} is an object array (pickle); allowed: float16, uint16, int8")
    needed = header_bytes + math.prod(shape) * dtype.itemsize
    if needed != stored_bytes or needed > MAX_ARRAY_BYTES:
        raise InputError(
            f"{where} declares {needed} bytes, but the file holds {stored_bytes} "
            f"(at most {MAX_ARRAY_BYTES} are read)"
        )
    return shape, dtype


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    version = npy.read_magic(file)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"npy version {version}")
    shape, _, dtype = read(file)
    return shape, dtype, file.tell()
