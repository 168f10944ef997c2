"""How a GEMM is cut into tiles, in which order, and what stays on chip between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from math import prod
from operator import and_
from typing import Any, Literal

import numpy as np

from accelsim.base.errors import InputError
from accelsim.mapping.datapath import Datapath, bytes_of, ceil_div

Order = Literal["tokens_outer", "columns_outer", "reduction_outer", "reduction_columns_outer"]
# Of each order its three loops, the outermost first: t tokens, c columns, k reduction.
LOOPS: dict[Order, str] = {
    "tokens_outer": "tck",
    "columns_outer": "ctk",
    "reduction_outer": "ktc",
    "reduction_columns_outer": "kct",
}
ORDERS: tuple[Order, ...] = tuple(LOOPS)


@dataclass(frozen=True, slots=True)
class Gemm:
    """`Y[tokens, out_features] = X[tokens, in_features] @ W[in_features, out_features]`."""

    tokens: int
    in_features: int
    out_features: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the dense product: T × K × O."""
        return self.tokens * self.in_features * self.out_features


@dataclass(frozen=True, slots=True)
class Store:
    """Room of one on-chip buffer for tiles, and the bytes a cycle of each of its ports."""

    capacity_bytes: int
    double_buffered: bool = True
    port_bytes: int = 2**31

    def slots(self, tile_bytes: int) -> int:
        """Return how many tiles of this size the buffer holds; at most one if single-buffered.

        `tile_bytes` may be an array, of many sizes.
        """
        slots = self.capacity_bytes // _most(1, tile_bytes)
        found: int = slots if self.double_buffered else _least(slots, 1)
        return found

    def fits(self, tile_bytes: int, *, twice: bool = False) -> bool:
        """Return whether the buffer takes a tile of this size; or two, so that loads overlap.

        Args:
            tile_bytes: of a tile, or an array.
            twice: ask for two at once if the buffer is double-buffered.
        """
        return self.slots(tile_bytes) >= (2 if twice and self.double_buffered else 1)


@dataclass(frozen=True, slots=True)
class Stores:
    """The on-chip buffers, as the tiling sees them; `compressed` only on a sparse machine.

    `store_lag_tiles` tiles of output wait on chip while later loads go first.
    """

    activations: Store
    weights: Store
    outputs: Store
    compressed: Store | None = None
    store_lag_tiles: int = 0

    @property
    def of_x_and_w(self) -> tuple[Store, Store]:
        """Those of X and W, which differ between splits of a memory that they share."""
        return self.activations, self.weights


@dataclass(frozen=True, slots=True)
class Tiling:
    """The tile of a layer, and the order of the three loops over its tiles.

    With `tokens_outer` and `columns_outer` the loop over K is the innermost one, so that an output
    tile is finished before the next begins. In the first a tile of activations stays on chip while
    all weights stream past; in the second weights stay. With `reduction_outer` and
    `reduction_columns_outer` the loop over K is the outermost: every activation and every weight is
    brought on chip once, and partial sums wait, on chip if all of them fit, else in DRAM.

    Attributes:
        tokens, columns, reduction: extents of a tile along T, O and K; tiles at an edge are cut.
        order: of the loops, see `LOOPS`.
    """

    tokens: int
    columns: int
    reduction: int
    order: Order

    def counts(self, gemm: Gemm) -> tuple[int, int, int]:
        """Return the number of tiles along tokens, columns and reduction."""
        return (
            ceil_div(gemm.tokens, self.tokens),
            ceil_div(gemm.out_features, self.columns),
            ceil_div(gemm.in_features, self.reduction),
        )

    def outer_tiles(self, gemm: Gemm) -> int:
        """Return the iterations of the outer loop, the one that a long layer repeats.

        That is the loop over tokens or over columns, as `order` says; the other one if the layer
        is a single tile wide in that direction, for then all repetition is in the other. A loop
        over K that is outermost is not counted: every iteration of it is unlike the others.

        >>> Tiling(8, 4, 4, "tokens_outer").outer_tiles(Gemm(43, 8, 4))  # 6 × 1 tiles
        6
        >>> Tiling(8, 4, 4, "tokens_outer").outer_tiles(Gemm(1, 8, 20))  # 1 × 5 tiles
        5
        """
        tokens, columns, _ = self.counts(gemm)
        if not self.finishes_outputs:
            return 1
        return tokens if self._repeats_tokens(gemm) else columns

    @property
    def finishes_outputs(self) -> bool:
        """Whether an output tile is finished before the next begins: K is the innermost loop."""
        return LOOPS[self.order].endswith("k")

    def shortened(self, gemm: Gemm, outer_tiles: int) -> Gemm:
        """Return the same layer made shorter, to as many iterations of the outer loop as given.

        Iterations in the middle are left out; the last one, which may be cut, stays.

        >>> Tiling(8, 4, 4, "tokens_outer").shortened(Gemm(43, 4, 4), 3)  # 8 + 8 + 3 tokens
        Gemm(tokens=19, in_features=4, out_features=4)
        """
        skipped = self.outer_tiles(gemm) - outer_tiles
        if self._repeats_tokens(gemm):
            return replace(gemm, tokens=gemm.tokens - skipped * self.tokens)
        return replace(gemm, out_features=gemm.out_features - skipped * self.columns)

    def _repeats_tokens(self, gemm: Gemm) -> bool:
        """Whether the outer loop is the one over tokens, see `outer_tiles`."""
        tokens, columns, _ = self.counts(gemm)
        return tokens > 1 if self.order == "tokens_outer" else columns == 1


