"""Amber: magnitude times how strong the channel is in the weights."""

from __future__ import annotations

import numpy as np
from typing_extensions import override

from accelsim.precision import Values
from accelsim.sparsity.criteria.base import CRITERIA, Criterion
from accelsim.sparsity.demands import Demands


@CRITERIA.register("amber")
class Amber(Criterion):
    """S = |x_j| × ||Ŵ_:,j||₂ with Ŵ = (W - mean) / deviation (Amber Pruner, arXiv 2508.02128).

    Mean and deviation leave out weights beyond the 0.5 % and 99.5 % quantiles; the norms do not.
    The factors are static: they come with the layer, in prefill and in decode.

    Example:
        Mean 0 and deviation 1: the norms of the columns are sqrt(2) and sqrt(2).

        >>> Amber.layer_factors(np.array([[1.0, -1.0], [-1.0, 1.0]])).round(3).tolist()
        [1.414, 1.414]
    """

    demands = Demands(factors="fixed")

    @staticmethod
    @override
    def layer_factors(weight: Values) -> Values | None:
        wide = weight.astype(np.float64)
        low, high = np.quantile(wide, [0.005, 0.995])
        inliers = wide[(wide >= low) & (wide <= high)]
        deviation = inliers.std() or 1.0
        factors: Values = np.linalg.norm((wide - inliers.mean()) / deviation, axis=0)
        return factors
