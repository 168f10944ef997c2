"""Arguments of Python functions: a path, the object that its file holds, a count."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, TypeVar

from accelsim.base.errors import ArgumentError

Held = TypeVar("Held")


def path_of(given: Any, name: str, allowed: str = "a path (str or Path)") -> Path:
    """Return an argument as a path.

    Args:
        given: what the caller gave.
        name: of the argument, for the message.
        allowed: what it may be, for the message.

    Raises:
        ArgumentError: it is neither a string nor a path.
    """
    if not isinstance(given, str | os.PathLike):
        raise wrong_type(given, name, allowed)
    return Path(given)


def held(given: Any, kind: type[Held], load: Callable[[Path], Held], name: str) -> Held:
    """Return the argument if it is such an object, else the object that its file holds.

    Args:
        given: an object of this kind, or a path.
        kind: class of the object.
        load: reads the file.
        name: of the argument, for the message.

    Raises:
        ArgumentError: neither an object of this kind nor a path.
        InputError: the file cannot be read.
    """
    if isinstance(given, kind):
        return given
    return load(path_of(given, name, f"{kind.__name__}, or the path of its file (str or Path)"))


def sequence_of(given: Any, name: str) -> list[Any]:
    """Return an argument as a list; raise ArgumentError if it is one thing, a string included."""
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise wrong_type(given, name, "a list")
    return list(given)


def texts_of(given: Any, name: str) -> list[str]:
    """Return an argument as a list of strings; raise ArgumentError if it is anything else."""
    texts = sequence_of(given, name)
    for text in texts:
        if not isinstance(text, str):
            raise wrong_type(text, f"{name}[…]", "a string")
    return texts


def check_text(given: Any, name: str) -> None:
    """Raise ArgumentError unless an argument is a string."""
    if not isinstance(given, str):
        raise wrong_type(given, name, "a string")


def check_count(given: Any, name: str) -> None:
    """Raise ArgumentError unless an argument is a whole number."""
    if isinstance(given, bool) or not isinstance(given, Integral):
        raise wrong_type(given, name, "a whole number")


def wrong_type(given: Any, name: str, allowed: str) -> ArgumentError:
    """Return an error that says what an argument is, and what it may be."""
    return ArgumentError(
        f"argument '{name}' is {given!r:.60}, of type {type(given).__name__}; allowed: {allowed}"
    )
