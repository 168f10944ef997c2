"""Schema of technology files: numbers with their sources, read strictly."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from accelsim.base.errors import InputError, shown
from accelsim.base.yaml_source import YamlSource, dotted, hint

_MOST = 1e15  # of any price: no result of it is beyond what a number can be
NonNegative = Annotated[float, Field(strict=True, ge=0, le=_MOST, allow_inf_nan=False)]
Node = Annotated[float, Field(strict=True, gt=0, le=1000, allow_inf_nan=False)]
STRICT = ConfigDict(frozen=True, extra="forbid")

Model = TypeVar("Model", bound=BaseModel)


class Number(BaseModel):
    """One number, and where it is written."""

    model_config = STRICT

    value: NonNegative
    source: Annotated[str, Field(min_length=1)]


class Positive(Number):
    """One number that others are divided by."""

    value: Annotated[float, Field(strict=True, gt=0, le=_MOST, allow_inf_nan=False)]


def parsed(model: type[Model], file: YamlSource) -> Model:
    """Return the contents of a technology file as a model.

    Raises:
        InputError: with file and line, the first key that the model does not accept.
    """
    try:
        return model.model_validate(file.data)
    except ValidationError as error:
        problem = error.errors()[0]
        key = tuple(map(str, problem["loc"]))
        given = hint(problem["type"], problem["input"])
        if problem["type"] not in ("missing", "extra_forbidden"):
            given = f", got {shown(repr(problem['input']))}{given}"
        where = file.where(key)
        raise InputError(f"{where}: {dotted(key)}: {problem['msg']}{given}") from error
