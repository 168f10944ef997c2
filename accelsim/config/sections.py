"""Sections of an architecture file that are not a single unit: technology, buffers, a tile."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError, model_validator

from accelsim.base.errors import InputError
from accelsim.config.values import of_dataflow
from accelsim.dataflows.layer_machine import Aim, Objective
from accelsim.hardware import ActivationBuffer, CompressedBuffer, OutputBuffer, WeightBuffer
from accelsim.hardware.buffer import Banks, DoubleBuffered, check_whole_ports
from accelsim.mapping import Tiling
from accelsim.mapping.tiling import Order

_STRICT = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


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


_MOST_SHARED_MACROS = 32  # each split of them is tried for each layer


class SharedBuffer(BaseModel):
    """One memory for X and W, of equal macros: each layer has some of them for X, the rest for W.

    A macro serves one operand as long as a layer runs, so that its ports serve one stage each, and
    the two never wait for each other. The port of an operand is as wide as its macros together.

    Example:
        >>> shared = SharedBuffer(capacity_kib=96, port_bytes=96, macros=3)
        >>> shared.part(2)["capacity_kib"], shared.part(1)["port_bytes"]
        (64.0, 32)
    """

    model_config = _STRICT

    capacity_kib: Annotated[
        float, Field(strict=True, gt=0, le=65536), Field(description="Size, all macros together")
    ]
    port_bytes: Annotated[
        int,
        Field(strict=True, gt=0, le=65536),
        Field(description="Bytes a cycle of all macros together, of each of their two ports"),
    ]
    macros: Annotated[
        int,
        Field(strict=True, ge=2, le=_MOST_SHARED_MACROS),
        Field(description="Equal memories, each wholly for X or wholly for W in a layer"),
    ]
    banks: Banks = 1
    double_buffered: DoubleBuffered = True

    @model_validator(mode="after")
    def _macros_are_whole(self) -> Self:
        check_whole_ports(self.port_bytes, self.macros)
        if self.capacity_kib * 1024 % self.macros:
            raise InputError(
                f"capacity_kib {self.capacity_kib:g} must divide by macros {self.macros}, in bytes"
            )
        return self

    def part(self, macros: int) -> dict[str, Any]:
        """Return the keys of a buffer of so many of the macros."""
        return {
            "capacity_kib": self.capacity_kib * macros / self.macros,
            "port_bytes": self.port_bytes // self.macros * macros,
            "macros": macros,
            "banks": self.banks,
            "double_buffered": self.double_buffered,
        }

    def split(self, x_macros: int) -> dict[str, dict[str, Any]]:
        """Return the keys of the buffers of X and W if X has so many of the macros."""
        return {
            "activations": self.part(x_macros),
            "weights": self.part(self.macros - x_macros),
        }


_ANY = {"capacity_kib": 1, "port_bytes": 1}


def _either(schema: dict[str, Any]) -> None:
    """Make a schema ask for the buffers of X and W, or for a shared one."""
    own = [key for key in schema["required"] if key in ("activations", "weights")]
    schema["required"] = [key for key in schema["required"] if key not in own]
    schema["anyOf"] = [{"required": own}, {"required": ["shared"]}]


class Buffers(BaseModel):
    """The on-chip buffers; `compressed` exists only on a sparse machine.

    Of a shared one, the buffers of X and W are halves here; each layer has its own split.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=_either)

    activations: Annotated[
        SerializeAsAny[ActivationBuffer],
        of_dataflow("activation_buffer"),
        Field(description="Holds tiles of X"),
    ]
    weights: Annotated[
        SerializeAsAny[WeightBuffer],
        of_dataflow("weight_buffer"),
        Field(description="Holds tiles of W"),
    ]
    outputs: Annotated[
        SerializeAsAny[OutputBuffer],
        of_dataflow("output_buffer"),
        Field(description="Holds tiles of Y"),
    ]
    compressed: Annotated[
        SerializeAsAny[CompressedBuffer] | None,
        of_dataflow("compressed_buffer"),
        Field(description="Holds what was selected; sparse machines need it"),
    ] = None
    shared: Annotated[
        SharedBuffer | None,
        Field(description="One memory for X and W, instead of activations and weights"),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _halve(cls, raw: Any) -> Any:
        """Return the section with halves of a shared memory as the buffers of X and W."""
        if not isinstance(raw, dict) or raw.get("shared") is None:
            return raw
        try:
            shared = SharedBuffer.model_validate(raw["shared"])
        except ValidationError:  # told at its own key, and nothing else
            return {**raw, **dict.fromkeys(("activations", "weights"), _ANY)}
        halves = shared.split(shared.macros // 2)
        for name in halves:
            if name in raw and raw[name] != halves[name]:
                raise InputError(
                    f"'shared' is the memory of activations and weights: leave out '{name}'"
                )
        return {**raw, **halves}


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


class SearchChoice(BaseModel):
    """What the search for a tile is to make least."""

    model_config = _STRICT

    objective: Annotated[
        Objective,
        Field(description="What is least: cycles, energy, or their product"),
    ] = "cycles"


_OF_A_TILE = tuple(TilingChoice.model_fields)


def check_tiling_choice(raw: object) -> object:
    """Return `auto`, `quick` or the section that `raw` is; raise InputError if it is neither."""
    if isinstance(raw, dict) and set(raw) == {"objective"}:
        return SearchChoice.model_validate(raw)
    if isinstance(raw, dict) and "objective" not in raw and set(raw) & set(_OF_A_TILE):
        return TilingChoice.model_validate(raw)
    if raw not in ("auto", "quick") and not isinstance(raw, TilingChoice | SearchChoice):
        raise InputError(
            "must be auto, quick, a section with an objective alone, or one with tokens, columns, "
            "reduction and order"
        )
    return raw


def tiling_of(choice: TilingChoice | SearchChoice | Literal["auto", "quick"]) -> Tiling | Aim:
    """Return the tile that is set by hand, or the aim of the search for one."""
    if isinstance(choice, TilingChoice):
        return choice.tiling()
    if isinstance(choice, SearchChoice):
        return choice.objective
    return "quick" if choice == "quick" else "cycles"
