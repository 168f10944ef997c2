"""Synthetic activations: a recipe in the trace file, values drawn when a layer is read.

A full-size workload is a file of a few kilobytes, because only the recipe is stored. Values are
independent draws from the marginal distribution of each layer input: correlations between channels
and between tokens are not modelled (see `docs/DEVIATIONS.md`).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import override

from accelsim.base.compiled import compiled, pays
from accelsim.base.errors import InputError
from accelsim.base.registry import did_you_mean
from accelsim.precision import Values
from accelsim.trace.archive import MAX_ARRAY_BYTES, Archive
from accelsim.trace.record import SHAPES_ONLY, RowReader, TraceMeta, ValueSource

Draw = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float32]]


def _gaussian(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    return rng.standard_normal(shape, np.float32)


def _laplace(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    # An exponential magnitude with a random sign; Generator.laplace has no float32 variant.
    sign = rng.integers(0, 2, shape, np.int8) * np.int8(2) - np.int8(1)
    return rng.standard_exponential(shape, np.float32) * sign


def _uniform(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    return rng.random(shape, np.float32) * np.float32(2) - np.float32(1)


def _relu(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    return np.maximum(_gaussian(rng, shape), np.float32(0))


DISTRIBUTIONS: dict[str, Draw] = {
    "gaussian": _gaussian,
    "laplace": _laplace,
    "uniform": _uniform,
    "relu": _relu,
}
QUANTILES = "quantiles"
LARGEST_HALF = 65504
MAX_QUANTILES = 2**20
MAX_DRAWN_BYTES = 2**42  # over all layer inputs, as float32; some six hours of one core
_INTERPRETED_NS = 20  # of one draw from quantiles in numpy


class Routing(BaseModel):
    """A routing of tokens to experts: token t gets `per_token` in turn from t × per_token on.

    Each expert gets the same share of the tokens. Real routers are not that even, nor do they take
    experts in turn.

    Example:
        Two of four experts a token: expert 1 gets every other token.

        >>> Routing(experts=4, per_token=2).numbers(1, 5).tolist()
        [0, 2, 4]
        >>> Routing(experts=4, per_token=2).lengths(1, (3, 2))
        (2, 1)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    experts: Annotated[int, Field(gt=0, le=4096)]
    per_token: Annotated[int, Field(gt=0, le=4096)]

    def numbers(self, expert: int, tokens: int) -> NDArray[np.int64]:
        """Return the numbers of the tokens an expert gets of the first `tokens`, ascending."""
        turns = np.flatnonzero(self._turn(expert))
        rounds = np.arange(0, tokens, self.experts)
        numbers: NDArray[np.int64] = (rounds[:, None] + turns).ravel()
        return numbers[numbers < tokens]

    def lengths(self, expert: int, lengths: Sequence[int]) -> tuple[int, ...]:
        """Return the number of tokens that an expert gets of each sequence."""
        whole, rest = np.divmod(np.cumsum([0, *lengths]), self.experts)
        turn = self._turn(expert)
        before = whole * turn.sum() + np.concatenate([[0], np.cumsum(turn)])[rest]
        return tuple(np.diff(before).tolist())

    def _turn(self, expert: int) -> NDArray[np.bool_]:
        """Return which of the first `experts` tokens an expert gets; the others repeat this."""
        first = np.arange(self.experts) * self.per_token
        turn: NDArray[np.bool_] = (expert - first) % self.experts < self.per_token
        return turn


def expert_of(key: str) -> int | None:
    """Return the number of the expert that reads an input; None if all tokens do.

    >>> expert_of("model.layers.0.mlp.experts.3.gate_proj"), expert_of("mlp.gate")
    (3, None)
    """
    found = re.search(r"\.experts\.(\d+)\.", key)
    return None if found is None else int(found[1])


