"""From a YAML file to an `Architecture`; every error names file, line, key and what is allowed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from accelsim.base.arguments import path_of, texts_of
from accelsim.base.errors import InputError, KeyedError, shown
from accelsim.base.registry import Registry, did_you_mean
from accelsim.base.yaml_source import KeyPath, YamlSource, dotted, hint, read_yaml
from accelsim.config.architecture import Architecture
from accelsim.hardware import CROSSBARS, SELECTORS

_KINDS: dict[str, Registry[Any]] = {"selector": SELECTORS, "crossbar": CROSSBARS}
_UNITS_OF_MEASURE = {
    "_mhz": "MHz",
    "_kib": "KiB",
    "_gb_per_s": "GB/s",
    "_ns": "ns",
    "_bytes": "bytes",
    "_nm": "nm",
}


def load_arch(path: str | Path, overrides: Sequence[str] = ()) -> Architecture:
    """Load an architecture file.

    Args:
        path: of the file.
        overrides: `dotted.key=value` texts that replace keys in it, as `--set` does.

    Raises:
        InputError: the file cannot be read, is not YAML, or does not describe a machine.
        ArgumentError: an argument has a type that it cannot have.
    """
    source = read_yaml(path_of(path, "path"))
    for text in texts_of(overrides, "overrides"):
        source.override(text)
    return arch_of(source)


def arch_of(source: YamlSource) -> Architecture:
    """Return the machine that the contents of an architecture file describe.

    Raises:
        InputError: they do not describe one.
    """
    try:
        return Architecture.model_validate(source.data)
    except ValidationError as error:
        raise InputError(_explain(source, error)) from error


def _explain(source: YamlSource, error: ValidationError) -> str:
    """Return one problem as `file:line: key 'a.b': what; what is allowed`."""
    problems = error.errors()
    # A misspelt key is also a missing one; what was written tells more.
    unknown = [problem for problem in problems if problem["type"] == "extra_forbidden"]
    problem = (unknown or problems)[0]
    key = _key_path(source.data, [str(part) for part in problem["loc"]])
    cause = problem.get("ctx", {}).get("error")
    if isinstance(cause, KeyedError):
        return f"{source.where(cause.key)}: {cause}"
    where, name = source.where(key), dotted(key)
    if problem["type"] == "extra_forbidden":
        known = _known_keys(key[:-1], source.data)
        allowed = ", ".join(sorted(known))
        return f"{where}: unknown key '{name}'{did_you_mean(key[-1], known)}; allowed: {allowed}"
    if problem["type"] == "missing":
        return f"{where}: key '{name}' is missing{_unit_hint(key)}"
    if problem["type"] == "model_type":
        keys = ", ".join(_known_keys(key, source.data))
        return f"{where}: key '{name}': must be a section with the keys {keys}"
    message = problem["msg"].removeprefix("Value error, ")
    # Our own messages already quote the value.
    given = "" if problem["type"] == "value_error" else f", got {shown(repr(problem['input']))}"
    given += hint(problem["type"], problem["input"])
    label = f"key '{name}': " if name else ""
    return f"{where}: {label}{message}{_unit_hint(key)}{given}"


def _key_path(data: object, location: Iterable[str]) -> KeyPath:
    """Drop the parts of a location that do not name a key: what lies below a plain value."""
    key: list[str] = []
    for part in location:
        if not isinstance(data, dict):
            break
        key.append(part)
        data = data.get(part)
    return tuple(key)


def is_key(path: KeyPath) -> bool:
    """Return whether some machine may have this key."""
    return any(path[-1] in _aliases(model) for model in _models(path[:-1]))


def keys_below(path: KeyPath) -> list[str]:
    """Return the keys of a section, of every kind that it may be; none of a plain value."""
    return list(dict.fromkeys(name for model in _models(path) for name in _aliases(model)))


def _models(path: KeyPath) -> list[Any]:
    """Return the models that a section may be."""
    models: list[Any] = [Architecture]
    for part in path:
        models = [inner for model in models for inner in _sections(model, part)]
    return models


def _sections(model: Any, part: str) -> list[Any]:
    """Return the models that the section `part` of a model may be, of every kind."""
    if model is Architecture and part in _KINDS:
        return _KINDS[part].values()
    field = model.model_fields.get(part)
    try:
        return [] if field is None else [_submodel(field.annotation)]
    except (AttributeError, StopIteration, RuntimeError):  # a plain value, not a section
        return []


def _aliases(model: Any) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _known_keys(parents: KeyPath, data: dict[str, Any]) -> list[str]:
    """Return the keys that the schema has below `parents`."""
    model: Any = Architecture
    section: Any = data
    for part in parents:
        section = section.get(part, {}) if isinstance(section, dict) else {}
        kind = str(section.get("kind", "")) if isinstance(section, dict) else ""
        if part in _KINDS and kind in _KINDS[part]:
            model = _KINDS[part][kind]
        else:
            model = _submodel(model.model_fields[part].annotation)
    return _aliases(model)


def _submodel(annotation: Any) -> Any:
    """Return the model class inside an annotation such as `X | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(_submodel(a) for a in annotation.__args__ if a is not type(None))


def unit_of(key: str) -> str:
    """Return the unit in which the name of a key ends, or nothing."""
    units = [unit for suffix, unit in _UNITS_OF_MEASURE.items() if key.endswith(suffix)]
    return units[-1] if units else ""


def _unit_hint(key: KeyPath) -> str:
    """Return ` (a number in GB/s)` for a key whose name ends in a unit."""
    unit = unit_of(key[-1]) if key else ""
    return f" (a number in {unit})" if unit else ""
