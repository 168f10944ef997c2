"""Tile jobs: every product exactly once, in order, and slots that are free when they are filled."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from accelsim.base.errors import InputError
from accelsim.mapping import Gemm, Store, Stores, Tiling, slot_releases, tile_jobs
from accelsim.mapping.tiling import TileBytes
from tests.helpers.tiled_layers import cases


@given(case=cases)
def test_tiles_cover_the_gemm_exactly_once(case):
    gemm, jobs = case[0], tile_jobs(*case)
    times = np.zeros((gemm.tokens, gemm.in_features, gemm.out_features), np.int64)
    for job in range(len(jobs)):
        times[
            jobs.token_start[job] : jobs.token_start[job] + jobs.tokens[job],
            jobs.reduction_start[job] : jobs.reduction_start[job] + jobs.reduction[job],
            jobs.column_start[job] : jobs.column_start[job] + jobs.columns[job],
        ] += 1
    assert (times == 1).all()
    assert (jobs.tokens * jobs.columns * jobs.reduction).sum() == gemm.macs


@given(case=cases)
def test_the_loops_are_nested_as_the_order_says(case):
    tiling, jobs = case[1], tile_jobs(*case)
    starts = {"t": jobs.token_start, "c": jobs.column_start, "k": jobs.reduction_start}
    loops = {
        "tokens_outer": "tck",
        "columns_outer": "ctk",
        "reduction_outer": "ktc",
        "reduction_columns_outer": "kct",
    }[tiling.order]
    program = list(zip(*(starts[loop].tolist() for loop in loops), strict=True))
    assert program == sorted(program)


@given(case=cases)
def test_each_output_tile_begins_and_ends_once_and_is_done_in_one_go(case):
    gemm, tiling, jobs = case[0], case[1], tile_jobs(*case)
    assume(tiling.order in ("tokens_outer", "columns_outer"))
    _, _, cuts = tiling.counts(gemm)
    outputs = jobs.output_tile.reshape(-1, cuts)
    assert (outputs == outputs[:, :1]).all()
    assert len(np.unique(outputs[:, 0])) == len(outputs)
    assert_array_equal(np.flatnonzero(jobs.first_reduction), np.arange(0, len(jobs), cuts))
    assert_array_equal(np.flatnonzero(jobs.last_reduction), np.arange(cuts - 1, len(jobs), cuts))


@given(case=cases)
def test_a_tile_is_brought_in_before_it_is_used(case):
    jobs = tile_jobs(*case)
    for tile, brings in (
        (jobs.activation_tile, jobs.loads_activations),
        (jobs.activation_tile, jobs.selects),
        (jobs.weight_tile, jobs.loads_weights),
    ):
        _, first_use = np.unique(tile, return_index=True)
        assert brings[first_use].all()
    assert not (jobs.loads_activations & ~jobs.selects).any()


def test_jobs_by_hand(path):
    # 3 × 4 × 3 in tiles of 2 × 4 × 2: tokens 2 + 1, columns 2 + 1, K whole.
    big = Store(1 << 20)
    jobs = tile_jobs(
        Gemm(3, 4, 3), Tiling(2, 2, 4, "columns_outer"), path("dense"), Stores(big, big, big)
    )
    assert jobs.tokens.tolist() == [2, 1, 2, 1]
    assert jobs.columns.tolist() == [2, 2, 1, 1]
    assert jobs.reduction.tolist() == [4, 4, 4, 4]
    assert jobs.loads_activations.tolist() == [True, True, False, False]
    assert jobs.loads_weights.tolist() == [True, False, True, False]
    assert jobs.row_blocks(path("dense")).tolist() == [1, 1, 1, 1]
    assert jobs.blocks(path("dense", rows=1, columns=1)).tolist() == [4, 2, 2, 1]


# --- slots ---------------------------------------------------------------------------------------


def naive_releases(fills, tiles, slots, uses):
    """Walk through the jobs with a ring of slots, then look up who used each occupant last."""
    ring, turn = [None] * slots, 0
    lives = {}  # which life of a tile each job uses: (tile, times it was filled)
    count = {}
    evicted = [None] * len(fills)
    last_user = {}
    for job, (fill, tile, use) in enumerate(zip(fills, tiles, uses, strict=True)):
        if fill:
            count[tile] = count.get(tile, 0) + 1
            lives[tile] = (tile, count[tile])
            evicted[job] = ring[turn % slots]
            ring[turn % slots] = lives[tile]
            turn += 1
            last_user[lives[tile]] = job
        if use:
            last_user[lives[tile]] = job
    return [-1 if life is None else last_user[life] for life in evicted]


def fillings(case):
    """Yield (fills, tile, slots, uses) of each buffer of a layer."""
    gemm, tiling, path, stores = case
    jobs, size = tile_jobs(*case), TileBytes.of(tiling, gemm, path)
    everyone = np.ones(len(jobs), np.bool_)
    reads = jobs.selects if path.is_sparse else everyone
    activation_slots = max(1, stores.activations.slots(size.activations))
    yield jobs.loads_activations, jobs.activation_tile, activation_slots, reads
    yield jobs.loads_weights, jobs.weight_tile, max(1, stores.weights.slots(size.weights)), everyone
    outputs = max(1, stores.outputs.slots(size.outputs))
    yield jobs.begins_outputs, jobs.output_tile, outputs, everyone
    if stores.compressed:
        slots = max(1, stores.compressed.slots(size.compressed))
        yield jobs.selects, jobs.activation_tile, slots, everyone


@given(case=cases)
def test_releases_of_a_layer_equal_a_ring_of_slots(case):
    for fills, tile, slots, uses in fillings(case):
        expected = naive_releases(fills, tile, slots, uses)
        assert slot_releases(fills, tile, slots, uses).tolist() == expected


@given(data=st.data(), tiles=st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_releases_of_any_program_equal_a_ring_of_slots(data, tiles):
    # A tile is filled at its first use, and again whenever the program likes.
    again = data.draw(st.lists(st.booleans(), min_size=len(tiles), max_size=len(tiles)))
    fills = np.array([tile not in tiles[:i] or again[i] for i, tile in enumerate(tiles)])
    uses = np.array(data.draw(st.lists(st.booleans(), min_size=len(tiles), max_size=len(tiles))))
    slots = data.draw(st.integers(1, 6))
    expected = naive_releases(fills, tiles, slots, uses)
    assert slot_releases(fills, np.array(tiles), slots, uses).tolist() == expected


@given(case=cases)
def test_a_slot_is_never_refilled_while_its_tile_is_still_needed(case):
    # A job that waits for itself, or for a later one, would wait forever.
    for fills, tile, slots, uses in fillings(case):
        releases = slot_releases(fills, tile, slots, uses)
        assert (releases < np.arange(len(fills))).all()
        assert (releases[~fills] == -1).all()


def test_more_tiles_than_an_engine_could_run_are_refused(path):
    stores, tiny = Stores(*[Store(1 << 20)] * 3), Tiling(1, 1, 16, "tokens_outer")
    with pytest.raises(InputError, match="makes 4194304 tiles; at most 1048576"):
        tile_jobs(Gemm(2048, 16, 2048), tiny, path("dense"), stores)
