"""D-PTS: each token is centred on its median before selection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from typing_extensions import override

from accelsim.sparsity.demands import Demands
from accelsim.sparsity.mitigations.base import MITIGATIONS, Mitigation, Pruned, Select, Tensor


@MITIGATIONS.register("dpts")
class DynamicShift(Mitigation):
    """y = ((x - η) ⊙ m + η) Wᵀ, η the median of the token's K values (the lower one of two).

    In hardware, a median needs the whole token before the first value is selected, and η comes
    back as η × (W 1), a vector known beforehand: one multiply-add an output.
    """

    demands = Demands(shift="token", statistics="median", epilogue="axpy")

    @classmethod
    @override
    def parse(cls, text: str) -> Self | None:
        return cls() if text == "dpts" else None

    @override
    def prune(self, inputs: Tensor, select: Select, state: Mapping[str, Tensor]) -> Pruned:
        shift = inputs.median(dim=1, keepdim=True).values
        values, mask = select(inputs - shift)
        return Pruned(values * mask + shift)
