"""JSON as its standard has it: every number is finite, in what is written and in what is read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from accelsim.base.errors import InputError, shown
from accelsim.base.files import read_text


def json_text(data: Any, *, indent: int | None = None, sort_keys: bool = False) -> str:
    """Return data as JSON.

    Raises:
        InputError: a number in it is not finite; the message says which.

    >>> json_text({"cycles": 3})
    '{"cycles": 3}'
    """
    try:
        return json.dumps(data, indent=indent, sort_keys=sort_keys, allow_nan=False)
    except ValueError as error:
        name, value = next(_not_finite(data, ()), ("a number", "not finite"))
        raise InputError(f"{name} is {value}, which no JSON file holds: no result") from error


def parse_json(text: str) -> Any:
    """Return the data of a JSON text.

    Raises:
        ValueError: it is not JSON, nests too deeply, or has a number that is not finite.
    """

    def number(digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            raise ValueError(f"{shown(digits)} is not a finite number")
        return value

    try:
        return json.loads(text, parse_constant=number, parse_float=number)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_json(path: Path, hint: str = "") -> Any:
    """Return the data of a JSON file.

    Args:
        path: the file.
        hint: what to say besides when it cannot be read.

    Raises:
        InputError: it cannot be read, or is not JSON.
    """
    try:
        text = read_text(path, "")
    except InputError as error:
        raise InputError(f"{error}{hint}") from error
    try:
        return parse_json(text)
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from error


def _not_finite(data: Any, key: tuple[str, ...]) -> Iterator[tuple[str, float]]:
    """Yield the dotted keys of numbers that are not finite, with the numbers."""
    if isinstance(data, float) and not math.isfinite(data):
        yield shown(".".join(key)), data
    items: Iterable[tuple[Any, Any]] = data.items() if isinstance(data, dict) else ()
    if isinstance(data, list | tuple):
        items = enumerate(data)
    for name, inner in items:
        yield from _not_finite(inner, (*key, str(name)))
