"""Traces in memory: layers of any shape with int8 activations that are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from typing_extensions import override

from accelsim.precision import Values
from accelsim.trace import Linear, Trace
from accelsim.trace.record import InputInfo, TraceMeta, ValueSource

_NONZERO_RATIO = 0.8


@dataclass(frozen=True)
class Drawn(ValueSource):
    """A source of int8 activations, the same for the same key; every fifth is zero.

    Attributes:
        meta: shapes of the layers.
        seed: others draw other values.
        arrays: values of inputs that are not drawn, `[rows, in_features]` by key.
    """

    meta: TraceMeta
    seed: int = 0
    arrays: Mapping[str, Values] = field(default_factory=dict)

    @override
    def read(self, key: str) -> Values:
        if key in self.arrays:
            return self.arrays[key]
        width = next(linear.in_features for linear in self.meta.linears if linear.input == key)
        rng = np.random.default_rng([self.seed, len(key), width])
        values = rng.integers(-127, 128, (sum(self.meta.sequence_lengths), width))
        return (values * (rng.random(values.shape) < _NONZERO_RATIO)).astype(np.int8)


def trace_of(
    shapes: Sequence[tuple[int, int]],
    *,
    lengths: tuple[int, ...] = (8,),
    seed: int = 0,
    arrays: Mapping[str, Values] | None = None,
) -> Trace:
    """Return an int8 trace in memory.

    Args:
        shapes: (in_features, out_features) of its layers.
        lengths: tokens of its sequences.
        seed: others draw other values.
        arrays: values of inputs `layers.0.x`, `layers.1.x` … that are not drawn.
    """
    linears = tuple(
        Linear(name=f"layers.{i}.linear", input=f"layers.{i}.x", in_features=k, out_features=o)
        for i, (k, o) in enumerate(shapes)
    )
    inputs = {linear.input: InputInfo(dtype="int8") for linear in linears}
    meta = TraceMeta(model="drawn", sequence_lengths=lengths, linears=linears, inputs=inputs)
    return Trace(Path("drawn.npz"), "0" * 64, meta, Drawn(meta, seed, arrays or {}))
