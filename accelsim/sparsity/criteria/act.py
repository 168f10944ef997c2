"""Magnitude: what a selector ranks without any help."""

from accelsim.sparsity.criteria.base import CRITERIA, Criterion


@CRITERIA.register("act")
class Act(Criterion):
    """S = |x|."""
