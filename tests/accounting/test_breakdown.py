"""Why a layer takes as long as it does: the parts add up, and the right unit gets the blame."""

import pytest
from hypothesis import given

from accelsim import simulate
from accelsim.accounting.blame import blame
from accelsim.accounting.breakdown import Breakdown, bound, busy_totals, leaders
from accelsim.base.errors import DeadlockError, InputError
from accelsim.dataflows import DATAFLOWS
from tests.helpers.random_machines import batches, machines, shapes
from tests.helpers.small import ARCHITECTURES, changed, layer_runs, load, tile

FIRST = leaders(DATAFLOWS["output_stationary"])


def one_run(name, shape, changes=None, *, batch=None):
    """Run a single layer on a shipped machine with changed values; the first step at decode."""
    (_, run), *_ = layer_runs(changed(load(name), changes or {}), shape, batch=batch)
    return run


def bound_of(run):
    return bound(busy_totals(run.pipeline), FIRST)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize(("phase", "batch"), [("prefill", None), ("decode", 1), ("decode", 4)])
def test_parts_add_up_to_the_cycles(name, phase, batch, small_trace):
    result = simulate(load(name), small_trace, phase=phase, batch=batch)
    for layer in result.layers:
        assert layer.breakdown.total_cycles == layer.cycles
        data = layer.to_dict()
        edges = ("ideal_cycles", "edge_cycles", "fill_cycles", "drain_cycles")
        assert sum(data[key] for key in edges) + sum(data["stall_cycles"].values()) == layer.cycles
    assert result.breakdown.total_cycles == result.cycles


@given(arch=machines(), shape=shapes(), batch=batches())
def test_parts_add_up_on_random_machines(arch, shape, batch):
    try:
        runs = layer_runs(arch, shape, batch=min(batch, shape[0]) if batch else None)
    except DeadlockError:
        raise
    except InputError:
        return  # not even the smallest tile fits
    for _, run in runs[:3]:
        parts = run.tally.breakdown
        assert parts.total_cycles == run.times.cycles
        assert parts.ideal_cycles > 0
        assert min(parts.edge_cycles, parts.fill_cycles, parts.drain_cycles) >= 0
        assert all(cycles > 0 for cycles in parts.stall_cycles.values())
        for ledger in run.tally.ledgers.values():
            assert ledger.total_cycles == run.times.cycles


@given(arch=machines(), shape=shapes(), batch=batches())
def test_the_bound_is_the_resource_that_needs_most_and_no_run_is_shorter(arch, shape, batch):
    try:
        runs = layer_runs(arch, shape, batch=min(batch, shape[0]) if batch else None)
    except InputError:
        return
    for _, run in runs[:3]:
        totals = busy_totals(run.pipeline)
        most = max(totals.values())
        name = bound(totals, FIRST)
        assert totals["mac_array" if name == "compute" else name] == most
        assert (name == "compute") == (totals["mac_array"] == most)
        assert run.times.cycles >= most


def test_layers_report_the_argmax_of_their_bounds(small_trace):
    for layer in simulate(load("nm816"), small_trace, phase="decode", batch=1).layers:
        name = "mac_array" if layer.bound == "compute" else layer.bound
        assert layer.bound_cycles[name] == max(layer.bound_cycles.values())


def test_compute_wins_ties():
    assert bound({"dram": 7, "mac_array": 7, "selector": 7}, FIRST) == "compute"
    assert bound({"selector": 7, "dram": 7, "mac_array": 3}, FIRST) == "dram"
    assert bound({"selector": 8, "dram": 7, "mac_array": 3}, FIRST) == "selector"


def test_breakdowns_add_up_cause_by_cause():
    total = Breakdown(1, 2, 3, 4, {"dram": 5}) + Breakdown(10, 20, 30, 40, {"dram": 50, "x": 6})
    assert total == Breakdown(11, 22, 33, 44, {"dram": 55, "x": 6})
    assert total.total_cycles == 11 + 22 + 33 + 44 + 55 + 6


