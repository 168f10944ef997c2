"""S-PTS: each channel is centred on a number from calibration before selection."""

from __future__ import annotations

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


@MITIGATIONS.register("spts")
class StaticShift(Mitigation):
    """y = ((x - η) ⊙ m + η) Wᵀ, η `[K]` the median of each channel in the calibration text.

    The paper speaks of one bias vector per channel, a version of its code uses one number for all
    channels; this is the vector. η Wᵀ is a constant vector: one addition an output.
    """

    demands = Demands(shift="channel", epilogue="add")
    is_calibrated = True

    @classmethod
    @override
    def parse(cls, text: str) -> Self | None:
        return cls() if text == "spts" else None

    @override
    def fit(self, sample: Sample) -> dict[str, Tensor]:
        return {"shift": sample.inputs.median(dim=0).values}

    @override
    def shapes(self, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
        return {"shift": (inputs,)}

    @override
    def prune(self, inputs: Tensor, select: Select, state: Mapping[str, Tensor]) -> Pruned:
        values, mask = select(inputs - state["shift"])
        return Pruned(values * mask + state["shift"])
