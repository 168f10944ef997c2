"""N:M of adjacent pairs: what sparse tensor cores take of values of four bits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Self

from typing_extensions import override

from accelsim.base.errors import InputError
from accelsim.precision import Values
from accelsim.sparsity.patterns.base import PATTERNS, Mask, Pattern
from accelsim.sparsity.patterns.nm import MAX_GROUP_SIZE
from accelsim.sparsity.patterns.two_rank import TwoRank


@PATTERNS.register("pairs")
@dataclass(frozen=True)
class Pairs(Pattern):
    """`pairs-N:M` keeps N of every M adjacent pairs: those with the largest |a| + |b|.

    `pairs-2:4` is 4:8 in pairs, the only sparsity of FP4 operands that Blackwell's tensor cores
    have (PTX ISA, mma.sp with kind::mxf4nvf4). Ties keep the first pair. A last value without a
    partner is weaker than any pair.

    Example:
        Of the pairs with sums 9, 8, 10 and 8, the first and the third stay.

        >>> import numpy as np
        >>> Pairs(2, 4).keep(np.array([9, 0, 4, 4, 5, -5, 8, 0], np.int8)).astype(int).tolist()
        [1, 1, 0, 0, 1, 1, 0, 0]
    """

    kept_pairs: int
    pairs: int
    together: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if not (1 <= self.kept_pairs <= self.pairs and self.group_size <= MAX_GROUP_SIZE):
            raise InputError(
                f"pattern {self}: pairs-N:M needs 1 <= N <= M <= {MAX_GROUP_SIZE // 2}"
            )

    @property
    def group_size(self) -> int:  # type: ignore[override]
        """Values of a group: two a pair."""
        return 2 * self.pairs

    @property
    def kept_per_group(self) -> int:  # type: ignore[override]
        """Values that survive of them."""
        return 2 * self.kept_pairs

    @property
    def _blocks(self) -> TwoRank:
        """The same with two ranks, the lower of which keeps both values of a pair."""
        return TwoRank(2, 2, self.kept_pairs, self.pairs)

    @classmethod
    @override
    def parse(cls, text: str) -> Self | None:
        match = re.fullmatch(r"pairs-([0-9]{1,9}):([0-9]{1,9})", text)
        return cls(int(match[1]), int(match[2])) if match else None

    @override
    def keep(self, values: Values) -> Mask:
        return self._blocks.keep(values)

    @override
    def kept_count(self, length: int) -> int:
        return self._blocks.kept_count(length)

    @override
    def most_kept(self, window: int) -> int | None:
        return self._blocks.most_kept(window)

    @override
    def __str__(self) -> str:
        return f"pairs-{self.kept_pairs}:{self.pairs}"
