"""The statistics pass: what must be known of all of X before the first value is selected."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from typing_extensions import override

from accelsim.hardware.dot_product import lane_block, lane_parts
from accelsim.hardware.lanes import TableUnit
from accelsim.mapping import Datapath, Gemm, Ints, Work, bytes_of, ceil_div
from accelsim.tech.blocks import BLOCKS, Parts, Shape

_SUM_BYTES = 4


class Statistics(TableUnit):
    """Norms of columns, or the median of each token, while X streams past for the first time.

    For norms a lane is a multiplier (the square) and a 32-bit adder, and the table holds a sum for
    each of K columns. Codes of int8 have another scale in each token, so their lane has a second
    multiplier: the square times its token's scale squared. For medians a lane compares with a bound
    and counts, and the table holds a token: its K values pass once for each bit of the bound, the
    highest first. The level of a token, its K-th largest magnitude, is found in the same way.

    Timing:
        All in job 0. What is found of a token is built bit by bit, so that a pass ends before the
        next one begins, with a word that may be short.

            busy    = ceil(T × K / lanes) for columns, T × value bits × ceil(K / lanes) else
            latency = 1

    Actions:
        columns: one value squared and added to its column's sum, which is read and written back.
        median, level: one value of a token compared in one pass, and read from the table.

    Not modelled:
        As `LaneUnit`; the sum over the lanes that count (`level_finder.sv` does it in the cycle of
        the word; pipelined, two tokens would take turns).

    Example:
        8 × 64 values through 64 lanes: 8 cycles, or 8 × 8 in 8 passes; tables of K × 4 and K bytes.

        >>> from accelsim.hardware.examples import work
        >>> from accelsim.sparsity.demands import Demands
        >>> unit = Statistics(lanes=64)
        >>> tile = work("8:16", tokens=8, reduction=64, demands=Demands(statistics="columns"))
        >>> unit.busy_cycles(tile), unit.actions(tile)["write_bytes"]
        (array([8]), 2048)
        >>> tile = work("8:16", tokens=8, reduction=64, demands=Demands(statistics="median"))
        >>> unit.busy_cycles(tile), unit.actions(tile)["write_bytes"]
        (array([64]), 512)
    """

    action_names = frozenset({"columns", "median", "level", "read_bytes", "write_bytes"})
    key: ClassVar[str] = "statistics"
    lane_blocks = {  # noqa: RUF012
        "columns": "columns_lane",
        "median": "median_lane",
        "level": "median_lane",
    }
    table_kinds = frozenset({"columns", "median", "level"})

    @override
    def values(self, work: Work) -> Ints:
        passes = 1 if work.path.demands.statistics == "columns" else work.path.x.bits
        values = np.zeros(len(work.jobs), np.int64)
        values[0] = passes * work.whole.tokens * work.whole.in_features
        return values

    @override
    def busy_cycles(self, work: Work) -> Ints:
        if work.path.demands.statistics in ("", "columns"):
            return super().busy_cycles(work)
        cycles = np.zeros(len(work.jobs), np.int64)
        words = ceil_div(work.whole.in_features, self._lanes)
        cycles[0] = work.whole.tokens * work.path.x.bits * words
        return cycles

    @override
    def entry_bytes(self, path: Datapath) -> int:
        return max(_item_bytes(kind, path) for kind in self.served)

    @override
    def table_bytes(self, gemm: Gemm, path: Datapath) -> int:
        return gemm.in_features * _item_bytes(path.demands.statistics, path)

    @override
    def moved_bytes(self, work: Work) -> tuple[int, int]:
        item = _item_bytes(work.path.demands.statistics, work.path)
        values = work.whole.tokens * work.whole.in_features
        return int(self.values(work).sum()) * item, values * item


def _item_bytes(kind: str, path: Datapath) -> int:
    """Return the bytes of one entry: a sum, or a value."""
    return _SUM_BYTES if kind == "columns" else bytes_of(path.x.bits)


def _columns(s: Shape) -> Parts:
    """Return the square of a value, added to a sum; of 8 bits, times its token's scale squared.

    Codes of 16 bits have no scale.
    """
    return lane_parts(s, products=2 if s.bits == 8 else 1, adders=[32])  # noqa: PLR2004


def _count(s: Shape) -> Parts:
    """Return a comparison of a value with a bound, by bits, and its share of the count."""
    return {"accumulator_bits": s.bits + 2, "register_bits": s.bits + 2}


BLOCKS["columns_lane"] = lane_block(_columns)
BLOCKS["median_lane"] = lane_block(_count)
