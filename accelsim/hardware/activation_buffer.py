"""The activation buffer: tiles of X from DRAM, read by the selector, or by a dense array."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from accelsim.hardware.buffer import Buffer
from accelsim.mapping import Ints, TileJobs, Work
from accelsim.mapping.jobs import Flags


class ActivationBuffer(Buffer):
    """Holds uncompressed activations.

    Timing:
        Sparse: a job that selects reads its tile once, tokens × reduction values.
        Dense: a job reads the tokens × reduction values again for each of its column blocks; a
        row's values are broadcast to all C columns.

    Actions:
        See `Buffer`; writes are what DRAM delivers.

    Example:
        A dense 8 × 64 tile with 16 outputs is two column blocks: 2 × 512 bytes in 8 cycles of 128.

        >>> from accelsim.hardware.examples import work
        >>> buffer = ActivationBuffer(capacity_kib=64, port_bytes=128)
        >>> buffer.busy_cycles(work("dense", tokens=8, reduction=64, columns=16))
        array([8])
        >>> buffer.busy_cycles(work("2:4", tokens=8, reduction=64, columns=16))
        array([4])
    """

    key: ClassVar[str] = "activations"
    balanced_port: ClassVar[str] = "R × L × B if dense, else its selectors instances × M × B / P"

    @override
    def tile(self, jobs: TileJobs) -> Ints:
        return jobs.activation_tile

    @override
    def fills(self, jobs: TileJobs) -> Flags:
        return jobs.loads_activations

    @override
    def uses(self, work: Work) -> Flags | None:
        return work.jobs.selects if work.path.is_sparse else None

    @override
    def tile_bytes(self, work: Work) -> int:
        return work.tile_bytes.activations

    @override
    def read_bytes(self, work: Work) -> Ints:
        tile = _tile_bytes(work)
        if work.path.is_sparse:
            return tile * work.jobs.selects
        return tile * work.jobs.column_blocks(work.path)

    @override
    def write_bytes(self, work: Work) -> Ints:
        return _tile_bytes(work) * work.jobs.loads_activations


def _tile_bytes(work: Work) -> Ints:
    return work.jobs.activation_tile_bytes(work.path)
