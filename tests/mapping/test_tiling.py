"""Which tilings are possible, what they reuse, and which one is chosen."""

from itertools import product
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.base.errors import InputError
from accelsim.mapping import (
    Gemm,
    Reuse,
    Store,
    Stores,
    Tiling,
    check_tiling,
    choose_tiling,
    tile_jobs,
)
from accelsim.mapping.mapper import PREFERRED_JOBS
from accelsim.mapping.tiling import dram_bytes, store_lag
from tests.helpers.tiled_layers import cases

BIG = Store(1 << 20)


class TileBuffer:
    """Holds a few tiles, the least recently used leaves first. One slot is kept for prefetching."""

    def __init__(self, store, tile_bytes, distinct):
        slots = store.capacity_bytes // tile_bytes
        if not store.double_buffered:
            slots = min(slots, 1)
        self.room = slots if distinct <= slots else max(1, slots - 1)
        self.tiles = []

    def misses(self, tile):
        """Use a tile; return whether it had to be brought in."""
        missing = tile not in self.tiles
        if not missing:
            self.tiles.remove(tile)
        self.tiles.append(tile)
        del self.tiles[: -self.room]
        return missing


def replay(gemm, tiling, path, stores):
    """Walk the loops tile by tile; return (loads X, selects, loads W) of each job."""
    token_tiles, column_tiles, cuts = (
        range(0, whole, tile)
        for whole, tile in (
            (gemm.tokens, tiling.tokens),
            (gemm.out_features, tiling.columns),
            (gemm.in_features, tiling.reduction),
        )
    )
    tokens = min(tiling.tokens, gemm.tokens)
    columns = min(tiling.columns, gemm.out_features)
    reduction = min(tiling.reduction, gemm.in_features)
    value_bytes = path.x.bits // 8
    groups = -(-reduction // path.group_size)
    row_bits = groups * (path.kept_per_group * path.x.bits + path.metadata_bits_per_group)
    rows = len(token_tiles) * len(cuts)
    x = TileBuffer(stores.activations, tokens * reduction * value_bytes, rows)
    w = TileBuffer(stores.weights, reduction * columns * value_bytes, len(column_tiles) * len(cuts))
    kept = stores.compressed and TileBuffer(stores.compressed, tokens * -(-row_bits // 8), rows)
    tiles = {"tokens": token_tiles, "columns": column_tiles, "reduction": cuts}
    loops = {
        "tokens_outer": ("tokens", "columns", "reduction"),
        "columns_outer": ("columns", "tokens", "reduction"),
        "reduction_outer": ("reduction", "tokens", "columns"),
        "reduction_columns_outer": ("reduction", "columns", "tokens"),
    }[tiling.order]
    for places in product(*(tiles[loop] for loop in loops)):
        at = dict(zip(loops, places, strict=True))
        token, column, cut = at["tokens"], at["columns"], at["reduction"]
        selects = kept.misses((token, cut)) if kept else True
        loads = selects and x.misses((token, cut))
        yield loads, selects if kept else loads, w.misses((column, cut))


def lists(*arrays):
    return [array.tolist() for array in arrays]


@given(case=cases)
def test_loads_and_selections_equal_a_replay_through_small_buffers(case):
    jobs = tile_jobs(*case)
    loads, selects, weights = (list(column) for column in zip(*replay(*case), strict=True))
    assert lists(jobs.loads_activations, jobs.selects, jobs.loads_weights) == [
        loads,
        selects,
        weights,
    ]


@given(case=cases)
def test_traffic_is_the_sum_over_the_tiles_that_move(case):
    gemm, tiling, path, stores = case
    jobs = tile_jobs(*case)
    moved = (jobs.tokens * jobs.reduction * jobs.loads_activations).sum()
    moved += (jobs.reduction * jobs.columns * jobs.loads_weights).sum()
    moved += (jobs.tokens * jobs.columns * jobs.last_reduction).sum()
    reuse = Reuse.of(tiling, gemm, path, stores)
    partial = (jobs.tokens * jobs.columns)[~jobs.last_reduction & jobs.ends_outputs].sum()
    assert partial == (jobs.tokens * jobs.columns)[jobs.resumes_outputs].sum()
    there_and_back = 2 * partial * path.accumulator_bits // 8
    assert dram_bytes(gemm, path, reuse) == moved * path.x.bits // 8 + there_and_back


@given(case=cases)
def test_larger_buffers_never_move_more(case):
    gemm, tiling, path, stores = case
    twice = Stores(
        *(
            store and Store(2 * store.capacity_bytes, store.double_buffered)
            for store in (stores.activations, stores.weights, stores.outputs, stores.compressed)
        )
    )
    small = Reuse.of(tiling, gemm, path, stores)
    large = Reuse.of(tiling, gemm, path, twice)
    assert large.activation_loads <= small.activation_loads
    assert large.selections <= small.selections
    assert large.weight_loads <= small.weight_loads


def demands(tiling, gemm, path):
    """Return the bytes of one tile in each buffer, written out."""
    tokens = min(tiling.tokens, gemm.tokens)
    columns = min(tiling.columns, gemm.out_features)
    reduction = min(tiling.reduction, gemm.in_features)
    output_bits = 32 if reduction < gemm.in_features else path.y.bits
    groups = -(-reduction // path.group_size)
    row_bits = groups * (path.kept_per_group * path.x.bits + path.metadata_bits_per_group)
    return {
        "activations": tokens * reduction * path.x.bits // 8,
        "weights": reduction * columns * path.w.bits // 8,
        "outputs": tokens * columns * output_bits // 8,
        "compressed": tokens * -(-row_bits // 8),
    }


def fits(tiling, gemm, path, stores, *, twice=False):
    for name, needed in demands(tiling, gemm, path).items():
        store = getattr(stores, name)
        copies = 2 if twice and store and store.double_buffered else 1
        if store and copies * needed > store.capacity_bytes:
            return False
    return True


@given(case=cases)
def test_what_is_chosen_fits_and_cuts_no_group(case):
    gemm, _, path, stores = case
    try:
        tiling = choose_tiling(gemm, path, stores)
    except InputError as error:
        assert "buffers." in str(error)  # noqa: PT017
        return
    assert fits(tiling, gemm, path, stores)
    assert tiling.reduction % path.group_size == 0 or tiling.reduction >= gemm.in_features
    check_tiling(tiling, gemm, path, stores)
    assert choose_tiling(gemm, path, stores) == tiling


@given(case=cases)
def test_a_tiling_is_refused_only_for_a_reason(case):
    gemm, tiling, path, stores = case
    if fits(tiling, gemm, path, stores):
        check_tiling(tiling, gemm, path, stores)
        return
    with pytest.raises(InputError, match=r"must fit .*in buffers\.\w+ of \d+ bytes"):
        check_tiling(tiling, gemm, path, stores)


def doublings(unit, limit):
    return [unit << i for i in range(20) if unit << i < limit] + [limit]


@settings(max_examples=15)
@given(
    gemm=st.builds(Gemm, st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 3000)),
    kib=st.integers(4, 128),
)
def test_the_chosen_tiling_has_few_tiles(path, gemm, kib):
    store = Store(kib * 1024)
    stores = Stores(store, store, store, store)
    machine = path("8:16", rows=8, columns=8, lanes=16)
    sizes = product(
        doublings(8, gemm.tokens),
        doublings(8, gemm.out_features),
        doublings(32, gemm.in_features),
        ["tokens_outer"],
    )
    tilings = [Tiling(*size) for size in sizes]
    fitting = [t for t in tilings if fits(t, gemm, machine, stores, twice=True)]
    fewest = min(prod(t.counts(gemm)) for t in fitting)
    chosen = choose_tiling(gemm, machine, stores)
    assert prod(chosen.counts(gemm)) <= max(PREFERRED_JOBS, 4 * fewest)


@pytest.mark.parametrize("name", ["activations", "weights", "outputs", "compressed"])
@pytest.mark.parametrize("double_buffered", [True, False])
def test_an_impossible_tiling_names_the_buffer(path, name, double_buffered):
    gemm, tiling = Gemm(8, 16, 8), Tiling(8, 8, 16, "tokens_outer")
    # At 2:4 in int8: X 128, W 128, Y 64, compressed 8 × (8 + 2) = 80 bytes.
    needed = {"activations": 128, "weights": 128, "outputs": 64, "compressed": 80}[name]
    names = ("activations", "weights", "outputs", "compressed")
    exact, short = Store(needed, double_buffered), Store(needed - 1, double_buffered)
    machine = path("2:4")
    check_tiling(tiling, gemm, machine, Stores(*(exact if n == name else BIG for n in names)))
    with pytest.raises(InputError) as caught:
        check_tiling(tiling, gemm, machine, Stores(*(short if n == name else BIG for n in names)))
    assert str(caught.value) == (
        "impossible tiling 8 × 16 × 8, tokens_outer: "
        f"a tile of {needed} bytes must fit in buffers.{name} of {needed - 1} bytes"
    )


def test_not_even_the_smallest_tile_fits(path):
    tiny = Stores(BIG, Store(15), BIG, BIG)
    # 2 × 2 × 4 at 2:4: 2 groups = 8 positions a step; W 8 × 2 bytes.
    with pytest.raises(InputError, match=r"16 bytes must fit in buffers\.weights of 15"):
        choose_tiling(Gemm(64, 64, 64), path("2:4"), tiny)


def test_split_outputs_are_accumulators(path):
    # 8 × 8 outputs: 64 bytes when whole, 256 while K is split.
    stores = Stores(BIG, BIG, Store(256, double_buffered=False), BIG)
    check_tiling(Tiling(8, 8, 8, "tokens_outer"), Gemm(8, 16, 8), path("2:4"), stores)
    stores = Stores(BIG, BIG, Store(255, double_buffered=False), BIG)
    with pytest.raises(InputError, match=r"256 bytes must fit in buffers\.outputs"):
        check_tiling(Tiling(8, 8, 8, "tokens_outer"), Gemm(8, 16, 8), path("2:4"), stores)


def test_a_tile_may_not_cut_a_group(path):
    with pytest.raises(InputError, match=r"tiling\.reduction .* multiple of the group size 4"):
        check_tiling(
            Tiling(8, 8, 6, "tokens_outer"), Gemm(8, 16, 8), path("2:4"), Stores(*[BIG] * 4)
        )


def test_a_tile_of_all_of_k_may_end_in_a_short_group(path):
    check_tiling(Tiling(8, 8, 6, "tokens_outer"), Gemm(8, 6, 8), path("2:4"), Stores(*[BIG] * 4))


@pytest.mark.parametrize(
    ("reduction", "capacity", "double_buffered", "lag"),
    [
        # Whole K: 4 × 4 outputs are 16 bytes; as many stores wait as there are slots.
        (8, 1024, True, 4),
        (8, 64, True, 4),
        (8, 63, True, 3),
        (8, 32, True, 2),
        (8, 1024, False, 1),
        # K in two cuts: 64 bytes of accumulators, two jobs an output. A store waits for one job,
        # and for the two of each output that begins beside it.
        (4, 128, True, 3),
        (4, 192, True, 4),
        (4, 64, False, 1),
    ],
)
def test_stores_lag_as_asked_or_as_far_as_outputs_can_wait(
    path, reduction, capacity, double_buffered, lag
):
    gemm, tiling = Gemm(16, 8, 16), Tiling(4, 4, reduction, "tokens_outer")
    stores = Stores(BIG, BIG, Store(capacity, double_buffered), BIG, 4)
    assert store_lag(tiling, gemm, path("2:4"), stores) == lag


def test_everything_that_fits_is_one_tile_or_moves_each_byte_once(path):
    gemm = Gemm(64, 64, 64)
    stores = Stores(BIG, BIG, BIG, BIG)
    tiling = choose_tiling(gemm, path("2:4"), stores)
    assert Reuse.of(tiling, gemm, path("2:4"), stores) == Reuse(1, 1, 1)