@dataclass(frozen=True, slots=True)
class TileBytes:
    """Bytes of one full tile in each buffer.

    An output takes an accumulator where K is cut into several tiles, else the width of a value.
    """

    activations: int
    weights: int
    outputs: int
    compressed: int

    @classmethod
    def of(cls, tiling: Tiling, gemm: Gemm, path: Datapath) -> TileBytes:
        """Return the sizes of the largest tile of this tiling."""
        tokens = _least(tiling.tokens, gemm.tokens)
        columns = _least(tiling.columns, gemm.out_features)
        reduction = _least(tiling.reduction, gemm.in_features)
        is_split = reduction < gemm.in_features
        output_bits = _either(is_split, path.accumulator_bits, path.y.bits)
        arriving, of_x, of_w = (
            operand.most_scales(reduction, gemm.in_features) if operand.group else 0
            for operand in (path.arriving, path.x, path.w)
        )
        return cls(
            activations=bytes_of(path.arriving.tile_bits(reduction, tokens, arriving)),
            weights=bytes_of(path.w.tile_bits(reduction, columns, of_w)),
            outputs=bytes_of(tokens * columns * output_bits),
            compressed=path.compressed_bytes(tokens, reduction, of_x),
        )

    def fit(self, stores: Stores, *, twice: bool = False) -> bool:
        """Return whether they fit in every buffer, see `Store.fits`."""
        found = (store.fits(needed, twice=twice) for _, store, needed in _demands(self, stores))
        return reduce(and_, found)


@dataclass(frozen=True, slots=True)
class Reuse:
    """How often each operand is brought on chip over a whole layer.

    1 if every tile is still there when it is needed again; else once for each iteration of the loop
    that does not index the operand (activations: once a column tile; weights: once a token tile).

    Attributes:
        activation_loads: times that X is loaded from DRAM.
        selections: times that X is selected; `activation_loads` on a dense machine.
        weight_loads: times that W is loaded from DRAM.
        spills: times that the partial sums of Y go to DRAM and come back; 0: they stay on chip.
    """

    activation_loads: int
    selections: int
    weight_loads: int
    spills: int = 0

    @classmethod
    def of(cls, tiling: Tiling, gemm: Gemm, path: Datapath, stores: Stores) -> Reuse:
        """Derive the loads from the sizes of the buffers.

        Tiles of an operand are needed again when the loop that does not index it goes on. A tile is
        still on chip then if the tiles of the operand that are used in between, in the loops inside
        that one, fit beside the one slot that is being filled, or if all tiles of the operand fit.
        Activations that stay in the compressed buffer are neither selected nor loaded again.
        """
        counts = dict(zip("tck", tiling.counts(gemm), strict=True))
        size = TileBytes.of(tiling, gemm, path)

        def passes(loop: str, slots: int) -> int:
            """Return how often tiles are brought on chip that all loops index but this one."""
            inside = LOOPS[tiling.order].partition(loop)[2]
            between = prod(counts[other] for other in inside)
            all_tiles = prod(counts[other] for other in counts if other != loop)
            stays = (between <= _most(1, slots - 1)) | (all_tiles <= slots)
            loads: int = _either(stays, 1, counts[loop])
            return loads

        loads = passes("c", stores.activations.slots(size.activations))
        selections = loads
        if stores.compressed is not None:
            selections = passes("c", stores.compressed.slots(size.compressed))
            loads = _least(loads, selections)
        weight_loads = passes("t", stores.weights.slots(size.weights))
        spills = 0
        if not tiling.finishes_outputs:
            spills = passes("k", stores.outputs.slots(size.outputs)) - 1
        return cls(loads, selections, weight_loads, spills)


