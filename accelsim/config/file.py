"""An architecture file as it is written: its keys, their ranges, and their plain defaults.

What a file leaves open is still open here (`accelsim.config.resolve` fills it in), and whether its
parts fit together is not asked (`accelsim.config.checks`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny
from typing_extensions import override

from accelsim.base.yaml_source import KeyPath
from accelsim.config.operands import OperandFormats, check_precision, operands_of
from accelsim.config.sections import (
    Buffers,
    SearchChoice,
    TechnologyChoice,
    TilingChoice,
    check_tiling_choice,
)
from accelsim.config.values import (
    ExtraUnits,
    PatternValue,
    check_criterion,
    check_format,
    check_mitigation,
    of_dataflow,
    of_kind,
    one_of,
    with_dataflow,
)
from accelsim.dataflows import DATAFLOWS, DEFAULT_DATAFLOW, Diagram
from accelsim.hardware import (
    CROSSBARS,
    SELECTORS,
    Crossbar,
    Dram,
    Epilogue,
    LaneUnit,
    MacArray,
    Moments,
    PreScaler,
    PreShifter,
    Selector,
    Splitter,
    Statistics,
    Unit,
    Unpacker,
)
from accelsim.hardware.crossbars.none import NoCrossbar
from accelsim.precision import Operands
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.policy import Method

METHOD_UNITS: tuple[type[LaneUnit], ...] = (
    Statistics,
    PreShifter,
    PreScaler,
    Splitter,
    Moments,
    Epilogue,
)
UNIT_KEYS: dict[str, KeyPath] = {
    "dram": ("dram",),
    "mac_array": ("mac_array",),
    "crossbar": ("crossbar",),
    "selector": ("selector",),
    "unpacker": ("unpacker",),
    "activation_buffer": ("buffers", "activations"),
    "compressed_buffer": ("buffers", "compressed"),
    "weight_buffer": ("buffers", "weights"),
    "output_buffer": ("buffers", "outputs"),
    **{unit.key: (unit.key,) for unit in METHOD_UNITS},
}
"""Where the keys of a unit stand that every file knows; others stand below `units`."""


def key_of(unit: str) -> KeyPath:
    """Return where the keys of a unit stand."""
    return UNIT_KEYS.get(unit, ("units", unit))


class ArchitectureFile(BaseModel):
    """A machine as a file describes it. Every field is a key of the file."""

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
        str,
        one_of(DATAFLOWS),
        Field(description="Block diagram: which units there are, and what stays where"),
    ] = DEFAULT_DATAFLOW
    clock_mhz: Annotated[
        float, Field(strict=True, gt=1e-3, le=1e6), Field(description="Core clock")
    ]
    precision: Annotated[
        OperandFormats | str,
        BeforeValidator(check_precision),
        Field(
            description=(
                "Number format of inputs; int8 accumulates in int32, floats in fp32; or a section "
                "with a format each for X, W and Y, or text such as int8/int4:64"
            )
        ),
    ]
    pattern: Annotated[
        PatternValue,
        Field(description="dense, N:M with N ≤ M ≤ 64, two ranks N:MxP:Q, or pairs-N:M"),
    ]
    modes: Annotated[
        tuple[PatternValue, ...],
        Field(
            description="Patterns N:M that layers have in their own time and for their own energy "
            "on hardware of the largest, `pattern`, which is the last one; each M divides the next"
        ),
    ] = ()
    weight_pattern: Annotated[
        PatternValue,
        Field(
            description="Of W: dense, N:M, or two ranks N:MxP:Q, pruned before the run; stored "
            "without its zeros, with metadata in `format`"
        ),
    ] = parse_pattern("dense")
    criterion: Annotated[
        str,
        BeforeValidator(check_criterion),
        Field(description="By what values are ranked before the smallest are dropped"),
    ] = "act"
    mitigation: Annotated[
        str,
        BeforeValidator(check_mitigation),
        Field(
            description=(
                "How the error of pruning is reduced: none, var, l2, dpts, spts, lpts, ls, "
                "residual, or rsparse64 (any rank)"
            ),
        ),
    ] = "none"
    format: Annotated[
        str,
        BeforeValidator(check_format),
        Field(description="Metadata: how the positions of kept values are stored"),
    ] = "bitmask"
    mac_array: Annotated[
        SerializeAsAny[MacArray],
        of_dataflow("mac_array"),
        Field(description="The multipliers: R tokens × C outputs × L lanes"),
    ]
    selector: (
        Annotated[
            SerializeAsAny[Selector],
            of_kind(SELECTORS),
            of_dataflow("selector"),
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
        of_kind(CROSSBARS),
        of_dataflow("crossbar"),
        Field(
            description="Brings the weights of kept values to the multipliers; none is for dense"
        ),
    ] = NoCrossbar(kind="none")
    buffers: Annotated[Buffers, with_dataflow(Buffers), Field(description="The on-chip buffers")]
    dram: Annotated[
        SerializeAsAny[Dram], of_dataflow("dram"), Field(description="The DRAM channel")
    ]
    unpacker: Annotated[
        SerializeAsAny[Unpacker] | None,
        of_dataflow("unpacker"),
        Field(description="Widens W to the multipliers' format; default: where W is narrower"),
    ] = None
    # Of pruning methods; those that a method asks for and the file leaves out have defaults.
    statistics: Annotated[
        SerializeAsAny[Statistics] | None,
        of_dataflow("statistics"),
        Field(description="Passes over X before selection; default: what the method asks for"),
    ] = None
    pre_shifter: Annotated[
        SerializeAsAny[PreShifter] | None,
        of_dataflow("pre_shifter"),
        Field(description="Subtracts shifts before selection; default: what the method asks for"),
    ] = None
    pre_scaler: Annotated[
        SerializeAsAny[PreScaler] | None,
        of_dataflow("pre_scaler"),
        Field(
            description=(
                "Multiplies scores by factors before selection; default: what the method asks for"
            ),
        ),
    ] = None
    splitter: Annotated[
        SerializeAsAny[Splitter] | None,
        of_dataflow("splitter"),
        Field(
            description=(
                "Rounds X to what is kept, and again to what that leaves of it; default: what the "
                "method asks for"
            ),
        ),
    ] = None
    moments: Annotated[
        SerializeAsAny[Moments] | None,
        of_dataflow("moments"),
        Field(
            description="Sums for the correction of the variance; default: what the method asks for"
        ),
    ] = None
    epilogue: Annotated[
        SerializeAsAny[Epilogue] | None,
        of_dataflow("epilogue"),
        Field(description="Scales outputs, adds to them; default: what the method asks for"),
    ] = None
    extra_units: Annotated[
        ExtraUnits,
        Field(
            alias="units",
            description="Units of the dataflow that have no key of their own, by name",
        ),
    ] = {}
    technology: Annotated[TechnologyChoice, Field(description="Costs of area and energy")] = (
        TechnologyChoice()
    )
    tiling: Annotated[
        TilingChoice | SearchChoice | Literal["auto", "quick"],
        BeforeValidator(check_tiling_choice),
        Field(
            description=(
                "auto: a search by exact runs for the fewest cycles; {objective: energy} or edp: "
                "that search for less energy, or energy × delay; quick: an estimate; or a tile by "
                "hand: {tokens: 64, columns: 64, reduction: 128}"
            )
        ),
    ] = "auto"

    @override
    def __hash__(self) -> int:
        """Return the same for equal machines; a mapping, such as `extra_units`, has no hash."""
        names = (name for name in type(self).model_fields if name != "extra_units")
        return hash(tuple(getattr(self, name) for name in names))

    @property
    def method(self) -> Method:
        """How the machine prunes layers that nothing else is said of."""
        return Method(self.pattern, self.criterion, self.mitigation)

    @property
    def operands(self) -> Operands:
        """The number formats of X, W and Y."""
        return operands_of(self.precision)

    @property
    def diagram(self) -> Diagram:
        """The block diagram."""
        return DATAFLOWS[self.dataflow]

    @property
    def given_units(self) -> dict[str, Unit]:
        """The units that are there, by their names in diagrams."""
        units = {name: _at(self, key) for name, key in UNIT_KEYS.items()}
        units["crossbar"] = self.crossbar if self.crossbar.is_routing else None
        units |= self.extra_units
        return {name: unit for name, unit in units.items() if unit is not None}

    @property
    def method_units(self) -> dict[str, LaneUnit]:
        """The units of pruning methods that are there, by key."""
        units = {unit.key: getattr(self, unit.key) for unit in METHOD_UNITS}
        return {key: unit for key, unit in units.items() if unit is not None}

    def by_key(self) -> dict[str, Any]:
        """Return the values of all keys by their names in a file."""
        fields = type(self).model_fields
        return {field.alias or name: getattr(self, name) for name, field in fields.items()}


def _at(model: BaseModel, key: KeyPath) -> Any:
    """Return the value at a path of keys, such as `("buffers", "weights")`."""
    for part in key:
        model = getattr(model, part)
    return model
