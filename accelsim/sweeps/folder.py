"""A folder of results: rows appended as they come, and tables made of them in the end.

    sweep.json        what was swept: file, machines, traces, versions
    points.jsonl      a row a point, in the order in which they were finished
    results.csv, results.parquet    the same rows in the order of the points

A row is written at once and flushed to the disk once a second, so that a killed sweep loses what
was being simulated and nothing else, a power cut a second more. Each row is sealed (`rows.py`): a
line that was cut off or changed is dropped, said, and its point run again. Whatever else is missing
or changed is written anew. Only one process at a time may write.
"""

from __future__ import annotations

import csv
import errno
import fcntl
import json
import logging
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from accelsim.base.errors import InputError, MissingExtraError, check_extra
from accelsim.base.files import (
    check_regular,
    exists,
    is_file,
    is_folder,
    open_regular,
    replacing,
    write_texts,
)
from accelsim.base.files import folder as output_folder
from accelsim.base.renamed import with_new_names
from accelsim.results.export import safe_cell
from accelsim.sweeps.metrics import COUNTS, METRICS, columns_of
from accelsim.sweeps.plan import Plan, digest_of
from accelsim.sweeps.rows import is_without_seal, lines_of, of_line, to_line
from accelsim.sweeps.task import FAILED, Row

HEADER, POINTS, CSV, PARQUET = "sweep.json", "points.jsonl", "results.csv", "results.parquet"
REPORT, OWNER, DATABASE = "search.json", "search.id", "search.db"
_OF_SEARCH = (f"{DATABASE}-journal", DATABASE, OWNER)  # in this order they are removed
_EARLY = frozenset({HEADER, POINTS, *_OF_SEARCH})  # what is there before any row
_WRITTEN = (HEADER, OWNER, REPORT, CSV, PARQUET)  # as a whole, by way of a temporary file
_BESIDES = ("digest", "trace_files", "versions")  # what a header says and results do not depend on
_LARGEST_HEADER_BYTES = 2**26
_FLUSH_S = 1.0
_ROWS_AT_ONCE = 4096  # of a table in memory

Tell = Callable[[str], None]
log: Tell = logging.getLogger(__name__).warning
"""Tells who uses the library; the command prints."""
_SAME, _OTHER, _NONE = "same", "other", "none"  # what a header may be


@dataclass(slots=True)
class Scan:
    """The lines of a file of rows: where those of each point are, and which ones are lost.

    Attributes:
        offsets: place of the row of each finished point.
        failed: place of the row of each point that failed and has no other.
        lost: places of lines that are no rows, or rows of points that have one.
        unsealed: how many of these were written by versions before checksums.
    """

    offsets: dict[int, int] = field(default_factory=dict)
    failed: dict[int, int] = field(default_factory=dict)
    lost: list[int] = field(default_factory=list)
    unsealed: int = 0

    @classmethod
    def of(cls, file: BinaryIO, digest: str) -> Scan:
        """Read all lines of a file of rows."""
        scan = cls()
        for offset, line in lines_of(file):
            row = of_line(line, digest)
            if row is None or row["point"] in scan.offsets:
                scan.lost.append(offset)
                scan.unsealed += is_without_seal(line)
            else:
                scan.note(row, offset)
        return scan

    def note(self, row: Row, offset: int) -> None:
        """Remember where the row of a point is."""
        # What failed is run again by the next process: a defect may be gone by then.
        places = self.failed if row["status"] == FAILED else self.offsets
        places[row["point"]] = offset

    def places(self) -> list[int]:
        """Return the offset of the row of each point, in the order of the points."""
        places = self.failed | self.offsets
        return [places[point] for point in sorted(places)]

    def loss(self) -> str:
        """Return the beginning of a sentence about what was lost; an empty text if nothing was."""
        if self.unsealed == len(self.lost) > 0:
            return f"{self.unsealed:,} rows without a checksum, of an older accelsim"
        plural = "s" if len(self.lost) > 1 else ""
        return f"{len(self.lost):,} damaged or repeated line{plural}" if self.lost else ""


