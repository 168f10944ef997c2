"""A row as a line of text: JSON, sealed by a hash, so that what is read is what was written.

A line is `{…, "checksum": "…"}`. The hash is of the sweep and of everything before it in the line,
so a line of another sweep, or one that anybody changed, is no row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import BinaryIO

from accelsim.sweeps.task import Row

_KEY = b', "checksum": "'
_DIGITS = 16
_LONGEST_BYTES = 2**24  # of a line; most have some hundred


def to_line(row: Row, sweep: str) -> bytes:
    r"""Return a row of a sweep as a line.

    >>> to_line({"point": 3}, "a sweep")
    b'{"point": 3, "checksum": "0e90f00ab0a9f523"}\n'
    """
    body = json.dumps(row, allow_nan=False)[:-1].encode()
    return body + _seal(body, sweep)


def of_line(line: bytes, sweep: str) -> Row | None:
    """Return the row that a line holds; None if it is not exactly what was written.

    >>> line = to_line({"point": 3}, "a sweep")
    >>> of_line(line, "a sweep"), of_line(line, "another"), of_line(line[:-1], "a sweep")
    ({'point': 3}, None, None)
    """
    body = line[: line.rfind(_KEY)]
    if line != body + _seal(body, sweep):
        return None
    row: Row = json.loads(body + b"}")
    return row


def _seal(body: bytes, sweep: str) -> bytes:
    digits = sha256(sweep.encode() + body).hexdigest()[:_DIGITS]
    return _KEY + digits.encode() + b'"}\n'


def lines_of(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, line) of a file; what is too long to be a row comes in pieces."""
    offset = 0
    file.seek(0)
    while line := file.readline(_LONGEST_BYTES):
        yield offset, line
        offset += len(line)


def is_without_seal(line: bytes) -> bool:
    """Whether a line is a row as versions before checksums wrote it."""
    if _KEY in line:
        return False
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(row, dict) and "point" in row
