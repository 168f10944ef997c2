"""What a trace is: linear layers, the activations that entered them, and where they came from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from accelsim.base.compiled import compiled, pays
from accelsim.base.errors import InputError
from accelsim.precision import PRECISIONS, Values
from accelsim.trace.contraction import Contraction
from accelsim.trace.coverage import Coverage
from accelsim.trace.places import Place, places

StoredDtype = Literal["float16", "bfloat16", "int8"]
_INTERPRETED_NS = 2  # of one number in numpy
# Value of the last digit of a float16 number by its exponent.
_UNITS = np.ldexp(np.float32(1), np.maximum(np.arange(32), 1) - 25)
# The distribution of a synthetic trace that has no values.
SHAPES_ONLY = "none"
MAX_TOKENS = 2**31
# Products of two values, which some criteria rank by, stay within what float32 holds.
SCALES = (1e-15, 1e15)
MAX_SEQUENCES = 2**22
Positive = Annotated[int, Field(gt=0, le=MAX_TOKENS)]
Count = Annotated[int, Field(ge=0, le=MAX_TOKENS)]


class Linear(BaseModel):
    """One linear layer, `Y[T, out_features] = X[T, in_features] @ W[in_features, out_features]`.

    `input` names the array that holds X; layers that read the same X (q, k, v) share the name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    input: str
    in_features: Positive
    out_features: Positive

    @property
    def kind(self) -> str:
        """Last part of the dotted name: `model.layers.0.mlp.up_proj` → `up_proj`.

        Layers of several kinds may end alike; `Trace.places` tells them apart.
        """
        return self.name.rsplit(".", 1)[-1]

    @property
    def contraction(self) -> Contraction:
        """The layer as a product of any two operands: X from the trace, W of the model."""
        return Contraction(self.name, self.in_features, self.out_features)


