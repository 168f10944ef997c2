"""VAR: each token's outputs are scaled so that its variance is what it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from typing_extensions import override

from accelsim.sparsity.demands import Demands
from accelsim.sparsity.mitigations.base import MITIGATIONS, Mitigation, Pruned, Select, Tensor


@MITIGATIONS.register("var")
class VarianceCorrection(Mitigation):
    """y = ν (x ⊙ m) Wᵀ, ν = sqrt(Var[x] / Var[x ⊙ m]) over the token's K values.

    In hardware, sums of x and x² before and after selection run along with it, and ν is ready
    when the token's last value has been selected, before its output is.
    """

    demands = Demands(moments=True, epilogue="scale")

    @classmethod
    @override
    def parse(cls, text: str) -> Self | None:
        return cls() if text == "var" else None

    @override
    def prune(self, inputs: Tensor, select: Select, state: Mapping[str, Tensor]) -> Pruned:
        values, mask = select(inputs)
        kept = values * mask
        spread, left = values.var(dim=1, keepdim=True), kept.var(dim=1, keepdim=True)
        factor = (spread / left.clamp(min=1e-30)).sqrt()
        return Pruned(kept * factor.where(left > 0, 1.0))
