"""Values of single keys: what an architecture file may write for them, and what they become."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    PlainSerializer,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    WithJsonSchema,
    WrapSerializer,
)

from accelsim.base.errors import InputError, shown
from accelsim.base.registry import Named, Registry
from accelsim.dataflows import DATAFLOWS
from accelsim.hardware import UNITS, Unit
from accelsim.sparsity import FORMATS, PATTERNS, Pattern, parse_pattern, stored_formats
from accelsim.sparsity.criteria import CRITERIA
from accelsim.sparsity.mitigations import parse_mitigation


def of_kind(registry: Registry[Any]) -> BeforeValidator:
    """Return a validator that builds the class registered under the mapping's `kind`."""

    def build(raw: object) -> object:
        if not isinstance(raw, dict):
            return raw
        kind = raw.get("kind")
        if kind is None:
            allowed = ", ".join(sorted(registry))
            raise InputError(f"needs a 'kind'; allowed: {allowed}")
        return registry[str(kind)].model_validate(raw)

    return BeforeValidator(build)


def of_dataflow(unit: str) -> BeforeValidator:
    """Return a validator that builds the class that the dataflow has for a unit, if it has one.

    Of kind `none`, there is no unit.

    The dataflow is the key `dataflow`, which must stand before the unit's; or, in a section inside
    the file, that of the context.
    """

    def build(raw: object, info: ValidationInfo) -> object:
        name = (info.context or info.data).get("dataflow")  # none where it is wrong itself
        chosen = DATAFLOWS[name].classes.get(unit) if name else None
        if not chosen or not isinstance(raw, dict) or raw.get("kind") == "none":
            return raw
        return chosen.model_validate(raw)

    return BeforeValidator(build)


def with_dataflow(section: type[BaseModel]) -> BeforeValidator:
    """Return a validator that builds a section whose units are of the file's dataflow."""

    def build(raw: object, info: ValidationInfo) -> object:
        context = {"dataflow": info.data.get("dataflow")}
        return section.model_validate(raw, context=context) if isinstance(raw, dict) else raw

    return BeforeValidator(build)


def one_of(registry: Named[Any]) -> BeforeValidator:
    """Return a validator that accepts the registered names only."""

    def check(raw: object) -> object:
        registry[str(raw)]
        return raw

    return BeforeValidator(check)


def _pattern(raw: object) -> object:
    """Accept `8:16`, with quotes or without."""
    if isinstance(raw, Pattern):
        return raw
    allowed = (
        "allowed: dense, or N:M such as 2:4, 8:16, 16:32; two ranks 2:4x4:8, pairs-2:4; "
        "for row gather threshold:P, topk:D; for TwELL nonzero"
    )
    if not isinstance(raw, str):
        raise InputError(f"the pattern must be a text, not {shown(raw)}; {allowed}")
    if not any(family.parse(raw.strip()) for family in PATTERNS.values()):
        raise InputError(f"unknown pattern '{shown(raw)}'; {allowed}")
    pattern = parse_pattern(raw)
    if not pattern.has_selector:
        raise InputError(
            f"no machine runs pattern '{pattern}', whose levels need a model; {allowed}"
        )
    return pattern


def check_format(raw: object) -> object:
    """Return the name of a metadata format that machines store; raise InputError otherwise."""
    if not FORMATS[str(raw)].has_hardware:
        raise InputError(
            f"no machine stores format '{shown(raw)}': what encodes and decodes it is neither "
            f"built nor priced; allowed: {', '.join(stored_formats())}"
        )
    return raw


def check_criterion(raw: object) -> object:
    """Return the name of a criterion that ranks activations; raise InputError otherwise."""
    if CRITERIA[str(raw)].ranks_weights:
        allowed = ", ".join(sorted(name for name in CRITERIA if not CRITERIA[name].ranks_weights))
        raise InputError(
            f"criterion '{shown(raw)}' prunes weights: write 'weight_pattern' for that; "
            f"allowed: {allowed}"
        )
    return raw


def check_mitigation(raw: object) -> object:
    """Return the name of a mitigation; raise InputError with the known ones otherwise."""
    parse_mitigation(str(raw))
    return raw


PatternValue = Annotated[
    Pattern,
    BeforeValidator(_pattern),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^\s*(dense|nonzero|(pairs-)?[0-9]+:[0-9]+|[0-9]+:[0-9]+x[0-9]+:[0-9]+"
            r"|(threshold|topk):[0-9]*\.?[0-9]+)\s*$",
        }
    ),
]


def _with_kinds(raw: object) -> object:
    """Write down the kind of each unit that is called by it."""
    if not isinstance(raw, dict):
        raise InputError("must be a section: a unit's name, and the keys of the unit below it")
    return {
        name: {"kind": name, **section} if isinstance(section, dict) else section
        for name, section in raw.items()
    }


def _unit(raw: object) -> object:
    """Return the unit that a section describes, of the class registered under its kind."""
    if isinstance(raw, Unit):
        return raw
    if not isinstance(raw, dict):
        raise InputError("must be a section with the keys of the unit; {} for its defaults")
    chosen = UNITS[str(raw["kind"])]
    has_kind = "kind" in chosen.model_fields
    return chosen.model_validate({key: raw[key] for key in raw if has_kind or key != "kind"})


def _dump_units(units: Mapping[str, Unit], dump: SerializerFunctionWrapHandler) -> object:
    """Return the units as they would be written, with their kind where that is not their name."""
    names = {chosen: name for name in UNITS for chosen in [UNITS[name]]}
    kinds = {name: names.get(type(unit), name) for name, unit in units.items()}
    return {
        name: keys if kinds[name] == name else {"kind": kinds[name], **keys}
        for name, keys in dump(units).items()
    }


ExtraUnits = Annotated[
    Mapping[str, Annotated[SerializeAsAny[Unit], BeforeValidator(_unit)]],
    BeforeValidator(_with_kinds),
    WrapSerializer(_dump_units),
]
