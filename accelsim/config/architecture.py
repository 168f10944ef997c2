"""A machine: the typed contents of an architecture file, and the checks across its parts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializeAsAny,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from accelsim.base.errors import InputError, KeyedError, shown
from accelsim.base.registry import Named, Registry
from accelsim.dataflows import DATAFLOWS, Diagram
from accelsim.hardware import (
    CROSSBARS,
    SELECTORS,
    UNITS,
    ActivationBuffer,
    CompressedBuffer,
    Crossbar,
    Dram,
    Epilogue,
    LaneUnit,
    MacArray,
    Moments,
    OutputBuffer,
    PreScaler,
    PreShifter,
    Selector,
    Statistics,
    Unit,
    WeightBuffer,
)
from accelsim.hardware.crossbars.none import NoCrossbar
from accelsim.mapping import Datapath, Gemm, Stores, Tiling, ceil_div, check_tiling, choose_tiling
from accelsim.mapping.tiling import Order
from accelsim.precision import PRECISIONS
from accelsim.sparsity import FORMATS, PATTERNS, Pattern, parse_pattern
from accelsim.sparsity.criteria import CRITERIA
from accelsim.sparsity.mitigations import parse_mitigation
from accelsim.sparsity.policy import Method
from accelsim.tech.load import load_source
from accelsim.tech.source import CostSource

_STRICT = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
METHOD_UNITS: tuple[type[LaneUnit], ...] = (Statistics, PreShifter, PreScaler, Moments, Epilogue)


def _of_kind(registry: Registry[Any]) -> BeforeValidator:
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


def _units_by_name(raw: object) -> object:
    """Return units by name, each of the class registered under its `kind`, or under its name."""
    if not isinstance(raw, dict):
        return raw
    return {str(name): _unit_named(str(name), section) for name, section in raw.items()}


def _unit_named(name: str, section: object) -> object:
    if not isinstance(section, dict):
        return section
    kind = str(section.get("kind", name))
    keys = {key: value for key, value in section.items() if key != "kind"}
    return UNITS[kind].model_validate(keys)


def _one_of(registry: Named[Any]) -> BeforeValidator:
    """Return a validator that accepts the registered names only."""

    def check(raw: object) -> object:
        registry[str(raw)]
        return raw

    return BeforeValidator(check)


def _pattern(raw: object) -> object:
    """Accept `8:16`, with quotes or without."""
    if isinstance(raw, Pattern):
        return raw
    allowed = "allowed: dense, or N:M such as 2:4, 8:16, 16:32"
    if not isinstance(raw, str):
        raise InputError(f"the pattern must be a text, not {shown(raw)}; {allowed}")
    if not any(family.parse(raw.strip()) for family in PATTERNS.values()):
        raise InputError(f"unknown pattern '{shown(raw)}'; {allowed}")
    pattern = parse_pattern(raw)
    if not pattern.is_grouped:
        raise InputError(f"no machine runs pattern '{pattern}', which has no groups; {allowed}")
    return pattern


def _criterion(raw: object) -> object:
    if CRITERIA[str(raw)].ranks_weights:
        allowed = ", ".join(sorted(name for name in CRITERIA if not CRITERIA[name].ranks_weights))
        raise InputError(
            f"criterion '{shown(raw)}' prunes weights, which no machine here does; "
            f"allowed: {allowed}"
        )
    return raw


def _mitigation(raw: object) -> object:
    parse_mitigation(str(raw))
    return raw


def _check_method(method: Method) -> None:
    """Raise InputError if no machine runs layers by this method, whatever its pattern."""
    _criterion(method.criterion)
    parts = CRITERIA[method.criterion], parse_mitigation(method.mitigation)
    if len({part.demands.statistics for part in parts} - {""}) > 1:
        raise InputError(
            f"criterion '{method.criterion}' and mitigation '{method.mitigation}' each need a pass "
            f"of their own over X, and a machine makes one"
        )


def _tiling(raw: object) -> object:
    """Accept `auto` or a section."""
    if isinstance(raw, dict):
        return TilingChoice.model_validate(raw)
    if raw != "auto" and not isinstance(raw, TilingChoice):
        raise InputError("must be auto, or a section with tokens, columns, reduction and order")
    return raw


def _check_fitted(name: str, unit: Unit | None) -> None:
    """Raise KeyedError if the clock asks for more of a unit than its keys may say."""
    try:
        if unit is not None:
            type(unit).model_validate(unit.model_dump())
    except ValidationError as error:
        problem = error.errors()[0]
        key = f"{name}.{problem['loc'][-1]}"
        raise KeyedError(
            ("clock_mhz",),
            f"clock_mhz: it asks for {key} {problem['input']}; {problem['msg']}",
        ) from error


PatternField = Annotated[
    Pattern,
    BeforeValidator(_pattern),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\s*(dense|[0-9]+:[0-9]+)\s*$"}),
]


class TechnologyChoice(BaseModel):
    """Which table of costs, at which node."""

    model_config = _STRICT

    table: Annotated[
        str,
        Field(
            description="Built-in table of costs, or a YAML file (path from where the command runs)"
        ),
    ] = "nangate45"
    node_nm: (
        Annotated[
            float,
            Field(strict=True, gt=0),
            Field(description="Process node, 7 to 65; default: the table's own"),
        ]
        | None
    ) = None  # None: the table's own


class Buffers(BaseModel):
    """The on-chip buffers; `compressed` exists only on a sparse machine."""

    model_config = _STRICT

    activations: Annotated[ActivationBuffer, Field(description="Holds tiles of X")]
    weights: Annotated[WeightBuffer, Field(description="Holds tiles of W")]
    outputs: Annotated[OutputBuffer, Field(description="Holds tiles of Y")]
    compressed: Annotated[
        CompressedBuffer | None,
        Field(description="Holds what was selected; sparse machines need it"),
    ] = None


class TilingChoice(BaseModel):
    """A tile set by hand, in tokens × reduction × columns; cut to the layer where it is larger."""

    model_config = _STRICT

    tokens: Annotated[
        int, Field(strict=True, gt=0, le=2**31), Field(description="Tokens of a tile")
    ]
    columns: Annotated[
        int, Field(strict=True, gt=0, le=2**31), Field(description="Output columns of a tile")
    ]
    reduction: Annotated[
        int, Field(strict=True, gt=0, le=2**31), Field(description="Values of K of a tile")
    ]
    order: Annotated[Order, Field(description="Which loop over tiles is the outer one")] = (
        "tokens_outer"
    )

    def tiling(self) -> Tiling:
        """Return the tiling."""
        return Tiling(self.tokens, self.columns, self.reduction, self.order)


class Architecture(BaseModel):
    """A machine. Every field is a key of the architecture file."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True
    )

    schema_: Literal[1] = Field(alias="schema", description="Version of this schema")
    # Result folders are named after it.
    name: Annotated[
        str,
        Field(pattern=r"^[\w.+=-]*\w[\w.+=-]*$", max_length=80),
        Field(description="Name in tables and result folders"),
    ]
    dataflow: Annotated[
        str, _one_of(DATAFLOWS), Field(description="Block diagram: what stays where")
    ] = "output_stationary"
    clock_mhz: Annotated[
        float, Field(strict=True, gt=1e-3, le=1e6), Field(description="Core clock")
    ]
    precision: Annotated[
        str,
        _one_of(PRECISIONS),
        Field(description="Number format of inputs; int8 accumulates in int32, floats in fp32"),
    ]
    pattern: Annotated[PatternField, Field(description="dense, or N:M with N ≤ M ≤ 64")]
    criterion: Annotated[
        str,
        BeforeValidator(_criterion),
        Field(description="By what values are ranked before the smallest are dropped"),
    ] = "act"
    mitigation: Annotated[
        str,
        BeforeValidator(_mitigation),
        Field(
            description=(
                "How the error of pruning is reduced: none, var, dpts, spts, lpts, ls, "
                "or rsparse64 (any rank)"
            ),
        ),
    ] = "none"
    format: Annotated[
        str,
        _one_of(FORMATS),
        Field(description="Metadata: how the positions of kept values are stored"),
    ] = "bitmask"
    mac_array: Annotated[
        MacArray, Field(description="The multipliers: R tokens × C outputs × L lanes")
    ]
    selector: (
        Annotated[
            SerializeAsAny[Selector],
            _of_kind(SELECTORS),
            Field(
                description=(
                    "Picks the values that are kept; sparse machines need one, dense ones have none"
                ),
            ),
        ]
        | None
    ) = None
    crossbar: Annotated[
        SerializeAsAny[Crossbar],
        _of_kind(CROSSBARS),
        Field(
            description="Brings the weights of kept values to the multipliers; none is for dense"
        ),
    ] = NoCrossbar(kind="none")
    buffers: Annotated[Buffers, Field(description="The on-chip buffers")]
    dram: Annotated[Dram, Field(description="The DRAM channel")]
    # Of pruning methods; those that a method asks for and the file leaves out have defaults.
    statistics: Annotated[
        Statistics | None,
        Field(description="Passes over X before selection; default: what the method asks for"),
    ] = None
    pre_shifter: Annotated[
        PreShifter | None,
        Field(description="Subtracts shifts before selection; default: what the method asks for"),
    ] = None
    pre_scaler: Annotated[
        PreScaler | None,
        Field(
            description=(
                "Multiplies scores by factors before selection; default: what the method asks for"
            ),
        ),
    ] = None
    moments: Annotated[
        Moments | None,
        Field(
            description="Sums for the correction of the variance; default: what the method asks for"
        ),
    ] = None
    epilogue: Annotated[
        Epilogue | None,
        Field(description="Scales outputs, adds to them; default: what the method asks for"),
    ] = None
    extra_units: Annotated[
        dict[str, SerializeAsAny[Unit]],
        BeforeValidator(_units_by_name),
        Field(alias="units", description="Units of the dataflow that have no key of their own"),
    ] = {}
    technology: Annotated[TechnologyChoice, Field(description="Costs of area and energy")] = (
        TechnologyChoice()
    )
    tiling: Annotated[
        TilingChoice | Literal["auto"],
        BeforeValidator(_tiling),
        Field(description="auto, or a tile set by hand"),
    ] = "auto"

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        self._check_costs()
        parts: dict[tuple[str, ...], bool] = {
            ("selector",): self.selector is not None,
            ("crossbar",): self.crossbar.is_routing,
            ("buffers", "compressed"): self.buffers.compressed is not None,
        }
        for key, is_there in parts.items():
            name = ".".join(key)
            if self.pattern.is_dense and is_there:
                raise KeyedError(
                    key, f"pattern '{self.pattern}' drops nothing and has no use for '{name}'"
                )
            if not self.pattern.is_dense and not is_there and key != ("crossbar",):
                raise KeyedError(key, f"pattern '{self.pattern}' needs '{name}', which is missing")
        if not self.pattern.is_dense and not self.crossbar.is_routing:
            raise KeyedError(
                ("crossbar",),
                f"pattern '{self.pattern}' needs a crossbar that routes weights: "
                f"crossbar.kind {', '.join(k for k in CROSSBARS if CROSSBARS[k].is_routing)}",
            )
        return self

    @model_validator(mode="after")
    def _method_fits_the_machine(self) -> Self:
        used = {
            "criterion": self.criterion != "act",
            "mitigation": self.mitigation != "none",
            **dict.fromkeys(self.method_units, True),
        }
        for key, is_used in used.items():
            if self.pattern.is_dense and is_used:
                raise KeyedError((key,), f"pattern 'dense' drops nothing and needs no '{key}'")
        try:
            _check_method(self.method)
        except InputError as error:
            raise KeyedError(("mitigation",), str(error)) from error
        return self

    def _check_costs(self) -> None:
        """Check what the technology table must know, and say which key asks for it."""
        try:
            source = load_source(self.technology.table)
        except InputError as error:
            raise KeyedError(("technology", "table"), f"technology.table: {error}") from error
        try:
            tech = source.at_node(self.technology.node_nm or source.node_nm)
            tech.check_node()
        except InputError as error:
            raise KeyedError(("technology", "node_nm"), f"technology.node_nm: {error}") from error
        try:
            tech.dram(self.dram.standard)
        except InputError as error:
            raise KeyedError(("dram", "standard"), f"dram.standard: {error}") from error

    @model_validator(mode="after")
    def _fit_clock(self) -> Self:
        """Pipeline what the clock asks to be pipelined, where the file leaves it open."""
        try:
            tech = self.load_technology()
            fields = self.__dict__  # frozen for users; this is still construction
            fields["technology"] = self.technology.model_copy(update={"node_nm": tech.node_nm})
            fields |= self._units_for([self.method])
            fields["mac_array"] = self.mac_array.fit_clock(tech, self.path)
            fields["crossbar"] = self.crossbar.fit_clock(tech, self.path)
            if self.selector is not None:
                fields["selector"] = self.selector.fit_clock(tech, self.path)
        except InputError as error:
            raise KeyedError(("technology", "table"), f"technology.table: {error}") from error
        for name in ("mac_array", "crossbar", "selector"):
            _check_fitted(name, fields[name])
        fields |= self._lanes()
        return self

    @property
    def method(self) -> Method:
        """How the machine prunes layers that nothing else is said of."""
        return Method(self.pattern, self.criterion, self.mitigation)

    @property
    def path(self) -> Datapath:
        """The facts that tiling, units and cost share."""
        precision = PRECISIONS[self.precision]
        # Products of int8 keep all their bits, those of floats are rounded to 16.
        score_bits = 16 if self.pre_scaler is not None else 0
        n, m = self.pattern.kept_per_group, self.pattern.group_size
        metadata = 0 if self.pattern.is_dense else FORMATS[self.format].bits_per_group(n, m)
        return Datapath(
            rows=self.mac_array.rows,
            columns=self.mac_array.columns,
            lanes=self.mac_array.lanes,
            value_bits=precision.value_bits,
            accumulator_bits=precision.accumulator_bits,
            precision=self.precision,
            clock_mhz=self.clock_mhz,
            kept_per_group=n,
            group_size=m,
            metadata_bits_per_group=metadata,
            metadata_format=self.format,
            score_bits=score_bits,
            demands=self.method.demands,
        )

    @property
    def stores(self) -> Stores:
        """The on-chip buffers as the tiling sees them."""
        compressed = self.buffers.compressed
        return Stores(
            self.buffers.activations.store,
            self.buffers.weights.store,
            self.buffers.outputs.store,
            compressed.store if compressed else None,
            self.dram.store_lag_tiles,
        )

    @property
    def diagram(self) -> Diagram:
        """The block diagram."""
        return DATAFLOWS[self.dataflow]

    @property
    def units(self) -> dict[str, Unit]:
        """Every unit of the machine by name, in the order of the data flow."""
        present: dict[str, Unit | None] = {
            "dram": self.dram,
            "activation_buffer": self.buffers.activations,
            "selector": self.selector,
            "compressed_buffer": self.buffers.compressed,
            "weight_buffer": self.buffers.weights,
            "crossbar": self.crossbar if self.crossbar.is_routing else None,
            "mac_array": self.mac_array,
            "output_buffer": self.buffers.outputs,
            **self.method_units,
            **self.extra_units,
        }
        known = ((name, present.get(name)) for name in self.diagram.units)
        return {name: unit for name, unit in known if unit is not None}

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams of shared resources that the machine may have, by name."""
        has_tables = any(unit.has_table for unit in self.method_units.values())
        return tuple(
            sorted(
                stage.stream.name
                for stage in self.diagram.stages
                if stage.stream and (has_tables or not stage.is_once)
            )
        )

    @property
    def method_units(self) -> dict[str, LaneUnit]:
        """The units of pruning methods that the machine has, by key."""
        units = {unit.key: getattr(self, unit.key) for unit in METHOD_UNITS}
        return {key: unit for key, unit in units.items() if unit is not None}

    def equipped(self, methods: Iterable[Method]) -> Architecture:
        """Return the machine with the units that layers with these methods ask for besides.

        Raises:
            InputError: it cannot run one of them.
        """
        methods = [self.method, *methods]
        for method in methods:
            self.running(method)
        machine = self.model_copy(update=self._units_for(methods))
        if machine.selector is not None and machine.path.score_bits != self.path.score_bits:
            selector = machine.selector.refit_clock(self.load_technology(), self.path, machine.path)
            machine = machine.model_copy(update={"selector": selector})
        return machine.model_copy(update=machine._lanes())

    def sized(self, layers: Iterable[tuple[Gemm, Method]]) -> Architecture:
        """Return the machine with tables as large as these layers need, where the size is open.

        Tables that have been sized before only grow.
        """
        if not self.method_units:
            return self
        products = [(gemm, self.running(method).path) for gemm, method in dict.fromkeys(layers)]
        units = {key: unit.sized(products) for key, unit in self.method_units.items()}
        return self.model_copy(update=units)

    def running(self, method: Method) -> Architecture:
        """Return the machine as a layer with this method sees it.

        A layer by a pattern within the machine's runs like one by the machine's. A dense one passes
        selector and compressed buffer by, but not the crossbar.

        Raises:
            InputError: the machine cannot run it.
        """
        if not method.pattern.runs_on(self.pattern):
            raise InputError(
                f"pattern '{method.pattern}' does not run on a machine of pattern "
                f"'{self.pattern}'; allowed: dense{self._allowed_patterns()}"
            )
        _check_method(method)
        if method.pattern.is_dense:
            return self.dense().model_copy(update={"name": self.name, "crossbar": self.crossbar})
        return self.model_copy(
            update={"criterion": method.criterion, "mitigation": method.mitigation}
        )

    def _allowed_patterns(self) -> str:
        if self.pattern.is_dense:
            return ""
        return f", {self.pattern}, and N:M whose groups fit into those of {self.pattern}"

    def _units_for(self, methods: Iterable[Method]) -> dict[str, LaneUnit]:
        """Return the units of pruning methods, those that the file has and those asked for."""
        demands = [method.demands for method in methods]
        units = self.method_units
        for unit in METHOD_UNITS:
            if unit.key in units or any(map(unit.asked, demands)):
                units[unit.key] = units.get(unit.key, unit()).serving(demands)
        return units

    def _lanes(self) -> dict[str, LaneUnit]:
        """Return the units of pruning methods with as many lanes as keep up, where it is open."""
        units = {
            key: unit.with_default("lanes", self.rate(key))
            for key, unit in self.method_units.items()
        }
        for key, unit in units.items():
            try:
                unit.check(self.path)
            except InputError as error:
                raise KeyedError((key, "table_kib"), f"{key}.table_kib: {error}") from error
        return units

    def rate(self, key: str) -> int:
        """Return the values a cycle that reach a unit of a pruning method."""
        if key == "epilogue":
            return self.mac_array.columns
        if key == "statistics":
            return max(1, 8 * self.buffers.activations.port_bytes // self.path.value_bits)
        assert self.selector is not None
        positions = self.selector.instances * self.pattern.group_size
        return ceil_div(positions, self.selector.cycles_per_group(self.path))

    def check_tables(self, gemm: Gemm) -> None:
        """Raise InputError if a table that a layer needs does not fit."""
        for unit in self.method_units.values():
            unit.check_layer(gemm, self.path)

    def tile(self, gemm: Gemm, *, least_columns: int = 1) -> Tiling:
        """Return the tile of a layer: the one set by hand, checked, or the mapper's choice.

        Raises:
            InputError: no tile, or not this one, fits the buffers.
        """
        if self.tiling == "auto":
            return choose_tiling(gemm, self.path, self.stores, least_columns=least_columns)
        tiling = self.tiling.tiling()
        check_tiling(tiling, gemm, self.path, self.stores)
        return tiling

    def load_technology(self) -> CostSource:
        """Load the prices of the technology that this architecture names."""
        return load_source(self.technology.table, node_nm=self.technology.node_nm)

    def dense(self) -> Architecture:
        """Return the dense machine of the same array, buffers, DRAM and technology."""
        return self.model_copy(
            update={
                "name": "dense",
                "pattern": parse_pattern("dense"),
                "criterion": "act",
                "mitigation": "none",
                **dict.fromkeys(unit.key for unit in METHOD_UNITS),
                "extra_units": {
                    name: unit
                    for name, unit in self.extra_units.items()
                    if name not in self.diagram.sparse_units
                },
                "selector": None,
                "crossbar": NoCrossbar(kind="none"),
                "buffers": self.buffers.model_copy(update={"compressed": None}),
            }
        )

    def resolved(self) -> dict[str, Any]:
        """Return every value, defaults included, as plain data for a result file."""
        return self.model_dump(by_alias=True, mode="json")
