"""YAML with memory: plain data, and the line on which each key stands.

What is written is what is read: keys are texts, and values are those of YAML 1.2's core schema.
So `01000` is a thousand, `1e-9` a number, and `8:16` and `yes` are texts. Tags are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from accelsim.base.errors import InputError, shown

try:
    from yaml._yaml import CParser
except ImportError:  # PyYAML was built without libyaml

    class CParser(Reader, Scanner, Parser):  # type: ignore[no-redef]
        """The parser in Python, ten times as slow."""

        def __init__(self, stream: str) -> None:
            Reader.__init__(self, stream)
            Scanner.__init__(self)
            Parser.__init__(self)


from accelsim.base.files import read_bytes

KeyPath = tuple[str, ...]
MAX_DEPTH = 16  # no configuration nests deeper; aliases can make a file look endless
MAX_BYTES = 2**20  # a configuration is a page, not a data file
MAX_VALUES = 2**17  # with each alias written out; a list of 100,000 values is the largest in use
_MAX_EXPLAINED = 2**16  # characters of a text that is parsed again for a better message
_MAX_NUMBER = 250  # characters of a number
_LONG = 64  # characters of a text; longer ones count for more than one value

_NAMED = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGERS = (
    (10, re.compile(r"[-+]?[0-9]+")),
    (8, re.compile(r"0o[0-7]+")),
    (16, re.compile(r"0x[0-9a-fA-F]+")),
)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
# What other notations take for a number or a switch, and how to write it instead.
_WANTED = ("int_type", "float_type", "bool_type", "int_from_float", "literal_error")
_NOT_NUMBERS = (
    (re.compile(r"[-+]?[0-9][0-9_.]*_[0-9_.eE+-]*"), "a number has no underscores"),
    (re.compile(r"[-+]?[0-9]+(:[0-9]+)+(\.[0-9]*)?"), "a number has no colons"),
    (re.compile(r"[-+]?0[bB][01_]+"), "write a binary number as a decimal one"),
    (re.compile(r"[-+]?0[xXoO][0-9a-fA-F_]+"), "write 0x1f or 0o17, without a sign"),
    (re.compile(r"(?i)y|n|yes|no|on|off"), "a switch is true or false"),
)


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
                return f"{self.path}: --set {shown(text)}"
        for length in range(len(key), 0, -1):
            part = key[:length]
            if part in self.overrides:
                return f"{self.path}: --set {shown(self.overrides[part])}"
            if part in self.lines:
                return f"{self.path}:{self.lines[part]}"
        return str(self.path)

    def override(self, text: str) -> None:
        """Set `a.b.c=value` in the data; the value is YAML.

        Raises:
            InputError: the text is not of this form, or the path leads through a plain value.
        """
        flag = f"--set {shown(text)}"
        dotted, separator, value = text.partition("=")
        key = tuple(part.strip() for part in dotted.split("."))
        if not separator or not dotted.strip():
            raise InputError(f"{flag}: write key=value, e.g. dram.bandwidth_gb_per_s=32")
        if len(key) > MAX_DEPTH:
            raise InputError(f"{flag}: nested more than {MAX_DEPTH} deep")
        section = self.data
        for part in key[:-1]:
            section = section.setdefault(part, {})
            if not isinstance(section, dict):
                raise InputError(f"{flag}: '{shown(part)}' is a value, not a section")
        section[key[-1]] = _parse(value, flag)
        self.overrides[key] = text


def read_yaml(path: Path) -> YamlSource:
    """Read a YAML mapping.

    Raises:
        InputError: unreadable file, YAML syntax, duplicate key, too many values, or not a mapping
            at the top.
    """
    content = read_bytes(path, limit_bytes=MAX_BYTES, remark="not an architecture file")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8") from error
    lines: dict[KeyPath, int] = {}
    data = _parse(text, str(path), lines)
    if not isinstance(data, dict):
        raise InputError(f"{path}: must be a mapping of keys to values at the top level")
    return YamlSource(path, data, lines)


def hint(wanted: str, value: object) -> str:
    """Return why a value is not the number, switch or text that it looks like, or nothing.

    Args:
        wanted: pydantic's type of the problem, such as `float_type`.
        value: what was read instead.

    >>> hint("float_type", "1_000"), hint("int_type", 64.0)
    ('; a number has no underscores', '; write 64')
    """
    if wanted == "string_type":
        return "; put it in quotes" if isinstance(value, bool | int | float) else ""
    if wanted == "int_type" and isinstance(value, float) and value.is_integer():
        return f"; write {shown(str(int(value)))}"
    if wanted not in _WANTED or not isinstance(value, str):
        return ""
    if _FLOAT.fullmatch(value):
        return "; without quotes it is a number"
    return next((f"; {why}" for like, why in _NOT_NUMBERS if like.fullmatch(value)), "")


def _parse(text: str, where: str, lines: dict[KeyPath, int] | None = None) -> Any:
    """Return the data of a YAML text and note the lines of its keys."""
    try:
        return _read(_Document(text), lines)
    except yaml.MarkedYAMLError as error:
        best = error if isinstance(error, _Refusal) else _explained(text, error)
        mark = best.problem_mark
        line = f":{mark.line + 1}" if mark and lines is not None else ""
        not_valid = "" if isinstance(error, _ValueRefusal) else "not valid YAML: "
        raise InputError(f"{where}{line}: {not_valid}{shown(best.problem, 240)}") from error
    except (yaml.YAMLError, ValueError) as error:  # characters that no text holds
        raise InputError(f"{where}: not valid YAML: {str(error).splitlines()[0]}") from error


def _explained(text: str, error: yaml.MarkedYAMLError) -> yaml.MarkedYAMLError:
    """Return the error of the parser in Python, which says more; of a short text only."""
    if len(text) > _MAX_EXPLAINED:
        return error
    try:
        _Explained(text).get_single_node()
    except yaml.MarkedYAMLError as better:
        return better
    except yaml.YAMLError:
        return error
    return error


class _Refusal(yaml.MarkedYAMLError):
    """YAML that is valid and not read here."""

    def __init__(self, problem: str, mark: Any) -> None:
        super().__init__(problem=problem, problem_mark=mark)


class _ValueRefusal(_Refusal):
    """A value that is not read, or a key given twice."""


class _Composer(Composer, BaseResolver):
    """Makes nodes of a text: scalars as they are written, no tags, not too many, not too deep."""

    def __init__(self) -> None:
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self._nodes = self._depth = 0

    def compose_document(self) -> Any:
        event = self.peek_event()  # type: ignore[attr-defined]  # of the parser beside it
        if event.version not in (None, (1, 2)):
            raise _Refusal("this is read as YAML 1.2; leave the %YAML line out", event.start_mark)
        return super().compose_document()

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[attr-defined]
        if getattr(event, "tag", None) is not None:
            tag = shown(event.tag.replace("tag:yaml.org,2002:", "!!"))
            problem = f"tag {tag}: tags are not read; write the value itself"
            raise _Refusal(problem, event.start_mark)
        self._nodes += 1
        self._depth += 1
        _check_size(event, self._nodes, self._depth)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Document(_Composer, CParser):
    """The nodes of a text, by libyaml."""

    def __init__(self, text: str) -> None:
        CParser.__init__(self, text)
        _Composer.__init__(self)


class _Explained(_Composer, Reader, Scanner, Parser):
    """The same by PyYAML's own parser, slowly and with better messages."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        _Composer.__init__(self)


