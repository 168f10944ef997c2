"""A layer whose outer iterations repeat each other is summed up without walking all of them."""

from collections import Counter
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim import simulate
from accelsim.base.errors import InputError
from accelsim.dataflows import repetition
from accelsim.engine import Network, Room, Stage, program_order, recurrence
from accelsim.engine.steady import reach, repeats
from accelsim.mapping import Gemm
from accelsim.mapping.jobs import MAX_JOBS
from accelsim.mapping.tiling import TileBytes
from accelsim.run import periodic, runner
from accelsim.run.layers import TiledProduct
from accelsim.run.runner import Runner
from accelsim.trace import Trace
from tests.helpers.random_machines import machines
from tests.helpers.small import ARCHITECTURES, changed, cramped, load, machine_for, tile, trace_of


def ints(*values):
    return np.array(values, np.int64)


class Walked:
    """A machine that keeps what a layer added up to, and how many jobs each of its runs had."""

    def __init__(self, arch, engine="recurrence"):
        self.arch, self.jobs = arch, []
        self._runner = Runner(arch, engine)

    def run(self, work):
        self.jobs.append(len(work.jobs))
        return self._runner.run(work)

    def whole(self, gemm, *, is_decode=False):
        """Walk everything."""
        tiled = TiledProduct.of(self.arch.running(), gemm, is_decode=is_decode)
        return self._runner.run(tiled.work()).tally

    def short(self, gemm, *, is_decode=False):
        """Walk until the run repeats itself."""
        tiled = TiledProduct.of(self.arch.running(), gemm, is_decode=is_decode)
        return periodic.periodic_tally(tiled.work, tiled.outer_tiles, self.arch.running(), self.run)

    def took_the_short_cut(self, gemm):
        tiles = self.arch.tiling.tiling().counts(gemm)
        return max(self.jobs) < tiles[0] * tiles[1] * tiles[2]


def assert_exact(arch, gemm, *, is_decode=False):
    """The short way and the long one agree in every field; return what the short one walked."""
    walked = Walked(arch)
    found = walked.short(gemm, is_decode=is_decode)
    expected = walked.whole(gemm, is_decode=is_decode)
    for field in ("cycles", "ledgers", "breakdown", "bound_cycles", "actions", "nonzero_actions"):
        assert getattr(found, field) == getattr(expected, field), field
    assert found == expected
    return walked


# Random machines -------------------------------------------------------------------------------


@st.composite
def long_layers(draw, outer_tiles):
    """A machine, a layer of so many outer iterations on it, and whether it is a decode step.

    Tiles and buffers are set by hand, of one to forty slots. More often than not the operand of the
    inner loop does not stay on chip, without which nothing repeats.
    """
    arch = draw(machines())
    chosen = tile(
        tokens=draw(st.integers(1, 10)),
        reduction=arch.pattern.group_size * draw(st.integers(1, 3)),
        columns=draw(st.integers(1, 12)),
        order=draw(st.sampled_from(["tokens_outer", "columns_outer"])),
    )

    def extent(size, count):
        """So many tiles, the last one of any size."""
        return size * (count - 1) + draw(st.integers(1, size))

    outer, inner = draw(outer_tiles), draw(st.integers(1, 5))
    # Evenly: what integers are drawn depends on the constants in modules that are loaded.
    steps = draw(st.sampled_from([1, 2, 3, 4]))
    is_token_major = chosen.order == "tokens_outer"
    gemm = Gemm(
        extent(chosen.tokens, outer if is_token_major else inner),
        extent(chosen.reduction, steps),
        extent(chosen.columns, inner if is_token_major else outer),
    )
    changes = {
        "tiling": chosen,
        "dram.store_lag_tiles": draw(st.integers(0, 4) | st.integers(5, 60)),
        "dram.latency_ns": draw(st.sampled_from([0, 1, 7, 50, 200, 1000, 5000])),
        "dram.bandwidth_gb_per_s": draw(st.sampled_from([0.25, 0.3, 1, 2, 7.7, 16, 64, 300])),
    }
    passing = {"weights"} if is_token_major else {"activations", "compressed"}
    does_pass = inner * steps > 1 and draw(st.sampled_from([True, True, True, False]))
    size = TileBytes.of(chosen.tiling(), gemm, arch.path)
    for buffer in ("activations", "weights", "outputs", "compressed"):
        if buffer == "compressed" and arch.pattern.is_dense:
            continue
        slots = draw(st.sampled_from([1, 2, 2, 2, 3, 3, 4, 5, 6, 8, 12, 24, 40]))
        if does_pass and buffer in passing:
            slots = min(slots, inner * steps - 1)
        changes[f"buffers.{buffer}.capacity_kib"] = (slots * getattr(size, buffer) + 0.5) / 1024
        if slots == 1:
            changes[f"buffers.{buffer}.double_buffered"] = False
    return changed(arch, changes), gemm, draw(st.booleans())


