"""One-tile work on a small machine, for the examples in the docstrings of the units."""

from __future__ import annotations

import numpy as np

from accelsim.mapping import Datapath, Gemm, Store, Stores, Tiling, Work, tile_jobs
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.demands import Demands


def path(pattern: str, demands: Demands = Demands()) -> Datapath:  # noqa: B008 - immutable
    """Return an int8 datapath of 8 rows × 8 columns × 16 lanes with bitmask metadata."""
    kept = parse_pattern(pattern)
    group_size = kept.group_size if kept.is_grouped else 1
    return Datapath(
        rows=8,
        columns=8,
        lanes=16,
        accumulator_bits=32,
        kept_per_group=kept.kept_per_group if kept.is_grouped else 1,
        group_size=group_size,
        metadata_bits_per_group=0 if kept.is_dense else group_size,
        demands=demands,
        kept_share=None if kept.is_grouped else kept.kept_share,
        is_gathered=not kept.is_grouped,
    )


def work(  # noqa: PLR0913 - all but one have a default, and are named
    pattern: str,
    *,
    tokens: int,
    reduction: int,
    columns: int = 8,
    demands: Demands = Demands(),  # noqa: B008 - immutable
    is_decode: bool = False,
) -> Work:
    """Return a layer that is a single tile, none of its kept values zero."""
    gemm, machine = Gemm(tokens, reduction, columns), path(pattern, demands)
    store = Store(1 << 20)
    stores = Stores(store, store, store, store if machine.is_sparse else None)
    tiling = Tiling(tokens, columns, reduction, "tokens_outer")
    kept = tokens * parse_pattern(pattern).kept_count(reduction)
    return Work(
        gemm=gemm,
        path=machine,
        tiling=tiling,
        jobs=tile_jobs(gemm, tiling, machine, stores),
        weight_bytes=np.array([reduction * columns]),
        kept=kept,
        nonzero=kept,
        is_decode=is_decode,
    )
