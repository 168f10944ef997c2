"""A folder of results: rows appended as they come, and tables made of them in the end.

    sweep.json        what was swept: file, machines, traces, versions
    points.jsonl      a row a point, in the order in which they were finished
    results.csv, results.parquet    the same rows in the order of the points

A row is written at once and flushed to the disk once a second, so that a killed sweep loses what
was being simulated and nothing else, a power cut a second more. A last line that was cut off is
dropped. Only one process at a time may write.
"""

from __future__ import annotations

import csv
import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

from accelsim.errors import InputError, MissingExtraError
from accelsim.files import replacing, write_texts
from accelsim.results.export import safe_cell
from accelsim.sweeps.metrics import COUNTS, METRICS
from accelsim.sweeps.plan import Plan
from accelsim.sweeps.task import FAILED, Row

HEADER, POINTS, CSV, PARQUET = "sweep.json", "points.jsonl", "results.csv", "results.parquet"
_OF_SEARCH = ("search.db-journal", "search.db", "search.id")  # in this order they are removed
_OURS = frozenset({HEADER, POINTS, *_OF_SEARCH})  # what is there before any row
_FLUSH_S = 1.0
_ROWS_AT_ONCE = 4096  # of a table in memory


class Store:
    """The results of a sweep that is running; made by `open_store`.

    Attributes:
        folder: where they are.
        offsets: place of the row of each finished point in the file.
    """

    def __init__(self, folder: Path, file: BinaryIO) -> None:
        self.folder = folder
        self.offsets: dict[int, int] = {}
        self._failed: dict[int, int] = {}
        self._file = file  # without a buffer: what is written is out
        self._reader = (folder / POINTS).open("rb")
        self._flushed_s = time.monotonic()
        for offset, row in _rows_in(self._reader):
            self._note(row, offset)

    def _note(self, row: Row, offset: int) -> None:
        # What failed is run again by the next process: a defect may be gone by then.
        places = self._failed if row["status"] == FAILED else self.offsets
        places[row["point"]] = offset

    def append(self, row: Row) -> None:
        """Write a row where a kill cannot take it back."""
        offset = self._file.seek(0, os.SEEK_END)
        self._file.write(json.dumps(row).encode() + b"\n")
        self._note(row, offset)
        if time.monotonic() - self._flushed_s > _FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Write to the disk what the system holds back."""
        os.fsync(self._file.fileno())
        self._flushed_s = time.monotonic()

    def row(self, point: int) -> Row:
        """Return the row of a finished point."""
        offset = self.offsets[point] if point in self.offsets else self._failed[point]
        self._reader.seek(offset)
        row: Row = json.loads(self._reader.readline())
        return row

    def close(self) -> None:
        """Put everything on the disk."""
        self.flush()
        self._reader.close()

    def rows(self) -> Iterator[Row]:
        """Yield the row of each point that was run, in the order of the points."""
        for point in sorted(self.offsets.keys() | self._failed.keys()):
            yield self.row(point)

    def write_tables(self, plan: Plan) -> None:
        """Write all rows as CSV and Parquet: the same bytes however they were computed."""
        columns = column_types(plan)
        with (
            replacing(self.folder / CSV) as table,
            table.open("w", encoding="utf-8", newline="") as text,
            replacing(self.folder / PARQUET) as parquet,
            _parquet_writer(parquet, columns) as write,
        ):
            writer = csv.DictWriter(text, [*columns], lineterminator="\n")
            writer.writerow({name: safe_cell(name) for name in columns})
            batch: list[Row] = []
            for row in self.rows():
                plain = {key: _cell(row.get(key)) for key in columns}
                writer.writerow({name: safe_cell(value) for name, value in plain.items()})
                batch.append(plain)
                if len(batch) == _ROWS_AT_ONCE:
                    write(batch)
                    batch = []
            write(batch)


@contextmanager
def open_store(plan: Plan, folder: Path, *, resume: bool) -> Iterator[Store]:
    """Open the folder of a sweep for writing; make it if it is not there.

    Raises:
        InputError: it holds something else, or results and `resume` is not set, or another process
            is writing to it.
    """
    is_started = (folder / POINTS).exists() and (folder / POINTS).stat().st_size > 0
    if is_started:
        _check_same(folder / HEADER, plan.digest)
        if not resume:
            raise InputError(f"{folder}: holds a sweep; --resume completes it, or choose another")
    elif folder.is_dir() and any(path.name not in _OURS for path in folder.iterdir()):
        raise InputError(f"{folder}: is not empty and holds no sweep; choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot make this folder: {error.strerror}") from error
    with _locked(folder) as file:
        if not is_started:
            _drop_other_search(folder, plan.digest)
            write_texts({folder / HEADER: json.dumps(_header(plan), indent=1) + "\n"})
        _drop_torn_line(file)
        store = Store(folder, file)
        try:
            yield store
        finally:
            store.close()


@contextmanager
def _locked(folder: Path) -> Iterator[BinaryIO]:
    """Open the file of rows for this process alone."""
    try:
        file = (folder / POINTS).open("a+b", buffering=0)
    except OSError as error:
        raise InputError(f"{folder}: cannot write here: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"{folder}: another process is writing to this sweep") from error
        yield file


def _header(plan: Plan) -> dict[str, Any]:
    """Return what was swept: what results depend on, and under which names it was found."""
    libraries = {name: version(name) for name in ("numpy", "pydantic", "pyarrow")}
    return {
        "digest": plan.digest,
        **plan.contents,
        "trace_files": {name: trace.path for name, trace in plan.traces.items()},
        "versions": {"python": platform.python_version(), **libraries},
    }


def read_rows(folder: Path) -> tuple[dict[str, Any], list[Row]]:
    """Return what was swept, and the rows so far, in the order of the points.

    Raises:
        InputError: the folder holds no sweep.
    """
    try:
        header = json.loads((folder / HEADER).read_text(encoding="utf-8"))
        with (folder / POINTS).open("rb") as file:
            rows = {row["point"]: row for _, row in _rows_in(file)}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{folder}: holds no sweep (no {HEADER} and {POINTS})") from error
    return header, [rows[point] for point in sorted(rows)]


def check_libraries() -> None:
    """Raise MissingExtraError if tables cannot be written: before the work, not after."""
    for module in ("pyarrow", "pandas"):
        if find_spec(module) is None:
            raise MissingExtraError(module, "sweep")


def column_types(plan: Plan) -> dict[str, type]:
    """Return the columns of the tables and what they hold."""
    types: dict[str, type] = {"point": int, "task": str, "status": str, "reason": str}
    for axis in plan.grid.axes:
        for key, values in zip(axis.keys, zip(*axis.settings, strict=True), strict=True):
            types[key] = _type_of(values)
    if plan.scaled_key is not None:
        types[plan.scaled_key] = int
    known = (name for name in METRICS if name in plan.file.metrics)
    return types | {name: int if name in COUNTS else float for name in known}


def _type_of(values: Sequence[Any]) -> type:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int} or kinds <= {bool}:
        return next(iter(kinds), int)
    return float if kinds <= {int, float} else str


def _cell(value: Any) -> Any:
    """Return a value as one cell: sections as JSON."""
    return json.dumps(value, sort_keys=True) if isinstance(value, dict) else value


@contextmanager
def _parquet_writer(path: Path, columns: dict[str, type]) -> Iterator[Any]:
    """Yield a function that adds rows to a Parquet file."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("pyarrow", "sweep") from error
    kinds = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
    with pq.ParquetWriter(path, schema) as writer:

        def write(rows: list[Row]) -> None:
            if rows:
                writer.write_table(pa.table(_columns(rows, columns), schema=schema))

        yield write


