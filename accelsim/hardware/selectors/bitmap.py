"""Selection by a level into values and a bit for each position, a token at a time."""

from __future__ import annotations

from typing_extensions import override

from accelsim.hardware.selectors.threshold import ThresholdSelector
from accelsim.mapping import Ints, Work, ceil_div


class BitmapSelector(ThresholdSelector):
    """`instances` comparators, each a value a cycle; what is above the level moves together.

    Timing:
        As each token keeps what it keeps, tokens need no union, and pass once:

            busy    = ceil(tokens × reduction / instances), for a job that selects
            latency = 2 + extra_stages: compare, move

    Actions:
        See `ThresholdSelector`.

    Not modelled:
        See `ThresholdSelector`, but for the union.

    Example:
        8 × 96 values through 64 comparators: 12 cycles.

        >>> from accelsim.hardware.examples import work
        >>> unit = BitmapSelector(kind="threshold", instances=64)
        >>> unit.busy_cycles(work("threshold:0.5", tokens=8, reduction=96))
        array([12])
    """

    @override
    def busy_cycles(self, work: Work) -> Ints:
        return ceil_div(self.groups(work), self.instances)
