"""The user's own technology tables: found where a sweep is read, the same ones for all workers.

A table is named relative to the file that says it. What is known of a sweep are its name and its
hash; the absolute path is for the processes that work on the sweep.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from accelsim.base.errors import InputError
from accelsim.base.files import read_bytes
from accelsim.base.registry import did_you_mean
from accelsim.base.yaml_source import YamlSource
from accelsim.tech.load import built_in

SECTION, KEY = "technology", "technology.table"


@dataclass(frozen=True, slots=True)
class TableFile:
    """A technology table on disk, and the hash of what must be in it."""

    path: str
    sha256: str

    def check(self) -> None:
        """Raise InputError if the file is gone, or is another one than was swept."""
        content = read_bytes(Path(self.path))
        if sha256(content).hexdigest() != self.sha256:
            raise InputError(f"{self.path}: has changed since the sweep began")


def table_in(section: object, folder: Path) -> Iterator[tuple[str, TableFile]]:
    """Yield name and file of the table in a section `technology`; nothing if it is built in.

    Raises:
        InputError: there is neither such a file nor such a table.
    """
    name = name_in(section)
    known = built_in()
    if name is None or name in known:
        return
    path = folder / name
    try:
        content = read_bytes(path)
    except InputError as error:
        near = did_you_mean(name, known)
        raise InputError(f"{KEY}: no file '{path}'{near}; built in: {', '.join(known)}") from error
    yield name, TableFile(str(path.resolve()), sha256(content).hexdigest())


def name_in(section: object) -> str | None:
    """Return the table that a section `technology` names, whatever the section is."""
    name = section.get("table") if isinstance(section, dict) else None
    return name if isinstance(name, str) else None


def with_table(source: YamlSource, table: str) -> YamlSource:
    """Return an architecture file that names another table."""
    section: dict[str, Any] = {**source.data[SECTION], "table": table}
    return YamlSource(
        source.path, {**source.data, SECTION: section}, source.lines, source.overrides
    )
