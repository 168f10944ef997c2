"""The key `precision`: one number format for all operands, or a format each for X, W and Y."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from accelsim.precision import GROUPS, PRECISIONS, Operands
from accelsim.precision.operands import DEFAULT_GROUP, usual_outputs


def _as_written(schema: dict[str, Any]) -> None:
    """Make the schema of a section that of what a file may write."""
    keys, names = schema["properties"], {"enum": sorted(PRECISIONS)}
    schema["required"] = [key for key in schema["required"] if key in ("x", "format")]
    for key in keys.keys() & {"x", "y", "format"}:
        keys[key] |= names
    if "w" in keys:
        keys["w"] = {"description": keys["w"]["description"], "anyOf": [keys["w"], names]}
    if "group" in keys:
        keys["group"]["anyOf"][0] |= {"enum": list(GROUPS)}


_STRICT = ConfigDict(frozen=True, extra="forbid", json_schema_extra=_as_written)


class WeightFormat(BaseModel):
    """How W is stored."""

    model_config = _STRICT

    format: Annotated[
        str,
        Field(description="Number format of W: that of X, or integers of fewer bits, unpacked"),
    ]
    group: Annotated[
        int | None,
        Field(
            strict=True,
            description="Values along K with one scale, 32, 64 or 128, where W is unpacked; "
            "default: 128",
        ),
    ] = None


class OperandFormats(BaseModel):
    """A number format for each operand of a product."""

    model_config = _STRICT

    x: Annotated[str, Field(description="Number format of X, and of the multipliers")]
    w: Annotated[WeightFormat, Field(description="Format of W, or a section; default: that of X")]
    y: Annotated[str, Field(description="Number format of Y; default: that of X; of fp4: bf16")]

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, raw: Any) -> Any:
        """Return the section with what it leaves open: formats as X, and the usual group."""
        if not isinstance(raw, dict) or "x" not in raw:
            return raw
        w = raw.get("w", raw["x"])
        w = dict(w) if isinstance(w, dict) else {"format": w}
        if w.get("format") != raw["x"]:
            w.setdefault("group", DEFAULT_GROUP)
        usual = usual_outputs(raw["x"]) if raw["x"] in PRECISIONS else raw["x"]
        return {"y": usual, **raw, "w": w}

    @model_validator(mode="after")
    def _go_together(self) -> OperandFormats:
        _ = self.operands
        return self

    @property
    def operands(self) -> Operands:
        """The formats as the datapath knows them."""
        return Operands.of(self.x, self.w.format, self.y, group=self.w.group)


def check_precision(raw: object) -> OperandFormats | str:
    """Accept the name of a format, a text such as `int8/int4:64`, or a section."""
    if isinstance(raw, dict):
        return OperandFormats.model_validate(raw)
    if isinstance(raw, OperandFormats):
        return raw
    Operands.parse(str(raw))
    return raw  # type: ignore[return-value]  # what is no text is refused behind this


def operands_of(precision: OperandFormats | str) -> Operands:
    """Return the formats of a machine's operands."""
    return Operands.parse(precision) if isinstance(precision, str) else precision.operands


def texts_of_precision() -> list[dict[str, Any]]:
    """Return the schemas of precisions that are written as text: a name, or one an operand."""
    name, group = "|".join(sorted(PRECISIONS)), "|".join(map(str, GROUPS))
    several = rf"^\s*({name})(\s*/\s*({name})(:({group}))?(\s*/\s*({name}))?)?\s*$"
    return [{"enum": sorted(PRECISIONS)}, {"type": "string", "pattern": several}]