@given(case=long_layers(st.integers(12, 60)))
@settings(max_examples=300)
def test_a_layer_is_summed_up_as_if_it_were_walked(case):
    arch, gemm, is_decode = case
    assert_exact(arch, gemm, is_decode=is_decode)


@given(case=long_layers(st.integers(100, 300)))
@settings(max_examples=100)
def test_a_long_layer_is_summed_up_as_if_it_were_walked(case):
    arch, gemm, is_decode = case
    assert_exact(arch, gemm, is_decode=is_decode)


@given(case=long_layers(st.integers(12, 60)))
@settings(max_examples=20)
def test_both_engines_sum_up_alike(case):
    arch, gemm, is_decode = case
    by_events, by_recurrence = Walked(arch, "simpy"), Walked(arch)
    found = by_events.short(gemm, is_decode=is_decode)
    assert found == by_recurrence.short(gemm, is_decode=is_decode)
    assert by_events.jobs == by_recurrence.jobs


def test_the_short_cut_is_taken_and_on_layers_of_every_kind():
    """A guard: the random layers would agree trivially if every one of them were walked."""
    seen = Counter()

    @given(case=long_layers(st.integers(12, 60)))
    @settings(max_examples=300)
    def look(case):
        arch, gemm, is_decode = case
        walked = Walked(arch)
        walked.short(gemm, is_decode=is_decode)
        seen["all"] += 1
        if walked.took_the_short_cut(gemm):
            kinds = (
                arch.tiling.order,
                "dense" if arch.pattern.is_dense else "sparse",
                "decode" if is_decode else "prefill",
                "cut K" if arch.tiling.reduction < gemm.in_features else "whole K",
                "ragged" if walked.arch.tiling.tiling().shortened(gemm, 1) != gemm else "even",
            )
            seen.update(("short", *kinds))

    look()
    assert seen["short"] > seen["all"] / 5
    orders = ("tokens_outer", "columns_outer")
    for kind in (*orders, "dense", "sparse", "decode", "prefill", "cut K", "whole K"):
        assert seen[kind] >= 3, kind


@pytest.fixture(scope="module")
def long_trace():
    """120 tokens, and so many outputs that cramped machines take dozens of outer iterations."""
    return trace_of([(256, 1000), (100, 500)], lengths=(90, 30))


