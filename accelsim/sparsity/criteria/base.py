"""By what the values of a group are ranked: the protocol of a criterion, and the criteria by name.

The formulas are those of arXiv 2509.22166, section 3, as far as they are told apart there; where a
paper and its code disagree, the file of the criterion says which is followed.
"""

from __future__ import annotations

from typing import ClassVar

from accelsim.base.registry import Registry
from accelsim.precision import Values
from accelsim.sparsity.demands import Demands


class Criterion:
    """Ranks activations by |x| × a factor of their channel, both as the hardware holds them."""

    demands: ClassVar[Demands] = Demands()
    ranks_weights: ClassVar[bool] = False  # instead of activations: the weights are pruned

    @staticmethod
    def layer_factors(weight: Values) -> Values | None:  # noqa: ARG004
        """Return factors `[K]` that follow from the weight `[O, K]`; None: they do not."""
        return None

    @staticmethod
    def chunk_factors(values: Values) -> Values | None:  # noqa: ARG004
        """Return factors `[K]` that follow from a sequence's activations `[S, K]`, or None.

        Both are arrays or, for a model on a GPU, torch tensors.
        """
        return None


CRITERIA: Registry[Criterion] = Registry("criterion")
