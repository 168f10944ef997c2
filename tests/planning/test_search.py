"""The search for a tile: what it proves, what it runs, and what it finds."""

from math import prod
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from accelsim.base.errors import DeadlockError, InputError
from accelsim.dataflows.pipeline import build_pipeline
from accelsim.engine.recurrence import run
from accelsim.mapping import Gemm, Tiling
from accelsim.mapping.tiling import ORDERS, check_tiling
from accelsim.planning import Planner, plan
from accelsim.planning.bounds import lower_bounds
from accelsim.planning.candidates import Candidates, extents
from accelsim.planning.coarse import coarse_bounds
from accelsim.planning.exact import ExactRuns
from accelsim.planning.search import EXHAUSTIVE, USUAL, Effort, Search
from accelsim.planning.services import Services
from accelsim.planning.weights import planned_weight_bytes
from accelsim.run.layers import TiledProduct
from benchmarks.mapping.pairs import pairs
from tests.helpers.random_machines import machines
from tests.helpers.small import ROOT, changed, load, machine_for, tile


def priced(arch):
    """Return a random machine with memories that have a price: ports of any width, one macro."""
    names = [name for name, buffer in arch.buffers if buffer is not None]
    return changed(arch, {f"buffers.{name}.macros": 1 for name in names})


priced_machines = machines().map(priced)
layers = st.builds(Gemm, st.integers(1, 40), st.integers(1, 200), st.integers(1, 80))
phases = st.booleans()


def all_of(machine, gemm, *, is_decode):
    """Return candidates, services, bounds and runs of every tiling of a layer that fits."""
    candidates = Candidates.of(gemm, machine, is_decode=is_decode)
    if not len(candidates):
        reject()
    services = Services.of(machine, gemm, candidates, is_decode=is_decode)
    runs = ExactRuns(machine, gemm, services, is_decode)
    return candidates, services, runs


def cycles_of(machine, gemm, tiling, *, is_decode):
    """Run a layer the long way: every job asked of every unit."""
    tiled = TiledProduct(
        machine=machine, gemm=gemm, kept_per_token=1, is_decode=is_decode, tiling=tiling
    )
    work = tiled.work()
    planned = planned_weight_bytes(work.jobs, machine, gemm, is_decode=is_decode)
    object.__setattr__(work, "weight_bytes", planned)
    return run(build_pipeline(machine, work).network).cycles


@settings(max_examples=60)
@given(arch=machines(), gemm=layers, is_decode=phases, data=st.data())
def test_bounds_hold_and_quick_runs_are_exact(arch, gemm, is_decode, data):
    machine = arch.running()
    candidates, services, runs = all_of(machine, gemm, is_decode=is_decode)
    by_cause = lower_bounds(services, candidates, machine.stores.store_lag_tiles)
    coarse = coarse_bounds(machine, gemm, candidates, is_decode=is_decode)
    for _ in range(4):
        at = data.draw(st.integers(0, len(candidates) - 1))
        tiling = candidates.tiling(at)
        try:
            cycles = cycles_of(machine, gemm, tiling, is_decode=is_decode)
        except DeadlockError:
            with pytest.raises(DeadlockError):
                runs.cycles(at, tiling)
            continue
        assert runs.cycles(at, tiling) == cycles
        assert coarse[at] <= cycles
        for cause, bounds in by_cause.items():
            assert bounds[at] <= cycles, (cause, tiling)


@settings(max_examples=15, deadline=None)
@given(arch=priced_machines, gemm=layers, is_decode=phases)
def test_without_slack_the_search_finds_what_trying_everything_finds(arch, gemm, is_decode):
    machine = arch.running()
    gemm = Gemm(min(gemm.tokens, 12), min(gemm.in_features, 60), min(gemm.out_features, 24))
    candidates, _, runs = all_of(machine, gemm, is_decode=is_decode)
    every = []
    for at in range(len(candidates)):
        try:
            every.append(runs.cycles(at, candidates.tiling(at)))
        except DeadlockError:
            continue
    assume(every)
    exhaustive = Search(machine, gemm, is_decode=is_decode).plan(effort=EXHAUSTIVE)
    assert exhaustive.best.cycles == min(every) == exhaustive.bound_cycles
    quick = Search(machine, gemm, is_decode=is_decode).plan()
    assert quick.bound_cycles <= min(every)
    assert quick.best.cycles <= min(every) * (1 + USUAL.slack)


