"""Rules of a unit's fields, which are keys in YAML, and of what its docstring says."""

from __future__ import annotations

import doctest
import inspect
import math
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import yaml
from pydantic import ValidationError

from accelsim.base.errors import InputError
from accelsim.hardware import Unit
from accelsim.testing.rules import Findings

NONSENSE = (-1, math.inf, -math.inf, math.nan, "many", [1], True)
"""No value of a number: yes is not one, either."""
_SECTIONS = ("Timing", "Actions", "Not modelled")


def made(unit: Unit, field: str, value: object) -> Unit | None:
    """Return a unit with another value of a field; None if that is refused."""
    try:
        return type(unit).model_validate({**unit.model_dump(), field: value})
    except (ValidationError, InputError):
        return None


def variants(unit: Unit) -> Iterator[tuple[str, Unit]]:
    """Yield, for each field that can have another value, a unit that differs in it alone."""
    for field in type(unit).model_fields:
        for value in _others(getattr(unit, field)):
            other = made(unit, field, value)
            if other is not None:
                yield field, other
                break


def _others(value: object) -> list[Any]:
    """Return other values, likely ones first."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [2 * value, value // 2, value + 1, value - 1]
    if isinstance(value, float):
        return [2 * value, value / 2]
    return [2, 1, 2.0] if value is None else []


def numbers(unit: Unit) -> list[str]:
    """Return the fields that hold a number."""
    return [field for field, value in unit.model_dump().items() if type(value) in {int, float}]


def fields_survive_yaml(unit: Unit) -> Findings:
    """What a unit dumps makes the same unit, through YAML and back."""
    text = yaml.safe_dump(unit.model_dump())
    again = type(unit).model_validate(yaml.safe_load(text))
    if again != unit:
        yield f"its fields are {again!r} after YAML and back; expected {unit!r}"


def unknown_fields_are_refused(unit: Unit) -> Findings:
    """A misspelt key is an error."""
    if made(unit, "colour_of_no_unit", "red") is not None:
        yield "it accepts a field that it does not have; expected an error"


def fields_are_frozen(unit: Unit) -> Findings:
    """Fields do not change after construction: runs are remembered by them."""
    for field in type(unit).model_fields:
        try:
            setattr(unit, field, getattr(unit, field))
        except ValidationError:
            continue
        yield f"field '{field}' can be set; expected a frozen model"


def numbers_make_sense(unit: Unit) -> Findings:
    """A field that holds a number refuses what is none, and one below zero."""
    for field in numbers(unit):
        for bad in NONSENSE:
            if made(unit, field, bad) is not None:
                yield (
                    f"field '{field}' accepts {bad!r}; expected an error, as of "
                    f"Field(strict=True, gt=0, le=…)"
                )


def fields_are_described(unit: Unit) -> Findings:
    """Each field says in a line what it is; schema, help and guide print that."""
    for name, field in type(unit).model_json_schema().get("properties", {}).items():
        # Of a field that may be None, the description stands beside its other type.
        if not any(part.get("description") for part in (field, *field.get("anyOf", []))):
            yield f"field '{name}' has no description; expected Field(description=…)"


def docstring_has_sections(unit: Unit) -> Findings:
    """A docstring says timing, actions and what is not modelled, and has an example.

    A kind may leave a section, but not the example, to the class that all its kinds share.
    """
    classes = [c for c in type(unit).__mro__ if issubclass(c, Unit) and c is not Unit]
    texts = [inspect.getdoc(c) or "" for c in classes]
    for section in _SECTIONS:
        heading = rf"^(\w+, )*{section}(, \w+)*:$"
        if not any(re.search(heading, text, re.MULTILINE) for text in texts):
            yield f"its docstring has no section '{section}:'"
    if not re.search(r"^Example:\n(.|\n)*>>> ", texts[0], re.MULTILINE):
        yield "its docstring has no section 'Example:' with a line that begins with >>>"


def example_runs(unit: Unit) -> Findings:
    """The examples of a docstring print what they show."""
    cls, said = type(unit), list[str]()
    known = vars(sys.modules[cls.__module__])
    runner = doctest.DocTestRunner(verbose=False)
    for test in doctest.DocTestFinder(recurse=False).find(cls, cls.__name__, globs=dict(known)):
        runner.run(test, out=said.append)
    if said:
        yield "its example does not print what it shows: " + " ".join("".join(said).split())


OF_FIELDS: dict[str, Callable[[Unit], Findings]] = {
    "fields survive YAML": fields_survive_yaml,
    "unknown fields are refused": unknown_fields_are_refused,
    "fields are frozen": fields_are_frozen,
    "numbers make sense": numbers_make_sense,
    "fields are described": fields_are_described,
    "the docstring has its sections": docstring_has_sections,
    "the example runs": example_runs,
}
"""Rules of a unit alone, by name."""
