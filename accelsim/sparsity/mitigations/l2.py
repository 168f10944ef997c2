"""L2: each token's outputs are scaled so that what is kept of it is as long as all of it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from typing_extensions import override

from accelsim.sparsity.demands import Demands
from accelsim.sparsity.mitigations.base import MITIGATIONS, Mitigation, Pruned, Select, Tensor


@MITIGATIONS.register("l2")
class NormCorrection(Mitigation):
    """y = ν (x ⊙ m) Wᵀ, ν = ||x||₂ / ||x ⊙ m||₂ over the token's K values.

    Q-Sparse (arXiv 2407.10969) divides by ||x ⊙ m||₂ alone, and trains the model with that: every
    layer then sees inputs of length 1. A model that was not trained so expects inputs of the length
    that they had, hence ||x||₂. For inputs of mean 0 it is `var`.

    In hardware as `var`: sums of x² before and after selection run along with it, and ν is ready
    when the token's last value has been selected. `var` needs the sums of x as well.
    """

    demands = Demands(moments=True, epilogue="scale")

    @classmethod
    @override
    def parse(cls, text: str) -> Self | None:
        return cls() if text == "l2" else None

    @override
    def prune(self, inputs: Tensor, select: Select, state: Mapping[str, Tensor]) -> Pruned:
        values, mask = select(inputs)
        kept = values * mask
        whole, left = values.square().sum(1, keepdim=True), kept.square().sum(1, keepdim=True)
        factor = (whole / left.clamp(min=1e-30)).sqrt()
        return Pruned(kept * factor.where(left > 0, 1.0))
