"""Keep everything: the baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from typing_extensions import override

from accelsim.precision import Values
from accelsim.sparsity.patterns.base import PATTERNS, Mask, Pattern


@PATTERNS.register("dense")
@dataclass(frozen=True)
class Dense(Pattern):
    """Every value survives; a group is one value."""

    group_size: int = 1
    kept_per_group: int = 1

    @classmethod
    @override
    def parse(cls, text: str) -> Self | None:
        return cls() if text == "dense" else None

    @override
    def keep(self, values: Values) -> Mask:
        return np.ones(values.shape, np.bool_)

    @override
    def __str__(self) -> str:
        return "dense"
