"""LS: each channel is scaled by a learned number, which hides in the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from typing_extensions import override

from accelsim.sparsity.mitigations.base import (
    MITIGATIONS,
    Mitigation,
    Pruned,
    Sample,
    Select,
    Tensor,
    masked_solve,
)


@MITIGATIONS.register("ls")
class LearnedScale(Mitigation):
    """y = (x ⊙ m) diag(s) Wᵀ, s `[K]` least squares on the layer's output in the calibration text.

    W diag(s) is a constant, so the hardware is that of no mitigation. (The paper learns s by
    gradient descent.)
    """

    is_calibrated = True

    @classmethod
    @override
    def parse(cls, text: str) -> Self | None:
        return cls() if text == "ls" else None

    @override
    def fit(self, sample: Sample) -> dict[str, Tensor]:
        values, mask = sample.select(sample.inputs)
        kept = values * mask
        gram = sample.weight.T @ sample.weight
        # Around 1: the ridge pulls rarely kept channels to "as it is" instead of to zero.
        change = masked_solve(gram, kept, sample.inputs - kept, sample.linalg)
        return {"scale": 1 + change}

    @override
    def shapes(self, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
        return {"scale": (inputs,)}

    @override
    def weight_scale(self, state: Mapping[str, Tensor]) -> Tensor | None:
        return state["scale"]

    @override
    def prune(self, inputs: Tensor, select: Select, state: Mapping[str, Tensor]) -> Pruned:
        values, mask = select(inputs)
        return Pruned(values * mask * state["scale"])