@pytest.mark.parametrize("engine", ["recurrence", "simpy"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_whole_results_are_those_of_walking_everything(name, engine, long_trace):
    """Layers of few tiles are walked, and so are those that are watched."""
    arch, found = cramped(name), []

    def spy(*arguments):
        found.append(repeats(*arguments))
        return found[-1]

    with (
        patch.object(runner, "_WALKED_TILES", 0),
        patch.object(repetition, "repeats", spy),
    ):
        result = simulate(arch, long_trace, engine=engine)
    assert any(found)
    assert simulate(arch, long_trace, engine=engine, observer=lambda *_: None) == result
    with patch.object(runner, "_WALKED_TILES", 2**20):
        assert simulate(arch, long_trace, engine=engine) == result


# By hand ---------------------------------------------------------------------------------------

# 256 bytes a cycle everywhere and no latency; two slots of a weight tile of 64 × 8.
STREAMING = {
    "tiling": tile(8, 64, 8),
    "dram.bandwidth_gb_per_s": 256,
    "dram.latency_ns": 0,
    "buffers.activations.port_bytes": 256,
    "buffers.weights.port_bytes": 256,
    "buffers.outputs.port_bytes": 256,
    "buffers.activations.capacity_kib": 1,
    "buffers.weights.capacity_kib": 1,
    "buffers.outputs.capacity_kib": 1,
}


def streamed_cycles(row_tiles):
    """Cycles of `row_tiles` × 3 tiles of 8 × 64 × 8: the array never waits.

    A job takes 64 / 16 = 4 cycles of the array; of the channel 512 / 256 = 2 for its weights, which
    do not stay, 1 for its outputs, and 2 for activations in one of three: at most 5 when it is
    their turn, 11 of 12 in a row of tiles. The first activations and weights take 2 + 2; after the
    last job 7 of latency (multiply, accumulate, 4 levels of adders, 256 bytes to drain) and 1 to
    store.
    """
    return 2 + 2 + 4 * 3 * row_tiles + 7 + 1


@pytest.mark.parametrize("row_tiles", [1, 2, 9, 20, 21, 500])
def test_streamed_weights_by_hand(row_tiles):
    walked = assert_exact(changed(load("dense"), STREAMING), Gemm(8 * row_tiles, 64, 24))
    assert walked.whole(Gemm(8 * row_tiles, 64, 24)).cycles == streamed_cycles(row_tiles)


def test_a_layer_of_more_tiles_than_an_engine_runs():
    """Every row of tiles adds 12 cycles, and three tiles; walked were a few rows of them."""
    arch, row_tiles = changed(load("dense"), STREAMING), MAX_JOBS // 3 + 5
    gemm = Gemm(8 * row_tiles, 64, 24)
    with pytest.raises(InputError, match=f"makes {3 * row_tiles} tiles; at most {MAX_JOBS} are"):
        TiledProduct.of(arch.running(), gemm).work()
    walked = Walked(arch)
    tally = walked.short(gemm)
    assert max(walked.jobs) < 100
    assert tally.cycles == streamed_cycles(row_tiles)
    assert tally.breakdown.ideal_cycles == 4 * 3 * row_tiles
    assert tally.breakdown.fill_cycles == 4
    assert tally.breakdown.drain_cycles == 8
    assert tally.ledgers["mac_array"].busy_cycles == 4 * 3 * row_tiles
    # x once, 64 × 24 weights once for each row of tiles; 8 × 8 outputs a tile.
    moved = {"read_bytes": row_tiles * (8 * 64 + 64 * 24), "write_bytes": row_tiles * 3 * 64}
    assert tally.actions["dram"] == moved
    assert tally.nonzero_actions["mac_array"]["mac"] == 24


def test_simulate_runs_a_layer_of_more_tiles_than_an_engine():
    """The same through `simulate`, on a trace of shapes only."""
    row_tiles = MAX_JOBS // 3 + 5
    drawn = trace_of([(64, 24)], lengths=(8 * row_tiles,))
    meta = drawn.meta.model_copy(update={"synthetic": {"distribution": "none"}})
    result = simulate(
        changed(load("dense"), STREAMING), Trace(drawn.path, drawn.sha256, meta, drawn.source)
    )
    assert result.cycles == streamed_cycles(row_tiles)
    assert result.units["mac_array"].actions["mac"] == 8 * row_tiles * 64 * 24


@pytest.mark.parametrize("columns", [8, 24], ids=["weights stay", "weights pass"])
@pytest.mark.parametrize("lag", [0, 1, 4, 30])
@pytest.mark.parametrize("latency_ns", [0, 300, 20_000])
@pytest.mark.parametrize("capacity_kib", [1, 4, 16])
def test_buffers_that_fill_up_late(capacity_kib, latency_ns, lag, columns):
    """Loads and uses take equally long, so all looks steady until the last slot is filled.

    An activation tile of 8 × 64 takes 4 cycles at 128 bytes a cycle, and so does its product with
    8 columns. With a latency of 20,000 the first product comes when no more tiles fit: 2, 8 or 32
    of activations.
    """
    changes = {
        "dram.bandwidth_gb_per_s": 128,
        "dram.latency_ns": latency_ns,
        "dram.store_lag_tiles": lag,
        "buffers.activations.capacity_kib": capacity_kib,
        "buffers.outputs.capacity_kib": capacity_kib,
    }
    assert_exact(changed(load("dense"), STREAMING | changes), Gemm(8 * 300, 64, columns))


def test_few_outer_iterations_are_walked():
    walked = Walked(changed(load("dense"), STREAMING))
    walked.short(Gemm(8 * 8, 64, 24))
    assert walked.jobs == [8 * 3]


@pytest.mark.parametrize(
    ("capacity_kib", "fills"),
    [
        # 2 KiB are 4 tiles of activations, filled after 4 rows of tiles; of outputs 16, 3 a row.
        ({"activations": 2}, 6),
        ({"activations": 16}, 32),
        # 2 KiB are 32 tiles of 64 bytes of outputs, 3 a row.
        ({"outputs": 2}, 11),
        # K in two tiles of 8 × 32: two tiles of activations a row, 8 of 256 bytes fill 2 KiB;
        # 4 outputs of 8 × 8 accumulators fill 1 KiB.
        ({"activations": 2, "cut K": True}, 4),
    ],
)
def test_repetition_is_looked_for_when_every_buffer_has_been_filled(capacity_kib, fills):
    """Walked are the rows of tiles until then, four more, and the next one to compare with."""
    is_cut = "cut K" in capacity_kib
    sizes = {f"buffers.{b}.capacity_kib": kib for b, kib in capacity_kib.items() if b != "cut K"}
    tiles = {"tiling": tile(8, 32, 8)} if is_cut else {}
    walked = Walked(changed(load("dense"), STREAMING | sizes | tiles))
    walked.short(Gemm(8 * 200, 64, 24))
    jobs = 3 * (2 if is_cut else 1)
    assert walked.jobs[0] == (4 + fills + 1) * jobs


def test_an_ideal_that_is_a_fraction_is_rounded_up_once():
    """99 tokens of 64 × 24 are 148.5 cycles of 1024 products, in all: 149, of 13 × 3 × 4 = 156."""
    gemm = Gemm(99, 64, 24)
    assert 99 * 64 * 24 / 1024 == 148.5
    arch = changed(load("dense"), STREAMING | {"buffers.outputs.capacity_kib": 0.125})
    walked = assert_exact(arch, gemm)
    tally = walked.short(gemm)
    assert (tally.breakdown.ideal_cycles, tally.breakdown.edge_cycles) == (149, 156 - 149)


# Reach, and repetition -------------------------------------------------------------------------


def slots(count, jobs):
    """Room for so many tiles, one a job: job i waits for job i - count."""
    return np.maximum(np.arange(jobs) - count, -1)


def pipeline(jobs, *, load_cycles=1, use_cycles=3, count=2, latency=0):
    """Loads into `count` slots, and their uses.

    By default load 0 runs 0-1, use 0 1-4; load 1 1-2, use 1 4-7; load 2 has room at 4: 4-5, and
    every later load and use 3 cycles after the one before.
    """
    rooms = (Room("use", slots(count, jobs), "memory"),)
    loads = Stage("load", np.full(jobs, load_cycles), rooms=rooms, latency=latency)
    return Network((loads, Stage("use", np.full(jobs, use_cycles), inputs=("load",))))


def test_a_job_reaches_to_the_one_before_it():
    assert reach(Network((Stage("only", ints(1, 1, 1)),))) == 1
    assert reach(Network((Stage("only", ints(1)),))) == 1


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (2, 2), (4, 4), (5, 5), (6, 1), (9, 1)])
def test_a_job_reaches_to_the_one_whose_slot_it_fills(count, expected):
    # Six jobs: with six slots nothing has been waited for yet.
    assert reach(pipeline(6, count=count)) == expected


