"""Which keys an architecture file may have, and in which unit of measure each is given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel

from accelsim.base.registry import Registry
from accelsim.base.yaml_source import KeyPath
from accelsim.config.file import UNIT_KEYS, ArchitectureFile
from accelsim.dataflows import DATAFLOWS
from accelsim.hardware import CROSSBARS, SELECTORS, UNITS, Unit

_KINDS: dict[str, Registry[Any]] = {"selector": SELECTORS, "crossbar": CROSSBARS}
_OPEN = "units"  # the section whose keys are names of units
_UNITS_OF_MEASURE = {
    "_mhz": "MHz",
    "_kib": "KiB",
    "_gb_per_s": "GB/s",
    "_ns": "ns",
    "_bytes": "bytes",
    "_nm": "nm",
}


def is_key(path: KeyPath) -> bool:
    """Return whether some machine may have this key."""
    return path[-1] in keys_below(path[:-1])


def keys_below(path: KeyPath) -> list[str]:
    """Return the keys of a section, of every kind that it may be; none of a plain value."""
    if path == (_OPEN,):
        drawn = [name for diagram in DATAFLOWS.values() for name in diagram.units]
        return [name for name in dict.fromkeys([*UNITS, *drawn]) if name not in UNIT_KEYS]
    models = _models(path)
    kind = ["kind"] if path[:1] == (_OPEN,) and models else []
    return list(dict.fromkeys([*kind, *(name for model in models for name in _aliases(model))]))


def known_keys(path: KeyPath, data: dict[str, Any]) -> list[str]:
    """Return the keys of a section as it is written: of its kind, in its dataflow."""
    if path[:1] == (_OPEN,):
        kind = str(data[_OPEN][path[1]].get("kind", path[1]))
        return list(dict.fromkeys(["kind", *_aliases(UNITS[kind])]))
    dataflow = data.get("dataflow", ArchitectureFile.model_fields["dataflow"].default)
    for chosen in _classes(path, [name for name in DATAFLOWS if name == dataflow]):
        return _aliases(chosen)
    model: Any = ArchitectureFile
    section: Any = data
    for part in path:
        section = section.get(part, {}) if isinstance(section, dict) else {}
        kind = str(section.get("kind", "")) if isinstance(section, dict) else ""
        if part in _KINDS and kind in _KINDS[part]:
            model = _KINDS[part][kind]
        else:
            model = _submodels(model.model_fields[part].annotation)[0]
    return _aliases(model)


def unit_of(key: str) -> str:
    """Return the unit of measure in which the name of a key ends, or nothing."""
    units = [unit for suffix, unit in _UNITS_OF_MEASURE.items() if key.endswith(suffix)]
    return units[-1] if units else ""


def _models(path: KeyPath) -> list[Any]:
    """Return the models that a section may be, of every kind and in every dataflow."""
    if path[:1] == (_OPEN,):
        name, *inside = path[1:]
        of_name = [UNITS[name]] if name in UNITS else UNITS.values()
        return [] if inside else of_name
    models: list[Any] = [ArchitectureFile]
    for part in path:
        models = [inner for model in models for inner in _sections(model, part)]
    return [*models, *_classes(path, DATAFLOWS)]


def _classes(key: KeyPath, dataflows: Iterable[str]) -> Iterator[type[Unit]]:
    """Yield the classes that dataflows have of their own for the unit at a key."""
    units = [unit for unit, place in UNIT_KEYS.items() if place == key]
    for name in dataflows:
        classes = DATAFLOWS[name].classes
        yield from (classes[unit] for unit in units if unit in classes)


def _sections(model: Any, part: str) -> list[Any]:
    """Return the models that the section `part` of a model may be, of every kind."""
    if model is ArchitectureFile and part in _KINDS:
        return _KINDS[part].values()
    field = model.model_fields.get(part)
    return [] if field is None else _submodels(field.annotation)


def _aliases(model: Any) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _submodels(annotation: Any) -> list[Any]:
    """Return the model classes inside an annotation such as `X | Y | None`; none of a value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _submodels(inner)]