@given(arch=machines(), shape=shapes(), batch=batches())
def test_blame_covers_every_wait_of_every_stage(arch, shape, batch):
    """What is charged is what lies between the jobs of a stage, its turns on the channel too."""
    try:
        runs = layer_runs(arch, shape, batch=min(batch, shape[0]) if batch else None)
    except InputError:
        return
    for _, run in runs[:2]:
        for name, stage in run.times.stages.items():
            waits = int((stage.start[1:] - stage.finish[:-1]).sum())
            found = blame(run.pipeline, run.times, name)
            assert sum(found.values()) == waits
            assert all(cycles > 0 for cycles in found.values())


# Who is to blame -------------------------------------------------------------------------------


def test_a_machine_that_is_fast_enough_has_no_stalls():
    # 16 tokens × 128 × 64 in one tile: 2 × 8 blocks of 8 steps.
    run = one_run("dense", (16, 128, 64))
    assert run.tally.breakdown.stall_cycles == {}
    assert run.tally.breakdown.ideal_cycles == 16 * 128 * 64 // 1024 == 128
    assert run.tally.breakdown.edge_cycles == 0


def test_ragged_tiles_cost_edge_cycles():
    # 9 tokens are two row blocks, 9 outputs two column blocks, 17 of K two steps: 8 cycles.
    # Ideal is ceil(9 × 17 × 9 / 1024) = 2.
    parts = one_run("dense", (9, 17, 9)).tally.breakdown
    assert (parts.ideal_cycles, parts.edge_cycles) == (2, 6)


def test_a_slow_selector_is_blamed():
    """Four tiles of 8 tokens. Selecting one: 8 × 256 / 16 groups × 9 cycles = 1152, one at a time.

    Computing one: 8 column blocks × 256 / 32 steps = 64. So the array waits 3 × (1152 - 64).
    """
    slow = load("nm816", {"selector": "{kind: radix, instances: 1}"})
    ((_, run),) = layer_runs(changed(slow, {"tiling": tile(8, 256, 64)}), (32, 256, 64))
    assert run.pipeline.network.jobs == 4
    assert run.tally.breakdown.stall_cycles == {"selector": 3 * (1152 - 64)}
    assert bound_of(run) == "selector"


def test_slow_dram_is_blamed():
    """1 GB/s at 1 GHz: a weight tile of 64 × 8 takes 512 cycles, its use 1 block × 4 steps.

    The stores stand behind all four loads; so the array waits 3 × (512 - 4).
    """
    run = one_run("dense", (8, 64, 32), {"dram.bandwidth_gb_per_s": 1, "tiling": tile(8, 64, 8)})
    assert run.tally.breakdown.stall_cycles == {"dram": 3 * (512 - 4)}
    assert bound_of(run) == "dram"


def test_a_narrow_weight_port_is_blamed():
    """A port of 16: each of 8 row blocks reads 256 × 8 weights in 128 cycles; computing takes 16.

    Four column tiles: 4 × 8 × (128 - 16) cycles of the array wait for weights.
    """
    run = one_run(
        "dense", (64, 256, 32), {"buffers.weights.port_bytes": 16, "tiling": tile(64, 256, 8)}
    )
    assert run.tally.breakdown.stall_cycles == {"weight_buffer": 4 * 8 * (128 - 16)}
    assert bound_of(run) == "weight_buffer"


