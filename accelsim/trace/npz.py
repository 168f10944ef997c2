"""The trace file: an `.npz` without pickles, written entry by entry and read layer by layer.

`meta` is a JSON string (`TraceMeta`); `x/<input>` is one activation array `[tokens, in_features]`.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
from numpy.lib import format as npy
from pydantic import ValidationError

from accelsim.errors import InputError
from accelsim.files import replacing
from accelsim.precision import Values
from accelsim.trace.record import InputInfo, Trace, TraceMeta
from accelsim.trace.synthetic import SyntheticSource

STORED_DTYPES = {"float16": np.float16, "bfloat16": np.uint16, "int8": np.int8}
MAX_ARRAY_BYTES = 8 * 2**30  # one layer must fit in memory; refuse before allocating
_META = "meta.npy"


def load_trace(path: str | Path) -> Trace:
    """Open a trace; check its table and every array header, but read no activations yet.

    Raises:
        InputError: missing, truncated or corrupt file; object arrays; wrong dtype or shape;
            an empty trace; sizes that the file cannot hold. The message names file and array.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        with zipfile.ZipFile(path) as archive:
            meta = _read_meta(path, archive)
            if meta.synthetic is None:
                for key in meta.inputs:
                    _check_header(path, archive, meta, key)
    except OSError as error:
        raise InputError(f"{path}: cannot read the trace: {error.strerror}") from error
    except (zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not a readable .npz trace ({error})") from error
    if meta.synthetic is not None:
        return Trace(path, sha256, meta, SyntheticSource.parse(path, meta))
    return Trace(path, sha256, meta, NpzSource(path, meta))


@dataclass(frozen=True, slots=True)
class NpzSource:
    """Activations stored in the file."""

    path: Path
    meta: TraceMeta

    def read(self, key: str) -> Values:
        """Read one array; raise InputError if it is damaged or not finite."""
        name = _entry(key)
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(name) as file:
                values: Values = np.lib.format.read_array(file, allow_pickle=False)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise InputError(f"{self.path}: array '{_array(key)}' is damaged ({error})") from error
        if not _is_finite(values, self.meta.inputs[key]):
            raise InputError(f"{self.path}: array '{_array(key)}' holds NaN or infinity")
        return values


class TraceWriter:
    """Write a trace entry by entry, so that only one array is ever in memory.

    The file appears when the block ends without an exception. The same contents give the same
    bytes: entries carry no time stamps.
    """

    def __init__(self, path: str | Path) -> None:
        self._replacing = replacing(Path(path))

    def __enter__(self) -> Self:
        temporary = self._replacing.__enter__()
        self._archive = zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=6)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._archive.close()
        self._replacing.__exit__(kind, error, trace)

    def add(self, key: str, values: Values) -> None:
        """Store the activations of input `key`, `[tokens, in_features]`."""
        self.add_entry(_entry(key), values)

    def finish(self, meta: TraceMeta) -> None:
        """Store the table of layers; call once, last."""
        text = json.dumps(meta.model_dump(by_alias=True, mode="json"), sort_keys=True)
        self.add_entry(_META, np.array(text))

    def add_entry(self, name: str, values: Values) -> None:
        """Store any array under the full name of its zip entry."""
        entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
        entry.compress_type = zipfile.ZIP_DEFLATED
        with self._archive.open(entry, "w", force_zip64=True) as file:
            npy.write_array(file, np.asarray(values), allow_pickle=False)


def _array(key: str) -> str:
    return f"x/{key}"


def _entry(key: str) -> str:
    return f"{_array(key)}.npy"


def _expected_shape(meta: TraceMeta, key: str) -> tuple[int, int]:
    widths = {linear.in_features for linear in meta.linears if linear.input == key}
    return sum(meta.sequence_lengths), widths.pop()


def _read_meta(path: Path, archive: zipfile.ZipFile) -> TraceMeta:
    if _META not in archive.namelist():
        raise InputError(f"{path}: has no 'meta' entry; is this an accelsim trace?")
    try:
        with archive.open(_META) as file:
            text = str(np.lib.format.read_array(file, allow_pickle=False))
        meta = TraceMeta.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "(whole)"
        raise InputError(f"{path}: entry 'meta', field {where}: {first['msg']}") from error
    except ValueError as error:
        raise InputError(f"{path}: entry 'meta' is not readable ({error})") from error
    _check_table(path, meta)
    return meta


def _check_table(path: Path, meta: TraceMeta) -> None:
    """Check that layers and inputs refer to each other."""
    for linear in meta.linears:
        if linear.input not in meta.inputs:
            raise InputError(f"{path}: layer '{linear.name}' reads unknown input '{linear.input}'")
    for key in meta.inputs:
        widths = {linear.in_features for linear in meta.linears if linear.input == key}
        if len(widths) != 1:
            raise InputError(f"{path}: input '{key}' has {len(widths)} widths in the layer table")


def _check_header(path: Path, archive: zipfile.ZipFile, meta: TraceMeta, key: str) -> None:
    """Compare what an array says of itself with the table and with the bytes that are there."""
    where = f"{path}: array '{_array(key)}'"
    if _entry(key) not in archive.namelist():
        raise InputError(f"{where} is missing")
    stored_bytes = archive.getinfo(_entry(key)).file_size
    stored_as, shape = meta.inputs[key].dtype, _expected_shape(meta, key)
    try:
        with archive.open(_entry(key)) as file:
            found, dtype, header_bytes = _read_header(file)
    except ValueError as error:
        raise InputError(f"{where} has a damaged header ({error})") from error
    if dtype.hasobject:
        raise InputError(f"{where} is an object array (pickle); allowed: float16, uint16, int8")
    if dtype != STORED_DTYPES[stored_as]:
        expected = np.dtype(STORED_DTYPES[stored_as])
        raise InputError(f"{where} is {dtype}, but the table says {stored_as} ({expected})")
    if found != shape:
        raise InputError(f"{where} has shape {list(found)}, expected {list(shape)}")
    needed = header_bytes + int(np.prod(shape, dtype=object)) * dtype.itemsize
    if needed != stored_bytes or needed > MAX_ARRAY_BYTES:
        raise InputError(
            f"{where} declares {needed} bytes, but the file holds {stored_bytes} "
            f"(at most {MAX_ARRAY_BYTES} are read)"
        )


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[np.generic], int]:
    version = npy.read_magic(file)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"npy version {version}")
    shape, _, dtype = read(file)
    return shape, dtype, file.tell()


def _is_finite(values: Values, info: InputInfo) -> bool:
    if info.dtype == "bfloat16":
        exponent = np.uint16(0x7F80)  # all exponent bits set: NaN or infinity
        return not bool(np.any((values & exponent) == exponent))
    return info.dtype == "int8" or bool(np.isfinite(values).all())