class Sparing(BaseModel):
    """A part of the table that leaves out what it does not have, as older traces do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_serializer(mode="wrap")
    def _without_absent(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = dump(self)
        return {key: data[key] for key in data if data[key] is not None or key not in _OPTIONAL}


_OPTIONAL = {"sequence_lengths", "tokens", "coverage"}


class InputInfo(Sparing):
    """The storage of one activation array, and the tokens that its rows are.

    Attributes:
        dtype: of the array.
        scale: the value of one int8 code.
        sequence_lengths: rows of each sequence, where they are not all tokens of the trace.
        tokens: the input whose array `t/<input>` holds the numbers of their tokens, ascending.
            None where every token has its row; with `sequence_lengths`, where rows are no tokens.
    """

    dtype: StoredDtype
    scale: float = Field(default=1.0, ge=SCALES[0], le=SCALES[1], allow_inf_nan=False)
    sequence_lengths: tuple[Count, ...] | None = Field(default=None, min_length=1)
    tokens: str | None = None


class TraceMeta(Sparing):
    """The `meta` entry of a trace file; `provenance` is free-form, for people.

    `coverage` says what a capture left out of its model; None where nobody knows.
    """

    schema_: Literal[1] = Field(default=1, alias="schema")
    model: str
    sequence_lengths: tuple[Positive, ...] = Field(min_length=1)
    linears: tuple[Linear, ...] = Field(min_length=1)
    inputs: dict[str, InputInfo] = Field(min_length=1)
    synthetic: dict[str, Any] | None = None
    provenance: dict[str, Any] = Field(default_factory=dict)
    coverage: Coverage | None = None

    @cached_property
    def tokens(self) -> int:
        """Tokens over all sequences."""
        return sum(self.sequence_lengths)

    @cached_property
    def features(self) -> dict[str, int]:
        """Width of each input."""
        return {linear.input: linear.in_features for linear in self.linears}

    def shape(self, key: str) -> tuple[int, int]:
        """Return the shape of input `key`, `[rows, in_features]`."""
        return self.rows(key), self.features[key]

    def lengths(self, key: str) -> tuple[int, ...]:
        """Return the rows of input `key` in each sequence."""
        own = self.inputs[key].sequence_lengths
        return self.sequence_lengths if own is None else own

    def rows(self, key: str) -> int:
        """Return the rows of input `key`: all tokens, or those that reach its layers."""
        own = self.inputs[key].sequence_lengths
        return self.tokens if own is None else sum(own)


def array_name(key: str) -> str:
    """Return the name of the array that holds input `key` in a trace file."""
    return f"x/{key}"


def token_array(key: str) -> str:
    """Return the name of the array that holds the token numbers of the rows of input `key`."""
    return f"t/{key}"


RowReader = Callable[[slice], Values]


class ValueSource(ABC):
    """A source of activations; callers see to it that one array is in memory at a time."""

    @abstractmethod
    def read(self, key: str) -> Values:
        """Return the stored array of input `key`, `[rows, in_features]`, checked to be finite."""

    def open(self, key: str) -> RowReader:
        """Return a function that reads any rows of input `key`, from several threads at once.

        The default reads the whole array; a source that can make parts of it need not.
        """
        return self.read(key).__getitem__

    def tokens(self, key: str) -> NDArray[np.int64]:
        """Return the token numbers of input `key`, of which not every token has a row."""
        raise NotImplementedError(key)


@dataclass(frozen=True, slots=True)
class Trace:
    """A captured or synthetic workload. Activations are read when asked for, not before.

    Attributes:
        path: of the file.
        sha256: of the whole file.
        meta: the table of layers and inputs; `meta.provenance` says where they came from.
        source: where activations are read from.
    """

    path: Path
    sha256: str
    meta: TraceMeta
    source: ValueSource

    @property
    def linears(self) -> tuple[Linear, ...]:
        """The linear layers, in the order in which the model calls them."""
        return self.meta.linears

    @property
    def places(self) -> dict[str, Place]:
        """Block, kind and short name of each layer, by its name."""
        shapes = {linear.name: (linear.in_features, linear.out_features) for linear in self.linears}
        return places(shapes)

    @property
    def tokens(self) -> int:
        """Tokens over all sequences."""
        return self.meta.tokens

    @property
    def has_values(self) -> bool:
        """Whether there are activations, or shapes only."""
        return (self.meta.synthetic or {}).get("distribution") != SHAPES_ONLY

    def token_numbers(self, key: str) -> NDArray[np.int64] | None:
        """Return the token number of each row of an input, `[rows]`; None if rows are no tokens."""
        info = self.meta.inputs[key]
        if info.tokens is not None:
            return self.source.tokens(key)
        return np.arange(self.tokens) if info.sequence_lengths is None else None

    def features(self, key: str) -> int:
        """Return the width of input `key`."""
        return self.meta.features[key]

    def row_reader(self, key: str) -> RowReader:
        """Return a function that reads any rows of input `key` as stored; see `encoded`."""
        return self.source.open(key)

    def values(self, key: str) -> Values:
        """Return the activations of input `key` as float32 `[rows, in_features]`."""
        return self._real(key, self.source.read(key))

    def operands(self, key: str, precision: str) -> tuple[Values, Values]:
        """Return activations `[T, K]` as the hardware sees them, and their real float32 values."""
        return self.encoded(key, self.source.read(key), precision)

    def encoded(self, key: str, stored: Values, precision: str) -> tuple[Values, Values]:
        """Return stored rows of input `key` as the hardware sees them, and as real float32 values.

        An int8 trace on an int8 machine is taken as it is; anything else is rounded per token.
        """
        real = self._real(key, stored)
        if self._is_taken_as_it_is(key, precision):
            return stored, real
        return self.rounded(key, real, precision), real

    def rounded(self, key: str, real: Values, precision: str) -> Values:
        """Return real values `[T, K]` of input `key`, or made of it, as the hardware holds them."""
        try:
            return PRECISIONS[precision].encode_tokens(real)
        except InputError as error:
            raise InputError(f"{self.path}: array '{array_name(key)}': {error}") from error

    def token_scales(self, key: str, real: Values, precision: str) -> Values:
        """Return the value of one code of each token of `encoded`, `[T, 1]` or broadcast to it."""
        if self._is_taken_as_it_is(key, precision):
            return np.full((1, 1), self.meta.inputs[key].scale, np.float32)
        return PRECISIONS[precision].token_scales(real)

    def _is_taken_as_it_is(self, key: str, precision: str) -> bool:
        return precision == self.meta.inputs[key].dtype  # of codes; floats are called otherwise

    def _real(self, key: str, stored: Values) -> Values:
        info = self.meta.inputs[key]
        if info.dtype == "bfloat16":
            return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)
        if info.dtype == "float16":
            halves = _float32_of(stored)
            return halves if info.scale == 1 else halves * np.float32(info.scale)
        return stored.astype(np.float32) * np.float32(info.scale)

    def describe(self) -> Mapping[str, Any]:
        """Return the identity of this trace for a result file."""
        identity = {
            "path": str(self.path),
            "sha256": self.sha256,
            "model": self.meta.model,
            "tokens": self.tokens,
            "sequences": len(self.meta.sequence_lengths),
            "linears": len(self.linears),
            "synthetic": self.meta.synthetic is not None,
        }
        coverage = self.meta.coverage  # nobody knows that of a synthetic trace, or an older one
        return identity if coverage is None else identity | {"coverage": coverage.describe()}


def _float32_of(halves: NDArray[np.float16]) -> NDArray[np.float32]:
    """Return finite float16 numbers as float32; numpy does it number by number."""
    if not pays(halves.size * _INTERPRETED_NS):
        return halves.astype(np.float32)
    wide = np.empty(halves.shape, np.float32)
    bits = np.ascontiguousarray(halves).view(np.uint16)
    compiled(_widen)(bits.ravel(), _UNITS, wide.reshape(-1))
    return wide


def _widen(bits: NDArray[np.uint16], units: NDArray[np.float32], wide: NDArray[np.float32]) -> None:
    """Multiply 10 bits, and the hidden one if there is one, with the unit of the exponent."""
    for place in range(bits.size):
        exponent = (bits[place] >> 10) & 31
        digits = (bits[place] & 1023) + (1024 if exponent > 0 else 0)
        value = np.float32(np.int32(digits)) * units[exponent]
        wide[place] = -value if bits[place] & 0x8000 else value
