"""Pieces of work that show what a unit does: layers whose tiles are cut at every edge."""

from __future__ import annotations

from accelsim.mapping import Datapath, Gemm, Store, Stores, Tiling, Work, tile_jobs
from accelsim.precision import OperandFormat, Operands
from accelsim.selection.decode import dense_weight_bytes
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.demands import Demands

EVERYTHING = Demands(
    factors="fixed",
    shift="channel",
    moments=True,
    statistics="columns",
    epilogue="axpy",
    residual=True,
)
"""Of a method that needs every unit that there is for methods."""
BURST_BYTES = 64
PATTERNS = ("dense", "2:4", "8:16", "16:32", "3:5", "32:64")


def path_of(  # noqa: PLR0913 - each is one property of a datapath
    pattern: str,
    *,
    bits: int = 8,
    precision: str = "int8",
    rows: int = 8,
    columns: int = 4,
    lanes: int = 16,
    clock_mhz: float = 1000,
    index: bool = False,
) -> Datapath:
    """Return a datapath of a pattern; of a sparse one, with a method that needs every unit."""
    kept = parse_pattern(pattern)
    return Datapath(
        rows=rows,
        columns=columns,
        lanes=lanes,
        accumulator_bits=32,
        formats=Operands(*3 * [OperandFormat(precision, bits)]),
        clock_mhz=clock_mhz,
        metadata_format="index" if index else "bitmask",
        kept_per_group=kept.kept_per_group,
        group_size=kept.group_size,
        metadata_bits_per_group=0 if kept.is_dense else kept.group_size,
        demands=Demands() if kept.is_dense else EVERYTHING,
    )


def ragged_work(pattern: str, *, tokens: int = 21) -> Work:
    """Return a layer of tokens × 200 × 37 in tiles of 8 tokens × 16 columns, cut at every edge.

    21 tokens = 2 × 8 + 5, 37 columns = 2 × 16 + 5; four fifths of what is kept is not zero.
    """
    path, gemm = path_of(pattern), Gemm(tokens, 200, 37)
    tiling = Tiling(8, 16, 2 * path.group_size * (32 if pattern == "dense" else 1), "tokens_outer")
    store = Store(1 << 12)
    stores = Stores(store, store, store, store if path.is_sparse else None)
    jobs = tile_jobs(gemm, tiling, path, stores)
    kept = gemm.tokens * parse_pattern(pattern).kept_count(gemm.in_features)
    return Work(
        gemm=gemm,
        path=path,
        tiling=tiling,
        jobs=jobs,
        weight_bytes=dense_weight_bytes(jobs, path),
        kept=kept,
        nonzero=kept * 4 // 5,
    )
