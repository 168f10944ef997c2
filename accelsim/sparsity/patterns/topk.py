"""Top-K: the largest magnitudes of a whole token survive, wherever they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from typing_extensions import override

from accelsim.base.errors import InputError
from accelsim.precision import Values
from accelsim.sparsity.demands import Demands
from accelsim.sparsity.patterns.base import PATTERNS, Mask, Pattern, keep_largest, magnitude, share


@PATTERNS.register("topk")
@dataclass(frozen=True)
class TopK(Pattern):
    """`topk:D` keeps the round(D × K) largest magnitudes of each token's K (Q-Sparse, without its
    rescaling, which is for models trained with it). Ties keep the lower index.

    >>> import numpy as np
    >>> TopK(0.5).keep(np.array([[9, 8, 1, -7], [1, 1, 1, 1]])).tolist()
    [[True, True, False, False], [True, True, False, False]]
    """  # noqa: D205

    density: float
    is_grouped = False
    demands = Demands(statistics="level")

    def __post_init__(self) -> None:
        if not 0 < self.density <= 1:
            raise InputError(f"pattern {self}: the density must be above 0 and at most 1")

    @property
    @override
    def kept_share(self) -> float:
        return self.density

    @classmethod
    @override
    def parse(cls, text: str) -> Self | None:
        density = share("topk", text)
        return None if density is None else cls(density)

    @override
    def keep(self, values: Values) -> Mask:
        length = values.shape[-1]
        strength = magnitude(values).reshape(-1, length)
        mask: Mask = keep_largest(strength, self.kept_count(length)).reshape(values.shape)
        return mask

    @override
    def kept_count(self, length: int) -> int:
        return max(1, round(self.density * length))

    @override
    def __str__(self) -> str:
        return f"topk:{self.density:g}"
