"""Pruning methods on a machine: the prologue, lockstep with new units, and laws on random ones."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from accelsim import simulate
from accelsim.accounting.breakdown import bound, leaders
from accelsim.accounting.ledger import intervals
from accelsim.base.errors import InputError
from accelsim.dataflows import DATAFLOWS
from accelsim.dataflows.pipeline import build_pipeline
from accelsim.mapping import Gemm
from accelsim.report.window import Window
from accelsim.run.layers import TiledProduct
from accelsim.run.periodic import periodic_tally
from accelsim.run.runner import Runner
from tests.helpers.random_machines import batches, shapes
from tests.helpers.random_methods import METHODS, pruning_machines, with_method
from tests.helpers.small import changed, cycles_of, layer_runs, load, machine_for, tile, trace_of

FIRST = leaders(DATAFLOWS["output_stationary"])


def method_machine(criterion="act", mitigation="none", changes=None):
    """The 8:16 machine with a method."""
    method = {"criterion": criterion, "mitigation": mitigation}
    return load("nm816", method | (changes or {}))


# By hand ---------------------------------------------------------------------------------------


def only_run(arch, shape, **flags):
    ((work, run),) = layer_runs(arch, shape, **flags)
    return work, run


def busy(run, stage):
    return {member.unit: member.busy.tolist() for member in run.pipeline.members[stage]}


def test_act_and_none_have_no_prologue_and_no_new_members():
    _, run = only_run(load("nm816"), (8, 64, 16))
    assert list(run.pipeline.members) == [
        "activation_dma",
        "select",
        "weight_dma",
        "compute",
        "output_dma",
    ]
    assert "prologue_dma" not in run.pipeline.units


def test_the_prologue_of_static_factors_is_their_table():
    # K = 640 factors of a byte in ten bursts of 64: ten cycles, then 100 of latency.
    arch = changed(method_machine("amber"), {"tiling": tile(4, 320, 16)})
    work, run = only_run(arch, (8, 640, 16))
    assert busy(run, "prologue") == {"prologue_dma": [10, 0, 0, 0]}
    assert arch.dram.prologue_bytes(work).tolist() == [640, 0, 0, 0]
    times = run.times.stages
    assert times["activation_dma"].start[0] == 10  # behind it on the channel
    # 4 × 320 activations take 20 cycles and arrive 100 later; the factors are there before.
    assert times["select"].start[0] == 10 + 20 + 100


def test_the_prologue_of_statistics_is_all_of_x():
    # 8 × 640 bytes in 80 cycles; 16 lanes take 320. Selection starts when all are through.
    arch = changed(method_machine("clact"), {"tiling": tile(4, 320, 16), "statistics.lanes": 16})
    work, run = only_run(arch, (8, 640, 16))
    assert busy(run, "prologue") == {"prologue_dma": [80, 0, 0, 0], "statistics": [320, 0, 0, 0]}
    # The channel is held until the unit has taken the last value; then 100 + 1 of latency.
    assert run.times.stages["activation_dma"].start[0] == 320
    assert run.times.stages["select"].start[0] == max(320 + 101, 320 + 20 + 100)
    assert run.tally.ledgers["dram"].blocked_cycles >= 320 - 80
    assert arch.dram.actions(work)["read_bytes"] == 2 * 8 * 640 + 640 * 16


def test_tables_of_an_epilogue_and_of_shifts_come_before_the_layer():
    # spts: K = 100 shifts of a byte in two bursts, O = 24 entries of 4 bytes in two.
    arch = changed(method_machine(mitigation="spts"), {"tiling": tile(8, 112, 24)})
    work, run = only_run(arch, (8, 100, 24))
    assert arch.dram.prologue_bytes(work).tolist() == [4 * 64]
    # 64 positions a cycle (4 selectors of 16): 800 positions; 8 columns: 192 outputs.
    assert busy(run, "select")["pre_shifter"] == [13]
    assert busy(run, "compute")["epilogue"] == [24]


@pytest.mark.parametrize(
    ("criterion", "mitigation", "stage", "latency"),
    [
        ("act", "none", "select", 2),
        ("amber", "none", "select", 3),
        ("amber", "spts", "select", 4),
        ("amber", "var", "select", 4),
    ],
)
def test_each_unit_of_the_select_stage_adds_a_cycle_of_latency(
    criterion, mitigation, stage, latency
):
    arch = method_machine(criterion, mitigation, {"selector.extra_stages": 0})
    _, run = only_run(arch, (8, 64, 16))
    (found,) = (s for s in run.pipeline.network.stages if s.name == stage)
    assert found.latency == latency


def test_units_keep_up_unless_told_otherwise():
    arch = method_machine("clact", "var")
    assert arch.pre_scaler.lanes == arch.moments.lanes == 4 * 16
    assert arch.statistics.lanes == 128  # bytes a cycle of the activation buffer
    assert arch.epilogue.lanes == 8
    radix = method_machine("amber", changes={"selector.kind": "radix", "clock_mhz": 100})
    assert radix.selector.cycles_per_group(radix.path) == 17  # a step for each bit of a product
    assert radix.pre_scaler.lanes == -(-64 // 17)


def test_a_slow_unit_of_the_stage_sets_its_pace():
    shape = (32, 1024, 64)
    fast, slow = (method_machine("amber", changes={"pre_scaler.lanes": n}) for n in (64, 1))
    assert cycles_of(slow, shape) > cycles_of(fast, shape) + 32 * 1024 // 2
    _, run = only_run(slow, shape)
    assert run.tally.breakdown.stall_cycles["pre_scaler"] > 0


def test_a_helper_that_just_keeps_up_with_the_selector_is_not_to_blame():
    _, run = only_run(method_machine("amber", "spts"), (256, 1024, 64))
    select = {member.unit: member.busy for member in run.pipeline.members["select"]}
    for helper in ("pre_shifter", "pre_scaler"):
        assert np.array_equal(select[helper], select["selector"])
    stalls = run.tally.breakdown.stall_cycles
    assert stalls["selector"] > 0
    assert not {"pre_shifter", "pre_scaler"} & set(stalls)


def test_of_equal_bounds_the_array_then_the_channel_then_the_selector_is_named():
    names = ["pre_scaler", "selector", "dram", "mac_array"]
    for count, expected in ((4, "compute"), (3, "dram"), (2, "selector"), (1, "pre_scaler")):
        assert bound(dict.fromkeys(names[:count], 7), FIRST) == expected
    assert bound({"pre_scaler": 8, "selector": 7}, FIRST) == "pre_scaler"


@pytest.mark.parametrize(
    ("criterion", "mitigation", "cause", "cycles"),
    [
        ("amber", "none", "dram", 10),  # 640 factors
        ("clact", "none", "dram", 80),  # 8 × 640 values, as fast as DRAM brings them
        ("act", "dpts", "statistics", 320),  # eight times through 128 lanes
        ("act", "var", "", 0),
    ],
)
@pytest.mark.parametrize("batch", [None, 8])
def test_the_prologue_is_a_stall_of_what_sets_its_pace(criterion, mitigation, cause, cycles, batch):
    arch = method_machine(criterion, mitigation)
    whole = changed(arch, {"tiling": tile(8, 640, 16)})  # one tile: nothing else is waited for
    _, run = only_run(whole, (8, 640, 16), batch=batch)
    parts, start = run.tally.breakdown, int(run.times.stages["compute"].start[0])
    assert parts.stall_cycles.get(cause, 0) == cycles
    assert parts.fill_cycles == start - cycles
    assert parts.total_cycles == run.times.cycles


def test_in_decode_each_step_pays_its_own_prologue():
    arch = method_machine("clact")
    runs = layer_runs(arch, (6, 256, 32), batch=2)
    assert len(runs) == 3
    for work, _ in runs:
        assert arch.dram.prologue_bytes(work)[0] == 2 * 256
    result = simulate(arch, trace_of([(256, 32)], lengths=(6,)), phase="decode", batch=2)
    assert result.units["statistics"].actions["columns"] == 6 * 256


# Laws ------------------------------------------------------------------------------------------


def runs_or_skip(arch, shape, batch):
    batch = min(batch, shape[0]) if batch else None
    try:
        return layer_runs(arch, shape, batch=batch)
    except InputError:
        assume(False)


@given(arch=pruning_machines(), shape=shapes(), batch=batches())
@settings(max_examples=60)
def test_every_cycle_of_every_unit_has_one_cause(arch, shape, batch):
    for work, run in runs_or_skip(arch, shape, batch)[:3]:
        used = {unit.key for unit in arch.method_units.values() if unit.asked(work.path.demands)}
        assert used <= set(run.pipeline.units)
        for name, ledger in run.tally.ledgers.items():
            assert ledger.total_cycles == run.times.cycles, name
            assert min(ledger.busy_cycles, ledger.starved_cycles, ledger.blocked_cycles) >= 0
        assert run.tally.breakdown.total_cycles == run.times.cycles
        for name in used:
            busy_cycles = int(arch.units[name].busy_cycles(work).sum())
            assert run.tally.ledgers[name].busy_cycles == busy_cycles
        for unit in run.pipeline.units:
            parts = list(intervals(run.pipeline, run.times, unit))
            assert list(Window().intervals(run, unit)) == parts
            assert all(before[3] == after[2] for before, after in pairwise(parts))


@given(arch=pruning_machines(), shape=shapes(), batch=batches())
@settings(max_examples=40)
def test_both_engines_agree(arch, shape, batch):
    for work, run in runs_or_skip(arch, shape, batch)[:2]:
        other = Runner(arch, "simpy").run(work)
        assert np.array_equal(other.times.table, run.times.table)
        assert other.tally == run.tally


@given(
    arch=pruning_machines(),
    outer=st.integers(12, 80),
    inner=st.integers(1, 4),
    order=st.sampled_from(["tokens_outer", "columns_outer"]),
    is_decode=st.booleans(),
)
@settings(max_examples=100)
def test_a_layer_that_repeats_itself_is_continued_exactly(arch, outer, inner, order, is_decode):
    sizes = tile(4, arch.pattern.group_size, 4, order)
    arch = changed(arch, {"tiling": sizes, "buffers.weights.capacity_kib": 1.0})
    counts = (outer, inner) if order == "tokens_outer" else (inner, outer)
    gemm = Gemm(4 * counts[0] - 1, 3 * arch.pattern.group_size, 4 * counts[1] - 1)
    runner = Runner(arch)
    try:
        tiled = TiledProduct.of(arch.running(), gemm, is_decode=is_decode)
        walked = runner.run(tiled.work()).tally
    except InputError:
        assume(False)
    assert periodic_tally(tiled.work, tiled.outer_tiles, arch.running(), runner.run) == walked


@given(arch=pruning_machines(), shape=shapes(), batch=batches(), data=st.data())
@settings(max_examples=50)
def test_more_lanes_never_slow(arch, shape, batch, data):
    assume(arch.method_units)
    key = data.draw(st.sampled_from(sorted(arch.method_units)))
    more = arch.method_units[key].lanes + data.draw(st.integers(1, 20))
    before = sum(run.times.cycles for _, run in runs_or_skip(arch, shape, batch))
    wider = changed(arch, {f"{key}.lanes": more})
    after = sum(run.times.cycles for _, run in runs_or_skip(wider, shape, batch))
    assert after <= before


@given(method=st.sampled_from(METHODS), shape=shapes())
def test_a_method_never_makes_a_layer_quicker(method, shape):
    arch = machine_for("8:16")
    assert cycles_of(with_method(arch, *method), shape) >= cycles_of(arch, shape)


def test_what_a_prologue_moves_does_not_depend_on_how_much_is_walked():
    arch = changed(method_machine("clact", "spts"), {"tiling": tile(4, 64, 8)})
    gemm = Gemm(400, 64, 8)
    tiled = TiledProduct.of(arch.running(), gemm)
    short, whole = tiled.work(outer_tiles=6), tiled.work()
    assert short.gemm.tokens == 24
    for unit in (arch.dram.prologue_bytes, arch.statistics.busy_cycles):
        assert unit(short)[0] == unit(whole)[0] > 0


def test_several_decode_steps_are_one_by_one():
    """Steps run together give what each gives by itself."""
    arch = method_machine("clact", "spts")
    trace = trace_of([(96, 40)], lengths=(9,))
    together = simulate(arch, trace, phase="decode", batch=1)
    seen = []
    alone = simulate(
        arch, trace, phase="decode", batch=1, observer=lambda *event: seen.append(event)
    )
    assert len(seen) == 9
    assert together.to_dict() == alone.to_dict()


def test_a_prologue_is_first_in_the_program_order():
    arch = method_machine("clact")
    work, _ = only_run(arch, (8, 64, 16))
    order = list(build_pipeline(arch, replace(work)).network.order["dram"])
    assert order[0] == ("prologue", 0)
    assert [request for request in order if request[0] == "prologue"] == [("prologue", 0)]
