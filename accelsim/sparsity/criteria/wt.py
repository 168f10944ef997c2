"""Weight magnitude: the pruning of weights that the literature compares with."""

from accelsim.sparsity.criteria.base import CRITERIA, Criterion


@CRITERIA.register("wt")
class Weight(Criterion):
    """S = |w|: of every group of M weights of an output, along K, the N largest stay.

    Activations stay dense. Its hardware is a machine with a `weight_pattern`.
    """

    ranks_weights = True
