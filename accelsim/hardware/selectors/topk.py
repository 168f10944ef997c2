"""Selection of the largest values of a whole token, however they stand in it (Q-Sparse)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import override

from accelsim.hardware.selectors.threshold import ThresholdSelector
from accelsim.sparsity import Pattern
from accelsim.sparsity.patterns.topk import TopK


class TopKSelector(ThresholdSelector):
    """Comparators as of `ThresholdSelector`, with a level for each token.

    The level of a token is its D × K-th largest magnitude. `Statistics` finds it before the first
    tile, bit by bit: for each bit of a value, the K values of the token pass once and are counted
    that are not below the bound. So all of X is read twice, and this unit only compares.

    Timing:
        See `ThresholdSelector`; the search for levels: see `Statistics`.

    Actions:
        See `ThresholdSelector`.

    Not modelled:
        See `ThresholdSelector`; the counter of values equal to the level, of which the first stay;
        the levels' memory.

    Example:
        >>> from accelsim.hardware.examples import work
        >>> unit = TopKSelector(kind="topk", instances=32)
        >>> unit.busy_cycles(work("topk:0.5", tokens=1, reduction=96))
        array([3])
    """

    kind: Annotated[Literal["topk"], Field(description="Which design")]  # type: ignore[assignment]

    @classmethod
    @override
    def takes(cls, pattern: Pattern) -> bool:
        return isinstance(pattern, TopK)