def test_a_job_reaches_to_the_last_use_of_a_tile():
    # The fills of jobs 0 and 4 share a slot; its first tile is used until job 3: one job before.
    frees = ints(-1, -1, -1, -1, 3, -1, -1, -1)
    ones = np.ones(8, np.int64)
    stages = Stage("load", ones, rooms=(Room("use", frees, "memory"),)), Stage("use", ones)
    assert reach(Network(stages)) == 1
    # Were it used in job 1 only, it would be three.
    freed_early = replace(stages[0], rooms=(Room("use", np.where(frees == 3, 1, frees), "memory"),))
    assert reach(Network((freed_early, stages[1]))) == 3


@pytest.mark.parametrize(("lag", "expected"), [(0, 1), (1, 2), (2, 3), (3, 4)])
def test_a_job_reaches_to_the_one_before_it_in_program_order(lag, expected):
    """Loads and stores, lag 2: l0 l1 l2 s0 l3 s1 l4 s2 …: from s0 to l3 are three jobs."""
    loads, stores = (Stage(name, np.ones(8, np.int64), resource="bus") for name in ("l", "s"))
    order = {"bus": program_order([(loads, 0), (stores, lag)])}
    assert reach(Network((loads, stores), order)) == expected


def test_a_job_reaches_over_those_that_ask_for_nothing():
    # Requests of jobs 0, 5 and 6 only.
    loads = Stage("load", ints(1, 0, 0, 0, 0, 1, 1), resource="bus")
    assert reach(Network((loads,), {"bus": program_order([(loads, 0)])})) == 5


