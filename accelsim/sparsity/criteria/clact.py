"""CLACT: magnitude times how strong the channel is in the sequence."""

from __future__ import annotations

from typing import Any

import numpy as np
from typing_extensions import override

from accelsim.precision import Values
from accelsim.sparsity.criteria.base import CRITERIA, Criterion
from accelsim.sparsity.demands import Demands


@CRITERIA.register("clact")
class Clact(Criterion):
    """S = |x_tj| × sqrt(sum_p x_pj²) / sqrt(sum_k x_tk²), over the tokens p of the sequence.

    The divisor is the same for all of a token's values, so it changes no ranking and is left out.
    The factors are known when the sequence has been seen, which takes a pass of its own. For a
    sequence of one token, as in decode, a factor is |x|, so that the ranking is that of x².

    >>> Clact.chunk_factors(np.array([[3.0, 1.0], [4.0, 0.0]])).tolist()
    [5.0, 1.0]
    """

    demands = Demands(factors="chunk", statistics="columns")

    @staticmethod
    @override
    def chunk_factors(values: Values) -> Values | None:
        wide: Any = values.astype(np.float64) if isinstance(values, np.ndarray) else values.double()
        factors: Values = (wide * wide).sum(0) ** 0.5
        return factors
