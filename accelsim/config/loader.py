"""From a YAML file to an `Architecture`; every error names file, line, key and what is allowed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from accelsim.config.architecture import Architecture
from accelsim.config.yaml_source import KeyPath, YamlSource, read_yaml
from accelsim.errors import InputError
from accelsim.hardware import CROSSBARS, SELECTORS
from accelsim.registry import did_you_mean

_UNITS_OF_MEASURE = {
    "_mhz": "MHz",
    "_kib": "KiB",
    "_gb_per_s": "GB/s",
    "_ns": "ns",
    "_bytes": "bytes",
    "_nm": "nm",
}


def load_arch(path: str | Path, overrides: Iterable[str] = ()) -> Architecture:
    """Load an architecture file; `overrides` are `dotted.key=value` texts that replace keys in it.

    Raises:
        InputError: the file cannot be read, is not YAML, or does not describe a machine.
    """
    source = read_yaml(Path(path))
    for text in overrides:
        _override(source.data, text)
    try:
        return Architecture.model_validate(source.data)
    except ValidationError as error:
        raise InputError(_explain(source, error)) from error
    except InputError as error:
        raise InputError(f"{source.path}: {error}") from error


def _override(data: dict[str, Any], text: str) -> None:
    """Set `a.b.c=value` in nested mappings; the value is YAML."""
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise InputError(f"--set {text}: write key=value, e.g. dram.bandwidth_gb_per_s=32")
    *parents, last = key.strip().split(".")
    for parent in parents:
        child = data.setdefault(parent, {})
        if not isinstance(child, dict):
            raise InputError(f"--set {text}: '{parent}' is a value, not a section")
        data = child
    try:
        # A pattern such as 8:16 is a base-60 number to YAML 1.1; keep it a text.
        data[last] = value if last == "pattern" else yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise InputError(f"--set {text}: the value is not valid YAML") from error


def _explain(source: YamlSource, error: ValidationError) -> str:
    """Return the first problem as `file:line: key 'a.b': what; what is allowed`."""
    problem = error.errors()[0]
    raw_location = [str(part) for part in problem["loc"]]
    key = _key_path(source.data, raw_location)
    where, name = source.where(key), ".".join(key)
    if problem["type"] == "extra_forbidden":
        known = _known_keys(key[:-1], source.data)
        allowed = ", ".join(sorted(known))
        return f"{where}: unknown key '{name}'{did_you_mean(key[-1], known)}; allowed: {allowed}"
    if problem["type"] == "missing":
        return f"{where}: key '{name}' is missing{_unit_hint(key)}"
    message = problem["msg"].removeprefix("Value error, ")
    given = "" if isinstance(problem["input"], dict) else f", got {problem['input']!r}"
    if problem["type"] == "value_error":
        given = ""  # our own messages already quote the value
    label = f"key '{name}': " if name else ""
    return f"{where}: {label}{message}{_unit_hint(key)}{given}"


def _key_path(data: object, location: Iterable[str]) -> KeyPath:
    """Drop the parts of a location that name a union branch instead of a key."""
    key: list[str] = []
    for part in location:
        is_absent = isinstance(data, dict) and part not in data
        if is_absent and ("[" in part or part[:1].isupper()):
            continue
        key.append(part)
        data = data.get(part) if isinstance(data, dict) else None
    return tuple(key)


def _known_keys(parents: KeyPath, data: dict[str, Any]) -> list[str]:
    """Return the keys that the schema has below `parents`."""
    model: Any = Architecture
    section: Any = data
    for part in parents:
        section = section.get(part, {}) if isinstance(section, dict) else {}
        kind = str(section.get("kind", "")) if isinstance(section, dict) else ""
        if part == "selector" and kind in SELECTORS:
            model = SELECTORS[kind]
        elif part == "crossbar" and kind in CROSSBARS:
            model = CROSSBARS[kind]
        else:
            model = _submodel(model.model_fields[part].annotation)
    return [field.alias or name for name, field in model.model_fields.items()]


def _submodel(annotation: Any) -> Any:
    """Return the model class inside an annotation such as `X | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(_submodel(a) for a in annotation.__args__ if a is not type(None))


def _unit_hint(key: KeyPath) -> str:
    """Return ` (a number in GB/s)` for a key whose name ends in a unit."""
    units = [unit for suffix, unit in _UNITS_OF_MEASURE.items() if key and key[-1].endswith(suffix)]
    return f" (a number in {units[-1]})" if units else ""
