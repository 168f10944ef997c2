"""Steps of a job come from what selection found, and everything that follows from them agrees."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.mapping import Gemm, Packing, Work, ceil_div
from accelsim.run import runner as runner_module
from accelsim.run.layers import TiledProduct
from accelsim.run.periodic import periodic_tally
from accelsim.run.runner import Runner
from tests.helpers.engines import run_everywhere
from tests.helpers.small import changed, machine_for, tile

WIDE = 4096  # bytes a cycle: no port and no memory sets the pace


@pytest.fixture(scope="module")
def threshold_machine():
    """A machine whose selector may keep any of 16 values: 8 × 8 × 16 multipliers, wide ports.

    Groups of 16 of which all may be kept size the compressed buffer for the worst case.
    """
    buffers = ("activations", "compressed", "weights", "outputs")
    ports = {f"buffers.{name}.port_bytes": WIDE for name in buffers}
    macros = {f"buffers.{name}.macros": 1 for name in buffers}
    sizes = {f"buffers.{name}.capacity_kib": 16 for name in buffers}
    sizes |= {"dram.bandwidth_gb_per_s": 1e6, "selector.instances": 64}
    return changed(machine_for("16:16", ports | macros | sizes), {"tiling": tile(8, 32, 16)})


def kept_mask(*counts):
    """`[T, K]`: `counts` says, for each token, how many values of each tile of 32 are kept."""
    return np.array([[i < n for n in row for i in range(32)] for row in counts])


def work_of(arch, gemm, kept):
    """The work of a layer of which any number of values is kept."""
    work = TiledProduct.of(arch.running(), gemm).work()
    found = Packing.counted(kept, work.jobs, work.path)
    alive = int(kept.sum())
    return replace(work, found=found, kept=alive, nonzero=alive)


# By hand ------------------------------------------------------------------------------------------

# Two tiles of 8 tokens, two of 32 values of K; one row of each has more values than the others.
COUNTS = [[1, 2]] * 7 + [[20, 7]] + [[0, 1]] * 7 + [[32, 0]]
STEPS = [2, 1, 2, 1]  # ceil(20 / 16), ceil(7 / 16), ceil(32 / 16), ceil(1 / 16)
GEMM = Gemm(16, 64, 32)
# tokens outer, then two tiles of 16 columns, K innermost: each tile of X is used twice.
JOBS = [*STEPS[:2], *STEPS[:2], *STEPS[2:], *STEPS[2:]]


def test_the_row_with_the_most_values_sets_the_steps_of_a_job(threshold_machine):
    work = work_of(threshold_machine, GEMM, kept_mask(*COUNTS))
    assert work.steps.tolist() == JOBS
    # 16 columns are two blocks of 8, each of which takes all steps again.
    assert work.array_cycles.tolist() == [2 * steps for steps in JOBS]


def test_array_and_crossbar_take_those_steps(threshold_machine):
    work = work_of(threshold_machine, GEMM, kept_mask(*COUNTS))
    units = threshold_machine.units
    assert units["mac_array"].busy_cycles(work).tolist() == [2 * steps for steps in JOBS]
    assert units["crossbar"].busy_cycles(work).tolist() == [2 * steps for steps in JOBS]
    # Kept: 7 × 3 + 27 in the first eight tokens, 7 × 1 + 32 in the others; each meets 32 outputs.
    kept = 48 + 39
    actions = dict(units["mac_array"].actions(work))
    lane_cycles = 2 * sum(JOBS) * 8 * 8 * 16
    assert actions["mac"] == kept * 32
    assert actions["mac_idle"] == lane_cycles - kept * 32
    assert actions["accumulate"] == sum(8 * 16 * steps for steps in JOBS)
    assert units["crossbar"].actions(work)["route"] == kept * 32


def test_the_compressed_buffer_holds_what_was_kept(threshold_machine):
    """A row takes its values and a bit for each of its 32 positions: 4 bytes."""
    work = work_of(threshold_machine, GEMM, kept_mask(*COUNTS))
    tiles = [7 * 1 + 20 + 8 * 4, 7 * 2 + 7 + 8 * 4, 32 + 8 * 4, 7 * 1 + 8 * 4]
    buffer = threshold_machine.units["compressed_buffer"]
    jobs = [*tiles[:2], *tiles[:2], *tiles[2:], *tiles[2:]]
    assert buffer.read_bytes(work).tolist() == [2 * size for size in jobs]
    # Written once a tile, in the first tile of columns.
    assert buffer.write_bytes(work).sum() == sum(tiles)


def test_the_engines_and_the_ledgers_follow(threshold_machine):
    work = work_of(threshold_machine, GEMM, kept_mask(*COUNTS))
    run = Runner(threshold_machine).run(work)
    times = run_everywhere(network_of(threshold_machine, work))
    assert np.array_equal(times.table, run.times.table)
    compute = run.times.stages["compute"]
    assert (compute.finish - compute.start).tolist() == [2 * steps for steps in JOBS]
    for name in ("mac_array", "crossbar"):
        assert run.tally.ledgers[name].busy_cycles == 2 * sum(JOBS)
    assert {ledger.total_cycles for ledger in run.tally.ledgers.values()} == {run.times.cycles}
    assert run.tally.bound_cycles["mac_array"] == 2 * sum(JOBS)
    breakdown = run.tally.breakdown
    assert breakdown.total_cycles == run.times.cycles
    # 87 kept values × 32 outputs over 1,024 multipliers: 2.7 cycles, three of them.
    assert breakdown.ideal_cycles == 3
    assert breakdown.edge_cycles == 2 * sum(JOBS) - 3


def network_of(arch, work):
    """The network that the runner sends to its engine."""
    return runner_module.build_pipeline(arch, work).network


def test_fewer_kept_values_take_less_time(threshold_machine):
    full = work_of(threshold_machine, GEMM, np.ones((16, 64), bool))
    assert (
        full.steps.tolist()
        == TiledProduct.of(threshold_machine.running(), GEMM).work().steps.tolist()
    )
    some = work_of(threshold_machine, GEMM, kept_mask(*COUNTS))
    cycles = [Runner(threshold_machine).run(work).times.cycles for work in (some, full)]
    assert cycles[0] < cycles[1]


@pytest.mark.parametrize(
    ("steps", "size", "message"),
    [([1, 2], 0, "each of 8 jobs"), ([1] * 8, 1000, "larger than its slot")],
)
def test_what_was_found_must_fit_the_jobs(threshold_machine, steps, size, message):
    work, steps = TiledProduct.of(threshold_machine.running(), GEMM).work(), np.array(steps)
    with pytest.raises(ValueError, match=message):
        replace(work, found=Packing(steps, steps, np.full_like(steps, size)))


# Against the formula ------------------------------------------------------------------------------


@given(
    pattern=st.sampled_from(["2:4", "8:16", "4:8", "16:32"]),
    groups=st.integers(1, 12),
    tokens=st.integers(1, 20),
    seed=st.integers(0, 99),
)
def test_counted_values_of_whole_groups_are_what_the_formula_says(pattern, groups, tokens, seed):
    """N of every M, wherever in the group: lanes are a multiple of N, so that none is left over."""
    arch = machine_for(pattern, {"mac_array.lanes": 16})
    n, m = map(int, pattern.split(":"))
    ranks = np.random.default_rng(seed).random((tokens, groups, m)).argsort(axis=-1)
    work = TiledProduct.of(arch.running(), Gemm(tokens, groups * m, 24)).work()
    counted = Packing.counted((ranks < n).reshape(tokens, -1), work.jobs, work.path)
    for name in ("steps", "stored_values", "compressed_bytes"):
        assert np.array_equal(getattr(counted, name), getattr(work.packing, name)), name


# Memory by content --------------------------------------------------------------------------------


def test_runs_are_remembered_by_what_was_found(threshold_machine):
    """Works of the same sizes with other counts are other works; equal counts are found again."""
    runner, built = Runner(threshold_machine), []
    real = runner_module.build_pipeline
    with patch.object(
        runner_module, "build_pipeline", lambda *args: built.append(1) or real(*args)
    ):
        first = runner.tally(
            work_of(threshold_machine, GEMM, kept_mask(*COUNTS)), threshold_machine.running()
        )
        again = runner.tally(
            work_of(threshold_machine, GEMM, kept_mask(*COUNTS)), threshold_machine.running()
        )
        assert (len(built), again) == (1, first)
        # The same values in other tiles: 20 + 7 of the last row become 17 + 10, two steps still,
        # or 12 + 15: one step.
        moved = [*COUNTS[:7], [12, 15], *COUNTS[8:]]
        other = runner.tally(
            work_of(threshold_machine, GEMM, kept_mask(*moved)), threshold_machine.running()
        )
    assert len(built) == 2
    assert other.cycles < first.cycles
    assert (
        other
        == Runner(threshold_machine).run(work_of(threshold_machine, GEMM, kept_mask(*moved))).tally
    )


@pytest.mark.parametrize("field", ["steps", "stored_values", "compressed_bytes"])
def test_every_array_of_a_packing_is_content(threshold_machine, field):
    work = work_of(threshold_machine, GEMM, kept_mask(*COUNTS))
    less = getattr(work.found, field).copy()
    less[3] -= 1
    assert replace(work, found=replace(work.found, **{field: less})).content != work.content
    assert replace(work, found=replace(work.found)).content == work.content


def test_nonzero_values_are_no_content(threshold_machine):
    work = work_of(threshold_machine, GEMM, kept_mask(*COUNTS))
    assert replace(work, nonzero=1).content == work.content
    assert replace(work, kept=1).content != work.content


# The periodic short cut ---------------------------------------------------------------------------


def long_work(arch, gemm, steps_of):
    """Return how to make a layer shorter of which `steps_of` says the steps of each outer tile."""
    tiled = TiledProduct.of(arch.running(), gemm)

    def shortened(outer_tiles=tiled.outer_tiles):
        work = tiled.work(outer_tiles)
        outer = [*range(outer_tiles - 1), tiled.outer_tiles - 1]
        per_tile = len(work.jobs) // outer_tiles
        steps = np.repeat([steps_of(tile) for tile in outer], per_tile)
        return replace(work, found=replace(work.packing, steps=steps))

    return shortened, tiled


def test_work_whose_steps_vary_is_walked_whole(threshold_machine):
    """400 tiles of tokens in two steps each, but for one in the middle, in 1,000.

    The first of them repeat each other; whoever continued them would miss 998 × 2 × 2 × 2 cycles.
    """
    gemm = Gemm(8 * 400, 64, 32)
    work_of, tiled = long_work(threshold_machine, gemm, lambda i: 1000 if i == 200 else 2)
    runner, walked = Runner(threshold_machine), []

    def run(work):
        walked.append(len(work.jobs))
        return runner.run(work)

    whole = runner.run(work_of()).tally
    assert len(work_of().jobs) == 1600
    found = periodic_tally(work_of, tiled.outer_tiles, threshold_machine, run)
    assert (walked, found) == ([1600], whole)
    with patch.object(Work, "is_even", property(lambda _: True)):
        fooled = periodic_tally(work_of, tiled.outer_tiles, threshold_machine, run)
    assert max(walked[1:]) < 800  # it does repeat where it is looked at
    assert whole.cycles - fooled.cycles == 998 * 4 * 2


def test_even_work_is_still_continued(threshold_machine):
    gemm = Gemm(8 * 400, 64, 32)
    runner, walked = Runner(threshold_machine), []

    def run(work):
        walked.append(len(work.jobs))
        return runner.run(work)

    tiled = TiledProduct.of(threshold_machine.running(), gemm)
    found = periodic_tally(tiled.work, tiled.outer_tiles, threshold_machine, run)
    assert max(walked) < 800
    assert found == runner.run(tiled.work()).tally


def test_the_mapper_plans_with_the_steps_of_a_full_tile():
    """What it plans with and what a job takes come from one formula: 8:16, 40 values, 2 steps."""
    arch = changed(machine_for("8:16"), {"tiling": tile(8, 48, 8)})
    work = TiledProduct.of(arch.running(), Gemm(8, 40, 8)).work()
    assert work.steps.tolist() == [work.path.steps(40)] == [2]
    assert work.array_cycles.tolist() == [ceil_div(8, 8) * ceil_div(8, 8) * 2]