# The same formulas for one tiling, of integers, and for many at once, of arrays.


def _least(value: Any, other: Any) -> Any:
    return np.minimum(value, other) if _is_array(value) or _is_array(other) else min(value, other)


def _most(value: Any, other: Any) -> Any:
    return np.maximum(value, other) if _is_array(value) or _is_array(other) else max(value, other)


def _either(condition: Any, one: Any, other: Any) -> Any:
    if _is_array(condition):
        return np.where(condition, one, other)
    return one if condition else other


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)


def check_tiling(tiling: Tiling, gemm: Gemm, path: Datapath, stores: Stores) -> None:
    """Raise InputError if a tile cuts a group of M, or naming the buffer that it does not fit."""
    if tiling.reduction < gemm.in_features and tiling.reduction % path.grain:
        raise InputError(
            f"impossible tiling {describe(tiling)}: tiling.reduction must be a multiple of the "
            f"group size {path.grain}, or all of K"
        )
    size = TileBytes.of(tiling, gemm, path)
    for name, store, needed in _demands(size, stores):
        if not store.fits(needed):
            raise InputError(
                f"impossible tiling {describe(tiling)}: a tile of {needed} bytes must fit in "
                f"buffers.{name} of {store.capacity_bytes} bytes"
            )


def describe(tiling: Tiling) -> str:
    """Return the tile as `tokens × reduction × columns, order`."""
    return f"{tiling.tokens} × {tiling.reduction} × {tiling.columns}, {tiling.order}"


def store_lag(tiling: Tiling, gemm: Gemm, path: Datapath, stores: Stores) -> int:
    """Return by how many jobs a store may lag: its request goes after the loads of so many more.

    That is `store_lag_tiles`, or less where the output buffer cannot hold the outputs that wait.

    The store of job i follows the loads of job i + lag, and those may need every job before it to
    finish. So the outputs of jobs i … i + lag - 1 need room at the same time: one for job i, and
    one more for each output begun after it; the jobs that share a cut K share an output. A longer
    lag would be a deadlock.
    """
    slots = stores.outputs.slots(TileBytes.of(tiling, gemm, path).outputs)
    shared = tiling.counts(gemm)[2] if tiling.finishes_outputs else 1
    return min(stores.store_lag_tiles, 1 + (slots - 1) * shared)


def dram_bytes(gemm: Gemm, path: Datapath, reuse: Reuse) -> int:
    """Return the bytes that a tiling moves to and from DRAM, bursts not rounded up."""
    return bytes_of(
        gemm.tokens * path.arriving.row_bits(gemm.in_features) * reuse.activation_loads
        + path.w.tile_bits(gemm.in_features, gemm.out_features, path.w.scales(gemm.in_features))
        * reuse.weight_loads
        + gemm.tokens * gemm.out_features * (path.y.bits + 2 * reuse.spills * path.accumulator_bits)
    )


def _demands(size: TileBytes, stores: Stores) -> Iterator[tuple[str, Store, int]]:
    yield "activations", stores.activations, size.activations
    yield "weights", stores.weights, size.weights
    yield "outputs", stores.outputs, size.outputs
    if stores.compressed is not None:
        yield "compressed", stores.compressed, size.compressed
