"""YAML with memory: plain data, and the line on which each key stands."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from accelsim.errors import InputError

KeyPath = tuple[str, ...]
MAX_DEPTH = 8  # no configuration nests deeper; aliases can make a file look endless
MAX_BYTES = 2**20  # a configuration is a page, not a data file


@dataclass(frozen=True, slots=True)
class YamlSource:
    """The contents of a YAML file, the line of every key path, and keys set from outside."""

    path: Path
    data: dict[str, Any]
    lines: dict[KeyPath, int]
    overrides: dict[KeyPath, str] = field(default_factory=dict)

    def where(self, key: KeyPath) -> str:
        """Return `file:line` of a key or of the nearest key around it, or the override it is in."""
        for inside, text in self.overrides.items():
            if inside[: len(key)] == key and key:
                return f"{self.path}: --set {text}"
        for length in range(len(key), 0, -1):
            part = key[:length]
            if part in self.overrides:
                return f"{self.path}: --set {self.overrides[part]}"
            if part in self.lines:
                return f"{self.path}:{self.lines[part]}"
        return str(self.path)

    def override(self, text: str) -> None:
        """Set `a.b.c=value` in the data; the value is YAML.

        Raises:
            InputError: the text is not of this form, or the path leads through a plain value.
        """
        dotted, separator, value = text.partition("=")
        key = tuple(part.strip() for part in dotted.split("."))
        if not separator or not dotted.strip():
            raise InputError(f"--set {text}: write key=value, e.g. dram.bandwidth_gb_per_s=32")
        section = self.data
        for part in key[:-1]:
            section = section.setdefault(part, {})
            if not isinstance(section, dict):
                raise InputError(f"--set {text}: '{part}' is a value, not a section")
        # A plain 8:16 is a number in base 60 to YAML 1.1; quotes keep it a text.
        plain = value.strip()
        quoted = f'"{plain}"' if re.fullmatch(r"\d+:\d+", plain) else value
        section[key[-1]] = _parse(quoted, f"--set {text}")
        self.overrides[key] = text


def read_yaml(path: Path) -> YamlSource:
    """Read a YAML mapping.

    Raises:
        InputError: unreadable file, YAML syntax, duplicate key, or not a mapping at the top.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES} bytes; not an architecture file")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8") from error
    lines: dict[KeyPath, int] = {}
    data = _parse(text, str(path), lines)
    if not isinstance(data, dict):
        raise InputError(f"{path}: must be a mapping of keys to values at the top level")
    return YamlSource(path, data, lines)


def number_hint(value: object) -> str:
    """Return how to write a number that YAML 1.1 takes for a text, or nothing.

    >>> number_hint("1e3")
    '; YAML reads 1e3 as text: write 1.0e+3 or 1000'
    """
    if not isinstance(value, str) or not re.fullmatch(
        r"[+-]?[\d.]*\d[\d.]*[eE][+-]?\d{1,2}", value
    ):
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    mantissa, exponent = value.lower().split("e")
    point = "" if "." in mantissa else ".0"
    return (
        f"; YAML reads {value} as text: write {mantissa}{point}e{int(exponent):+d} or {number:.15g}"
    )


def _parse(text: str, where: str, lines: dict[KeyPath, int] | None = None) -> Any:
    """Return the data of a YAML text and note the lines of its keys."""
    try:  # libyaml is ten times as fast; its messages are other ones, so they are not shown
        return _parse_with(getattr(yaml, "CSafeLoader", yaml.SafeLoader), text, where, lines)
    except InputError:
        if lines is not None:
            lines.clear()
        return _parse_with(yaml.SafeLoader, text, where, lines)


def _parse_with(loader_type: Any, text: str, where: str, lines: dict[KeyPath, int] | None) -> Any:
    loader = None
    try:
        loader = loader_type(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _note_lines(where, node, (), {} if lines is None else lines)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f":{mark.line + 1}" if mark and lines is not None else ""
        raise InputError(f"{where}{line}: not valid YAML: {error.problem}") from error
    except InputError:
        raise
    except (yaml.YAMLError, ValueError) as error:  # bytes that no text holds, dates that are none
        raise InputError(f"{where}: not valid YAML: {str(error).splitlines()[0]}") from error
    except RecursionError as error:
        raise InputError(f"{where}: not valid YAML: nested too deeply, or within itself") from error
    finally:
        if loader is not None:
            loader.dispose()


def _note_lines(where: str, node: yaml.Node, key: KeyPath, lines: dict[KeyPath, int]) -> None:
    """Record the line of each key below a node; refuse a key that is given twice."""
    if not isinstance(node, yaml.MappingNode) or len(key) > MAX_DEPTH:
        return
    for name, value in node.value:
        child = (*key, str(name.value))
        line = name.start_mark.line + 1
        if child in lines:
            raise InputError(
                f"{where}:{line}: key '{'.'.join(child)}' is given twice "
                f"(first on line {lines[child]})"
            )
        lines[child] = line
        _note_lines(where, value, child, lines)
