"""The compressed buffer: what the selector kept, values and metadata, read by the array."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from accelsim.hardware.buffer import Buffer
from accelsim.mapping import Ints, TileJobs, Work
from accelsim.mapping.jobs import Flags


class CompressedBuffer(Buffer):
    """Holds selected activations; exists only on a sparse machine.

    Timing:
        A token's row of a tile takes ceil((values × value bits + metadata bits) / 8) bytes, its
        values being N a group, padding included, or the values that it keeps where that varies. A
        job reads its rows once for each of its column blocks, and writes them if it selects.

    Actions:
        See `Buffer`; metadata bytes count like any other.

    Example:
        8 tokens × 64 positions at 16:32 with a bitmask: 8 × (32 + 64 / 8) = 320 bytes.

        >>> from accelsim.hardware.examples import work
        >>> buffer = CompressedBuffer(capacity_kib=64, port_bytes=160)
        >>> tile = work("16:32", tokens=8, reduction=64)
        >>> buffer.busy_cycles(tile), dict(buffer.actions(tile))
        (array([2]), {'read_bytes': 320, 'write_bytes': 320})
    """

    key: ClassVar[str] = "compressed"
    balanced_port: ClassVar[str] = "R × ⌈g × (N × bits of a value + metadata bits) / 8⌉ / s"

    @override
    def tile(self, jobs: TileJobs) -> Ints:
        return jobs.activation_tile

    @override
    def fills(self, jobs: TileJobs) -> Flags:
        return jobs.selects

    @override
    def tile_bytes(self, work: Work) -> int:
        return work.tile_bytes.compressed

    @override
    def read_bytes(self, work: Work) -> Ints:
        return work.packing.compressed_bytes * work.jobs.column_blocks(work.path)

    @override
    def write_bytes(self, work: Work) -> Ints:
        return work.packing.compressed_bytes * work.jobs.selects
