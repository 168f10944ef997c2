"""Results as files: JSON and CSV, each written whole or not at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accelsim.results.result import Result
from accelsim.strict_json import json_text


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV; nested mappings become columns `outer.inner`, absent ones 0."""
    flat = [_flatten(row) for row in rows]
    columns = list(dict.fromkeys(key for row in flat for key in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, restval=0, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return buffer.getvalue()


def layer_rows(result: Result) -> list[dict[str, Any]]:
    """Return one row a layer."""
    return [layer.to_dict() for layer in result.layers]


def unit_rows(result: Result) -> list[dict[str, Any]]:
    """Return one row a unit."""
    return [{"unit": name, **unit.to_dict()} for name, unit in result.units.items()]


def folder_files(folder: Path, data: Mapping[str, Any], result: Result) -> dict[Path, str]:
    """Return what belongs into a result folder: `result.json`, `layers.csv` and `units.csv`."""
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
