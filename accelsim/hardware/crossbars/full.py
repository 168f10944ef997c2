"""A full crossbar: any position of the group to any lane."""

from __future__ import annotations

from typing import Literal

from typing_extensions import override

from accelsim.hardware.crossbars.base import CROSSBARS, Crossbar
from accelsim.workload import Datapath


@CROSSBARS.register("full")
class Full(Crossbar):
    """An M:1 multiplexer in front of every multiplier.

    Timing, Actions:
        See `Crossbar`.

    Not modelled:
        Wires of the broadcast, and whether a large M meets the clock in `pipeline_stages`.

    Example:
        A 2 × 32 × 2 tile at 8:16, 16 lanes, one 8 × 8 block: one step; 2 × 2 × 16 weights routed,
        2 × 2 groups decoded.

        >>> from accelsim.hardware.examples import work
        >>> tile = work("8:16", tokens=2, reduction=32, columns=2)
        >>> Full(kind="full").busy_cycles(tile), dict(Full(kind="full").actions(tile))
        (array([1]), {'route': 64, 'decode': 4})

    Source: one 4:1 multiplexer a multiplier in NVIDIA's 2:4 (Eureka, MICRO'23 abstract).
    """

    kind: Literal["full"]

    @override
    def legs(self, path: Datapath) -> int:
        return path.group_size