def _check_size(place: Any, values: int, depth: int) -> None:
    """Raise an error unless so many values, nested so deeply, can be a configuration."""
    if values > MAX_VALUES:
        problem = f"more than {MAX_VALUES} values, with all aliases (*name) written out"
        raise _Refusal(problem, place.start_mark)
    if depth > MAX_DEPTH:
        problem = f"nested more than {MAX_DEPTH} deep, or within itself"
        raise _Refusal(problem, place.start_mark)


def _read(document: _Document, lines: dict[KeyPath, int] | None) -> Any:
    node = document.get_single_node()
    return None if node is None else _Values({} if lines is None else lines).of(node, (), 1)


class _Values:
    """The data of nodes. Each alias is read anew, and counts with all that is in it."""

    def __init__(self, lines: dict[KeyPath, int]) -> None:
        self._lines = lines
        self._count = 0

    def of(self, node: yaml.Node, key: KeyPath, depth: int) -> Any:
        """Return the data of the node at a key, which lies so deep."""
        is_text = isinstance(node, yaml.ScalarNode)
        self._count += 1 + (len(node.value) // _LONG if is_text else 0)
        _check_size(node, self._count, depth)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, key, depth)
        if isinstance(node, yaml.SequenceNode):
            items = enumerate(node.value)
            return [self.of(item, (*key, str(place)), depth + 1) for place, item in items]
        assert isinstance(node, yaml.ScalarNode)
        return _scalar(node, key)

    def _mapping(self, node: yaml.MappingNode, key: KeyPath, depth: int) -> dict[str, Any]:
        """Return a mapping; what it says itself replaces what it merges (`<<`)."""
        pairs = _pairs(node, key)
        data: dict[str, Any] = {}
        for value in [value for name, value in pairs if _is_merge(name)]:
            for merged in reversed(list(_merged(value))):
                data |= self.of(merged, key, depth + 1)
        for name, value in pairs:
            if not _is_merge(name):
                self._count += len(name.value) // _LONG
                child = (*key, name.value)
                data[name.value] = self.of(value, child, depth + 1)
                self._lines[child] = name.start_mark.line + 1
        return data