def test_a_pipeline_repeats_itself_once_its_buffer_is_full():
    """Two jobs are looked at, as far as a load reaches, and the two before them.

    Load 2 is the first that waits for room, load 3 the first that does as the one before it did. So
    jobs 3 and 4 are the first two that repeat what happened one job before.
    """
    network = pipeline(8)
    times = recurrence.run(network)
    assert times.stages["load"].start.tolist() == [0, 1, 4, 7, 10, 13, 16, 19]
    assert times.stages["use"].start.tolist() == [1, 4, 7, 10, 13, 16, 19, 22]
    assert [repeats(network, times, 1, end) for end in range(1, 9)] == 4 * [False] + 4 * [True]


def test_a_period_of_several_jobs():
    """Uses take 3 and 5 in turn: jobs repeat those two before them, and not the one before."""
    jobs = 12
    network = pipeline(jobs)
    uses = replace(network.stages[1], busy=np.tile(ints(3, 5), jobs // 2))
    network = Network((network.stages[0], uses))
    times = recurrence.run(network)
    assert repeats(network, times, 2, jobs)
    assert repeats(network, times, 4, jobs)
    assert not any(repeats(network, times, period, jobs) for period in (1, 3, 5))


def test_what_is_not_there_does_not_repeat():
    network = pipeline(8)
    times = recurrence.run(network)
    assert repeats(network, times, 2, 8)  # jobs 6 and 7 against 4 and 5
    assert repeats(network, times, 3, 8)  # 5 to 7 against 2 to 4
    assert not repeats(network, times, 4, 8)  # 0 and 1 had room
    assert not repeats(network, times, 5, 8)  # no job - 2


def test_loads_that_run_ahead_do_not_repeat():
    """Nine slots, eight jobs: no load waits, each is 1 cycle after the one before, each use 3."""
    network = pipeline(8, count=9)
    times = recurrence.run(network)
    assert not any(repeats(network, times, 1, end) for end in range(9))


def test_a_buffer_that_begins_to_wait_does_not_repeat():
    """Equally fast loads and uses, 5 cycles apart, three slots: load 3 is the first that waits.

    Load 0-3, visible 5 later at 8, use 8-11; load 1 3-6, load 2 6-9; load 3 waits from 9 until 11.
    """
    network = pipeline(12, load_cycles=3, use_cycles=3, count=3, latency=5)
    times = recurrence.run(network)
    assert times.stages["load"].start.tolist()[:5] == [0, 3, 6, 11, 14]
    found = [repeats(network, times, 3, end) for end in range(13)]
    # Loads 3 to 5 come 11 after 0 to 2, and so do 6 to 8 after them; but first they had to wait.
    assert found.index(True) == 9
    assert all(found[9:])


def test_one_other_service_time_is_no_repetition():
    network = pipeline(8)
    times = recurrence.run(network)
    for row, stage in enumerate(network.stages):
        for job in range(8):
            busy = stage.busy.copy()
            busy[job] += 1
            stages = list(network.stages)
            stages[row] = replace(stage, busy=busy)
            # Looked at are jobs 5 and 6, and 4 and 5 before them.
            is_same = job not in {4, 5, 6}
            assert repeats(Network(tuple(stages)), times, 1, 7) == is_same, (stage.name, job)


def test_one_other_wait_for_room_is_no_repetition():
    network = pipeline(8)
    times = recurrence.run(network)
    loads, uses = network.stages
    for job in range(2, 8):
        frees = loads.rooms[0].frees.copy()
        frees[job] += 1
        stage = replace(loads, rooms=(replace(loads.rooms[0], frees=frees),))
        is_same = job not in {4, 5, 6}
        assert repeats(Network((stage, uses)), times, 1, 7) == is_same, job


def test_one_time_that_is_off_by_one_is_no_repetition():
    network = pipeline(8)
    times = recurrence.run(network)
    for place in np.ndindex(times.table.shape):
        table = times.table.copy()
        table[place] += 1
        is_same = place[-1] not in {4, 5, 6}
        assert repeats(network, replace(times, table=table), 1, 7) == is_same, place


@given(
    load_cycles=st.integers(1, 9),
    use_cycles=st.integers(1, 9),
    count=st.integers(1, 6),
    latency=st.integers(0, 30),
    more=st.integers(1, 40),
)
@settings(max_examples=100)
def test_what_repeats_goes_on_like_that(load_cycles, use_cycles, count, latency, more):
    """Whatever is found in 24 jobs, with every slot filled, holds in more of them."""
    options = {
        "load_cycles": load_cycles,
        "use_cycles": use_cycles,
        "count": count,
        "latency": latency,
    }
    network = pipeline(24, **options)
    times = recurrence.run(network)
    later = recurrence.run(pipeline(24 + more, **options)).table
    for period in (1, count):
        if repeats(network, times, period, 24):
            shift = times.table[0, 0, 23] - times.table[0, 0, 23 - period]
            for job in range(24, 24 + more):
                assert (later[:, :, job] - later[:, :, job - period] == shift).all()


def test_a_sparse_layer_by_hand_takes_the_short_cut():
    """8:16, 100 rows of tiles; activations are selected once a row, weights pass 100 times."""
    arch = changed(
        machine_for("8:16"),
        {
            "dram.latency_ns": 0,
            "tiling": tile(8, 64, 16),
            "buffers.weights.capacity_kib": 2,
            "buffers.activations.capacity_kib": 1,
            "buffers.compressed.capacity_kib": 1,
            "buffers.outputs.capacity_kib": 1,
        },
    )
    gemm = Gemm(8 * 100, 64, 16 * 3)
    walked = assert_exact(arch, gemm)
    assert walked.took_the_short_cut(gemm)
    actions = walked.short(gemm).actions
    assert actions["selector"] == {"group": 800 * 64 // 16}
    assert actions["dram"]["read_bytes"] == 800 * 64 + 100 * 64 * 48


# What else repeats ------------------------------------------------------------------------------


def assert_short_and_exact(arch, gemm, *, is_decode=False):
    walked = assert_exact(arch, gemm, is_decode=is_decode)
    whole = TiledProduct.of(arch.running(), gemm, is_decode=is_decode).work()
    assert max(walked.jobs) < len(whole.jobs) / 2


def test_a_resident_operand_that_rests_does_not_hide_repetition():
    """64 × 64 weights are loaded once, so the times of their stream stay what they were."""
    assert_short_and_exact(load("dense"), Gemm(100_000, 64, 64))


def test_a_run_may_repeat_itself_every_second_iteration():
    """At 128 bytes a cycle with a lag of 1, iterations take 25 and 27 cycles in turn."""
    changes = {"dram.bandwidth_gb_per_s": 128, "dram.store_lag_tiles": 1}
    arch = changed(load("dense"), STREAMING | changes)
    assert_short_and_exact(arch, Gemm(2400, 64, 24))
    assert_short_and_exact(arch, Gemm(2408, 64, 24))


def test_a_decode_step_repeats_over_its_columns():
    """One tile of tokens: the columns are what is repeated, whatever the order is called.

    An output of 64 accumulators takes 256 bytes, so that 1 KiB is full after four of them.
    """
    for order in ("tokens_outer", "columns_outer"):
        changes = {"tiling": tile(8, 256, 64, order), "buffers.outputs.capacity_kib": 1}
        arch = changed(load("dense"), changes)
        assert_short_and_exact(arch, Gemm(1, 4096, 14336), is_decode=True)