class ResultsFolder:
    """The results of a sweep that is running; made by `open_results`.

    Attributes:
        folder: where they are.
        offsets: place of the row of each finished point in the file.
    """

    def __init__(self, folder: Path, file: BinaryIO, digest: str) -> None:
        self.folder = folder
        self._digest = digest
        self._file = file  # without a buffer: what is written is out
        self._reader = open_regular(folder / POINTS)
        self._flushed_s = time.monotonic()
        self.scan = Scan.of(self._reader, digest)

    @property
    def offsets(self) -> dict[int, int]:
        """Place of the row of each finished point in the file."""
        return self.scan.offsets

    def append(self, row: Row) -> None:
        """Write a row where a kill cannot take it back."""
        offset = self._file.seek(0, os.SEEK_END)
        line = to_line(row, self._digest)
        if self._file.write(line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.scan.note(row, offset)
        if time.monotonic() - self._flushed_s > _FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Write to the disk what the system holds back."""
        os.fsync(self._file.fileno())
        self._flushed_s = time.monotonic()

    def drop_lost(self) -> None:
        """Take out the lines that are no rows; a kill meanwhile loses another one at most."""
        lost, end = set(self.scan.lost), 0
        if not lost:
            return
        # Not into a new file, which would have no lock: rows move towards the beginning.
        with (self.folder / POINTS).open("r+b", buffering=0) as file:
            for offset, line in lines_of(self._reader):
                if offset in lost:
                    continue
                if end < offset:
                    file.seek(end)
                    file.write(line)
                end += len(line)
            file.truncate(end)
        self.scan = Scan.of(self._reader, self._digest)

    def row(self, point: int) -> Row:
        """Return the row of a point that was run."""
        offset = self.scan.offsets.get(point)
        return self._row_at(self.scan.failed[point] if offset is None else offset)

    def _row_at(self, offset: int) -> Row:
        self._reader.seek(offset)
        row = of_line(self._reader.readline(), self._digest)
        if row is None:
            raise InputError(f"{self.folder / POINTS}: somebody else has changed it; --resume")
        return with_new_names(row)

    def close(self) -> None:
        """Put everything on the disk."""
        self.flush()
        self._reader.close()

    def rows(self) -> Iterator[Row]:
        """Yield the row of each point that was run, in the order of the points."""
        return map(self._row_at, self.scan.places())

    def write_tables(self, plan: Plan) -> None:
        """Write all rows as CSV and Parquet: the same bytes however they were computed."""
        columns = column_types(plan)
        with (
            replacing(self.folder / CSV) as table,
            table.open("w", encoding="utf-8", newline="") as text,
            replacing(self.folder / PARQUET) as parquet,
            parquet.open("wb") as binary,
            _parquet_writer(binary, columns) as write,
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
def open_results(
    plan: Plan, folder: Path, *, resume: bool, tell: Tell = log
) -> Iterator[ResultsFolder]:
    """Open the folder of a sweep for writing; make it if it is not there.

    Args:
        plan: the sweep.
        folder: of its results.
        resume: complete what the folder holds.
        tell: told of what was missing or damaged, and is written anew.

    Raises:
        InputError: it holds something else, or results and `resume` is not set, or another process
            is writing to it.
    """
    if exists(folder / POINTS):
        check_regular(folder / POINTS)  # to write to a pipe would wait for a reader
    names = _names_in(folder)
    if names and not names & {HEADER, POINTS}:
        raise InputError(f"{folder}: is not empty and holds no sweep; choose another folder")
    with (
        output_folder(folder),
        _locked(folder) as file,
        _taken_back(folder, names),
        closing(ResultsFolder(folder, file, plan.digest)) as results,
    ):
        _claim(results, plan, names - _EARLY, resume=resume, tell=tell)
        yield results


def _names_in(folder: Path) -> set[str]:
    """Return what is in a folder, without what a killed sweep has left half written."""
    try:
        names = {path.name for path in folder.iterdir()} if is_folder(folder) else set()
        return names - {path.name for path in _half_written(folder)} if names else names
    except OSError as error:
        raise InputError(f"{folder}: cannot read this folder: {error.strerror}") from error


def _half_written(folder: Path) -> list[Path]:
    """Return the temporary files that a killed sweep has left."""
    found = (folder.glob(f".{name}.*.tmp") for name in _WRITTEN)
    return [path for paths in found for path in paths]


@contextmanager
def _taken_back(folder: Path, names: set[str]) -> Iterator[None]:
    """Remove what was made of an empty sweep, if an error ends it before its first row."""
    try:
        yield
    except Exception:
        if not (folder / POINTS).stat().st_size:
            for name in _EARLY - names:
                (folder / name).unlink(missing_ok=True)
        raise


def _claim(
    results: ResultsFolder, plan: Plan, others: set[str], *, resume: bool, tell: Tell
) -> None:
    """Make sure that the folder is of this sweep, and mend what is damaged.

    What rows it has says that, for they are sealed; without any, its header does.
    """
    folder, scan = results.folder, results.scan
    kind, has_rows = _kind_of(folder / HEADER, plan), bool(scan.offsets or scan.failed)
    is_used = has_rows or bool(scan.lost or others)
    if is_used and not has_rows and kind != _SAME:
        _refuse(folder / HEADER, kind)
    if is_used and not resume:
        raise InputError(f"{folder}: holds a sweep; --resume completes it, or choose another")
    if scan.lost:
        tell(f"{folder / POINTS}: {scan.loss()} dropped; what is missing runs again")
        results.drop_lost()
    elif is_used and not has_rows:
        tell(f"{folder / POINTS}: has no rows; all points run again")
    if kind != _SAME:
        _renew_header(plan, folder, tell if is_used else None)
    for path in _half_written(folder):
        path.unlink(missing_ok=True)


def _renew_header(plan: Plan, folder: Path, tell: Tell | None) -> None:
    """Write the header, in a folder that is in use or anew."""
    if tell is not None:
        tell(f"{folder / HEADER}: was missing or damaged; written anew")
    else:
        for name in _OF_SEARCH:  # of another search, which was ended before its first row
            (folder / name).unlink(missing_ok=True)
    write_texts({folder / HEADER: json.dumps(_header(plan), indent=1, allow_nan=False) + "\n"})


def _kind_of(header: Path, plan: Plan) -> str:
    """Return whether a header is that of a sweep, that of another one, or none."""
    try:
        found = _read_header(header)
    except InputError:
        return _NONE
    return _SAME if found["digest"] == plan.digest else _OTHER


def _read_header(header: Path) -> dict[str, Any]:
    """Return what was swept; InputError unless it is what was written."""
    damaged = f"{header}: is not the header of a sweep, or is damaged; sweep --resume mends it"
    try:
        if not is_file(header) or header.stat().st_size > _LARGEST_HEADER_BYTES:
            raise InputError(damaged)
        found = json.loads(header.read_text(encoding="utf-8"))
        contents = {name: value for name, value in found.items() if name not in _BESIDES}
        if found["digest"] != digest_of(contents):
            raise InputError(damaged)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(damaged) from error
    return dict(found)


def _refuse(header: Path, kind: str) -> NoReturn:
    if kind == _OTHER:
        raise InputError(
            f"{header}: is of another sweep (its file, machines, traces, tables or the version of "
            f"accelsim differ); choose another folder"
        )
    raise InputError(
        f"{header}: is not the header of a sweep, and no row of {POINTS} is of this one; "
        f"choose another folder"
    )


@contextmanager
def _locked(folder: Path) -> Iterator[BinaryIO]:
    """Open the file of rows for this process alone."""
    path = folder / POINTS
    if exists(path) and not is_file(path):
        raise InputError(f"{path}: must be a regular file")
    try:
        file = path.open("a+b", buffering=0)
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


def read_rows(folder: Path, tell: Tell = log) -> tuple[dict[str, Any], list[Row]]:
    """Return the header of a sweep, and its rows so far, in the order of the points.

    Args:
        folder: of a sweep.
        tell: told of rows that are damaged, which are left out.

    Raises:
        InputError: the folder holds no sweep.
    """
    if not exists(folder / HEADER) or not exists(folder / POINTS):
        raise InputError(f"{folder}: holds no sweep (no {HEADER} and {POINTS})")
    header = _read_header(folder / HEADER)
    with open_regular(folder / POINTS) as file:
        scan, rows = Scan.of(file, header["digest"]), []
        for offset in scan.places():
            file.seek(offset)
            rows.append(of_line(file.readline(), header["digest"]))
    if scan.lost:
        tell(f"{folder / POINTS}: {scan.loss()} left out; sweep --resume runs their points again")
    return header, [with_new_names(row) for row in rows if row is not None]


def has_rows(folder: Path) -> bool:
    """Whether a folder holds any results."""
    path = folder / POINTS
    return is_file(path) and path.stat().st_size > 0


def check_libraries() -> None:
    """Raise MissingExtraError if tables cannot be written: before the work, not after."""
    for module in ("pyarrow", "pandas"):
        check_extra(module, "sweep")


def column_types(plan: Plan) -> dict[str, type]:
    """Return the columns of the tables and what they hold."""
    types: dict[str, type] = {"point": int, "task": str, "status": str, "reason": str}
    for axis in plan.grid.axes:
        for key, values in zip(axis.keys, zip(*axis.settings, strict=True), strict=True):
            types[key] = _type_of(values)
    if plan.scaled_key is not None:
        types[plan.scaled_key] = int
    columns = columns_of(plan.file.metrics)
    known = (name for name in METRICS if name in columns)
    return types | {name: int if name in COUNTS else float for name in known}


def _type_of(values: Sequence[Any]) -> type:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int} or kinds <= {bool}:
        return next(iter(kinds), int)
    return float if kinds <= {int, float} else str


def _cell(value: Any) -> Any:
    """Return a value as one cell: sections as JSON."""
    return json.dumps(value, sort_keys=True, allow_nan=False) if isinstance(value, dict) else value


@contextmanager
def _parquet_writer(file: BinaryIO, columns: dict[str, type]) -> Iterator[Any]:
    """Yield a function that adds rows to a Parquet file."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("pyarrow", "sweep") from error
    kinds = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
    with pq.ParquetWriter(file, schema) as writer:

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
