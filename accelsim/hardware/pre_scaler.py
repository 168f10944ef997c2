"""The pre-scaler: multiplies what is ranked by a factor of its channel."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from accelsim.hardware.dot_product import lane_block, lane_parts
from accelsim.hardware.lanes import ChannelUnit
from accelsim.mapping import Ints, Work
from accelsim.tech.blocks import BLOCKS


class PreScaler(ChannelUnit):
    """One multiplier of value × value width a lane, in front of the ranking; a table of K factors.

    The values themselves pass unchanged. Integer products keep all their bits, so the selector of a
    machine with a pre-scaler ranks keys of twice the width, whatever the layer.

    Timing:
        As `LaneUnit`; values of a job: the positions of its tile, if it is selected.

    Actions:
        fixed, chunk: one value scaled, by a factor from the weights or from the chunk. Each is read
        from the table.

    Example:
        8 × 64 values through 32 lanes; K = 64 factors of a byte.

        >>> from accelsim.hardware.examples import work
        >>> from accelsim.sparsity.demands import Demands
        >>> scaler = PreScaler(lanes=32)
        >>> tile = work("8:16", tokens=8, reduction=64, demands=Demands(factors="fixed"))
        >>> scaler.busy_cycles(tile), dict(scaler.actions(tile))
        (array([16]), {'fixed': 512, 'chunk': 0, 'read_bytes': 512, 'write_bytes': 64})
    """

    action_names = frozenset({"fixed", "chunk", "read_bytes", "write_bytes"})
    key: ClassVar[str] = "pre_scaler"
    lane_blocks = {"fixed": "scale_lane", "chunk": "scale_lane"}  # noqa: RUF012
    table_kinds = frozenset({"fixed", "chunk"})

    @override
    def values(self, work: Work) -> Ints:
        return work.jobs.selected


BLOCKS["scale_lane"] = lane_block(lambda s: lane_parts(s, products=1))
