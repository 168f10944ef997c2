"""Two ranks: N:M within blocks of M values, and only P of every Q blocks (HighLight)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from typing_extensions import override

from accelsim.base.errors import InputError
from accelsim.precision import Values
from accelsim.sparsity.patterns.base import PATTERNS, Mask, Pattern, keep_largest, magnitude
from accelsim.sparsity.patterns.nm import MAX_GROUP_SIZE, NM


@PATTERNS.register("two_rank")
@dataclass(frozen=True)
class TwoRank(Pattern):
    """`N:MxP:Q` keeps N of each block of M values, and of each Q blocks the P strongest.

    The lower rank is N:M. A block is as strong as the sum of the magnitudes that the lower rank
    keeps of it, which are the masks of this form with the largest sum; of equals the first stays.
    `2:4x4:8` keeps 8 values of 32, two each of four blocks. Wu et al., HighLight (MICRO'23), write
    C1(4:8) → C0(2:4) for it and prune weights with it.

    At the end of a row, a block shorter than M is weaker than any whole one, so that how many
    values survive follows from the length.

    Example:
        Of two blocks of three, 2:3x1:2 keeps one. The first has 5 + 1, the second 4 + 3.

        >>> TwoRank(2, 3, 1, 2).keep(np.array([5, 0, 1, 2, -4, 3], np.int8)).tolist()
        [False, False, False, False, True, True]
    """

    kept_per_block: int
    block_size: int
    kept_blocks: int
    blocks: int
    keeps_any: ClassVar[bool] = False

    def __post_init__(self) -> None:
        lower = 1 <= self.kept_per_block <= self.block_size
        upper = 1 <= self.kept_blocks <= self.blocks
        if not (lower and upper and self.group_size <= MAX_GROUP_SIZE):
            raise InputError(
                f"pattern {self}: N:MxP:Q needs 1 <= N <= M, 1 <= P <= Q, M × Q <= {MAX_GROUP_SIZE}"
            )

    @property
    def group_size(self) -> int:  # type: ignore[override]
        """Values that the upper rank chooses among: M × Q."""
        return self.block_size * self.blocks

    @property
    def kept_per_group(self) -> int:  # type: ignore[override]
        """Values that survive of them: N × P."""
        return self.kept_per_block * self.kept_blocks

    @classmethod
    @override
    def parse(cls, text: str) -> Self | None:
        match = re.fullmatch(r"([0-9]{1,9}):([0-9]{1,9})x([0-9]{1,9}):([0-9]{1,9})", text)
        return cls(*map(int, match.groups())) if match else None

    @override
    def keep(self, values: Values) -> Mask:
        length = values.shape[-1]
        lower = NM(self.kept_per_block, self.block_size).keep(values)
        padding = [(0, 0)] * (values.ndim - 1) + [(0, -length % self.group_size)]
        # Sums of float32 and of integers of 16 bits are exact, or nearly so, in float64.
        strength = np.pad(np.where(lower, magnitude(values), 0).astype(np.float64), padding)
        sums = strength.reshape(*strength.shape[:-1], -1, self.block_size).sum(axis=-1)
        sums[..., length // self.block_size :] = -1.0
        chosen = keep_largest(sums.reshape(-1, self.blocks), self.kept_blocks).reshape(sums.shape)
        mask: Mask = lower & np.repeat(chosen, self.block_size, axis=-1)[..., :length]
        return mask

    @override
    def kept_count(self, length: int) -> int:
        groups, rest = divmod(length, self.group_size)
        blocks, short = divmod(rest, self.block_size)
        kept = groups * self.kept_per_group + min(blocks, self.kept_blocks) * self.kept_per_block
        return kept + (min(short, self.kept_per_block) if blocks < self.kept_blocks else 0)

    @override
    def most_kept(self, window: int) -> int | None:
        """Return the most values that survive of a window; those of whole blocks fit as well.

        >>> [TwoRank(2, 4, 4, 8).most_kept(window) for window in (2, 4, 8, 16, 32, 64, 12)]
        [None, 2, 4, 8, 8, 16, None]
        """
        blocks, ragged = divmod(window, self.block_size)
        if ragged or (blocks and self.blocks % blocks):
            return super().most_kept(window)
        return min(blocks, self.kept_blocks) * self.kept_per_block

    @override
    def __str__(self) -> str:
        return f"{self.kept_per_block}:{self.block_size}x{self.kept_blocks}:{self.blocks}"
