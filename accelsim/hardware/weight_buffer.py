"""The weight buffer: tiles of W from DRAM, streamed past the crossbar."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from typing_extensions import override

from accelsim.hardware.buffer import Buffer
from accelsim.mapping import Ints, TileJobs, Work, bytes_of
from accelsim.mapping.jobs import Flags


class WeightBuffer(Buffer):
    """Holds weights of all positions of K, because any of them may be kept.

    Timing:
        Each row block of a job reads the whole tile, reduction × columns weights as they are stored
        and their scales, once; a weight is broadcast to all R rows. An N:M array does that in M / N
        fewer cycles than a dense one, which is why it needs M / N times the port. Where a residual
        follows, the tile is read once more.

    Actions:
        See `Buffer`; writes are what DRAM delivers (at decode, only rows that were kept).

    Example:
        16 tokens are two row blocks: 2 × 64 × 8 bytes through a port of 256 in 4 cycles.

        >>> from accelsim.hardware.examples import work
        >>> buffer = WeightBuffer(capacity_kib=64, port_bytes=256)
        >>> buffer.busy_cycles(work("8:16", tokens=16, reduction=64))
        array([4])
    """

    key: ClassVar[str] = "weights"
    balanced_port: ClassVar[str] = "C × g × M × B / s"

    @override
    def tile(self, jobs: TileJobs) -> Ints:
        return jobs.weight_tile

    @override
    def fills(self, jobs: TileJobs) -> Flags:
        return jobs.loads_weights

    @override
    def tile_bytes(self, work: Work) -> int:
        return work.tile_bytes.weights

    @override
    def read_bytes(self, work: Work) -> Ints:
        jobs, path = work.jobs, work.path
        if not path.is_gathered:
            return jobs.weight_tile_bytes(path) * jobs.row_blocks(path) * path.passes
        return _gathered_bytes(work)

    @override
    def write_bytes(self, work: Work) -> Ints:
        return work.weight_bytes


def _gathered_bytes(work: Work) -> Ints:
    """Return the bytes of W that the array reads of each tile: of single rows, and their scales."""
    jobs, path = work.jobs, work.path
    rows, blocks = work.weight_rows_read, jobs.row_blocks(path)
    scales = np.minimum(rows, blocks * path.w.scales(jobs.reduction, jobs.reduction_start))
    return bytes_of(path.w.tile_bits(rows, jobs.columns, scales))