@pytest.mark.parametrize("key", ["dram.bandwidth_gb_per_s", "buffers.weights.capacity_kib"])
@settings(max_examples=12, deadline=None)
@given(arch=priced_machines, gemm=layers, is_decode=phases, factor=st.sampled_from([1.5, 2, 8]))
def test_more_bandwidth_or_a_larger_buffer_is_never_slower(key, arch, gemm, is_decode, factor):
    section, *_, name = key.split(".")
    part = arch.dram if section == "dram" else arch.buffers.weights
    better = changed(arch, {key: getattr(part, name) * factor})
    found = []
    for each in (arch, better):
        try:
            search = Search(each.running(), gemm, is_decode=is_decode)
            found.append(search.plan(effort=EXHAUSTIVE).best.cycles)
        except InputError:
            assume(each is better)  # nothing fits
    before, after = found
    assert after <= before


def test_extents_are_multiples_of_what_the_array_takes_and_even_cuts():
    assert extents(8, 100).tolist() == [8, 16, 24, 32, 40, 48, 56, 64, 96, 100]
    assert extents(16, 10).tolist() == [10]
    assert 4096 // 5 // 32 * 32 + 32 in extents(32, 4096)  # five tiles, whole steps each


def test_every_candidate_fits_and_cuts_no_group():
    machine, gemm = load("nm816").running(), Gemm(100, 1000, 300)
    candidates = Candidates.of(gemm, machine)
    found = {candidates.tiling(at) for at in range(len(candidates))}
    assert len(found) == len(candidates)
    assert {tiling.order for tiling in found} == set(ORDERS)
    for tiling in found:
        check_tiling(tiling, gemm, machine.path, machine.stores)


def test_a_better_machine_is_hardly_slower_with_what_auto_finds():
    """It may be: searches end early. `docs/performance.md` has the worst of many."""
    ratios = []
    for arch, gemm, is_decode in pairs(str(ROOT / "arch_configs"), 16, seed=11):
        before = Search(arch.running(), gemm, is_decode=is_decode).plan().best.cycles
        for key in ("dram.bandwidth_gb_per_s", "buffers.weights.capacity_kib"):
            part = arch.dram if key.startswith("dram") else arch.buffers.weights
            better = changed(arch, {key: 2 * getattr(part, key.split(".")[-1])})
            after = Search(better.running(), gemm, is_decode=is_decode).plan().best.cycles
            ratios.append(after / before)
    assert np.percentile(ratios, 90) <= 1 + USUAL.slack
    assert max(ratios) <= 1.03


def test_groups_of_scales_that_tiles_cut_move_cycles_by_little():
    """Bytes of scales depend on where a tile begins; those between the first and last share one."""
    arch = load("nm816", {"precision": "int8/int4:32"})
    machine, gemm = arch.running(), Gemm(24, 400, 80)
    candidates, _, runs = all_of(machine, gemm, is_decode=False)
    cut = candidates.reduction % 32 > 0
    assert cut.any()
    assert not cut.all()
    for at in range(0, len(candidates), 7):
        tiling = candidates.tiling(at)
        cycles = cycles_of(machine, gemm, tiling, is_decode=False)
        if cut[at]:
            assert runs.cycles(at, tiling) == pytest.approx(cycles, rel=0.04)
        else:
            assert runs.cycles(at, tiling) == cycles


def test_a_larger_buffer_takes_no_candidate_away():
    gemm = Gemm(100, 1000, 300)
    small, large = (
        load("nm816", {"buffers.weights.capacity_kib": size}).running() for size in (64, 256)
    )
    few, many = (Candidates.of(gemm, machine) for machine in (small, large))
    assert {few.tiling(at) for at in range(len(few))} < {many.tiling(at) for at in range(len(many))}