class Recipe(BaseModel):
    """The `synthetic` entry of a trace's table.

    `distribution` is a name of `DISTRIBUTIONS`; or `quantiles`: then the file holds `q/<input>`,
    equally spaced quantiles from the minimum to the maximum of that layer input; or `none`: the
    trace has shapes only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    distribution: str
    seed: Annotated[int, Field(ge=0)]
    shape_of: str
    generator: Literal["numpy-pcg64"] = "numpy-pcg64"
    routing: Routing | None = None


@dataclass(frozen=True, slots=True)
class SyntheticSource(ValueSource):
    """Draws a layer's activations from the recipe; the same key gives the same values always."""

    archive: Archive
    meta: TraceMeta
    recipe: Recipe

    @classmethod
    def parse(cls, archive: Archive, meta: TraceMeta) -> Self:
        """Check the recipe of a trace file; raise InputError if it is unknown."""
        path = archive.path
        try:
            recipe = Recipe.model_validate(meta.synthetic)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise InputError(
                f"{path}: entry 'meta', field synthetic.{where}: {first['msg']}"
            ) from error
        try:
            check_distribution(recipe.distribution)
        except InputError as error:
            raise InputError(f"{path}: entry 'meta': {error}") from error
        other = next((key for key, info in meta.inputs.items() if info.dtype != "float16"), None)
        if other is not None:
            dtype = meta.inputs[other].dtype
            raise InputError(f"{path}: input '{other}' is {dtype}; synthetic ones are float16")
        for key in meta.inputs if recipe.distribution != SHAPES_ONLY else ():
            check_size(path, *meta.shape(key))
        if recipe.distribution != SHAPES_ONLY:
            check_drawn(path, meta)
        for key in meta.inputs:
            _check_routing(path, meta, recipe, key)
        return cls(archive, meta, recipe)

    @override
    def read(self, key: str) -> Values:
        """Draw the float16 activations of input `key`, `[tokens, in_features]`."""
        shape = self.meta.shape(key)
        if self.recipe.distribution == QUANTILES:
            return self.open(key)(slice(None))
        if self.recipe.distribution == SHAPES_ONLY:
            raise InputError(
                f"{self.archive.path}: has shapes only, no values (distribution 'none')"
            )
        return DISTRIBUTIONS[self.recipe.distribution](self._stream(key), shape).astype(np.float16)

    @override
    def tokens(self, key: str) -> NDArray[np.int64]:
        """Return the numbers of the tokens that are routed to the expert that reads an input."""
        assert self.recipe.routing is not None
        return self.recipe.routing.numbers(expert_of(key) or 0, self.meta.tokens)

    @override
    def open(self, key: str) -> RowReader:
        """Return a function that draws the rows asked for: no others, where a stream allows it."""
        if self.recipe.distribution != QUANTILES:
            return self.read(key).__getitem__
        table, (tokens, width) = self._quantiles(key), self.meta.shape(key)

        def rows(wanted: slice) -> Values:
            first, end, step = wanted.indices(tokens)
            if step != 1:
                return rows(slice(None))[wanted]
            shape = (max(0, end - first), width)
            uniform = _uniform_from(self._stream(key), first * width, prod(shape))
            return _from_quantiles(uniform, table).reshape(shape)

        return rows

    def _stream(self, key: str) -> np.random.Generator:
        """Return one stream a key: the order in which layers are read does not matter."""
        return np.random.default_rng([self.recipe.seed, zlib.crc32(key.encode())])

    def _quantiles(self, key: str) -> NDArray[np.float32]:
        """Return the quantiles of an input in the unit of its float16 numbers."""
        where = f"{self.archive.path}: 'q/{key}'"
        shape, dtype = self.archive.check_header(quantile_array(key))
        if len(shape) != 1 or not 2 <= shape[0] <= MAX_QUANTILES or dtype.kind != "f":  # noqa: PLR2004
            raise InputError(
                f"{where} is {dtype} {list(shape)}; it must be a row of 2 to {MAX_QUANTILES} "
                f"floating-point numbers"
            )
        table = self.archive.read_array(quantile_array(key))
        units = table.astype(np.float64) / self.meta.inputs[key].scale
        if not (np.abs(units) <= LARGEST_HALF).all():
            raise InputError(
                f"{where} must be a row of at least 2 quantiles within ±{LARGEST_HALF} units"
            )
        return units.astype(np.float32)


def _check_routing(path: Path, meta: TraceMeta, recipe: Recipe, key: str) -> None:
    """Raise InputError unless an input whose rows are some of the tokens is that of an expert."""
    if meta.inputs[key].tokens is None:
        return
    expert, routing = expert_of(key), recipe.routing
    if routing is None or expert is None or expert >= routing.experts:
        raise InputError(f"{path}: entry 'meta': no routing says which tokens reach '{key}'")
    if routing.lengths(expert, meta.sequence_lengths) != meta.lengths(key):
        raise InputError(f"{path}: entry 'meta': '{key}' has other rows than its routing")


