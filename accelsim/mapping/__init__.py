"""GEMM shapes, tiling, and the tile jobs that travel through the machine."""

from accelsim.mapping.datapath import Datapath, Ints, bytes_of, ceil_div
from accelsim.mapping.jobs import TileJobs, slot_releases, tile_jobs
from accelsim.mapping.mapper import choose_tiling
from accelsim.mapping.masks import Masks
from accelsim.mapping.packing import MultipliesTiles, Packing, Packs
from accelsim.mapping.tiling import (
    Gemm,
    Reuse,
    Store,
    Stores,
    Tiling,
    check_tiling,
)
from accelsim.mapping.work import Work

__all__ = [
    "Datapath",
    "Gemm",
    "Ints",
    "Masks",
    "MultipliesTiles",
    "Packing",
    "Packs",
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
