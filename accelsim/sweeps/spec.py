"""The sweep file: what is varied, on which traces, within which limits, and how it is searched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationError,
)

from accelsim.base.errors import InputError, shown
from accelsim.base.registry import did_you_mean
from accelsim.base.renamed import new_name
from accelsim.base.yaml_source import KeyPath, YamlSource, dotted, hint, read_yaml
from accelsim.config.keys import is_key, keys_below
from accelsim.run.following import DEFAULT_LAYERS, Layers
from accelsim.sweeps.axes import Range
from accelsim.sweeps.constraints import Constraint
from accelsim.sweeps.metrics import DEFAULT_METRICS, check_metric, columns_of
from accelsim.sweeps.passwords import masked, without_passwords

_STRICT = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
_MOST_BATCH = 2**20
_MOST_VALUES = 500_000  # of all axes together: some 100 bytes each
_LARGEST_WHOLE = 2**63 - 1  # that a table can hold


def _listed(raw: object) -> object:
    """Accept one value for a list of one."""
    return raw if isinstance(raw, list) else [raw]


def _schema(raw: object) -> object:
    if type(raw) is not int:  # YAML's true equals 1
        raise InputError(f"must be 1, not {shown(repr(raw))}")
    return raw


def _values(raw: object) -> object:
    """Accept a list of values, or a range; return the values."""
    if isinstance(raw, dict):
        raw = _range(raw)
    if not isinstance(raw, list):
        raise InputError("must be a list of values, or a range {from, to, step | factor | points}")
    if not raw:
        raise InputError("an axis without values")
    return raw


def _range(raw: dict[str, Any]) -> list[int | float]:
    try:
        return Range.model_validate(raw).values()
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"][:1])
        message = problem["msg"].removeprefix("Value error, ")
        raise InputError(f"{shown(key)}: {message}" if key else message) from error


def _checked(check: Callable[[str], object]) -> BeforeValidator:
    """Return a validator of texts that keeps what passes a check."""

    def keep(raw: object) -> object:
        check(str(raw))
        return raw

    return BeforeValidator(keep)


def _hidden(url: SecretStr) -> str:
    return masked(url.get_secret_value())


Values = Annotated[list[Any], BeforeValidator(_values)]
Texts = Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
Count = Annotated[int, Field(strict=True, ge=1)]
Metric = Annotated[str, _checked(check_metric)]


class IsoArea(BaseModel):
    """Rows or columns of the array are as many as fit into the area of a reference.

    `reference` is an architecture file, or `dense`: the dense machine of the same array and buffers
    as the point, before it is scaled. A file is taken at the technology of the point.
    """

    model_config = _STRICT

    reference: str
    scale: Literal["rows", "columns"] = "rows"


class Search(BaseModel):
    """Settings of `mode: optuna`.

    Attributes:
        population: points of a generation, asked for at once.
        sampler: `nsga2`, or `tpe`.
        storage: URL of a database that several folders may share; default: the folder's own.
            It may hold a password, so it is shown and stored without it.
        study: its name there; default: that of the sweep.
        against_random: also run as many random points, and compare the hypervolumes.
    """

    model_config = _STRICT

    population: Annotated[int, Field(strict=True, ge=2, le=10_000)] = 50
    sampler: Literal["nsga2", "tpe"] = "nsga2"
    storage: Annotated[SecretStr, Field(min_length=1), PlainSerializer(_hidden)] | None = None
    study: Annotated[str, Field(min_length=1)] | None = None
    against_random: Annotated[bool, Field(strict=True)] = False


class SweepFile(BaseModel):
    """A sweep. Every field is a key of the sweep file; paths are relative to it."""

    model_config = _STRICT

    schema_: Annotated[Literal[1], BeforeValidator(_schema)] = Field(alias="schema")
    name: Annotated[str, Field(pattern=r"^[\w.+=-]*\w[\w.+=-]*$", max_length=80)]
    base: Texts
    traces: Annotated[list[str], BeforeValidator(_listed)] = []
    phases: Annotated[
        list[Literal["prefill", "decode"]], BeforeValidator(_listed), Field(min_length=1)
    ] = ["prefill"]
    batches: Annotated[
        list[Annotated[int, Field(strict=True, ge=1, le=_MOST_BATCH)]],
        BeforeValidator(_listed),
        Field(min_length=1),
    ] = [1]
    policies: Texts = ["none"]
    axes: dict[str, Values] = {}
    linked: list[Annotated[dict[str, Values], Field(min_length=1)]] = []
    constraints: Annotated[
        list[Annotated[str, _checked(Constraint.parse)]], BeforeValidator(_listed)
    ] = []
    iso_area: IsoArea | None = None
    metrics: Annotated[list[Metric], BeforeValidator(_listed), Field(min_length=1)] = [
        *DEFAULT_METRICS
    ]
    objectives: Annotated[list[Metric], BeforeValidator(_listed)] = []
    mode: Literal["grid", "random", "optuna"] = "grid"
    points: Count | None = None
    layers: Layers = DEFAULT_LAYERS
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**32)] = 0
    search: Search = Search()


def load_sweep(path: Path) -> tuple[SweepFile, YamlSource]:
    """Read a sweep file; raise InputError with file, line and key for whatever is wrong with it."""
    source = read_yaml(path)
    _check_size(source)
    try:
        sweep = SweepFile.model_validate(source.data)
    except ValidationError as error:
        raise InputError(_explain(source, error)) from error
    _check_keys(sweep, source)
    _check_search(sweep, source)
    return sweep, source


@contextmanager
def at(source: YamlSource, *key: str) -> Iterator[None]:
    """Say in errors which key of the file is at fault."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{source.where(key)}: {dotted(key)}: {error}") from error


