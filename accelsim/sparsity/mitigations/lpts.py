"""L-PTS: the shift of each channel is learned, so that the layer's output changes least."""

from __future__ import annotations

from typing import Self

from typing_extensions import override

from accelsim.sparsity.mitigations.base import MITIGATIONS, Sample, Tensor, masked_solve
from accelsim.sparsity.mitigations.spts import StaticShift

_ROUNDS = 4


@MITIGATIONS.register("lpts")
class LearnedShift(StaticShift):
    """y = ((x - η) ⊙ m + η) Wᵀ, η `[K]` least squares on the layer's output in calibration.

    The mask depends on η. For a given mask, y is linear in η and the best η solves K equations;
    mask and η are found in turns, four times, and the η with the least error is kept. (The paper
    learns η by gradient descent.)
    """

    @classmethod
    @override
    def parse(cls, text: str) -> Self | None:
        return cls() if text == "lpts" else None

    @override
    def fit(self, sample: Sample) -> dict[str, Tensor]:
        x, gram = sample.inputs, sample.weight.T @ sample.weight
        shift = super().fit(sample)["shift"]
        tried = []
        for _ in range(_ROUNDS):
            values, mask = sample.select(x - shift)
            error = x - (values * mask + shift)
            tried.append((float((error * (error @ gram)).sum()), shift))
            dropped = (~mask).to(x.dtype)
            # For this mask: what η must bring back, given that kept values do not depend on it.
            shift = masked_solve(gram, dropped, x * dropped, sample.linalg)
        return {"shift": min(tried, key=lambda entry: entry[0])[1]}
