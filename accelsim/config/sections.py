"""Sections of an architecture file that are not a single unit: technology, buffers, a tile."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny

from accelsim.base.errors import InputError
from accelsim.config.values import of_dataflow
from accelsim.dataflows.layer_machine import Aim, Objective
from accelsim.hardware import ActivationBuffer, CompressedBuffer, OutputBuffer, WeightBuffer
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


class Buffers(BaseModel):
    """The on-chip buffers; `compressed` exists only on a sparse machine."""

    model_config = _STRICT

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
