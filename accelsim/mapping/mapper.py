"""A tile and loop order by estimate, without a run: `tiling: quick`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product

from accelsim.mapping.datapath import Datapath, ceil_div
from accelsim.mapping.tiling import (
    Gemm,
    Order,
    Reuse,
    Stores,
    TileBytes,
    Tiling,
    check_tiling,
    dram_bytes,
)

_ORDERS: tuple[Order, ...] = ("tokens_outer", "columns_outer")
PREFERRED_JOBS = 512  # a tile is an engine's token; more tiles cost time and gain little
TIME_SLACK = 1.05  # give up at most 5 % of nominal time for less DRAM traffic
# A nominal memory, for ranking tiles only: the machine's real one plays no part in the choice, so
# that a faster DRAM never changes the tiling and therefore never slows a layer.
NOMINAL_MACS_PER_BYTE = 16
NOMINAL_LATENCY_CYCLES = 128


def check_room(gemm: Gemm, path: Datapath, stores: Stores) -> None:
    """Raise InputError if not even the smallest tile of a layer fits its buffer."""
    check_tiling(next(_sizes(gemm, path))[0], gemm, path, stores)


@lru_cache(maxsize=4096)
def choose_tiling(
    gemm: Gemm,
    path: Datapath,
    stores: Stores,
    *,
    least_columns: int = 1,
    least_tokens: int = 1,
) -> Tiling:
    """Choose tile and loop order for the buffers and their ports.

    Among tilings that fit and have at most `PREFERRED_JOBS` tiles (or four times the fewest): those
    within `TIME_SLACK` of the shortest time on a nominal memory; of these the least DRAM traffic,
    the fewest cuts of K (each costs a round of partial sums), the shortest nominal time, the fewest
    selections of a tile, the fewest tiles.

    Args:
        gemm: the layer.
        path: the machine's step.
        stores: buffers and ports.
        least_columns: columns of a tile that DRAM can fetch row by row without waste; narrower
            tiles are taken only if nothing else fits.
        least_tokens: tokens of a tile; fewer only if nothing else fits.

    Raises:
        InputError: not even the smallest tile fits; the message names the buffer.
    """
    tiles = [found for found in _candidates(gemm, path) if found[1].fit(stores)]
    # Loads that do not overlap with computation are beyond the estimate, unless they must be.
    twice = [found for found in tiles if found[1].fit(stores, twice=True)]
    fitting = [tiling for orders, _ in twice or tiles for tiling in orders]
    if not fitting:
        check_room(gemm, path, stores)
        raise AssertionError("check_tiling accepts what fits refuses")
    wide = [t for t in fitting if t.columns >= min(least_columns, gemm.out_features)]
    fitting = wide or fitting
    fitting = [t for t in fitting if min(t.tokens, gemm.tokens) >= least_tokens] or fitting
    most_jobs = max(PREFERRED_JOBS, 4 * min(_jobs(t, gemm) for t in fitting))
    candidates = [t for t in fitting if _jobs(t, gemm) <= most_jobs]
    reuses = {t: Reuse.of(t, gemm, path, stores) for t in candidates}
    time = {t: nominal_cycles(t, gemm, path, stores, reuses[t]) for t in candidates}
    limit = TIME_SLACK * min(time.values())

    def rank(tiling: Tiling) -> tuple[float, ...]:
        traffic = dram_bytes(gemm, path, reuses[tiling])
        cuts = tiling.counts(gemm)[2]
        jobs = _jobs(tiling, gemm)
        return traffic, cuts, time[tiling], reuses[tiling].selections, jobs

    return min((t for t in candidates if time[t] <= limit), key=rank)


def nominal_cycles(
    tiling: Tiling, gemm: Gemm, path: Datapath, stores: Stores, reuse: Reuse
) -> float:
    """Estimate the time of a layer on the nominal memory.

    Loads that computation cannot hide make it wait; where the memory is the slower of the two, the
    waiting is in its time already.
    """
    bytes_per_cycle = max(1, path.macs_per_cycle // NOMINAL_MACS_PER_BYTE)
    job_cycles = _job_cycles(tiling, gemm, path, stores)
    transfer = dram_bytes(gemm, path, reuse) / bytes_per_cycle
    ends, waits = _exposed_bytes(tiling, gemm, path, reuse, job_cycles)
    computing = _jobs(tiling, gemm) * job_cycles + waits / bytes_per_cycle
    return max(computing, transfer) + ends / bytes_per_cycle


def _job_cycles(tiling: Tiling, gemm: Gemm, path: Datapath, stores: Stores) -> int:
    """Return the cycles of a full tile: those of the array, or of a slower port of a buffer.

    Tiles are planned before anything is selected, so the steps are those of `Datapath.steps`: what
    every job takes whose values do not vary, and the most where they do; of an inner join, the mean
    of lanes that do not wait.
    """
    tokens = min(tiling.tokens, gemm.tokens)
    columns = min(tiling.columns, gemm.out_features)
    reduction = min(tiling.reduction, gemm.in_features)
    size = TileBytes.of(tiling, gemm, path)
    rows, column_blocks = ceil_div(tokens, path.rows), ceil_div(columns, path.columns)
    source = stores.compressed or stores.activations
    source_bytes = size.compressed if stores.compressed else size.activations
    return max(
        rows * column_blocks * path.steps(reduction),
        ceil_div(rows * size.weights, stores.weights.port_bytes),
        ceil_div(column_blocks * source_bytes, source.port_bytes),
        ceil_div(size.outputs, stores.outputs.port_bytes),
    )


def _exposed_bytes(
    tiling: Tiling, gemm: Gemm, path: Datapath, reuse: Reuse, job_cycles: int
) -> tuple[int, int]:
    """Estimate the bytes that computation cannot hide on the nominal memory: at the ends, between.

    At the ends are the first activation and weight tile and the last output tile. Between, it is
    for every load of a tile what exceeds the computation since the load before: one job long for
    the operand that changes with each job, a whole inner loop for the one that stays.
    """
    size = TileBytes.of(tiling, gemm, path)
    token_tiles, column_tiles, reduction_tiles = tiling.counts(gemm)
    bytes_per_cycle = max(1, path.macs_per_cycle // NOMINAL_MACS_PER_BYTE)
    latency_bytes = NOMINAL_LATENCY_CYCLES * bytes_per_cycle

    def uncovered(tile_bytes: int, jobs_between: int) -> int:
        hidden = job_cycles * jobs_between * bytes_per_cycle
        return max(0, tile_bytes - hidden, tile_bytes + latency_bytes - 2 * hidden)

    tokens_outer = tiling.order == "tokens_outer"
    activation_loads = token_tiles * reduction_tiles * reuse.activation_loads
    weight_loads = column_tiles * reduction_tiles * reuse.weight_loads
    activation_span = column_tiles if tokens_outer and reuse.activation_loads == 1 else 1
    weight_span = 1 if tokens_outer or reuse.weight_loads > 1 else token_tiles
    waits = activation_loads * uncovered(size.activations, activation_span)
    waits += weight_loads * uncovered(size.weights, weight_span)
    return size.activations + size.weights + size.outputs, waits


def _jobs(tiling: Tiling, gemm: Gemm) -> int:
    token_tiles, column_tiles, reduction_tiles = tiling.counts(gemm)
    return token_tiles * column_tiles * reduction_tiles


@lru_cache(maxsize=64)
def _candidates(gemm: Gemm, path: Datapath) -> tuple[tuple[list[Tiling], TileBytes], ...]:
    """Return all tiles with what they take, which does not depend on the order of the loops."""
    return tuple((orders, TileBytes.of(orders[0], gemm, path)) for orders in _sizes(gemm, path))


def _sizes(gemm: Gemm, path: Datapath) -> Iterator[list[Tiling]]:
    """Yield tiles that are powers of two of what the array takes at once, smallest first.

    Each in all orders.
    """
    sizes = product(
        _doublings(path.rows, gemm.tokens),
        _doublings(path.columns, gemm.out_features),
        _doublings(path.positions_per_step, gemm.in_features),
    )
    for tokens, columns, reduction in sizes:
        yield [Tiling(tokens, columns, reduction, order) for order in _ORDERS]


def _doublings(unit: int, limit: int) -> list[int]:
    """Return unit, 2 unit, 4 unit … below the limit, then the limit itself."""
    sizes = []
    while unit < limit:
        sizes.append(unit)
        unit *= 2
    return [*sizes, limit]
