"""Reading arrays out of an .npz that may be damaged or hostile: size first, then bytes."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from accelsim.base.errors import InputError
from accelsim.base.files import check_regular
from accelsim.precision import Values

MAX_ARRAY_BYTES = 8 * 2**30  # one layer must fit in memory; refuse before allocating
MAX_TEXT_BYTES = 2**26  # of an entry that is a text: 2^24 characters
# Captured activations are deflated to a half or a tenth, hardly ever to a hundredth. An archive
# that unpacks to more than this many times its size was made to.
MAX_EXPANSION = 100
_UNSUSPICIOUS_BYTES = 2**26  # unpacked
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


@contextmanager
def naming(path: Path, *, unreadable: str, damaged: str) -> Iterator[None]:
    """Turn whatever reading a broken file raises into an InputError that names the file."""
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: {unreadable}: {error.strerror or error}") from error
    except DAMAGE as error:
        raise InputError(f"{path}: {damaged} ({error})") from error


class Archive(zipfile.ZipFile):
    """An .npz open for reading; its table of contents is read once, its arrays when asked for."""

    def __init__(self, path: Path) -> None:
        check_regular(path)
        super().__init__(path)
        self.path = path
        self._process = os.getpid()
        self._check_expansion()

    def __reduce__(self) -> tuple[Any, tuple[Path, str]]:
        return _opened_again, (self.path, self._digest())

    def _digest(self) -> str:
        """Return a hash of the table of contents, which has the checksum of every entry."""
        entries = [(entry.filename, entry.CRC, entry.file_size) for entry in self.infolist()]
        return sha256(repr(entries).encode()).hexdigest()

    def _check_expansion(self) -> None:
        """Raise InputError if all entries together unpack to far more than the file."""
        unpacked = sum(entry.file_size for entry in self.infolist())
        packed = self.path.stat().st_size
        allowed = max(_UNSUSPICIOUS_BYTES, MAX_EXPANSION * packed)
        if unpacked > allowed:
            self.close()
            raise InputError(
                f"{self.path}: {packed} bytes that unpack to {unpacked}; at most {allowed} are "
                f"unpacked of such a file"
            )

    def _own_file(self) -> None:
        """Open the file again in a forked process: parent and child would share one position."""
        if self._process != os.getpid():
            self.fp, self._process = self.path.open("rb"), os.getpid()

    def read_array(self, name: str, *, noun: str = "array") -> Values:
        """Read array `name`; raise InputError naming file and array if it cannot be read."""
        self.check_header(name, noun=noun)
        try:
            with self.open(f"{name}.npy") as file:
                values: Values = npy.read_array(file, allow_pickle=False)
                return values
        except DAMAGE as error:
            raise InputError(f"{self.path}: {noun} '{name}' is damaged ({error})") from error
        except MemoryError as error:
            raise InputError(f"{self.path}: {noun} '{name}' does not fit into memory") from error

    def read_text(self, name: str, *, noun: str = "entry") -> str:
        """Read a text, an array of one string; raise InputError if it is none."""
        where = f"{self.path}: {noun} '{name}'"
        shape, dtype = self.check_header(name, noun=noun)
        if shape or dtype.kind != "U":
            raise InputError(f"{where} is {dtype} {list(shape)}; allowed: one text")
        if dtype.itemsize > MAX_TEXT_BYTES:
            raise InputError(
                f"{where} has {dtype.itemsize} bytes; at most {MAX_TEXT_BYTES} are read"
            )
        return str(self.read_array(name, noun=noun))

    def check_header(
        self, name: str, *, noun: str = "array"
    ) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Return shape and dtype of an array after comparing them with the bytes that are there.

        Raises:
            InputError: missing, an object array, a damaged header, or a size that the file cannot
                hold.
        """
        where = f"{self.path}: {noun} '{name}'"
        if f"{name}.npy" not in self.NameToInfo:
            raise InputError(f"{where} is missing")
        stored_bytes = self.getinfo(f"{name}.npy").file_size
        try:
            self._own_file()
            with self.open(f"{name}.npy") as file:
                shape, dtype, header_bytes = _read_header(file)
        except Exception as error:  # numpy's parser lets Python's own errors through
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


def _opened_again(path: Path, digest: str) -> Archive:
    """Open an archive in another process; raise InputError if it is another one by now."""
    with naming(path, unreadable="cannot read the trace", damaged="not a readable .npz trace"):
        archive = Archive(path)
    if archive._digest() != digest:
        archive.close()
        raise InputError(f"{path}: has changed since it was opened")
    return archive


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Return shape, dtype and length of an npy header; raise ValueError for what makes no sense."""
    version = npy.read_magic(file)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"npy version {version}")
    shape, _, dtype = read(file)
    if not all(type(length) is int and 0 <= length < MAX_ARRAY_BYTES for length in shape):
        raise ValueError("a length that no array has")
    if dtype.subdtype is not None or dtype.itemsize == 0:
        raise ValueError("an array of arrays, or of nothing")
    return shape, dtype, file.tell()
