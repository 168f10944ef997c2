"""One-tile work on a small machine, for the examples in the docstrings of the units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from accelsim.mapping import Datapath, Gemm, Masks, Store, Stores, Tiling, Work, tile_jobs
from accelsim.mapping.token_packing import TokenPacking
from accelsim.precision import Operands
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.demands import Demands
from accelsim.sparsity.patterns.two_rank import TwoRank


def path(
    pattern: str,
    demands: Demands = Demands(),  # noqa: B008 - immutable
    weights: str = "dense",
) -> Datapath:
    """Return an int8 datapath of 8 rows × 8 columns × 16 lanes with bitmask metadata.

    One that is unrolled in time, if weights are sparse.
    """
    kept, stored = parse_pattern(pattern), parse_pattern(weights)
    formats = Operands()
    if not stored.is_dense:
        block = stored.group_size
        formats = formats.with_weights(stored.kept_per_group, block, metadata_bits=block)
    group_size = kept.group_size if kept.is_grouped else 1
    return Datapath(
        rows=8,
        columns=8,
        lanes=16,
        accumulator_bits=32,
        formats=formats,
        is_unrolled=not stored.is_dense,
        lower_rank=(kept.kept_per_block, kept.block_size) if isinstance(kept, TwoRank) else None,
        kept_per_group=kept.kept_per_group if kept.is_grouped else 1,
        group_size=group_size,
        metadata_bits_per_group=0 if kept.is_dense else group_size,
        demands=demands,
        kept_share=None if kept.is_grouped else kept.kept_share,
        is_gathered=not kept.is_grouped,
    )


def joined(*, tokens: int, reduction: int, columns: int) -> Work:
    """Return a tile of an inner join: X at 8:16, W at 2:4, rounds of 2 groups a lane."""
    plain = work("8:16", tokens=tokens, reduction=reduction, columns=columns)
    formats = plain.path.formats.with_weights(2, 4, metadata_bits=4)
    return replace(plain, path=replace(plain.path, formats=formats, queue_groups=2))


def of_ffn(product: str, counts: Sequence[int], *, columns: int = 64) -> Work:
    """Return a tile of a product of an FFN, 256 wide along K, whose tokens have so many values.

    They are the first hidden values of each token: along K of `down`, along its columns else.
    """
    plain = work("dense", tokens=len(counts), reduction=256, columns=columns)
    path = replace(plain.path, ffn_product=product)
    width = 256 if product == "down" else columns
    few = np.arange(width) < np.array(counts)[:, None]
    whole = np.ones((len(counts), 256), np.bool_)
    masks = Masks(few) if product == "down" else Masks(whole, hidden=few)
    return replace(plain, path=path, found=TokenPacking.of(masks, plain.jobs, path))


def work(  # noqa: PLR0913 - all but one have a default, and are named
    pattern: str,
    *,
    tokens: int,
    reduction: int,
    columns: int = 8,
    demands: Demands = Demands(),  # noqa: B008 - immutable
    weights: str = "dense",
    is_decode: bool = False,
) -> Work:
    """Return a layer that is a single tile, none of its kept values zero."""
    gemm, machine = Gemm(tokens, reduction, columns), path(pattern, demands, weights)
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
