"""Which layer is pruned how: one method for all, or a policy file with rules for names of layers.

    schema: 1
    pattern: 8:16              # of layers that no rule names
    mitigation: var
    layers:
      "*.up_proj": dense
      "*.down_proj": {pattern: 4:8, criterion: amber}

The last rule that matches a layer counts; what it does not say is as for all other layers. A rule
that spells out the name of a layer is for this layer, brackets and all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from accelsim.base.arguments import path_of, wrong_type
from accelsim.base.errors import InputError, shown
from accelsim.base.registry import did_you_mean, named
from accelsim.base.yaml_source import YamlSource, dotted, read_yaml
from accelsim.sparsity import Pattern, parse_pattern
from accelsim.sparsity.criteria import CRITERIA
from accelsim.sparsity.demands import Demands
from accelsim.sparsity.mitigations import parse_mitigation


@dataclass(frozen=True)
class Method:
    """A way to prune a layer: pattern of what is kept, ranking, and what makes up for the rest."""

    pattern: Pattern
    criterion: str = "act"
    mitigation: str = "none"

    @cached_property
    def demands(self) -> Demands:
        """The units that the method asks of a machine; a dense layer asks for none."""
        if self.pattern.is_dense:
            return Demands()
        parts = CRITERIA[self.criterion].demands | parse_mitigation(self.mitigation).demands
        return parts | self.pattern.demands

    def __str__(self) -> str:
        extras = [name for name in (self.criterion, self.mitigation) if name not in ("act", "none")]
        return " ".join([str(self.pattern), *extras])


def _schema(raw: object) -> object:
    if type(raw) is not int:  # YAML's true equals 1
        raise InputError(f"must be 1, not {shown(repr(raw))}")
    return raw


def _layers(raw: object) -> object:
    if not isinstance(raw, dict):
        raise InputError("must be globs and rules, like '\"*.up_proj\": dense'")
    return raw


def _method(raw: object) -> object:
    """Accept `dense` for `{pattern: dense}`."""
    if raw is None or raw == {}:
        raise InputError("a rule that says nothing; write a pattern, or {pattern: …, criterion: …}")
    return {"pattern": raw} if not isinstance(raw, dict) else raw


def _given(raw: object) -> object:
    if raw is None:
        raise InputError("has no value; leave the key out for the default")
    return raw


def _pattern(raw: object) -> object:
    if not isinstance(raw, str):
        raise InputError(f"a pattern is a text like 8:16, not {shown(raw)}")
    return str(parse_pattern(raw))


def _criterion(raw: object) -> object:
    CRITERIA[str(raw)]
    return raw


def _mitigation(raw: object) -> object:
    parse_mitigation(str(raw))
    return raw


class _Rule(BaseModel):
    """What a policy file says of some layers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pattern: Annotated[str | None, BeforeValidator(_pattern), BeforeValidator(_given)] = None
    criterion: Annotated[str | None, BeforeValidator(_criterion), BeforeValidator(_given)] = None
    mitigation: Annotated[str | None, BeforeValidator(_mitigation), BeforeValidator(_given)] = None

    def applied_to(self, method: Method) -> Method:
        """Return `method` with what the rule says."""
        said = self.model_dump(include={"pattern", "criterion", "mitigation"}, exclude_none=True)
        if "pattern" in said:
            said["pattern"] = parse_pattern(said["pattern"])
        return replace(method, **said)


class _File(_Rule):
    """A policy file."""

    schema_: Annotated[Literal[1], BeforeValidator(_schema)] = Field(alias="schema")
    layers: Annotated[
        dict[str, Annotated[_Rule, BeforeValidator(_method)]], BeforeValidator(_layers)
    ] = {}


@dataclass(frozen=True, slots=True)
class Policy:
    """Methods of layers by name.

    Attributes:
        default: the method of layers that no rule names.
        rules: globs over names, each with its method; the last one that matches counts.
        name: of the file, for messages.
    """

    default: Method
    rules: tuple[tuple[str, Method], ...] = ()
    name: str = ""

    def of(self, layer: str) -> Method:
        """Return the method of a layer.

        >>> half, dense = Method(parse_pattern("8:16")), Method(parse_pattern("dense"))
        >>> str(Policy(half, (("*.up_proj", dense),)).of("model.layers.0.mlp.up_proj"))
        'dense'
        """
        found = [method for glob, method in self.rules if named([layer], glob)]
        return found[-1] if found else self.default

    def check(self, layers: Iterable[str]) -> None:
        """Raise InputError if a rule is for no layer, or is a name and a glob for others as well.

        The one would silently do nothing, the other more than it says.
        """
        names = list(layers)
        for glob, _ in self.rules:
            matching = [name for name in names if named([name], glob)]
            if not matching:
                near = did_you_mean(glob, names)
                raise InputError(
                    f"{self.name}: no layer matches '{shown(glob)}'{near}; there are "
                    f"{', '.join(names[:3])}{', …' if len(names) > 3 else ''}"  # noqa: PLR2004
                )
            others = [name for name in matching if name != glob]
            if others and glob in matching:
                raise InputError(
                    f"{self.name}: '{shown(glob)}' is a layer, and as a glob it matches "
                    f"'{shown(others[0])}' as well; write [[] for a bracket that is part of a name"
                )

    @property
    def methods(self) -> tuple[Method, ...]:
        """Every method that some layer may have, each once."""
        return tuple(dict.fromkeys((self.default, *(method for _, method in self.rules))))

    def to_dict(self) -> dict[str, Any]:
        """Return the contents of a policy file."""
        default = self.default

        def rule(method: Method) -> str | dict[str, str]:
            is_as_default = replace(default, pattern=method.pattern) == method
            return str(method.pattern) if is_as_default else _plain(method)

        return {
            "schema": 1,
            **_plain(default),
            "layers": {glob: rule(method) for glob, method in self.rules},
        }


def _plain(method: Method) -> dict[str, str]:
    return {
        "pattern": str(method.pattern),
        "criterion": method.criterion,
        "mitigation": method.mitigation,
    }


def load_policy(path: str | Path, default: Method) -> Policy:
    """Read a policy file.

    Args:
        path: of the file.
        default: what neither its rules nor its own default say, e.g. `arch.method`.

    Raises:
        InputError: not readable, not YAML, or not a policy; with file and line.
        ArgumentError: an argument has a type that it cannot have.
    """
    if not isinstance(default, Method):
        raise wrong_type(default, "default", "a Method, such as arch.method")
    source = read_yaml(path_of(path, "path"))
    try:
        file = _File.model_validate(source.data)
    except ValidationError as error:
        raise InputError(_explain(source, error)) from error
    overall = file.applied_to(default)
    rules = tuple((glob, rule.applied_to(overall)) for glob, rule in file.layers.items())
    return Policy(overall, rules, str(path))


def _explain(source: YamlSource, error: ValidationError) -> str:
    problem = error.errors()[0]
    location = [str(part) for part in problem["loc"]]
    key = tuple(location)
    while key and key not in source.lines:  # a rule written as a bare pattern has no line below it
        key = key[:-1]
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        known = ["pattern", "criterion", "mitigation"]
        known += [] if len(location) > 1 else ["schema", "layers"]
        near = did_you_mean(location[-1], known)
        message = f"unknown key '{shown(location[-1])}'{near}; allowed: {', '.join(known)}"
    if problem["type"] == "missing":  # of the only required key
        return f"{source.where(key)}: key 'schema' is missing; write schema: 1"
    return f"{source.where(key)}: {dotted(key)}: {message}"