def _columns(rows: list[Row], columns: dict[str, type]) -> dict[str, list[Any]]:
    """Turn rows into columns of one type each."""
    return {
        name: [None if row[name] is None else kind(row[name]) for row in rows]
        for name, kind in columns.items()
    }


def _drop_other_search(folder: Path, digest: str) -> None:
    """Remove what a search left that was ended before its first row, if it was another one."""
    try:
        _check_same(folder / HEADER, digest)
    except InputError:
        for name in _OF_SEARCH:
            (folder / name).unlink(missing_ok=True)


def _check_same(header: Path, digest: str) -> None:
    try:
        found = json.loads(header.read_text(encoding="utf-8"))["digest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{header}: is not the header of a sweep") from error
    if found != digest:
        raise InputError(
            f"{header}: is of another sweep (its file, machines, traces, tables or the version of "
            f"accelsim differ); choose another folder"
        )


def _drop_torn_line(file: BinaryIO) -> None:
    """Cut the file after its last whole line: what follows was being written when it was killed."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - 2**16)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            end = start + found + 1
            break
        end = start
    file.truncate(end)


def _rows_in(file: BinaryIO) -> Iterator[tuple[int, Row]]:
    """Yield (offset, row) of every whole line."""
    offset = 0
    for line in file:
        if line.endswith(b"\n"):
            yield offset, json.loads(line)
        offset += len(line)
