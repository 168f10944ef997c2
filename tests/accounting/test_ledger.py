"""Every cycle of every unit has one cause."""

from itertools import pairwise

import numpy as np
import pytest

from accelsim import load_trace, simulate
from accelsim.accounting.ledger import UnitLedger, intervals, ledgers
from accelsim.dataflows.pipeline import Member, Pipeline
from accelsim.engine import Network, Requests, Room, Stage, recurrence
from tests.helpers.random_networks import member_of
from tests.helpers.small import (
    ARCHITECTURES,
    SHIPPED_TRACE,
    changed,
    cramped,
    layer_runs,
    load,
    tile,
)

PHASES = [("prefill", None), ("decode", 1), ("decode", 4)]
CAUSES = ("busy", "starved", "blocked", "contended")


def ints(*values):
    return np.array(values, np.int64)


@pytest.fixture(scope="module", params=[*ARCHITECTURES, *(f"{n}-cramped" for n in ARCHITECTURES)])
def arch(request):
    """A shipped machine, with its own buffers or with small ones."""
    name, _, is_cramped = request.param.partition("-")
    return cramped(name) if is_cramped else load(name)


@pytest.fixture(scope="module", params=PHASES, ids=lambda phase: f"{phase[0]}-{phase[1]}")
def observed(request, arch, small_trace):
    """Result, and (work, run) of every layer run, on one machine in one phase."""
    phase, batch = request.param
    runs = []
    options = {"layers": "isolated", "observer": lambda _, *pair: runs.append(pair)}
    result = simulate(arch, small_trace, phase=phase, batch=batch, **options)
    return result, runs


def test_there_are_machines_and_tiles_to_test(observed, arch):
    assert len(ARCHITECTURES) >= 6
    _, runs = observed
    if arch.buffers.weights.capacity_kib == 4:
        assert max(run.pipeline.network.jobs for _, run in runs) > 10


def test_causes_add_up_to_the_run(observed):
    result, runs = observed
    for _, run in runs:
        for name, ledger in run.tally.ledgers.items():
            assert ledger.total_cycles == run.times.cycles, name
    for name, unit in result.units.items():
        assert unit.ledger.total_cycles == result.cycles, name


def test_no_cause_is_negative(observed):
    _, runs = observed
    for _, run in runs:
        for name, ledger in run.tally.ledgers.items():
            for cause in (*CAUSES, "idle"):
                assert getattr(ledger, f"{cause}_cycles") >= 0, (name, cause)


def test_a_unit_is_busy_for_its_own_service_times(observed, arch):
    result, runs = observed
    for name, unit in arch.units.items():
        for work, run in runs:
            assert run.tally.ledgers[name].busy_cycles == unit.busy_cycles(work).sum(), name
        expected = sum(int(unit.busy_cycles(work).sum()) for work, _ in runs)
        assert result.units[name].ledger.busy_cycles == expected, name


def test_every_unit_and_every_stream_has_a_ledger(observed, arch):
    result, _ = observed
    streams = {"activation_dma", "weight_dma", "output_dma"}
    assert set(result.units) == set(arch.units) | streams


def test_the_channel_is_busy_for_its_streams(observed):
    _, runs = observed
    for _, run in runs:
        streams = ("activation_dma", "weight_dma", "output_dma")
        busy = sum(run.tally.ledgers[stream].busy_cycles for stream in streams)
        assert run.tally.ledgers["dram"].busy_cycles == busy


def test_intervals_tile_the_time_until_the_last_job(observed):
    _, runs = observed
    for _, run in runs[:6]:
        for unit in [*run.pipeline.stage_of, "dram"]:
            parts = list(intervals(run.pipeline, run.times, unit))
            assert parts[0][2] == 0
            assert parts[-1][3] == run.times.cycles - run.tally.ledgers[unit].idle_cycles
            for (*_, end), (_, _, start, _) in pairwise(parts):
                assert start == end


def test_intervals_agree_with_the_ledger(observed):
    _, runs = observed
    for _, run in runs[:6]:
        for unit in [*run.pipeline.stage_of, "dram"]:
            sums = dict.fromkeys(CAUSES, 0)
            for _, cause, start, end in intervals(run.pipeline, run.times, unit):
                sums[cause] += end - start
            ledger = run.tally.ledgers[unit]
            assert sums == {cause: getattr(ledger, f"{cause}_cycles") for cause in CAUSES}, unit


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_the_shipped_trace_adds_up(phase):
    batch = 8 if phase == "decode" else None
    result = simulate(load("nm816"), load_trace(SHIPPED_TRACE), phase=phase, batch=batch)
    for name, unit in result.units.items():
        assert unit.ledger.total_cycles == result.cycles, name
    assert result.breakdown.total_cycles == result.cycles


# By hand ---------------------------------------------------------------------------------------


def machine(*stages, members=None, order=None):
    """A machine of bare stages; `members` may put several units into one."""
    alone = {stage.name: (member_of(stage),) for stage in stages}
    return Pipeline(Network(stages, {"dram": Requests.of(order or ())}), alone | (members or {}))


def ledgers_of(built):
    return ledgers(built, recurrence.run(built.network))


