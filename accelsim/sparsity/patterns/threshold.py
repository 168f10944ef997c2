"""Thresholds: whatever is larger than a calibrated level survives, however much that is (TEAL)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from typing_extensions import override

from accelsim.base.errors import InputError
from accelsim.precision import Values
from accelsim.sparsity.patterns.base import PATTERNS, Mask, Pattern, magnitude, share


@PATTERNS.register("threshold")
@dataclass(frozen=True)
class Threshold(Pattern):
    """`threshold:P` drops what is not above the level below which a share P of |x| lay.

    The level is the P-quantile of |x| in a calibration text, the same P for every layer, or, as
    `greedy-threshold:P`, P on average (weighted by layer size) and shared out among the layers of
    a block by greedy search (Liu et al., TEAL, arXiv 2408.14690). It is compared with real values.

    Example:
        >>> Threshold(0.5, level=2.0).keep(np.array([3.0, -2.5, 2.0, 0.1])).tolist()
        [True, True, False, False]
    """

    sparsity: float
    is_greedy: bool = False
    level: float | None = None  # None: not calibrated
    is_grouped = False
    has_level = True

    def __post_init__(self) -> None:
        if not 0 <= self.sparsity < 1:
            raise InputError(f"pattern {self}: the sparsity must be at least 0 and below 1")

    @property
    def has_selector(self) -> bool:  # type: ignore[override]
        """Whether levels follow from activations alone; greedy ones need a model."""
        return not self.is_greedy

    @property
    @override
    def kept_share(self) -> float:
        return 1 - self.sparsity

    @override
    def calibrated(self, strength: Values) -> Self:
        return replace(self, level=float(np.quantile(strength, self.sparsity)))

    @classmethod
    @override
    def parse(cls, text: str) -> Self | None:
        for family, is_greedy in (("threshold", False), ("greedy-threshold", True)):
            sparsity = share(family, text)
            if sparsity is not None:
                return cls(sparsity, is_greedy)
        return None

    @override
    def keep(self, values: Values) -> Mask:
        if self.level is None:
            raise InputError(f"pattern {self} has no level before it is calibrated")
        mask: Mask = magnitude(values) > np.float32(self.level)
        return mask

    @override
    def kept_count(self, length: int) -> int:
        """Return the number of `length` values that survive on average, if texts are alike."""
        return round((1 - self.sparsity) * length)

    @override
    def __str__(self) -> str:
        return f"{'greedy-' if self.is_greedy else ''}threshold:{self.sparsity:g}"
