"""The epilogue: what each finished output goes through on its way to the output buffer."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from accelsim.hardware.dot_product import lane_block, lane_parts
from accelsim.hardware.lanes import TableUnit
from accelsim.mapping import Datapath, Gemm, Ints, Work, bytes_of
from accelsim.tech.blocks import BLOCKS, Parts, Shape


class Epilogue(TableUnit):
    """A multiplier of 32 bits × value width a lane (scale), an adder of 32 bits (add), or both.

    What is added comes from a table of O entries of accumulator width; `axpy` scales that by a
    number of its token first.

    Timing:
        As `LaneUnit`; values of a job: its outputs, if it completes K.

    Actions:
        scale, add: one output scaled, or added to an entry of the table.

    Not modelled:
        As `LaneUnit`; the numbers of the tokens on their way here.

    Example:
        8 × 8 outputs through 8 lanes; O = 8 entries of 4 bytes.

        >>> from accelsim.hardware.examples import work
        >>> from accelsim.sparsity.demands import Demands
        >>> unit = Epilogue(lanes=8)
        >>> tile = work("8:16", tokens=8, reduction=64, demands=Demands(epilogue="axpy"))
        >>> unit.busy_cycles(tile), dict(unit.actions(tile))
        (array([8]), {'scale': 64, 'add': 64, 'read_bytes': 256, 'write_bytes': 32})
    """

    action_names = frozenset({"scale", "add", "read_bytes", "write_bytes"})
    key: ClassVar[str] = "epilogue"
    lane_blocks = {"scale": "output_scale_lane", "add": "output_add_lane"}  # noqa: RUF012
    table_kinds = frozenset({"add"})

    @override
    def values(self, work: Work) -> Ints:
        return work.jobs.tokens * work.jobs.columns * work.jobs.last_reduction

    @override
    def entry_bytes(self, path: Datapath) -> int:
        return bytes_of(path.accumulator_bits)

    @override
    def table_bytes(self, gemm: Gemm, path: Datapath) -> int:
        return gemm.out_features * self.entry_bytes(path)


def _output_scale(s: Shape) -> Parts:
    """Return a multiplier of a finished sum, 32 bits or a significand of 24, by a value."""
    return lane_parts(s, products=24 / s.significand_bits if s.is_float else 32 / s.bits)


BLOCKS["output_scale_lane"] = lane_block(_output_scale)
BLOCKS["output_add_lane"] = lane_block(lambda s: lane_parts(s, adders=[32]))