@pytest.mark.parametrize(
    ("pattern", "metadata", "group_bytes", "expected"),
    [
        # 8 tokens × 16 groups × 8 column blocks, against 8 blocks × 16 steps = 128 cycles.
        # 16 values + 32 bits = 20 bytes a group: 20480 / 160 = 128 cycles, just enough;
        ("16:32", "bitmask", 20, {}),
        # 16 values + 16 × 5 bits = 26 bytes a group: 26624 / 160 = 166.4, so 167 cycles.
        ("16:32", "index", 26, {"compressed_buffer": 167 - 128}),
        # 2:4 needs 2 bits a value in either format.
        ("2:4", "bitmask", 2.5, {}),
        ("2:4", "index", 2.5, {}),
    ],
)
def test_a_narrow_compressed_port_is_blamed_where_metadata_is_wide(
    pattern, metadata, group_bytes, expected
):
    changes = {
        "format": metadata,
        "tiling": tile(8, 512, 64),
        "dram.bandwidth_gb_per_s": 1024,  # out of the way: (4096 + 32768 + 512) / 1024 = 37 cycles
        "buffers.weights.port_bytes": 1024,
    }
    run = one_run("nm1632" if pattern == "16:32" else "nm24", (8, 512, 64), changes)
    (port,) = (m for m in run.pipeline.members["compute"] if m.unit == "compressed_buffer")
    groups = 8 * 512 // int(pattern.split(":")[1])
    assert port.busy.tolist() == [-(-int(groups * group_bytes * 8) // 160)]
    assert run.tally.breakdown.stall_cycles == expected
    assert bound_of(run) == ("compressed_buffer" if expected else "compute")


def test_a_narrow_output_port_is_blamed():
    # 8 blocks of one step produce 8 × 64 bytes: 64 cycles through a port of 8, 56 too many.
    run = one_run(
        "dense", (8, 16, 64), {"buffers.outputs.port_bytes": 8, "tiling": tile(8, 16, 64)}
    )
    assert run.tally.breakdown.stall_cycles == {"output_buffer": 64 - 8}
    assert bound_of(run) == "output_buffer"


def test_a_full_output_buffer_is_traced_to_the_channel_that_should_empty_it():
    """Two output slots of 8 × 8 bytes; the store of one waits for 512-cycle loads of weights."""
    changes = {
        "dram.bandwidth_gb_per_s": 1,
        "dram.store_lag_tiles": 0,
        "buffers.outputs.capacity_kib": 0.125,
        "tiling": tile(8, 64, 8),
    }
    run = one_run("dense", (8, 64, 64), changes)
    assert set(run.tally.breakdown.stall_cycles) == {"dram"}


def test_a_port_that_just_keeps_up_is_not_blamed():
    """A port as fast as the array, and one as fast as DRAM: wider ones would change nothing.

    Activations are read at 128 bytes a cycle, which is what 8 rows of 16 lanes take; outputs are
    stored at 64, which is what DRAM takes. The array waits for stores, two slots behind.
    """
    changes = {
        "dram.store_lag_tiles": 2,
        "buffers.outputs.capacity_kib": 1,
        "tiling": tile(8, 16, 64),
    }
    wide = {"buffers.activations.port_bytes": 4096, "buffers.weights.port_bytes": 4096}
    run = one_run("dense", (256, 16, 64), changes)
    wider = one_run("dense", (256, 16, 64), changes | wide)
    assert run.times.cycles == wider.times.cycles
    assert run.tally.breakdown.stall_cycles["dram"] > 1000
    assert set(run.tally.breakdown.stall_cycles) <= {"dram", "mac_array"}


def test_a_narrow_fill_port_is_not_blamed_on_dram():
    """Decode of one token: 64 × 64 weights pass a port of 16 in 256 cycles, DRAM in 64.

    A faster DRAM would change nothing, so it is not the bound: DRAM needs 1 + 64 + 1 cycles.
    """
    run = one_run(
        "dense", (1, 64, 64), {"buffers.weights.port_bytes": 16, "tiling": tile(1, 64, 64)}, batch=1
    )
    totals = busy_totals(run.pipeline)
    assert totals["weight_buffer"] == 256
    assert totals["dram"] == 1 + 64 + 1
    assert bound_of(run) == "weight_buffer"


def test_stalls_behind_a_narrow_fill_port_are_blamed_on_the_port():
    """Weights pass DRAM in 8 cycles a tile and the write port in 128; activations are resident.

    Reading them back takes 128 as well, so the array waits for the port alone.
    """
    changes = {"buffers.weights.port_bytes": 4, "dram.latency_ns": 0, "tiling": tile(8, 64, 8)}
    run = one_run("dense", (8, 64, 32), changes)
    assert set(run.tally.breakdown.stall_cycles) == {"weight_buffer"}
    assert bound_of(run) == "weight_buffer"
