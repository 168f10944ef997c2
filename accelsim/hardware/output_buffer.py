"""The output buffer: finished outputs, or partial sums while K is split over tiles."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from typing_extensions import override

from accelsim.hardware.buffer import Buffer
from accelsim.mapping import Datapath, Ints, TileJobs, Work, bytes_of, ceil_div
from accelsim.mapping.jobs import Flags


class OutputBuffer(Buffer):
    """Collects the array's outputs, rounded to the operand precision once K is complete.

    Timing:
        A job writes tokens × columns outputs: value width if the tile holds all of K, else
        accumulator width (partial sums, which the next tile of K reads back through the other
        port). Outputs that the layer adds to (low rank) come from DRAM and are read like those.
        The port towards the array is charged.

            latency = ceil(R × C × accumulator bytes / port_bytes): draining the last block

    Actions:
        See `Buffer`; reads are partial sums read back and outputs sent to DRAM.

    Example:
        >>> from accelsim.hardware.examples import work
        >>> buffer = OutputBuffer(capacity_kib=64, port_bytes=64)
        >>> tile = work("8:16", tokens=8, reduction=64, columns=16)
        >>> buffer.busy_cycles(tile), dict(buffer.actions(tile))
        (array([2]), {'read_bytes': 128, 'write_bytes': 128})
    """

    key: ClassVar[str] = "outputs"
    near_port: ClassVar[str] = "write"
    balanced_port: ClassVar[str] = "R × C × bytes of an output / steps of a tile's K"

    @override
    def tile(self, jobs: TileJobs) -> Ints:
        return jobs.output_tile

    @override
    def fills(self, jobs: TileJobs) -> Flags:
        return jobs.begins_outputs

    @override
    def tile_bytes(self, work: Work) -> int:
        return work.tile_bytes.outputs

    @override
    def busy_cycles(self, work: Work) -> Ints:
        return ceil_div(self.write_bytes(work), self.port_bytes)

    @override
    def latency_cycles(self, path: Datapath) -> int:
        block = bytes_of(path.rows * path.columns * path.accumulator_bits)
        return ceil_div(block, self.port_bytes)

    @override
    def far_cycles(self, work: Work) -> Ints:
        """Return the cycles in which each job's finished outputs leave towards DRAM."""
        return ceil_div(stored_bytes(work.jobs, work.path), self.port_bytes)

    @override
    def write_bytes(self, work: Work) -> Ints:
        jobs = work.jobs
        is_whole = jobs.first_reduction & jobs.last_reduction
        bits = np.where(is_whole, work.path.y.bits, work.path.accumulator_bits)
        written = bytes_of(jobs.tokens * jobs.columns * bits)
        return written + work.added_bytes + work.resumed_bytes

    @override
    def read_bytes(self, work: Work) -> Ints:
        jobs, path = work.jobs, work.path
        partial = bytes_of(jobs.tokens * jobs.columns * path.accumulator_bits)
        return partial * ~jobs.first_reduction + work.added_bytes + stored_bytes(jobs, path)


def stored_bytes(jobs: TileJobs, path: Datapath) -> Ints:
    """Return the output bytes that each job sends to DRAM, finished or partial, `[jobs]`."""
    bits = np.where(jobs.last_reduction, path.y.bits, path.accumulator_bits)
    return bytes_of(jobs.tokens * jobs.columns * bits) * jobs.ends_outputs