def _check_size(source: YamlSource) -> None:
    """Raise InputError if the axes have more values than fit into memory, before any is listed."""
    linked = source.data.get("linked")
    groups = [source.data.get("axes"), *(linked if isinstance(linked, list) else ())]
    columns = [raw for group in groups if isinstance(group, dict) for raw in group.values()]
    count = sum(map(_count, columns))
    if count > _MOST_VALUES:
        raise InputError(
            f"{source.where(('axes',))}: axes: {count:,} values in all; "
            f"at most {_MOST_VALUES:,} are listed"
        )


def _count(raw: object) -> int:
    """Return how many values an axis has as it is written; 0 if it is no axis."""
    if isinstance(raw, list):
        return len(raw)
    try:
        return Range.model_validate(raw).count()
    except ValidationError:  # said where the key is known
        return 0


def _check_keys(sweep: SweepFile, source: YamlSource) -> None:
    """Check that axes exist, that none is given twice, and that linked ones are equally long."""
    seen: set[str] = set()
    groups: list[tuple[KeyPath, str, list[Any]]] = [
        (("axes", key), key, values) for key, values in sweep.axes.items()
    ]
    for group in sweep.linked:
        groups += [(("linked",), key, values) for key, values in group.items()]
        if len({len(values) for values in group.values()}) > 1:
            lengths = ", ".join(f"{shown(key)} has {len(values)}" for key, values in group.items())
            where = source.where(("linked",))
            raise InputError(f"{where}: linked: axes differ in length: {lengths}")
    columns = [{key: values} for key, values in sweep.axes.items()]
    for group in (*columns, *sweep.linked):
        rows = [repr(row) for row in zip(*group.values(), strict=True)]
        if len(set(rows)) < len(rows):
            key = next(iter(group))
            where = source.where(("axes", key) if group in columns else ("linked",))
            raise InputError(f"{where}: {shown(key)}: a setting is given twice")
    for place, key, values in groups:
        with at(source, *place):
            _check_axis(key, values, seen)


def _check_axis(key: str, values: list[Any], seen: set[str]) -> None:
    if key in seen:
        raise InputError(f"axis '{shown(key)}' is given twice")
    seen.add(key)
    if not is_key(tuple(key.split("."))):
        raise InputError(
            f"no machine has the key '{shown(key)}'; write the dotted path of a key of an "
            f"architecture file, like mac_array.lanes"
        )
    if key == "pattern" and not all(isinstance(value, str) for value in values):
        raise InputError("a pattern is a text like 8:16, not a number")
    below = keys_below(tuple(key.split(".")))
    for value in values:
        if isinstance(value, dict) != bool(below) and not _is_word(key, value):
            raise InputError(_wrong_kind(key, below))
        _check_value(key, value)


