"""SharQ: what is kept leaves a remainder, which goes through the same weights in a second pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from typing_extensions import override

from accelsim.sparsity.demands import Demands
from accelsim.sparsity.mitigations.base import MITIGATIONS, Mitigation, Pruned, Select, Tensor


@MITIGATIONS.register("residual")
class Residual(Mitigation):
    """y = q(x) ⊙ m Wᵀ + q(x - q(x) ⊙ m) Wᵀ with q the rounding to the format of the multipliers.

    A value that is kept has two numbers, the second one for the rounding error of the first; one
    that is dropped is in the remainder alone (SharQ, arXiv 2606.26587). The remainder has scales of
    blocks of its own, and the scale of its token is that of x, so that both passes add to the same
    sums. In hardware: X comes as the layer before left it, a `splitter` rounds it twice, and the
    array makes a sparse and a dense pass over each tile of W.
    """

    demands = Demands(residual=True)

    @classmethod
    @override
    def parse(cls, text: str) -> Self | None:
        return cls() if text == "residual" else None

    @override
    def prune(self, inputs: Tensor, select: Select, state: Mapping[str, Tensor]) -> Pruned:
        values, mask = select(inputs)
        return Pruned(values * mask, split_by=mask)
