"""Results as files: JSON and CSV, each written whole or not at all."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accelsim.base.strict_json import json_text
from accelsim.results.result import Result


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV; nested mappings become columns `outer.inner`, absent ones 0."""
    flat = [_flatten(row) for row in rows]
    columns = list(dict.fromkeys(key for row in flat for key in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, restval=0, lineterminator="\n")
    writer.writerow({name: safe_cell(name) for name in columns})
    writer.writerows({name: safe_cell(value) for name, value in row.items()} for row in flat)
    return buffer.getvalue()


# What spreadsheets take for a formula at the beginning of a cell; quotes are there to be undone.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")


def safe_cell(value: Any) -> Any:
    """Return a cell that a spreadsheet shows and does not compute: with a quote before a formula.

    Numbers stay as they are, also those written as text. What no encoding has becomes an escape.

    >>> [safe_cell(cell) for cell in ("=1+1", "-0.5", -0.5, "q_proj")]
    ["'=1+1", '-0.5', -0.5, 'q_proj']
    """
    if not isinstance(value, str):
        return value
    text = value.encode("utf-8", "backslashreplace").decode("utf-8")
    return f"'{text}" if _FORMULA.match(text) and not _is_number(text) else text


def raw_cell(text: str) -> str:
    """Return the text that `safe_cell` turned into this cell.

    >>> raw_cell(safe_cell("=1+1"))
    '=1+1'
    """
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and text == text.strip()


def layer_rows(result: Result) -> list[dict[str, Any]]:
    """Return one row a layer."""
    return [layer.to_dict() for layer in result.layers]


def unit_rows(result: Result) -> list[dict[str, Any]]:
    """Return one row a unit."""
    return [{"unit": name, **unit.to_dict()} for name, unit in result.units.items()]


def folder_files(folder: Path, data: Mapping[str, Any], result: Result) -> dict[Path, str]:
    """Return the texts of a result folder: `result.json`, `layers.csv` and `units.csv`, by path."""
    return {
        folder / "layers.csv": csv_text(layer_rows(result)),
        folder / "units.csv": csv_text(unit_rows(result)),
        folder / "result.json": json_text(data, indent=1) + "\n",
    }


def _flatten(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
