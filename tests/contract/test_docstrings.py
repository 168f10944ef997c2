"""Docstrings name what is there: parameters of functions, attributes of classes."""

import ast
import dataclasses
import inspect
import pydoc
import re
from pathlib import Path

import pytest

import accelsim as acs

PACKAGE = Path(acs.__file__).parent
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
TREES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in PACKAGE.rglob("*.py")
}
PUBLIC = [name for name in acs.__all__ if not name.startswith("__")]


def section(docstring, title):
    """Return the names that a section of a docstring describes; none if there is no such one."""
    lines = inspect.cleandoc(docstring or "").splitlines()
    if f"{title}:" not in lines:
        return []
    body = lines[lines.index(f"{title}:") + 1 :]
    end = next((i for i, line in enumerate(body) if line and not line.startswith(" ")), len(body))
    entries = (re.match(r" {4}(?! )(.+?):", line) for line in body[:end])
    return [name for entry in entries if entry for name in entry[1].split(", ")]


def parameters(node):
    """Return the names of the parameters of a function, without self and cls."""
    given = node.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    names = [arg.arg for arg in (*named, given.vararg, given.kwarg) if arg is not None]
    return [name for name in names if name not in ("self", "cls")]


def members(node):
    """Return the names that a class has by its own definition, and those of its instances."""
    fields = {item.target.id for item in node.body if isinstance(item, ast.AnnAssign)}
    methods = {item.name for item in node.body if isinstance(item, FUNCTION)}
    own = {
        item.attr
        for item in ast.walk(node)
        if isinstance(item, ast.Attribute) and isinstance(item.ctx, ast.Store)
    }
    return fields | methods | own


def nodes(kind):
    return [
        (f"{file}:{node.name}", node)
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, kind)
    ]


def wrong_args():
    for where, node in nodes(FUNCTION):
        described = section(ast.get_docstring(node), "Args")
        if described and described != parameters(node):
            yield where, described, parameters(node)


def wrong_attributes():
    for where, node in nodes(ast.ClassDef):
        missing = set(section(ast.get_docstring(node), "Attributes")) - members(node)
        if missing:
            yield where, missing


def test_args_are_the_parameters_in_their_order():
    found = [where for where, node in nodes(FUNCTION) if section(ast.get_docstring(node), "Args")]
    assert len(found) > 40, "does this test still find the sections?"
    assert list(wrong_args()) == []


def test_attributes_are_those_of_the_class():
    assert list(wrong_attributes()) == []


def test_a_docstring_that_names_what_is_not_there_is_found(monkeypatch):
    text = '''
def run(a, *, b):
    """Run.

    Args:
        a: with more
            than one line: yes.
        c: gone.

    Raises:
        InputError: never.
    """

class Kept:
    """Kept.

    Attributes:
        here: yes.
        there: no.
    """

    here: int
'''
    monkeypatch.setitem(TREES, "made.py", ast.parse(text))
    assert ("made.py:run", ["a", "c"], ["a", "b"]) in list(wrong_args())
    assert ("made.py:Kept", {"there"}) in list(wrong_attributes())


# --- the public API ------------------------------------------------------------------------------


def test_names_are_shown():
    assert set(acs.__all__) <= set(dir(acs))
    assert not {"import_module", "TYPE_CHECKING", "Any"} & set(dir(acs))


def test_help_lists_every_name_and_the_docstring_those_that_run():
    text = pydoc.plain(pydoc.render_doc(acs))
    for name in PUBLIC:
        assert re.search(rf"\b{name}\b", acs.__doc__), name
        assert re.search(rf"(?m)^    (?:class )?{name}\(", text), name


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_described_in_full(name):
    thing = getattr(acs, name)
    assert thing.__doc__
    if inspect.isfunction(thing):
        described, there = section(thing.__doc__, "Args"), list(inspect.signature(thing).parameters)
        assert described == there
        kinds = {parameter.kind for parameter in inspect.signature(thing).parameters.values()}
        assert not kinds & {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}
        assert set(thing.__annotations__) == {*there, "return"}
    elif dataclasses.is_dataclass(thing):
        fields = [field.name for field in dataclasses.fields(thing) if field.name[0] != "_"]
        assert section(thing.__doc__, "Attributes") == fields


def test_the_ways_to_run_a_trace_take_the_same_options():
    one, several, rows = (
        inspect.signature(f).parameters for f in (acs.simulate, acs.simulate_all, acs.compare)
    )
    options = {name: one[name] for name in one if name not in ("arch", "policy")}
    assert options == {name: several[name] for name in several if name not in ("archs", "policies")}
    assert {name: rows[name] for name in rows if name in options}.items() <= options.items()
