"""R-Sparse: what is dropped goes through a low-rank copy of the weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Self

from typing_extensions import override

from accelsim.sparsity.demands import Demands
from accelsim.sparsity.mitigations.base import (
    MITIGATIONS,
    Mitigation,
    Pruned,
    Sample,
    Select,
    Tensor,
)


@MITIGATIONS.register("rsparse")
class LowRank(Mitigation):
    """y = (x ⊙ m) Wᵀ + (x - x ⊙ m) (A B)ᵀ with A B the best approximation of W of rank r.

    `rsparse64` has r = 64 (R-Sparse, ICLR 2025; truncated singular value decomposition). In
    hardware: two more products, K × r with the dropped values and r × O, dense; y is their sum.
    Where a selector cannot let the dropped values alone through, all of x is multiplied and the
    main weights are others: y = (x ⊙ m) (W - A B)ᵀ + x (A B)ᵀ, which is the same.
    """

    def __init__(self, rank: int) -> None:
        self.rank = rank

    @classmethod
    @override
    def parse(cls, text: str) -> Self | None:
        match = re.fullmatch(r"rsparse([1-9][0-9]{0,4})", text)
        return cls(int(match[1])) if match else None

    @property
    def demands(self) -> Demands:  # type: ignore[override]
        """The two products."""
        return Demands(rank=self.rank)

    @override
    def fit(self, sample: Sample) -> dict[str, Tensor]:
        left, sizes, right = sample.linalg.svd(sample.weight, full_matrices=False)
        rank = self.rank
        return {"out": left[:, :rank] * sizes[:rank], "in": right[:rank].clone()}

    @override
    def shapes(self, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
        rank = min(self.rank, inputs, outputs)
        return {"in": (rank, inputs), "out": (outputs, rank)}

    @override
    def prune(self, inputs: Tensor, select: Select, state: Mapping[str, Tensor]) -> Pruned:
        values, mask = select(inputs)
        return Pruned(values * mask, dropped=values * ~mask)
