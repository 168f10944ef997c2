"""Small machines of any dataflow, and the places in which a unit can stand in one."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from accelsim.base.yaml_source import KeyPath, YamlSource
from accelsim.config import Architecture
from accelsim.config.file import METHOD_UNITS, UNIT_KEYS
from accelsim.config.loader import arch_of
from accelsim.dataflows import DATAFLOWS, Diagram
from accelsim.dataflows import diagram as drawn
from accelsim.hardware import (
    CROSSBARS,
    SELECTORS,
    UNITS,
    ActivationBuffer,
    CompressedBuffer,
    Crossbar,
    Dram,
    LaneUnit,
    MacArray,
    OutputBuffer,
    Resource,
    Selector,
    Unit,
    Unpacker,
    WeightBuffer,
)
from accelsim.hardware.unit import only_kind
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.criteria import CRITERIA
from accelsim.sparsity.mitigations import MITIGATIONS
from accelsim.sparsity.policy import Method

Keys = Mapping[str, Any]
"""Keys of an architecture file, sections as mappings."""

CHECKED = "checked"  # name and kind of a unit that has no key of its own
DRAM: Keys = {"standard": "lpddr4", "bandwidth_gb_per_s": 8, "latency_ns": 20, "burst_bytes": 16}
# Layers of a few dozen values take several tiles.
_DENSE: Keys = {
    "schema": 1,
    "name": "small",
    "clock_mhz": 1000,
    "precision": "int8",
    "pattern": "dense",
    "mac_array": {"rows": 2, "columns": 4, "lanes": 4},
    "buffers": {
        "activations": {"capacity_kib": 0.25, "port_bytes": 8},
        "weights": {"capacity_kib": 0.5, "port_bytes": 16},
        "outputs": {"capacity_kib": 0.5, "port_bytes": 16},
    },
    "dram": DRAM,
    "tiling": "quick",  # the same tiles with a unit and without it
}
_SPARSE: Keys = {
    **_DENSE,
    "pattern": "2:4",
    "criterion": "clact",
    "mitigation": "spts",
    "selector": {"kind": "rank", "instances": 2},
    "crossbar": {"kind": "full"},
    "buffers": {**_DENSE["buffers"], "compressed": {"capacity_kib": 0.25, "port_bytes": 8}},
}
_SELECTED = "2:4", "pairs-2:4"
_BLOCK = 4  # of the weights of small machines
MACHINES: Mapping[str, Keys] = {"dense": _DENSE, "2:4": _SPARSE}
"""Small machines by what they keep; the sparse one has a method with a prologue."""
_COMPRESSING: Keys = {
    **_DENSE,
    "buffers": {**_DENSE["buffers"], "compressed": {"capacity_kib": 0.25, "port_bytes": 8}},
}

_WITHOUT_CROSSBAR: Keys = {"pattern": "2:4", "selector": _SPARSE["selector"]}


def machines_of(diagram: Diagram) -> Mapping[str, Keys]:
    """Return small machines by what they keep, with patterns that a dataflow can have."""
    if diagram.unrolls_blocks or diagram.joins_masks:
        crossbar = {"kind": only_kind(diagram.classes["crossbar"])}
        both = {**_SPARSE, "weight_pattern": "2:4", "crossbar": crossbar}
        return {"dense": _DENSE, "2:4": both}
    own = diagram.classes.get("selector")
    if own is not None and issubclass(own, Selector) and diagram.takes_any_positions:
        kind, routing = only_kind(own), diagram.classes.get("crossbar")
        pattern = f"{kind}:0.5"
        sparse = {**_COMPRESSING, "pattern": pattern, "selector": {"kind": kind, "instances": 2}}
        if routing is not None:
            sparse["crossbar"] = {"kind": only_kind(routing)}
        return {"dense": _DENSE, pattern: sparse}
    if diagram.packs is not None and "crossbar" not in diagram.units:
        return {"dense": _DENSE, "2:4": {**_COMPRESSING, **_WITHOUT_CROSSBAR}}
    return MACHINES


_CLASSES: dict[str, Any] = {
    "dram": Dram,
    "mac_array": MacArray,
    "selector": Selector,
    "crossbar": Crossbar,
    "activation_buffer": ActivationBuffer,
    "compressed_buffer": CompressedBuffer,
    "weight_buffer": WeightBuffer,
    "output_buffer": OutputBuffer,
    "unpacker": Unpacker,
    **{unit.key: unit for unit in METHOD_UNITS},
}
"""Units that have a key of their own: one of such a class stands where they do."""


@dataclass(frozen=True)
class Place:
    """Where a unit stands.

    Attributes:
        where: in words, for messages.
        diagram: with the unit in it.
        unit: the unit.
        key: of its section in an architecture file.
        others: keys without which the machine has no use for it: of a method, of narrow weights.
        plain: the diagram without the unit; None where there is no machine without it.
    """

    where: str
    diagram: Diagram
    unit: Unit
    key: KeyPath
    others: Keys = field(default_factory=dict)
    plain: Diagram | None = None

    @property
    def keys(self) -> Keys:
        """The keys of an architecture file that say that the unit is there."""
        section: Any = self.unit.model_dump()
        for part in reversed(self.key):
            section = {part: section}
        return {**section, **self.others}

    def holding(self, unit: Unit) -> Place:
        """Return the place with another unit of the same class in it."""
        return replace(self, unit=unit)


def places_of(unit: Unit, diagram: Diagram) -> Iterator[Place]:
    """Yield every place in which a unit can stand in a dataflow.

    A unit with a key of its own, or one like it, stands where that does, unless the dataflow has a
    class of its own there that the unit is not of. A resource moves one
    stream after another. Any other unit stands first and last in each stage.
    """
    own = [name for name, cls in _CLASSES.items() if isinstance(unit, cls)]
    for name in own:
        if name in diagram.units and isinstance(unit, diagram.classes.get(name, Unit)):
            yield _at_its_key(unit, name, diagram)
    if isinstance(unit, Resource):
        for part in diagram.streams:
            moved = diagram.with_stream_on(part.name, CHECKED)
            where = f"under {part.name} of dataflow {diagram.name}"
            yield Place(where, moved, unit, ("units", CHECKED))
    elif not own:
        yield from _passed(unit, diagram)


def _at_its_key(unit: Unit, name: str, diagram: Diagram) -> Place:
    cls, where = type(unit), f"as {name} of dataflow {diagram.name}"
    is_known = cls in (*SELECTORS.values(), *CROSSBARS.values(), _CLASSES[name])
    if not is_known:
        diagram = replace(diagram, classes={**diagram.classes, name: cls})
    others = method_for(cls, diagram.units) if issubclass(cls, LaneUnit) else {}
    if isinstance(unit, Selector) and not diagram.gathers_rows:
        others = {"pattern": next(p for p in _SELECTED if unit.takes(parse_pattern(p)))}
        if diagram.unrolls_blocks and parse_pattern(others["pattern"]).group_size != _BLOCK:
            others["weight_pattern"] = "4:8"  # of blocks as large
    if diagram.gathers_rows and name == "statistics":  # its pattern asks for them
        others = {}
    if name == "unpacker":
        others = {"precision": "int8/int4:32"}
    return Place(where, diagram, unit, UNIT_KEYS[name], others)


def _passed(unit: Unit, diagram: Diagram) -> Iterator[Place]:
    for stage in diagram.stages:
        for before in (stage.parts[0].name, ""):
            widened = diagram.with_part(stage.name, drawn.unit(CHECKED), before=before)
            side = "first" if before else "last"
            where = f"{side} in stage {stage.name} of dataflow {diagram.name}"
            yield Place(where, widened, unit, ("units", CHECKED), plain=diagram)


def method_for(unit: type[LaneUnit], drawn: Collection[str]) -> dict[str, str]:
    """Return the keys of a method that asks for a unit of methods; none if no method does.

    Args:
        unit: the unit.
        drawn: units that the dataflow has a place for.
    """
    names = product((c for c in CRITERIA if not CRITERIA[c].ranks_weights), MITIGATIONS)
    for criterion, mitigation in names:
        if mitigation != "rsparse":  # which has a number to its name
            demands = Method(parse_pattern("2:4"), criterion, mitigation).demands
            if unit.asked(demands) and set(demands.units) <= set(drawn):
                fp4 = {"precision": "nvfp4"} if demands.residual else {}
                return {"criterion": criterion, "mitigation": mitigation, **fp4}
    return {}


@contextmanager
def machine_at(place: Place, keys: Keys) -> Iterator[Architecture]:
    """Make a machine with a unit in its place, known by name while it is in use.

    Args:
        place: where the unit stands.
        keys: of the machine around it, one of `MACHINES`.

    Raises:
        InputError: there is no such machine.
    """
    with (
        UNITS.lent(CHECKED, type(place.unit)),
        machine_of(place.diagram, merged(keys, place.keys)) as arch,
    ):
        yield arch


@contextmanager
def machine_of(diagram: Diagram, keys: Keys) -> Iterator[Architecture]:
    """Make a machine of a dataflow, known by its name while it is in use.

    Channels that the diagram has beside `dram`, and of which the keys say nothing, are like it;
    registered units that only this diagram draws have their defaults.

    Raises:
        InputError: there is no such machine.
    """
    channels = {name: {"kind": "dram", **DRAM} for name in diagram.resources if name != "dram"}
    defaults: Keys = {
        part.name: {}
        for part in diagram.parts
        if part.name in UNITS
        and part.name not in (*UNIT_KEYS, CHECKED)
        and not (part.is_sparse and keys["pattern"] == "dense")
    }
    units = {"units": {**channels, **defaults}} if channels or defaults else {}
    with DATAFLOWS.lent(diagram.name, diagram):
        keys = {**merged(units, keys), "dataflow": diagram.name}
        yield arch_of(YamlSource(Path("small.yaml"), keys, {}))


def merged(base: Keys, changes: Keys) -> dict[str, Any]:
    """Return keys with others written over them, section by section.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}})
    {'a': {'b': 1, 'c': 3}}
    """
    result = dict(base)
    for key, value in changes.items():
        inner = result.get(key)
        if isinstance(inner, Mapping) and isinstance(value, Mapping) and "kind" not in value:
            result[key] = merged(inner, value)
        else:
            result[key] = value
    return result
