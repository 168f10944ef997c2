"""The trace file: an `.npz` without pickles, written entry by entry and read layer by layer.

`meta` is a JSON string (`TraceMeta`); `x/<input>` is one activation array `[rows, in_features]`;
where not every token of the trace has a row, `t/<input>` says which have, int32 `[rows]`.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from pydantic import ValidationError
from typing_extensions import override

from accelsim.base.arguments import path_of
from accelsim.base.errors import InputError
from accelsim.base.files import open_regular, replacing
from accelsim.base.strict_json import json_text
from accelsim.precision import Values
from accelsim.trace.archive import Archive, naming
from accelsim.trace.record import (
    MAX_SEQUENCES,
    MAX_TOKENS,
    InputInfo,
    Trace,
    TraceMeta,
    ValueSource,
    array_name,
    token_array,
)
from accelsim.trace.synthetic import SyntheticSource

STORED_DTYPES = {"float16": np.float16, "bfloat16": np.uint16, "int8": np.int8}
_META = "meta"
MAX_LAYERS = 2**16  # a mixture of many experts has tens of thousands


def load_trace(path: str | Path) -> Trace:
    """Open a trace; check its table and every array header, but read no activations yet.

    Args:
        path: of the file.

    Raises:
        InputError: missing, truncated or corrupt file; object arrays; wrong dtype or shape;
            an empty trace; sizes that the file cannot hold. The message names file and array.
    """
    path = path_of(path, "path")
    with naming(path, unreadable="cannot read the trace", damaged="not a readable .npz trace"):
        archive = Archive(path)  # first: some files of /proc never end
        with open_regular(path) as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        meta = _read_meta(archive)
        for key in meta.inputs if meta.synthetic is None else ():
            _check_array(archive, meta, key)
    if meta.synthetic is not None:
        return Trace(path, sha256, meta, SyntheticSource.parse(archive, meta))
    return Trace(path, sha256, meta, NpzSource(archive, meta))


@dataclass(frozen=True, slots=True)
class NpzSource(ValueSource):
    """Activations stored in the file."""

    archive: Archive
    meta: TraceMeta

    @override
    def read(self, key: str) -> Values:
        """Read one array; raise InputError if it is damaged or not finite."""
        values = self.archive.read_array(array_name(key))
        if not _is_finite(values, self.meta.inputs[key]):
            raise InputError(
                f"{self.archive.path}: array '{array_name(key)}' holds NaN or infinity"
            )
        return values

    @override
    def tokens(self, key: str) -> NDArray[np.int64]:
        """Read which tokens the rows of an input are; raise InputError if that cannot be."""
        name = token_array(self.meta.inputs[key].tokens or key)
        numbers: NDArray[np.int64] = self.archive.read_array(name).astype(np.int64)
        bounds = np.cumsum([0, *self.meta.sequence_lengths])
        counts = np.diff(np.searchsorted(numbers, bounds)).tolist()
        if (np.diff(numbers) <= 0).any() or counts != list(self.meta.lengths(key)):
            raise InputError(
                f"{self.archive.path}: array '{name}' must rise within the {self.meta.tokens} "
                f"tokens of the trace, as many of each sequence as the table says"
            )
        return numbers


class TraceWriter:
    """Write a trace entry by entry, so that only one array is ever in memory.

    The file appears when the block ends without an exception. The same contents give the same
    bytes: entries carry no time stamps.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        temporary = self._stack.enter_context(replacing(self._path, is_seekable=True))
        archive = zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=6)
        self._archive = self._stack.enter_context(archive)
        return self

    def __exit__(self, *failure: Any) -> None:
        self._stack.__exit__(*failure)

    def add(self, key: str, values: Values) -> None:
        """Store the activations of input `key`, `[rows, in_features]`."""
        self.add_array(array_name(key), values)

    def add_tokens(self, key: str, numbers: NDArray[np.int64]) -> None:
        """Store which tokens the rows of input `key` are, `[rows]`."""
        self.add_array(token_array(key), numbers.astype(np.int32))

    def finish(self, meta: TraceMeta) -> None:
        """Store the table of layers; call once, last."""
        text = json_text(meta.model_dump(by_alias=True, mode="json"), sort_keys=True)
        self.add_array(_META, np.array(text))

    def add_array(self, name: str, values: Values) -> None:
        """Store any array by its full name."""
        entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
        entry.compress_type = zipfile.ZIP_DEFLATED
        with self._archive.open(entry, "w", force_zip64=True) as file:
            npy.write_array(file, np.asarray(values), allow_pickle=False)


