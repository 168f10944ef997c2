"""Standard output and error as they are found: closed, full, or poor in characters."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

from accelsim.report.text import HANDLER, escaped

_OUT, _ERR = 1, 2


def tell(message: str) -> None:
    """Print one line to standard error."""
    print(escaped(message), file=sys.stderr, flush=True)


def take_over() -> None:
    """Make the streams of this process safe to use.

    Closed ones are opened, so that no file of ours gets their number: standard output so that
    writing to it fails, as it should; standard error on nothing. Messages that standard error does
    not take are lost; what a command does is not.
    """
    _open_closed()
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(io.FileIO(_OUT, "w", closefd=False), "utf-8")
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        encoding = "utf-8" if sys.stderr is None else sys.stderr.encoding
        raw: Any = io.BufferedWriter(_Lossy(_ERR, "w", closefd=False))
        sys.stderr = io.TextIOWrapper(raw, encoding, HANDLER, line_buffering=True)


def use_lookalikes() -> None:
    """Write ASCII for characters that the encoding of standard output or error lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=HANDLER)


def drop_output() -> None:
    """Let what standard output has not taken go: nobody reads it, or there is no room."""
    _redirect(_OUT, os.O_WRONLY)


def _open_closed() -> None:
    for number, mode in ((0, os.O_RDONLY), (_OUT, os.O_RDONLY), (_ERR, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            _redirect(number, mode)


def _redirect(number: int, mode: int) -> None:
    nothing = os.open(os.devnull, mode)
    if nothing != number:
        os.dup2(nothing, number)
        os.close(nothing)


class _Lossy(io.FileIO):
    """A file that takes everything, and loses what the system does not."""

    def write(self, data: Any) -> int:
        """Write bytes, or do as if."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes
