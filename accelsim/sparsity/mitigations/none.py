"""No mitigation: what is not kept is zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from typing_extensions import override

from accelsim.sparsity.mitigations.base import MITIGATIONS, Mitigation, Pruned, Select, Tensor


@MITIGATIONS.register("none")
class NoMitigation(Mitigation):
    """y = (x ⊙ m) Wᵀ."""

    @classmethod
    @override
    def parse(cls, text: str) -> Self | None:
        return cls() if text == "none" else None

    @override
    def prune(self, inputs: Tensor, select: Select, state: Mapping[str, Tensor]) -> Pruned:
        values, mask = select(inputs)
        return Pruned(values * mask)