def test_lockstep_slack_is_blocked_before_the_slowest_and_starved_after_it():
    # Jobs take max(2, 5, 1) = 5 and max(3, 7, 4) = 7 cycles. The unit before the slowest has
    # 3 + 4 = 7 cycles of results that find no taker, the unit after it 4 + 3 = 7 without input.
    units = (
        Member("before", ints(2, 3)),
        Member("slowest", ints(5, 7)),
        Member("after", ints(1, 4)),
    )
    built = machine(Stage("pipe", ints(5, 7)), members={"pipe": units})
    ledger = ledgers_of(built)
    assert ledger["before"] == UnitLedger(busy_cycles=5, blocked_cycles=7)
    assert ledger["slowest"] == UnitLedger(busy_cycles=12)
    assert ledger["after"] == UnitLedger(busy_cycles=5, starved_cycles=7)


def test_the_slowest_may_change_from_job_to_job():
    # Job 0: a is slower (6 to 2), b starves 4. Job 1: b is slower (9 to 1), a is blocked 8.
    units = (Member("a", ints(6, 1)), Member("b", ints(2, 9)))
    ledger = ledgers_of(machine(Stage("pipe", ints(6, 9)), members={"pipe": units}))
    assert ledger["a"] == UnitLedger(busy_cycles=7, blocked_cycles=8)
    assert ledger["b"] == UnitLedger(busy_cycles=11, starved_cycles=4)


def test_the_far_port_of_a_buffer_limits_but_has_no_ledger():
    # The stage lasts as long as the uncharged port, 4 cycles; the unit before it is blocked 3.
    units = (Member("unit", ints(1)), Member("port", ints(4), is_charged=False))
    ledger = ledgers_of(machine(Stage("pipe", ints(4)), members={"pipe": units}))
    assert set(ledger) == {"dram", "unit"}
    assert ledger["unit"] == UnitLedger(busy_cycles=1, blocked_cycles=3)


def test_dram_waits_for_room_are_blocked_and_waits_for_data_are_starved():
    """One slot of input, one load, one use and one store a job, in program order.

    load0 0-3, use0 visible at 3 + 2 = 5: 5-9, store0 9-10; load1 has its slot at 9, but stands
    behind store0: 10-13, use1 15-19, store1 19-20.
    The channel: 3 + 1 + 3 + 1 busy; from 3 to 9 and from 13 to 19 it waits for data to store.
    """
    load = Stage(
        "load", ints(3, 3), rooms=(Room("use", ints(-1, 0), "x"),), latency=2, resource="dram"
    )
    use = Stage("use", ints(4, 4), inputs=("load",))
    store = Stage("store", ints(1, 1), inputs=("use",), resource="dram")
    order = (("load", 0), ("store", 0), ("load", 1), ("store", 1))
    ledger = ledgers_of(machine(load, use, store, order=order))
    assert ledger["dram"] == UnitLedger(busy_cycles=8, starved_cycles=12)
    assert ledger["load"] == UnitLedger(6, 0, blocked_cycles=6, contended_cycles=1, idle_cycles=7)
    assert ledger["use"] == UnitLedger(busy_cycles=8, starved_cycles=5 + 6, idle_cycles=1)
    assert ledger["store"] == UnitLedger(busy_cycles=2, starved_cycles=9 + 9)


def test_dram_waits_are_split_where_the_data_came_before_the_room():
    """The store needs data (visible at 6) and then room downstream (free at 10).

    make 0-6; sink busy 0-10 with its first job; store: data at 6, room at 10: 10-12.
    The channel starves 0-6, is blocked 6-10, busy 10-12.
    """
    make = Stage("make", ints(6))
    sink = Stage("sink", ints(10))
    store = Stage(
        "store", ints(2), inputs=("make",), rooms=(Room("sink", ints(0), "y"),), resource="dram"
    )
    ledger = ledgers_of(machine(make, sink, store, order=(("store", 0),)))
    assert ledger["dram"] == UnitLedger(busy_cycles=2, starved_cycles=6, blocked_cycles=4)


def test_dram_is_blocked_and_not_busy_while_a_narrow_port_takes_its_data():
    """Decode of one token: the channel could move 64 × 64 weights in 64 cycles, the port takes 256.

    For the other 192 cycles the channel has data and no taker: blocked. The rest: 1 cycle of
    activations and 1 of outputs busy; starved while the outputs are computed.
    """
    arch = changed(load("dense"), {"buffers.weights.port_bytes": 16, "tiling": tile(1, 64, 64)})
    ((work, run),) = layer_runs(arch, (1, 64, 64), batch=1)
    assert arch.dram.busy_cycles(work).tolist() == [1 + 64 + 1]
    assert run.tally.ledgers["dram"].busy_cycles == 1 + 64 + 1
    assert run.tally.ledgers["dram"].blocked_cycles == 256 - 64
    assert run.tally.ledgers["dram"].total_cycles == run.times.cycles


def test_ledgers_add_up_cause_by_cause():
    assert UnitLedger(1, 2, 3, 4, 5) + UnitLedger(10, 20, 30, 40, 50) == UnitLedger(
        11, 22, 33, 44, 55
    )
    assert UnitLedger(1, 2, 3, 4, 5).total_cycles == 15
