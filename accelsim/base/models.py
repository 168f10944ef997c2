"""Copies of frozen pydantic models, made anew."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

Model = TypeVar("Model", bound=BaseModel)


def remade(model: Model, **values: Any) -> Model:
    """Return a new model with the fields of `model` and, in place of some, these values.

    Nothing is checked. A field that nobody gave counts as not given in the new model, too, whatever
    its value; and what the model has cached of itself (`cached_property`) is left behind, unlike in
    `model.model_copy(update=...)`.
    """
    fields = {name: getattr(model, name) for name in type(model).model_fields}
    return type(model).model_construct(set(model.model_fields_set), **(fields | values))
