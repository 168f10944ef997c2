"""The JSON Schema of architecture files, and tables of their keys, from the models themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from accelsim.base.registry import Registry
from accelsim.config.file import METHOD_UNITS, ArchitectureFile
from accelsim.config.keys import unit_of
from accelsim.config.operands import texts_of_precision
from accelsim.dataflows import DATAFLOWS
from accelsim.hardware import (
    CROSSBARS,
    SELECTORS,
    UNITS,
    ActivationBuffer,
    CompressedBuffer,
    OutputBuffer,
    Unit,
    WeightBuffer,
)
from accelsim.hardware.unit import only_kind
from accelsim.sparsity import stored_formats
from accelsim.sparsity.criteria import CRITERIA
from accelsim.tech.dram import dram_standards

Schema = dict[str, Any]
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def architecture_schema() -> Schema:
    """Return the JSON Schema (draft 2020-12) of architecture files, as strict as the loader."""
    schema = ArchitectureFile.model_json_schema(by_alias=True)
    keys = schema["properties"]
    _describe(schema)
    keys["selector"] |= {"anyOf": [_one_kind_of(_kinds("selector", SELECTORS)), {"type": "null"}]}
    keys["crossbar"] = {
        "description": keys["crossbar"]["description"],
        "default": keys["crossbar"]["default"],
        **_one_kind_of(_kinds("crossbar", CROSSBARS)),
    }
    keys["mac_array"] = {
        "description": keys["mac_array"]["description"],
        "anyOf": [{"$ref": keys["mac_array"]["$ref"]}, *_own("mac_array")],
    }
    for name in ("Selector", "Crossbar"):  # of no kind
        schema["$defs"].pop(name, None)
    keys["dataflow"]["enum"] = sorted(DATAFLOWS)
    keys["precision"]["anyOf"][1:] = texts_of_precision()
    keys["format"]["enum"] = stored_formats()
    keys["criterion"]["enum"] = sorted(
        name for name in CRITERIA if not CRITERIA[name].ranks_weights
    )
    models = schema["$defs"]
    models["Dram"]["properties"]["standard"]["enum"] = list(dram_standards())
    for unit in METHOD_UNITS:
        models[unit.__name__]["properties"]["kinds"]["items"]["enum"] = list(unit.lane_blocks)
    for buffer in (ActivationBuffer, CompressedBuffer, OutputBuffer, WeightBuffer):
        port = models[buffer.__name__]["properties"]["port_bytes"]
        port["description"] += f"; the array needs {buffer.balanced_port}"
    for section in models.values():
        _describe(section)
    models.pop("Unit", None)  # of no kind
    keys["units"]["additionalProperties"] = {"anyOf": _extra_units(models)}
    return {"$schema": _DIALECT, **schema, "title": "accelsim architecture"}


def dotted_keys() -> list[str]:
    """Return every key of an architecture file, as `--set` writes it."""
    schema = architecture_schema()
    return list(dict.fromkeys(key for key, _, _ in _keys(schema, schema["$defs"], "")))


def key_table() -> str:
    """Return a Markdown table of every key: unit, default, range and meaning."""
    lines = ["| key | unit | default | range | meaning |", "|---|---|---|---|---|"]
    schema = architecture_schema()
    for key, of_key, is_required in _keys(schema, schema["$defs"], ""):
        meaning, _, open_default = of_key["description"].partition("; default: ")
        default = "required" if is_required else open_default or _default(of_key)
        cells = (f"`{key}`", unit_of(key), default, _range(of_key), meaning)
        lines.append(f"| {' | '.join(cell.replace('|', ',') for cell in cells)} |")
    return "\n".join(lines)


def dram_table() -> str:
    """Return a Markdown table of the DRAM standards: energy and bandwidth, with their sources."""
    lines = [
        "| standard | pJ/bit | source | GB/s of a part | source |",
        "|---|---|---|---|---|",
    ]
    for name, standard in dram_standards().items():
        peak = standard.peak_gb_per_s
        of_part = f"{peak.value:g}, {standard.part}"
        cells = (f"`{name}`", f"{standard.value:g}", standard.source, of_part, peak.source)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _extra_units(models: Schema) -> list[Schema]:
    """Return a schema for each registered unit; its kind may be left out if it is its name."""
    units = []
    for name in UNITS:
        schema = models.get(UNITS[name].__name__) or UNITS[name].model_json_schema()
        _describe(schema)
        kind = {"kind": {"const": name, "description": "Which unit"}}
        units.append({**schema, "properties": kind | schema.get("properties", {})})
    return units


def _kinds(unit: str, registry: Registry[Any]) -> dict[str, type[Unit]]:
    """Return units by kind: those of the registry, and those that a dataflow has of its own."""
    found: dict[str, type[Unit]] = {kind: registry[kind] for kind in registry}
    for name in DATAFLOWS:
        own = DATAFLOWS[name].classes.get(unit)
        if own is not None and only_kind(own):
            found[only_kind(own)] = own
    return found


def _own(unit: str) -> list[Schema]:
    """Return the schemas of a unit that dataflows have of their own, each once."""
    classes = dict.fromkeys(DATAFLOWS[name].classes.get(unit) for name in DATAFLOWS)
    found = [own.model_json_schema() for own in classes if own is not None]
    for schema in found:
        _describe(schema)
    return found


def _one_kind_of(registry: Mapping[str, type[Unit]]) -> Schema:
    kinds = [registry[kind].model_json_schema() for kind in sorted(registry)]
    for schema in kinds:
        _describe(schema)
        # For completion and the table; `const` says which one it is.
        schema["properties"]["kind"]["enum"] = sorted(registry)
    return {"oneOf": kinds}


def _describe(section: Schema) -> None:
    """Give each key the description that stands in its choice, where an editor looks for it."""
    for of_key in section.get("properties", {}).values():
        for choice in of_key.get("anyOf", []):
            if "description" in choice:
                of_key.setdefault("description", choice.pop("description"))
        if "$ref" not in of_key:
            of_key.pop("title", None)


def _keys(section: Schema, models: Schema, prefix: str) -> Iterator[tuple[str, Schema, bool]]:
    """Yield (dotted key, its schema, whether it must be given) of a section and those in it."""
    for name, of_key in section.get("properties", {}).items():
        yield prefix + name, of_key, name in section.get("required", ())
        seen: set[str] = set()
        for choice in _choices(of_key):
            inside = models[choice["$ref"].rsplit("/", 1)[1]] if "$ref" in choice else choice
            for found in _keys(inside, models, f"{prefix}{name}."):
                if found[0] not in seen:  # what every kind has stands once
                    yield found
                seen.add(found[0])


def _choices(of_key: Schema) -> list[Schema]:
    """Return the plain schemas that a key may follow."""
    nested = [*of_key.get("anyOf", []), *of_key.get("oneOf", [])]
    return [plain for choice in nested for plain in _choices(choice)] or [of_key]


def _default(of_key: Schema) -> str:
    default = of_key.get("default")
    if isinstance(default, dict):
        default = default.get("kind")
    if default in (None, [], ()):
        return ""
    return str(default).lower() if isinstance(default, bool) else f"{default}"


def _range(of_key: Schema) -> str:
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "maximum": "≤"}
    for choice in _choices(of_key):
        names = of_key.get("enum") or choice.get("enum") or of_key.get("items", {}).get("enum")
        if names:
            return ", ".join(f"`{name}`" for name in names)
        limits = [f"{sign} {choice[word]:.15g}" for word, sign in signs.items() if word in choice]
        if limits:
            return ", ".join(limits)
    return ""