def check_distribution(name: str) -> None:
    """Raise InputError unless `name` is a known distribution."""
    known = [*DISTRIBUTIONS, QUANTILES, SHAPES_ONLY]
    if name not in known:
        raise InputError(
            f"unknown distribution '{name}'{did_you_mean(name, known)}; allowed: {', '.join(known)}"
        )


def check_drawn(path: Path, meta: TraceMeta) -> None:
    """Raise InputError if to draw all layer inputs would take days."""
    total_bytes = sum(prod(meta.shape(key)) for key in meta.inputs) * 4
    if total_bytes > MAX_DRAWN_BYTES:
        raise InputError(
            f"{path}: all layer inputs take {total_bytes} bytes; "
            f"at most {MAX_DRAWN_BYTES} are drawn"
        )


def check_size(path: Path, tokens: int, features: int) -> None:
    """Raise InputError if a layer input of this size would not fit in memory."""
    size_bytes = tokens * features * 4  # drawn as float32
    if size_bytes > MAX_ARRAY_BYTES:
        raise InputError(
            f"{path}: {tokens} tokens × {features} features take {size_bytes} bytes a layer input; "
            f"at most {MAX_ARRAY_BYTES} are drawn"
        )


def quantile_array(key: str) -> str:
    """Return the name of the array that holds the quantiles of an input."""
    return f"q/{key}"


def _uniform_from(stream: np.random.Generator, first: int, count: int) -> NDArray[np.float32]:
    """Return numbers `first` … `first + count` of the uniform float32 numbers of a new stream.

    PCG64 makes two of them in a step.
    """
    stream.bit_generator.advance(first // 2)  # type: ignore[attr-defined]
    skipped = first % 2
    return stream.random(skipped + count, np.float32)[skipped:]


def _from_quantiles(
    uniform: NDArray[np.float32], table: NDArray[np.float32]
) -> NDArray[np.float16]:
    """Invert the distribution function: uniform draws, interpolated in the quantile table."""
    if pays(uniform.size * _INTERPRETED_NS):
        drawn, halves = np.empty(uniform.size, np.float64), np.empty(uniform.size, np.uint16)
        compiled(_interpolate)(uniform, table, drawn)
        compiled(_halve)(drawn, drawn.view(np.int64), halves)
        return halves.view(np.float16)
    position = uniform * np.float32(table.size - 1)
    below = np.minimum(position.astype(np.int32), table.size - 2)
    weight = position - below
    interpolated = table[below] * (1 - weight) + table[below + 1] * weight
    rounded: NDArray[np.float16] = interpolated.astype(np.float16)
    return rounded


def _interpolate(
    uniform: NDArray[np.float32], table: NDArray[np.float32], drawn: NDArray[np.float64]
) -> None:
    """Do the same in a compiled loop, to the bit."""
    last = np.float32(table.size - 1)
    for place in range(uniform.size):
        position = uniform[place] * last
        below = min(int(position), table.size - 2)
        weight = np.float64(position) - np.float64(below)
        drawn[place] = table[below] * (1 - weight) + table[below + 1] * weight


def _halve(drawn: NDArray[np.float64], bits: NDArray[np.int64], halves: NDArray[np.uint16]) -> None:
    """Round within ±65504 to float16, half to even, as numpy does: `bits` are those of `drawn`.

    A normal result keeps the upper 10 of 52 bits and its exponent, less the difference 1008 of the
    biases; a smaller one counts units of 2^-24.
    """
    for place in range(drawn.size):
        magnitude = bits[place] & 0x7FFFFFFFFFFFFFFF
        rounded = (magnitude + 0x1FFFFFFFFFF + ((magnitude >> 42) & 1)) >> 42
        units = np.int32(np.rint(min(np.abs(drawn[place]) * 2.0**24, 1024.0)))
        half = np.int64(units) if np.abs(drawn[place]) < 2.0**-14 else rounded - (1008 << 10)
        halves[place] = half | ((bits[place] >> 48) & 0x8000)
