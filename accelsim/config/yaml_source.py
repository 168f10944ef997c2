"""YAML with memory: plain data, and the line on which each key stands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from accelsim.errors import InputError

KeyPath = tuple[str, ...]
MAX_BYTES = 2**20  # an architecture is a page, not a data file


@dataclass(frozen=True, slots=True)
class YamlSource:
    """The contents of a YAML file and the line of every key path."""

    path: Path
    data: dict[str, Any]
    lines: dict[KeyPath, int]

    def where(self, key: KeyPath) -> str:
        """Return `file:line` of a key, or of the nearest enclosing key that is in the file."""
        while key and key not in self.lines:
            key = key[:-1]
        line = self.lines.get(key)
        return f"{self.path}:{line}" if line else str(self.path)


def read_yaml(path: Path) -> YamlSource:
    """Read a YAML mapping.

    Raises:
        InputError: unreadable file, YAML syntax, duplicate key, or not a mapping at the top.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES} bytes; not an architecture file")
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(f"{path}{line}: YAML syntax: {error.problem}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path}: YAML syntax: {error}") from error
    if not isinstance(node, yaml.MappingNode):
        raise InputError(f"{path}: must be a mapping of keys to values at the top level")
    lines: dict[KeyPath, int] = {}
    _note_lines(path, node, (), lines)
    return YamlSource(path, _construct(path, node), lines)


def _construct(path: Path, node: yaml.Node) -> dict[str, Any]:
    loader = yaml.SafeLoader("")
    try:
        data: dict[str, Any] = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        raise InputError(f"{path}: YAML: {error.problem}") from error
    finally:
        loader.dispose()
    return data


def _note_lines(path: Path, node: yaml.Node, key: KeyPath, lines: dict[KeyPath, int]) -> None:
    """Record the line of each key below a node; refuse a key that is given twice."""
    if not isinstance(node, yaml.MappingNode):
        return
    for name, value in node.value:
        child = (*key, str(name.value))
        line = name.start_mark.line + 1
        if child in lines:
            raise InputError(
                f"{path}:{line}: key '{'.'.join(child)}' is given twice "
                f"(first on line {lines[child]})"
            )
        lines[child] = line
        _note_lines(path, value, child, lines)
