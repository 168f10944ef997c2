"""How a GEMM is cut into tiles, in which order, and what stays on chip between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from accelsim.base.errors import InputError
from accelsim.mapping.datapath import Datapath, bytes_of, ceil_div

Order = Literal["tokens_outer", "columns_outer"]
ORDERS: tuple[Order, ...] = ("tokens_outer", "columns_outer")


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
        """Return how many tiles of this size the buffer holds; at most one if single-buffered."""
        slots = self.capacity_bytes // max(1, tile_bytes)
        return slots if self.double_buffered else min(slots, 1)

    def fits(self, tile_bytes: int) -> bool:
        """Return whether the buffer takes tiles of this size: two at once if double-buffered."""
        return self.slots(tile_bytes) >= (2 if self.double_buffered else 1)


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


@dataclass(frozen=True, slots=True)
class Tiling:
    """The tile of a layer, and the order of the three loops over its tiles.

    The loop over K is always the innermost one, so that an output tile is finished before the next
    begins. With order `tokens_outer` the loop over tokens is the outermost: a tile of activations
    stays on chip while all weights stream past. With `columns_outer` that is the loop over output
    columns, and weights stay.

    Attributes:
        tokens, columns, reduction: extents of a tile along T, O and K; tiles at an edge are cut.
        order: which loop is outermost.
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
        is a single tile wide in that direction, for then all repetition is in the other.

        >>> Tiling(8, 4, 4, "tokens_outer").outer_tiles(Gemm(43, 8, 4))  # 6 × 1 tiles
        6
        >>> Tiling(8, 4, 4, "tokens_outer").outer_tiles(Gemm(1, 8, 20))  # 1 × 5 tiles
        5
        """
        tokens, columns, _ = self.counts(gemm)
        return tokens if self._repeats_tokens(gemm) else columns

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
        tokens = min(tiling.tokens, gemm.tokens)
        columns = min(tiling.columns, gemm.out_features)
        reduction = min(tiling.reduction, gemm.in_features)
        is_split = reduction < gemm.in_features
        output_bits = path.accumulator_bits if is_split else path.y.bits
        scales = path.w.most_scales(reduction, gemm.in_features)
        return cls(
            activations=bytes_of(path.x.tile_bits(reduction, tokens)),
            weights=bytes_of(path.w.tile_bits(reduction, columns, scales)),
            outputs=bytes_of(tokens * columns * output_bits),
            compressed=path.compressed_bytes(tokens, reduction),
        )

    def fit(self, stores: Stores) -> bool:
        """Return whether they fit in every buffer."""
        return all(store.fits(needed) for _, store, needed in _demands(self, stores))


@dataclass(frozen=True, slots=True)
class Reuse:
    """How often each operand is brought on chip over a whole layer.

    1 if every tile is still there when it is needed again; else once for each iteration of the loop
    that does not index the operand (activations: once a column tile; weights: once a token tile).

    Attributes:
        activation_loads: times that X is loaded from DRAM.
        selections: times that X is selected; `activation_loads` on a dense machine.
        weight_loads: times that W is loaded from DRAM.
    """

    activation_loads: int
    selections: int
    weight_loads: int

    @classmethod
    def of(cls, tiling: Tiling, gemm: Gemm, path: Datapath, stores: Stores) -> Reuse:
        """Derive the loads from the sizes of the buffers.

        A tile is still on chip at its next use if the tiles that are used in between fit beside the
        one slot that is being filled, or if all tiles of the operand fit. Activations that stay in
        the compressed buffer are neither selected nor loaded again.
        """
        token_tiles, column_tiles, reduction_tiles = tiling.counts(gemm)
        tokens_outer = tiling.order == "tokens_outer"
        size = TileBytes.of(tiling, gemm, path)
        all_rows, all_columns = token_tiles * reduction_tiles, column_tiles * reduction_tiles
        row_distance = reduction_tiles if tokens_outer else all_rows
        column_distance = all_columns if tokens_outer else reduction_tiles

        def passes(slots: int, distance: int, distinct: int, outer: int) -> int:
            return 1 if distance <= max(1, slots - 1) or distinct <= slots else outer

        loads = passes(
            stores.activations.slots(size.activations), row_distance, all_rows, column_tiles
        )
        selections = loads
        if stores.compressed is not None:
            slots = stores.compressed.slots(size.compressed)
            selections = passes(slots, row_distance, all_rows, column_tiles)
            loads = min(loads, selections)
        weight_slots = stores.weights.slots(size.weights)
        weight_loads = passes(weight_slots, column_distance, all_columns, token_tiles)
        return cls(loads, selections, weight_loads)


def check_tiling(tiling: Tiling, gemm: Gemm, path: Datapath, stores: Stores) -> None:
    """Raise InputError if a tile cuts a group of M, or naming the buffer that it does not fit."""
    if tiling.reduction < gemm.in_features and tiling.reduction % path.group_size:
        raise InputError(
            f"impossible tiling {describe(tiling)}: tiling.reduction must be a multiple of the "
            f"group size {path.group_size}, or all of K"
        )
    size = TileBytes.of(tiling, gemm, path)
    for name, store, needed in _demands(size, stores):
        if not store.fits(needed):
            twice = " twice (double buffering)" if store.double_buffered else ""
            raise InputError(
                f"impossible tiling {describe(tiling)}: a tile of {needed} bytes must fit{twice} "
                f"in buffers.{name} of {store.capacity_bytes} bytes"
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
    return min(stores.store_lag_tiles, 1 + (slots - 1) * tiling.counts(gemm)[2])


def dram_bytes(gemm: Gemm, path: Datapath, reuse: Reuse) -> int:
    """Return the bytes that a tiling moves to and from DRAM, bursts not rounded up."""
    return bytes_of(
        path.x.tile_bits(gemm.in_features, gemm.tokens) * reuse.activation_loads
        + path.w.tile_bits(gemm.in_features, gemm.out_features, path.w.scales(gemm.in_features))
        * reuse.weight_loads
        + gemm.tokens * gemm.out_features * path.y.bits
    )


def _demands(size: TileBytes, stores: Stores) -> Iterator[tuple[str, Store, int]]:
    yield "activations", stores.activations, size.activations
    yield "weights", stores.weights, size.weights
    yield "outputs", stores.outputs, size.outputs
    if stores.compressed is not None:
        yield "compressed", stores.compressed, size.compressed
