"""A machine: an architecture file in which nothing is left open, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Self

from pydantic import model_validator
from typing_extensions import override

from accelsim.base.models import remade
from accelsim.config.checks import check_runs
from accelsim.config.file import ArchitectureFile
from accelsim.config.resolve import (
    path_of,
    rate,
    resolve,
    technology_of,
    with_lanes,
    with_method_units,
    with_units,
    with_unpacker,
)
from accelsim.config.sections import tiling_of
from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.hardware import Unit
from accelsim.mapping import Datapath, Gemm, Stores
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.policy import Method
from accelsim.tech.source import CostSource


class Architecture(ArchitectureFile):
    """A machine: what its architecture file says, and what follows from that where it is silent.

    Made from the contents of a file, `Architecture.model_validate(contents)`, or from another
    machine, `machine.model_copy(update=...)`, which takes the new values as they are.
    """

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, raw: object) -> object:
        """Fill in what the contents of a file leave open, before the machine is made of them."""
        if isinstance(raw, cls):
            return raw
        return resolve(ArchitectureFile.model_validate(raw)).by_key()

    @override
    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return the machine with other values, which are taken as they are.

        What was derived from the old ones, such as `path`, is derived anew.
        """
        return remade(super().model_copy(update=update, deep=deep))

    @cached_property
    @override
    def method(self) -> Method:
        """How the machine prunes layers that nothing else is said of."""
        return Method(self.pattern, self.criterion, self.mitigation)

    @cached_property
    def path(self) -> Datapath:
        """The facts that tiling, units and cost share."""
        return path_of(self)

    @cached_property
    def stores(self) -> Stores:
        """The on-chip buffers as the tiling sees them."""
        compressed = self.buffers.compressed
        storing = self.given_units.get(self.diagram.resource_of("y"))
        return Stores(
            self.buffers.activations.store,
            self.buffers.weights.store,
            self.buffers.outputs.store,
            compressed.store if compressed else None,
            getattr(storing, "store_lag_tiles", 0),
        )

    @cached_property
    def units(self) -> Mapping[str, Unit]:
        """Every unit of the machine by name, in the order of the data flow."""
        given = self.given_units
        return {name: given[name] for name in self.diagram.units if name in given}

    @cached_property
    def streams(self) -> tuple[str, ...]:
        """The streams of shared resources that the machine may have, by name."""
        has_tables = any(unit.has_table for unit in self.method_units.values())
        stages = (stage for stage in self.diagram.stages if stage.has_place(self.units))
        streams = (stage.stream for stage in stages if stage.stream)
        return tuple(sorted(s.name for s in streams if has_tables or s.operand != "tables"))

    def equipped(self, methods: Iterable[Method]) -> Architecture:
        """Return the machine with the units that layers with these methods ask for besides.

        Raises:
            InputError: it cannot run one of them.
        """
        methods = [self.method, *methods]
        for method in methods:
            check_runs(self, method)
        machine = with_method_units(self, methods)
        if machine.selector is not None and machine.path.score_bits != self.path.score_bits:
            selector = machine.selector.refit_clock(self.load_technology(), self.path, machine.path)
            machine = machine.model_copy(update={"selector": selector})
        return with_lanes(machine)

    def sized(self, layers: Iterable[tuple[Gemm, Method]]) -> Architecture:
        """Return the machine with tables as large as these layers need, where the size is open.

        Tables that have been sized before only grow.
        """
        if not self.method_units:
            return self
        products = [(gemm, self.running(method).path) for gemm, method in dict.fromkeys(layers)]
        units = {key: unit.sized(products) for key, unit in self.method_units.items()}
        return self.model_copy(update=units)

    def running(self, method: Method | None = None) -> LayerMachine:
        """Return the machine as a layer with this method finds it; None: that nothing is said of.

        A layer by a pattern within the machine's runs like one by the machine's, or by the first of
        its modes that takes it; where blocks are unrolled, fewer values are fewer steps. A dense
        one passes all units by that selection needs, but for the crossbar, through which its
        weights go, too.

        Raises:
            InputError: the machine cannot run it.
        """
        if method is None or method == self.method:
            return self._as_set
        check_runs(self, method)
        if method.pattern.is_dense:
            names = ("name", "weight_pattern", "crossbar", "unpacker")
            own = {name: getattr(self, name) for name in names}
            return self.dense().model_copy(update=own)._as_set
        keys: dict[str, Any] = {"criterion": method.criterion, "mitigation": method.mitigation}
        if not method.pattern.is_grouped:
            keys["pattern"] = method.pattern
        elif self.diagram.unrolls_blocks:
            keys["pattern"] = method.pattern.in_groups_of(self.pattern.group_size)
        elif self.modes:
            keys["pattern"] = next(m for m in self.modes if method.pattern.runs_on(m))
        return self.model_copy(update=keys)._as_set

    @cached_property
    def _as_set(self) -> LayerMachine:
        """The machine as a layer finds it for which it need not be set."""
        shared = self.buffers.shared
        if shared is None:
            return self._as_layers_find_it()
        splits = []
        for x_macros in range(1, shared.macros):
            parts = shared.split(x_macros)
            buffers = {
                name: type(half).model_validate(parts[name])
                for name, half in self.buffers
                if name in parts
            }
            machine = self.model_copy(update={"buffers": self.buffers.model_copy(update=buffers)})
            splits.append(machine._as_layers_find_it())
        return self._as_layers_find_it(tuple(splits))

    def _as_layers_find_it(self, splits: tuple[LayerMachine, ...] = ()) -> LayerMachine:
        return LayerMachine(
            name=self.name,
            method=self.method,
            path=self.path,
            units=self.units,
            stores=self.stores,
            diagram=self.diagram,
            technology=self.load_technology,
            costs=self.technology,
            tiling=tiling_of(self.tiling),
            splits=splits,
        )

    def rate(self, key: str) -> int:
        """Return the values a cycle that reach a unit of a pruning method."""
        return rate(self, key)

    def load_technology(self) -> CostSource:
        """Load the prices of the technology that this architecture names."""
        return technology_of(self)

    def dense(self) -> Architecture:
        """Return the dense machine of the same array, buffers, DRAM and technology.

        Its unpacker is as wide as a dense array needs, where the file leaves that open.
        """
        plain = parse_pattern("dense")
        dense: dict[str, Any] = {"pattern": plain, "weight_pattern": plain}
        dense |= {"criterion": "act", "mitigation": "none", "modes": ()}
        left_out = {name: None for name in self.diagram.sparse_units if name in self.given_units}
        machine = with_units(self, left_out).model_copy(update={"name": "dense", **dense})
        return with_unpacker(machine)

    def resolved(self) -> dict[str, Any]:
        """Return every value as plain data for a result file, defaults included.

        Only `dataflow`, `modes`, `weight_pattern`, `units` and `unpacker` are left out where they
        say nothing new.
        """
        plain = self.model_dump(by_alias=True, mode="json")
        fields = type(self).model_fields
        unsaid: dict[str, Any] = {"dataflow": fields["dataflow"].default, "modes": []}
        unsaid |= {"units": {}, "unpacker": None}
        unsaid["weight_pattern"] = str(fields["weight_pattern"].default)
        return {k: value for k, value in plain.items() if k not in unsaid or value != unsaid[k]}