def _read_meta(archive: Archive) -> TraceMeta:
    path = archive.path
    if f"{_META}.npy" not in archive.namelist():
        raise InputError(f"{path}: has no '{_META}' entry; is this an accelsim trace?")
    text = archive.read_text(_META)
    try:
        meta = TraceMeta.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "(whole)"
        raise InputError(f"{path}: entry '{_META}', field {where}: {first['msg']}") from error
    _check_size(path, meta)
    _check_table(path, meta)
    return meta


def _check_size(path: Path, meta: TraceMeta) -> None:
    """Refuse a small file that asks for much."""
    for noun, count, most in (
        ("tokens", meta.tokens, MAX_TOKENS),
        ("sequences", len(meta.sequence_lengths), MAX_SEQUENCES),
        ("layers", len(meta.linears), MAX_LAYERS),
    ):
        if count > most:
            raise InputError(f"{path}: {count} {noun}; a trace holds at most {most}")


def _check_table(path: Path, meta: TraceMeta) -> None:
    """Check that layers have names of their own, and that layers and inputs refer to each other."""
    names = Counter(linear.name for linear in meta.linears)
    name, times = names.most_common(1)[0]
    if times > 1:
        raise InputError(f"{path}: entry 'meta': {times} layers are called '{name}'")
    for linear in meta.linears:
        if linear.input not in meta.inputs:
            raise InputError(f"{path}: layer '{linear.name}' reads unknown input '{linear.input}'")
    shapes = {(linear.input, linear.in_features) for linear in meta.linears}
    widths = Counter(key for key, _ in shapes)
    for key in meta.inputs:
        if widths[key] != 1:
            raise InputError(f"{path}: input '{key}' has {widths[key]} widths in the layer table")
        _check_lengths(path, meta, key)


def _check_lengths(path: Path, meta: TraceMeta, key: str) -> None:
    """Check that an input with sequences of its own has rows, in sequences of the trace."""
    info = meta.inputs[key]
    if info.sequence_lengths is None:
        if info.tokens is not None:
            raise InputError(f"{path}: input '{key}' names its tokens, but no sequence_lengths")
        return
    if not 0 < meta.rows(key) <= MAX_TOKENS:
        raise InputError(
            f"{path}: input '{key}' has {meta.rows(key)} rows; allowed: 1 to {MAX_TOKENS}"
        )
    if info.tokens is not None and len(info.sequence_lengths) != len(meta.sequence_lengths):
        raise InputError(
            f"{path}: input '{key}' has {len(info.sequence_lengths)} sequences, "
            f"the trace {len(meta.sequence_lengths)}"
        )


def _check_array(archive: Archive, meta: TraceMeta, key: str) -> None:
    """Compare what an activation array says of itself with the table."""
    shape, dtype = archive.check_header(array_name(key))
    where = f"{archive.path}: array '{array_name(key)}'"
    stored_as = meta.inputs[key].dtype
    if dtype != STORED_DTYPES[stored_as]:
        expected = np.dtype(STORED_DTYPES[stored_as])
        raise InputError(f"{where} is {dtype}, but the table says {stored_as} ({expected})")
    if shape != meta.shape(key):
        raise InputError(f"{where} has shape {list(shape)}, expected {list(meta.shape(key))}")
    if meta.inputs[key].tokens is not None:
        _check_tokens(archive, meta, key)


def _check_tokens(archive: Archive, meta: TraceMeta, key: str) -> None:
    """Compare what an array of token numbers says of itself with the table."""
    name = token_array(meta.inputs[key].tokens or key)
    shape, dtype = archive.check_header(name)
    if dtype != np.int32 or shape != (meta.rows(key),):
        raise InputError(
            f"{archive.path}: array '{name}' is {dtype} {list(shape)}, "
            f"expected int32 [{meta.rows(key)}]"
        )


def _is_finite(values: Values, info: InputInfo) -> bool:
    if info.dtype == "bfloat16":
        exponent = np.uint16(0x7F80)  # all exponent bits set: NaN or infinity
        return not bool(np.any((values & exponent) == exponent))
    return info.dtype == "int8" or bool(np.isfinite(values).all())
