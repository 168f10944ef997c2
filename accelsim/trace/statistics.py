"""What a trace looks like: zeros, magnitudes, and what N:M selection would drop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from accelsim.base.renamed import both
from accelsim.sparsity import parse_pattern
from accelsim.trace.record import Trace

QUANTILES = (0.5, 0.9, 0.99, 1.0)


@dataclass(frozen=True, slots=True)
class InputStatistics:
    """Statistics of one layer input, as it is stored.

    Attributes:
        name: key of the input, most often its first reader.
        label: the same, shorter, for tables.
        readers: kinds of the layers that share it.
        tokens: rows of the input.
        features: values of a row.
        zero_ratio: share of values that are exactly zero.
        magnitudes: quantiles of |x| at `QUANTILES`.
        dropped_squared_magnitude_ratio: what each pattern drops, as a share of the sum.
    """

    name: str
    label: str
    readers: tuple[str, ...]
    tokens: int
    features: int
    zero_ratio: float
    magnitudes: tuple[float, ...]
    dropped_squared_magnitude_ratio: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        data = asdict(self)
        return data | both("dropped_energy_ratio", data.pop("dropped_squared_magnitude_ratio"))


def statistics(trace: Trace, patterns: Sequence[str]) -> Iterator[InputStatistics]:
    """Describe each distinct input of a trace, one at a time, on the values as captured."""
    chosen = [parse_pattern(text) for text in patterns]
    found = trace.places
    for key in trace.meta.inputs:
        values = trace.values(key)
        squares = np.square(values, dtype=np.float64)
        total = float(squares.sum()) or 1.0
        yield InputStatistics(
            name=key,
            label=found[key].label if key in found else key,
            readers=tuple(
                found[linear.name].kind for linear in trace.linears if linear.input == key
            ),
            tokens=values.shape[0],
            features=values.shape[1],
            zero_ratio=float(np.mean(values == 0)),
            magnitudes=tuple(float(q) for q in np.quantile(np.abs(values), QUANTILES)),
            dropped_squared_magnitude_ratio={
                str(pattern): float(squares.sum(where=~pattern.keep(values))) / total
                for pattern in chosen
            },
        )
