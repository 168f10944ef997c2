"""Ctrl-C during long work: one line, and the exit code that shells know."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import typer

from accelsim.cli.streams import tell

_CODE = 128 + signal.SIGINT
_MOMENT_S = 0.02


@contextmanager
def ended_by_interrupt(advice: str) -> Iterator[None]:
    """End the command if it is interrupted; say in one line how to go on."""
    with ExitStack() as before:
        if threading.current_thread() is threading.main_thread():  # no other one hears it
            before.callback(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, _interrupt))
            before.callback(setattr, sys, "unraisablehook", sys.unraisablehook)
            sys.unraisablehook = _again
        try:
            yield
        except KeyboardInterrupt:
            tell(f"interrupted; {advice}")
            before.pop_all()  # it has been heard: until the process is gone, no other one is
            raise typer.Exit(_CODE) from None


def _interrupt(*_: object) -> None:
    """Raise KeyboardInterrupt, once: nothing is to disturb those who clean up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _again(failure: Any) -> None:
    """Interrupt once more what was raised where nobody can catch it, as in a callback."""
    if isinstance(failure.exc_value, KeyboardInterrupt):
        signal.signal(signal.SIGINT, _interrupt)
        threading.Timer(_MOMENT_S, os.kill, (os.getpid(), signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(failure)
