"""Layers of one's own from a file: names and sizes of matrix products, as YAML or CSV.

    gemms:
      - {name: qkv, in_features: 4096, out_features: 6144, count: 2}
      - {name: expert, tokens: 16, in_features: 4096, out_features: 14336}

`tokens` is for products with other rows than the trace has tokens; `count` repeats one. A CSV file
has these names as its header.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from accelsim.base.errors import InputError
from accelsim.base.files import read_text
from accelsim.base.registry import did_you_mean
from accelsim.base.yaml_source import read_yaml
from accelsim.trace.record import MAX_TOKENS, Linear

MAX_GEMMS = 65536  # layers of a trace of shapes, repeated ones included
_MAX_BYTES = 2**22  # of a CSV file: as many rows of a page's width
_Size = Annotated[int, Field(strict=True, gt=0, le=MAX_TOKENS)]


class Gemm(BaseModel):
    """One row of a file of shapes.

    Attributes:
        name: of the layer; of its kind, if it is repeated.
        in_features: K of `Y[T, O] = X[T, K] @ W[K, O]`.
        out_features: O.
        tokens: T; None: all tokens of the trace.
        count: how many layers of this shape there are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[\w./+-]+$", max_length=200)]
    in_features: _Size
    out_features: _Size
    tokens: _Size | None = None
    count: Annotated[int, Field(strict=True, gt=0, le=MAX_GEMMS)] = 1

    def linears(self) -> Iterator[Linear]:
        """Yield the layers, each with an input of its own."""
        for index in range(self.count):
            name = self.name if self.count == 1 else f"{index}.{self.name}"
            yield Linear(
                name=name, input=name, in_features=self.in_features, out_features=self.out_features
            )


def read_gemms(path: Path) -> list[Gemm]:
    """Read a file of shapes; CSV if it is called so, else YAML.

    Raises:
        InputError: not readable, not such a file, no rows, or too many; with the row.
    """
    rows = _csv_rows(path) if path.suffix.lower() == ".csv" else _yaml_rows(path)
    gemms = [_gemm(where, row) for where, row in rows]
    if not gemms:
        raise InputError(f"{path}: has no rows; allowed: 1 to {MAX_GEMMS}")
    layers = sum(gemm.count for gemm in gemms)
    if layers > MAX_GEMMS:
        raise InputError(f"{path}: {layers} layers; at most {MAX_GEMMS}")
    names = Counter(linear.name for gemm in gemms for linear in gemm.linears())
    name, times = names.most_common(1)[0]
    if times > 1:
        raise InputError(f"{path}: {times} layers are called '{name}'; use count, or other names")
    return gemms


def _yaml_rows(path: Path) -> Iterator[tuple[str, Any]]:
    source = read_yaml(path)
    unknown = [key for key in source.data if key != "gemms"]
    if unknown:
        raise InputError(
            f"{source.where((unknown[0],))}: unknown key '{unknown[0]}'; allowed: gemms"
        )
    rows = source.data.get("gemms")
    if not isinstance(rows, list):
        raise InputError(f"{path}: needs 'gemms', a list of {{name, in_features, out_features}}")
    for number, row in enumerate(rows):
        yield f"{path}: gemms[{number}]", row


def _csv_rows(path: Path) -> Iterator[tuple[str, Any]]:
    lines = read_text(path, limit_bytes=_MAX_BYTES, remark="not a file of shapes").splitlines()
    reader = csv.DictReader(lines, skipinitialspace=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                wanted = ", ".join(reader.fieldnames or ())
                raise InputError(f"{path}:{reader.line_num}: must have the columns {wanted}")
            given = {name.strip(): text.strip() for name, text in row.items()}
            yield (
                f"{path}:{reader.line_num}",
                {name: _number(name, text) for name, text in given.items() if text},
            )
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: not CSV ({error})") from error


def _number(name: str, text: str) -> int | str:
    """Return the number of a cell; the text as it is if it is none, to be refused as such."""
    is_number = name != "name" and text.isascii() and text.isdigit() and len(text) < 20  # noqa: PLR2004
    return int(text) if is_number else text


def _gemm(where: str, row: Any) -> Gemm:
    try:
        return Gemm.model_validate(row)
    except ValidationError as error:
        problems = error.errors()
        # A misspelt key is also a missing one; what was written tells more.
        unknown = [problem for problem in problems if problem["type"] == "extra_forbidden"]
        first = (unknown or problems)[0]
        key = ".".join(map(str, first["loc"]))
        known = ", ".join(Gemm.model_fields)
        if first["type"] == "extra_forbidden":
            near = did_you_mean(key, list(Gemm.model_fields))
            raise InputError(f"{where}: unknown key '{key}'{near}; allowed: {known}") from error
        if first["type"] == "missing":
            raise InputError(f"{where}: '{key}' is missing; allowed: {known}") from error
        if not key:
            raise InputError(f"{where}: must be a mapping of {known}") from error
        raise InputError(f"{where}: {key} {first['input']!r:.60}: {first['msg']}") from error
