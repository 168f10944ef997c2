"""What makes dropping activations hurt less: the protocol of a mitigation.

Arrays are torch tensors, of which only methods are used; nothing here imports torch. A mitigation
changes what enters the matrix product, `y = x̃ @ W.T`, because a number per token or per channel
that the hardware applies to the output is the same as one applied to the input.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from accelsim.base.errors import InputError, shown
from accelsim.base.registry import Registry
from accelsim.sparsity.demands import Demands

Tensor = Any  # torch.Tensor, `[T, K]` unless said otherwise
Select = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Function of values `[T, K]`: as the hardware holds them, and the mask of those it keeps."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """The activations that enter the product instead of x, and the dropped ones if used as well.

    Attributes:
        inputs: what enters the product.
        dropped: what goes through a low-rank product besides.
        split_by: mask of the values after which x is split: what those leave of it is rounded, too,
            and added to `inputs`.
    """

    inputs: Tensor
    dropped: Tensor | None = None
    split_by: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """The data of one layer that a mitigation is calibrated on.

    Attributes:
        inputs: `[T, K]`, activations of a calibration text.
        weight: `[O, K]`.
        select: which of them are kept, see `Select`.
        linalg: `torch.linalg`.
    """

    inputs: Tensor
    weight: Tensor
    select: Select
    linalg: Any = field(repr=False)


class Mitigation(ABC):
    """A way to make up for dropped activations; one file in this package each."""

    demands: ClassVar[Demands] = Demands()
    is_calibrated: ClassVar[bool] = False  # on activations; else `fit` sees none

    @classmethod
    @abstractmethod
    def parse(cls, text: str) -> Self | None:
        """Return the mitigation written as `text`, or None if it is not of this family."""

    def fit(self, sample: Sample) -> dict[str, Tensor]:  # noqa: ARG002
        """Return the state of one layer, by name."""
        return {}

    def shapes(self, inputs: int, outputs: int) -> dict[str, tuple[int, ...]] | None:  # noqa: ARG002
        """Return the shape of each part of the state of a layer; None: it is not checked.

        Args:
            inputs: K of the layer.
            outputs: O of the layer.
        """
        return None if self.is_calibrated or self.demands.rank else {}

    def weight_scale(self, state: Mapping[str, Tensor]) -> Tensor | None:  # noqa: ARG002
        """Return scales `[K]` that W is multiplied with before it is rounded; None: none."""
        return None

    @abstractmethod
    def prune(self, inputs: Tensor, select: Select, state: Mapping[str, Tensor]) -> Pruned:
        """Select `[T, K]` activations and return what enters the product."""


MITIGATIONS: Registry[Mitigation] = Registry("mitigation")


def parse_mitigation(text: str) -> Mitigation:
    """Return the mitigation called `text`; raise InputError if there is none.

    >>> parse_mitigation("rsparse64").demands.rank
    64
    """
    for family in MITIGATIONS.values():
        found = family.parse(text)
        if found is not None:
            return found
    names = [f"{name}64" if name == "rsparse" else name for name in MITIGATIONS]
    raise InputError(
        f"unknown mitigation '{shown(text)}'; allowed: {', '.join(names)} (or another rank)"
    )


def masked_solve(gram: Tensor, which: Tensor, target: Tensor, linalg: Any) -> Tensor:
    """Return v `[K]` that minimises the error of `(which ⊙ v) @ W.T` against `target @ W.T`.

    With G = W.T W (`gram`), the normal equations are (G ⊙ whichᵀ which) v = b, where
    b_j = sum_t which_tj (target G)_tj. A ridge of 1e-4 of the mean diagonal keeps channels that
    are hardly ever seen near zero.

    Args:
        gram: `[K, K]`.
        which: `[T, K]`, what each entry of v is multiplied with.
        target: `[T, K]`.
        linalg: `torch.linalg`.
    """
    normal = gram * (which.T @ which)
    right = (which * (target @ gram)).sum(0)
    ridge = 1e-4 * normal.diagonal().mean() + 1e-30
    normal.diagonal().add_(ridge)
    return linalg.solve(normal, right)