def _is_word(key: str, value: object) -> bool:
    """Whether a value stands for a section, or for none where a key has a value."""
    is_text = key in ("precision", "precision.w") and isinstance(value, str)
    return value is None or is_text or (key == "tiling" and value in ("auto", "quick"))


def _wrong_kind(key: str, below: list[str]) -> str:
    if not below:
        return f"a value of '{shown(key)}' is a section; the key takes a plain value"
    return (
        f"'{shown(key)}' is a section, so its values are sections too; or vary one of its keys: "
        f"{', '.join(f'{key}.{name}' for name in below)}"
    )


def _check_value(key: str, value: object) -> None:
    """Raise InputError unless JSON, CSV and Parquet can hold a value."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _check_value(f"{key}.{name}", inner)
        return
    problem = _problem_of(value)
    if problem:
        raise InputError(f"a value of '{shown(key)}' {problem}")


def _problem_of(value: object) -> str:
    """Return why a plain value cannot be written down as such; nothing if it can."""
    if isinstance(value, list):
        return "is a list; no key takes one"
    if isinstance(value, str):
        return (
            ""
            if value.isprintable()
            else f"has signs that cannot be printed: {shown(ascii(value))}"
        )
    if isinstance(value, float):
        return "" if isfinite(value) else "is not a finite number"
    if isinstance(value, int):
        return "" if abs(value) <= _LARGEST_WHOLE else "is beyond 2^63"
    return "" if value is None else f"is a {type(value).__name__}; put it in quotes"


def _check_search(sweep: SweepFile, source: YamlSource) -> None:
    """Check that the mode has what it needs, and nothing that it has no use for."""
    if sweep.mode != "grid" and sweep.points is None:
        raise InputError(f"{source.where(('mode',))}: mode: {sweep.mode} needs points: how many")
    if sweep.mode == "grid" and sweep.points is not None:
        raise InputError(f"{source.where(('points',))}: points: mode: grid takes all of them")
    if sweep.mode == "optuna" and not sweep.objectives:
        raise InputError(f"{source.where(('mode',))}: mode: optuna needs objectives: metrics")
    if len(set(map(new_name, sweep.objectives))) < len(sweep.objectives):
        raise InputError(f"{source.where(('objectives',))}: objectives: a metric is given twice")
    columns = columns_of(sweep.metrics)
    missing = [name for name in sweep.objectives if name not in columns]
    if missing:
        raise InputError(
            f"{source.where(('objectives',))}: objectives: {', '.join(missing)} is not in metrics"
        )


def _explain(source: YamlSource, error: ValidationError) -> str:
    """Return the first problem as `file:line: key: what`."""
    problems = error.errors()
    unknown = [problem for problem in problems if problem["type"] == "extra_forbidden"]
    problem = (unknown or problems)[0]
    key = tuple(str(part) for part in problem["loc"])
    while key and key not in source.lines and len(key) > 1:
        key = key[:-1]
    where, name = source.where(key), dotted(key)
    if problem["type"] == "missing":
        return f"{where}: key '{shown(str(problem['loc'][-1]))}' is missing"
    if problem["type"] == "extra_forbidden":
        model: Any = {"search": Search, "iso_area": IsoArea}.get(key[0], SweepFile)
        known = [field.alias or name for name, field in model.model_fields.items()]
        last = str(problem["loc"][-1])
        near = did_you_mean(last, known)
        return f"{where}: unknown key '{shown(last)}'{near}; allowed: {', '.join(known)}"
    message = problem["msg"].removeprefix("Value error, ")
    got = without_passwords(repr(problem["input"]))  # before it is cut
    given = "" if problem["type"] == "value_error" else f", got {shown(got)}"
    said = f"{name}: {message}{given}{hint(problem['type'], problem['input'])}"
    return f"{where}: {without_passwords(said)}"
