"""GEMM shapes, tiling, and the tile jobs that travel through the machine."""

from accelsim.workload.datapath import Datapath, Ints, bytes_of, ceil_div
from accelsim.workload.jobs import TileJobs, slot_releases, tile_jobs
from accelsim.workload.mapper import choose_tiling
from accelsim.workload.tiling import (
    Gemm,
    Reuse,
    Store,
    Stores,
    Tiling,
    check_tiling,
)
from accelsim.workload.work import Work

__all__ = [
    "Datapath",
    "Gemm",
    "Ints",
    "Reuse",
    "Store",
    "Stores",
    "TileJobs",
    "Tiling",
    "Work",
    "bytes_of",
    "ceil_div",
    "check_tiling",
    "choose_tiling",
    "slot_releases",
    "tile_jobs",
]
