"""What is not zero stays: nothing is lost, and how much is left depends on the model (a ReLU)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from typing_extensions import override

from accelsim.precision import Values
from accelsim.sparsity.patterns.base import PATTERNS, Mask, Pattern


@PATTERNS.register("nonzero")
@dataclass(frozen=True)
class Nonzero(Pattern):
    """`nonzero` keeps every value that is not zero: of an input behind a ReLU a few, else all.

    Codes of int8 are what is looked at, so that values which round to zero are dropped, too.

    Example:
        >>> import numpy as np
        >>> Nonzero().keep(np.array([3, 0, -1, 0])).tolist()
        [True, False, True, False]
    """

    is_grouped = False

    @classmethod
    @override
    def parse(cls, text: str) -> Self | None:
        return cls() if text == "nonzero" else None

    @property
    @override
    def kept_share(self) -> float:
        return 1.0

    @override
    def keep(self, values: Values) -> Mask:
        mask: Mask = values != 0
        return mask

    @override
    def kept_count(self, length: int) -> int:
        """Return the most that survive; how many do is known from values only."""
        return length

    @override
    def __str__(self) -> str:
        return "nonzero"