def _pairs(node: yaml.MappingNode, key: KeyPath) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    """Return the keys of a mapping, which are texts and differ, and their values."""
    seen: dict[str, int] = {}
    for name, _ in node.value:
        if not isinstance(name, yaml.ScalarNode):
            raise _Refusal("a key must be a plain text", name.start_mark)
        if name.value in seen:
            again = dotted((*key, name.value))
            problem = f"key '{again}' is given twice (first on line {seen[name.value]})"
            raise _ValueRefusal(problem, name.start_mark)
        seen[name.value] = name.start_mark.line + 1
    pairs: list[tuple[yaml.ScalarNode, yaml.Node]] = node.value
    return pairs


def _is_merge(name: yaml.ScalarNode) -> bool:
    return name.value == "<<" and not name.style


def _merged(node: yaml.Node) -> Iterator[yaml.MappingNode]:
    """Yield the mappings that a `<<` names: one, or a list."""
    for found in node.value if isinstance(node, yaml.SequenceNode) else [node]:
        if not isinstance(found, yaml.MappingNode):
            raise _Refusal("'<<' takes a mapping, or a list of mappings", found.start_mark)
        yield found


def _scalar(node: yaml.ScalarNode, key: KeyPath) -> Any:
    """Return a text in quotes as it is, else what it is in YAML 1.2's core schema."""
    text: str = node.value
    if node.style:
        return text
    if text in _NAMED:
        return _NAMED[text]
    if _NOT_FINITE.fullmatch(text):  # each model says where it takes none
        return float(text.replace(".", ""))
    problem = _too_much(text)
    if problem:
        name = f"key '{dotted(key)}': " if key else ""
        raise _ValueRefusal(f"{name}{shown(text)} {problem}", node.start_mark)
    for base, notation in _INTEGERS:
        if notation.fullmatch(text):
            return int(text, base)
    return float(text) if _FLOAT.fullmatch(text) else text


def _too_much(text: str) -> str:
    """Return what is wrong with a number that no computer holds, or nothing."""
    if not any(like.fullmatch(text) for like in (_FLOAT, *(like for _, like in _INTEGERS))):
        return ""
    if len(text) > _MAX_NUMBER:
        return f"is a number of more than {_MAX_NUMBER} characters"
    if not _FLOAT.fullmatch(text):
        return ""
    if math.isinf(float(text)):
        return "is beyond the largest number, 1.8e+308"
    mantissa = text.lower().partition("e")[0]
    return "is so small that it would be read as 0" if _vanishes(mantissa, float(text)) else ""


def _vanishes(mantissa: str, number: float) -> bool:
    return number == 0 and any(digit in mantissa for digit in "123456789")


def dotted(key: KeyPath) -> str:
    """Return a key path for a message."""
    return shown(".".join(key))
