"""From a YAML file to an `Architecture`; every error names file, line, key and what is allowed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import ValidationError

from accelsim.base.arguments import path_of, texts_of
from accelsim.base.errors import InputError, KeyedError, shown
from accelsim.base.registry import did_you_mean
from accelsim.base.yaml_source import KeyPath, YamlSource, dotted, hint, read_yaml
from accelsim.config.architecture import Architecture
from accelsim.config.keys import known_keys, unit_of


def load_arch(path: str | Path, overrides: Sequence[str] = ()) -> Architecture:
    """Load an architecture file.

    Args:
        path: of the file.
        overrides: `dotted.key=value` texts that replace keys in it, as `--set` does.

    Raises:
        InputError: the file cannot be read, is not YAML, or does not describe a machine.
        ArgumentError: an argument has a type that it cannot have.
    """
    source = read_yaml(path_of(path, "path"))
    for text in texts_of(overrides, "overrides"):
        source.override(text)
    return arch_of(source)


def arch_of(source: YamlSource) -> Architecture:
    """Return the machine that the contents of an architecture file describe.

    Raises:
        InputError: they do not describe one.
    """
    try:
        return Architecture.model_validate(source.data)
    except ValidationError as error:
        raise InputError(_explain(source, error)) from error


def _explain(source: YamlSource, error: ValidationError) -> str:
    """Return one problem as `file:line: key 'a.b': what; what is allowed`."""
    problems = error.errors()
    # A misspelt key is also a missing one; what was written tells more.
    unknown = [problem for problem in problems if problem["type"] == "extra_forbidden"]
    problem = (unknown or problems)[0]
    key = _key_path(source.data, [str(part) for part in problem["loc"]])
    cause = problem.get("ctx", {}).get("error")
    if isinstance(cause, KeyedError):
        return f"{source.where(cause.key)}: {cause}"
    where, name = source.where(key), dotted(key)
    if problem["type"] == "extra_forbidden":
        known = known_keys(key[:-1], source.data)
        allowed = ", ".join(sorted(known))
        return f"{where}: unknown key '{name}'{did_you_mean(key[-1], known)}; allowed: {allowed}"
    if problem["type"] == "missing":
        return f"{where}: key '{name}' is missing{_unit_hint(key)}"
    if problem["type"] == "model_type":
        keys = ", ".join(known_keys(key, source.data))
        return f"{where}: key '{name}': must be a section with the keys {keys}"
    message = problem["msg"].removeprefix("Value error, ")
    # Our own messages already quote the value.
    given = "" if problem["type"] == "value_error" else f", got {shown(repr(problem['input']))}"
    given += hint(problem["type"], problem["input"])
    label = f"key '{name}': " if name else ""
    return f"{where}: {label}{message}{_unit_hint(key)}{given}"


def _key_path(data: object, location: Iterable[str]) -> KeyPath:
    """Drop the parts of a location that do not name a key: what lies below a plain value."""
    key: list[str] = []
    for part in location:
        if not isinstance(data, dict):
            break
        key.append(part)
        data = data.get(part)
    return tuple(key)


def _unit_hint(key: KeyPath) -> str:
    """Return ` (a number in GB/s)` for a key whose name ends in a unit."""
    unit = unit_of(key[-1]) if key else ""
    return f" (a number in {unit})" if unit else ""
