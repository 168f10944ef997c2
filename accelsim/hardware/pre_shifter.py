"""The pre-shifter: subtracts a number of the token or the channel in front of selection."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from accelsim.hardware.dot_product import lane_block, lane_parts
from accelsim.hardware.lanes import ChannelUnit
from accelsim.mapping import Ints, Work
from accelsim.tech.blocks import BLOCKS


class PreShifter(ChannelUnit):
    """One adder of value width a lane; shifts of channels come from a table of K values.

    Timing:
        As `LaneUnit`; values of a job: the positions of its tile, if it is selected.

    Actions:
        token, channel: one value shifted. A channel's shift is read from the table each time.

    Example:
        8 × 64 values through 64 lanes; K = 64 shifts of a byte.

        >>> from accelsim.hardware.examples import work
        >>> from accelsim.sparsity.demands import Demands
        >>> shifter = PreShifter(lanes=64)
        >>> tile = work("8:16", tokens=8, reduction=64, demands=Demands(shift="channel"))
        >>> shifter.busy_cycles(tile), dict(shifter.actions(tile))
        (array([8]), {'token': 0, 'channel': 512, 'read_bytes': 512, 'write_bytes': 64})
    """

    action_names = frozenset({"token", "channel", "read_bytes", "write_bytes"})
    key: ClassVar[str] = "pre_shifter"
    lane_blocks = {"token": "shift_lane", "channel": "shift_lane"}  # noqa: RUF012
    table_kinds = frozenset({"channel"})

    @override
    def values(self, work: Work) -> Ints:
        return work.jobs.selected


BLOCKS["shift_lane"] = lane_block(lambda s: lane_parts(s, adders=[s.bits]))
