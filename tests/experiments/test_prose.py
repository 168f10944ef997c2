"""A script of an experiment is a short declaration, in which no number of its prose is typed."""

import ast
import re
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[2] / "experiments").glob("*/run.py"))
NAMES = re.compile(
    r"int8/int4:64|W4A8|\w*fp4\b|utf-8"  # precisions, and of text
    r"|\d+:\d+"  # patterns
    r"|topk:0\.\d+|rsparse\d+"  # methods
    r"|\b(?:int|fp|bf)\d+\b"  # precisions
    r"|\b(?:nm|large|weights|nvidia)\d+\b|\bdual24_816\b|\bs2ta\b"  # machines
    r"|\b(?:lpddr|hbm)\d\w?\b"  # memories
    r"|llama-?3[-_]8b\b|\b\d+ [BM]\b"  # models
    r"|\w*[um]m2\w*"  # facts with their units
    r"|1 − \(1 − ½\)\^B",  # a formula, as the head of a column
    re.IGNORECASE,
)
WORDS = re.compile(r"\b(?:two|three|four|five|six|seven|eight|nine|ten|twice|tenth|quarters?)\b")
FIELD = re.compile(r"\{[^{}]*\}")


def texts(tree):
    """Yield what is typed: of strings what is not a field of a template, and numbers in f-strings.

    A name that is no sentence has no spaces, and may be a word or have a digit as in `NAMES`.
    """
    parts = set()  # of f-strings, which are looked at as a whole; formats (`:.2f`) are no text
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts.update(map(id, ast.walk(node)))
            pieces = (part.value if isinstance(part, ast.Constant) else "_" for part in node.values)
            yield FIELD.sub("", "".join(pieces)) if id(node) not in formats(tree) else ""
        if isinstance(node, ast.FormattedValue):
            inside = [part for part in ast.walk(node.value) if isinstance(part, ast.Constant)]
            yield from (str(part.value) for part in inside)
        elif isinstance(node, ast.Constant) and id(node) not in parts:
            yield FIELD.sub("", node.value) if isinstance(node.value, str) else ""


def formats(tree):
    """Return the formats of all f-strings, which are f-strings themselves."""
    return {id(node.format_spec) for node in ast.walk(tree) if isinstance(node, ast.FormattedValue)}


def typed(source, files=()):
    """Return the texts of a script with numbers that come from no result."""
    found = [NAMES.sub("", text) for text in texts(ast.parse(source)) if text not in files]
    return [
        text for text in found if re.search(r"\d", text) or (" " in text and WORDS.search(text))
    ]


def test_there_are_scripts():
    assert len(SCRIPTS) >= 9


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.parent.name)
def test_no_number_of_the_prose_is_typed(script):
    files = {path.stem for path in script.parent.iterdir()}
    assert typed(script.read_text(encoding="utf-8"), files) == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.parent.name)
def test_a_script_is_short(script):
    assert len(script.read_text(encoding="utf-8").splitlines()) < 100


@pytest.mark.parametrize(
    "source",
    [
        '"8:16 is 1.95 times as fast"',
        '"8:16 is {speedup:.2f} times as fast at 64 GB/s"',
        'f"{name} at 7 nm"',
        'f"{5} GB/s"',
        'f"at {word(2)} errors"',
        '"by two standard errors"',
        '"""In 45 nm."""',
    ],
)
def test_a_typed_number_is_found(source):
    assert typed(source)


@pytest.mark.parametrize(
    "source",
    [
        '"8:16 is {speedup:.2f}× as fast in int8, {bound:.0 %} of Llama-3-8B"',
        'f"{bandwidth:.2f} GB/s"',
        'Claim("two", form="{:.3f}", above=1.95)',
        'groups = {"sizes": ("equal_area_1632",)}',
    ],
)
def test_names_and_computed_numbers_are_not(source):
    assert typed(source, {"equal_area_1632"}) == []