def test_a_buffer_that_tilings_do_not_know_bounds_nothing():
    machine, gemm = load("nm816").running(), Gemm(64, 256, 128)
    known = Search(machine, gemm, is_decode=False).plan(effort=EXHAUSTIVE)
    with patch.object(type(machine.units["activation_buffer"]), "key", "somebody's"):
        found = Search(machine, gemm, is_decode=False).plan(effort=EXHAUSTIVE)
    assert found.best.cycles == known.best.cycles


def test_a_layer_of_one_tile_is_one_tile():
    gemm = Gemm(8, 16, 8)
    found = plan(load("nm816").running(), gemm)
    assert found.candidates >= 1
    # One group of 16 a row: a step, behind the loads of X and W, 2 + 2 cycles at 64 bytes.
    assert prod(found.best.tiling.counts(gemm)) == 1
    assert found.best.cycles == found.bound_cycles


def test_energy_as_the_objective_costs_no_more_energy():
    gemm = Gemm(64, 1024, 512)
    cramped = {"buffers.weights.capacity_kib": 32, "buffers.activations.capacity_kib": 8}
    found = {}
    for aim in ("cycles", "energy", "edp"):
        machine = load("nm816", cramped | {"tiling": f"{{objective: {aim}}}"}).running()
        search = Search(machine, gemm, is_decode=False)
        best = plan(machine, gemm).best
        found[aim] = search._priced(best)
    assert found["energy"].energy_pj <= found["cycles"].energy_pj
    assert found["cycles"].cycles <= found["energy"].cycles * (1 + USUAL.slack)
    products = {aim: each.energy_pj * each.cycles for aim, each in found.items()}
    assert products["edp"] <= min(products.values()) * 1.001


def test_few_tilings_are_all_run_for_energy_times_delay():
    gemm, machine = Gemm(1, 384, 256), load("nm24", {"tiling": "{objective: edp}"}).running()
    candidates, _, runs = all_of(machine, gemm, is_decode=True)
    assert 24 < len(candidates) <= 128
    found = plan(machine, gemm, is_decode=True)
    assert len({each.tiling for each in found.found}) == len(candidates)
    energy = Search(machine, gemm, is_decode=True)._energy
    every = []
    for at in range(len(candidates)):
        tiling, cycles = candidates.tiling(at), runs.cycles(at, candidates.tiling(at))
        every.append(energy.layer_pj(gemm, tiling, cycles, is_decode=True) * cycles)
    assert found.best.energy_pj * found.best.cycles == min(every)


def test_equal_cycles_are_decided_by_what_moves():
    found = plan(load("nm816").running(), Gemm(256, 384, 1024))
    limit = min(each.cycles for each in found.found) * (1 + USUAL.slack)
    equal = [each for each in found.found if each.cycles <= limit]
    least = min(each.off_chip_bytes for each in equal)
    assert len(equal) > 1
    assert found.best.off_chip_bytes <= 1.01 * least


def test_a_tile_set_by_hand_is_taken_as_it_is():
    by_hand = changed(machine_for("8:16"), {"tiling": tile(8, 32, 16, "reduction_outer")})
    assert Planner().tile(by_hand.running(), Gemm(16, 64, 32)) == Tiling(
        8, 16, 32, "reduction_outer"
    )


def test_nothing_that_fits_names_the_buffer():
    small = changed(machine_for("8:16"), {"buffers.weights.capacity_kib": 0.125})
    with pytest.raises(InputError, match=r"256 bytes must fit in buffers\.weights of 128 bytes"):
        plan(small.running(), Gemm(8, 64, 8))


def test_a_search_that_may_walk_little_says_how_far_it_may_be_off():
    machine, gemm = load("nm816").running(), Gemm(256, 384, 384)
    short = Search(machine, gemm, is_decode=False).plan(effort=Effort(most_jobs=1))
    full = Search(machine, gemm, is_decode=False).plan(effort=EXHAUSTIVE)
    assert len(short.found) < len(full.found)
    assert short.bound_cycles <= full.bound_cycles == full.best.cycles
    assert np.all([each.bound_cycles <= each.cycles for each in full.found])
