"""Where nothing waits, the cycles of a layer have a closed form that a reader can redo by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim import load_trace, simulate
from accelsim.base.errors import InputError
from accelsim.hardware import SELECTORS
from tests.helpers.random_machines import batches, machines, shapes
from tests.helpers.small import (
    ARCHITECTURES,
    SELECTING,
    SHIPPED_TRACE,
    changed,
    cycles_of,
    layer_runs,
    load,
    machine_for,
    tile,
)

# 256 bytes a cycle everywhere, so that ports are as fast as DRAM and the array is the slowest.
WIDE = {
    "dram.bandwidth_gb_per_s": 256,
    "dram.latency_ns": 100,
    "buffers.activations.port_bytes": 256,
    "buffers.weights.port_bytes": 256,
    "buffers.outputs.port_bytes": 256,
}
# What these depend on in a technology is the subject of tests/hardware/test_pipelining.py.
SPARSE = WIDE | {"selector.extra_stages": 0, "crossbar.pipeline_stages": 1}
ROWS, COLUMNS, LANES = 8, 8, 16
DENSE_LATENCY = 2 + 4 + 1  # multiply and accumulate; log2(16) of adder tree; 8 × 8 × 4 / 256 drain
SPARSE_LATENCY = 1 + DENSE_LATENCY  # one stage of crossbar


def ceil(value, divisor):
    return -(-value // divisor)


def run_one(arch, shape):
    ((work, run),) = layer_runs(arch, shape)
    return work, run


def test_one_dense_tile_by_hand():
    """16 × 64 × 32 in one tile.

    fill:    16 × 64 / 256 = 4 of activations, 64 × 32 / 256 = 8 of weights, 100 latency  = 112
    compute: 2 × 4 blocks of 64 / 16 = 4 steps                                             =  32
    drain:   latency 7, 16 × 32 / 256 = 2 of outputs                                       =   9
    """
    _, run = run_one(changed(load("dense"), WIDE | {"tiling": tile(16, 64, 32)}), (16, 64, 32))
    parts = run.tally.breakdown
    assert (parts.fill_cycles, parts.ideal_cycles, parts.drain_cycles) == (112, 32, 9)
    assert run.times.cycles == 112 + 32 + 9


def test_several_dense_tiles_by_hand():
    """The same layer in four column tiles of 8: the array runs through.

    Loads: x 0-4, w0 4-6, w1 6-8, w2 8-10, w3 10-12; visible 100 cycles later.
    compute: 106-114, 114-122, 122-130, 130-138, each 2 blocks of 4 steps. Then latency 7, and
    16 × 8 / 256, so 1 cycle, for the last store: 146.
    """
    _, run = run_one(changed(load("dense"), WIDE | {"tiling": tile(16, 64, 8)}), (16, 64, 32))
    assert run.times.stages["weight_dma"].finish.tolist() == [6, 8, 10, 12]
    assert run.times.stages["compute"].start.tolist() == [106, 114, 122, 130]
    assert run.times.cycles == (4 + 2 + 100) + 4 * 8 + (7 + 1)


@pytest.mark.parametrize("order", ["tokens_outer", "columns_outer"])
@pytest.mark.parametrize(
    ("shape", "tiles"),
    [
        ((64, 256, 64), (16, 256, 16)),
        ((64, 256, 64), (64, 64, 16)),  # K cut in four: partial sums
        ((50, 200, 60), (16, 200, 24)),  # ragged everywhere
        ((9, 512, 100), (9, 128, 40)),
        ((200, 96, 72), (200, 96, 72)),
    ],
)
def test_a_dense_layer_that_never_starves(shape, tiles, order):
    """cycles = first activation tile + first weight tile + latency + Σ blocks × steps + drain."""
    tokens, reduction, columns = shape
    tile_tokens, tile_reduction, tile_columns = tiles
    # No latency, else the first tiles of these small layers would have to wait for the second.
    arch = changed(load("dense"), WIDE | {"dram.latency_ns": 0, "tiling": tile(*tiles, order)})
    _, run = run_one(arch, shape)
    assert run.tally.breakdown.stall_cycles == {}

    def transfer(values):  # bytes, in bursts of 64, 256 bytes a cycle
        return ceil(ceil(values, 64) * 64, 256)

    fill = transfer(tile_tokens * tile_reduction) + transfer(tile_reduction * tile_columns)
    compute = 0
    for t in range(0, tokens, tile_tokens):
        for o in range(0, columns, tile_columns):
            for k in range(0, reduction, tile_reduction):
                blocks = ceil(min(tile_tokens, tokens - t), ROWS)
                blocks *= ceil(min(tile_columns, columns - o), COLUMNS)
                compute += blocks * ceil(min(tile_reduction, reduction - k), LANES)
    last_tokens = tokens - (ceil(tokens, tile_tokens) - 1) * tile_tokens
    last_columns = columns - (ceil(columns, tile_columns) - 1) * tile_columns
    drain = DENSE_LATENCY + transfer(last_tokens * last_columns)
    assert run.times.cycles == fill + compute + drain


def test_one_sparse_tile_by_hand():
    """16 × 256 × 64 at 8:16 in one tile.

    x:       16 × 256 / 256 = 16, visible at 116
    select:  16 × 16 groups / 4 selectors = 64, from 116 to 180, visible 2 later   = 182
    weights: 256 × 64 / 256 = 64, from 16 to 80, visible at 180
    compute: 2 × 8 blocks of 256 / 16 / 2 = 8 steps                                = 128
             (16 × 16 × 10 compressed bytes × 8 column blocks / 160 = 128 as well)
    drain:   latency 8, 16 × 64 / 256 = 4                                          =  12
    """
    _, run = run_one(changed(load("nm816"), SPARSE | {"tiling": tile(16, 256, 64)}), (16, 256, 64))
    assert run.times.stages["select"].finish.tolist() == [180]
    assert run.tally.breakdown.fill_cycles == 182
    assert run.times.cycles == 182 + 128 + (SPARSE_LATENCY + 4)


def test_one_sparse_decode_step_by_hand():
    """One token of 256 × 64 at 8:16: which weights to fetch is known after the selection.

    x:       256 / 256 = 1, visible at 101
    select:  16 groups / 4 selectors = 4, from 101 to 105, visible at 107
    weights: 128 kept rows of 64 bytes / 256 = 32, from 107 to 139, visible at 239
    compute: 8 column blocks of 8 steps = 64, from 239 to 303
    drain:   latency 8, one burst of outputs 1                                     = 312
    """
    arch = changed(load("nm816"), SPARSE | {"tiling": tile(1, 256, 64)})
    ((_, run),) = layer_runs(arch, (1, 256, 64), batch=1)
    assert run.times.stages["weight_dma"].ready.tolist() == [107]
    assert run.times.stages["compute"].start.tolist() == [239]
    assert run.times.cycles == 312


def test_decode_selects_the_next_tile_while_it_fetches_weights_for_this_one():
    """K in three tiles: the activations of a tile go before the weights of the tile before it."""
    arch = changed(load("nm816"), WIDE | {"tiling": tile(1, 256, 64)})
    ((_, run),) = layer_runs(arch, (1, 768, 64), batch=1)
    loads = [
        request for request in run.pipeline.network.order["dram"] if "output" not in request[0]
    ]
    x, w = "activation_dma", "weight_dma"
    assert loads == [(x, 0), (x, 1), (w, 0), (x, 2), (w, 1), (w, 2)]
    select, weights = run.times.stages["select"], run.times.stages["weight_dma"]
    assert select.finish[1] < weights.finish[0]


def test_prefill_and_dense_decode_load_both_operands_of_a_tile_together():
    x, w = "activation_dma", "weight_dma"
    for name, shape, batch in (("nm816", (8, 512, 64), None), ("dense", (1, 512, 64), 1)):
        arch = changed(load(name), WIDE | {"tiling": tile(8, 256, 64)})
        ((_, run),) = layer_runs(arch, shape, batch=batch)
        order = run.pipeline.network.order["dram"]
        assert [request for request in order if "output" not in request[0]] == [
            *((x, 0), (w, 0)),
            *((x, 1), (w, 1)),
        ]


@pytest.mark.parametrize(
    ("latency_ns", "clock_mhz", "cycles"),
    [(100, 1000, 100), (100.5, 1000, 101), (100, 800, 80), (100, 1500, 150), (0.1, 1000, 1)],
)
def test_latency_is_rounded_up_to_cycles(latency_ns, clock_mhz, cycles):
    def total(nanoseconds):
        arch = changed(load("dense"), {"clock_mhz": clock_mhz, "dram.latency_ns": nanoseconds})
        return run_one(arch, (8, 16, 8))[1].times.cycles

    assert total(latency_ns) - total(0) == cycles


def test_zero_load_latency_is_the_sum_of_all_latencies():
    """One multiplication: every unit busy for one cycle, every latency in full.

    x 0-1, w 1-2, visible at 102; select 101-102, visible at 104; compute 104-105 (8 latency), store
    113-114.
    """
    _, run = run_one(changed(load("nm816"), SPARSE), (1, 1, 1))
    assert run.times.cycles == 1 + 100 + 1 + 2 + 1 + SPARSE_LATENCY + 1


@pytest.mark.parametrize(("extra", "stages"), [(0, 0), (1, 1), (3, 4)])
def test_pipelining_adds_its_stages_to_the_latency_and_nothing_to_the_pace(extra, stages):
    def one(extra, stages):
        added = {"selector.extra_stages": extra, "crossbar.pipeline_stages": stages}
        arch = changed(load("nm816"), SPARSE | added | {"tiling": tile(16, 256, 64)})
        return run_one(arch, (16, 256, 64))[1]

    few, more = one(0, 0), one(extra, stages)
    assert more.times.cycles == few.times.cycles + extra + stages
    for name in ("selector", "crossbar", "mac_array"):
        assert more.tally.ledgers[name].busy_cycles == few.tally.ledgers[name].busy_cycles


def test_iterative_radix_shows_a_group_two_cycles_after_it_ends():
    """One group of 8:16 int8: 8 planes of 2 cycles, and one to settle and store the next = 17.

    x 0-1, visible at 101; select 101-118, visible 2 later; compute 120-121, latency 8, store 1.
    """
    radix = SELECTORS["radix"](kind="radix", extra_stages=0, step_cycles=2)
    _, run = run_one(changed(load("nm816"), SPARSE | {"selector": radix}), (1, 1, 1))
    assert run.times.stages["select"].finish.tolist() == [101 + 17]
    assert run.times.cycles == 118 + 2 + 1 + SPARSE_LATENCY + 1


@pytest.mark.parametrize("name", SELECTING)
def test_half_the_values_take_half_the_array_cycles(name):
    """All K of the shipped model are multiples of 32, so no pattern of 50 % leaves an edge."""
    trace = load_trace(SHIPPED_TRACE)
    sparse, dense = load(name), load("dense")
    if sparse.pattern.kept_per_group * 2 != sparse.pattern.group_size:
        pytest.skip("not a pattern of one half")
    half, whole = (simulate(arch, trace).units["mac_array"].ledger for arch in (sparse, dense))
    assert 2 * half.busy_cycles == whole.busy_cycles > 0


@given(shape=shapes(), pattern=st.sampled_from(["2:2", "4:4", "8:8", "16:16"]))
def test_keeping_everything_takes_the_array_cycles_of_dense(shape, pattern):
    def array_busy(chosen):
        work, run = run_one(machine_for(chosen), shape)
        assert run.tally.ledgers["mac_array"].total_cycles == run.times.cycles
        return machine_for(chosen).mac_array.busy_cycles(work).sum()

    assert array_busy(pattern) == array_busy("dense")


@given(arch=machines(), shape=shapes(), batch=batches())
def test_no_machine_multiplies_faster_than_its_multipliers(arch, shape, batch):
    try:
        runs = layer_runs(arch, shape, batch=min(batch, shape[0]) if batch else None)
    except InputError:
        return
    for work, run in runs[:3]:
        assert work.macs_executed <= run.times.cycles * arch.path.macs_per_cycle
        assert work.macs_executed <= work.gemm.macs


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize(("phase", "batch"), [("prefill", None), ("decode", 2)])
def test_utilisation_is_a_share(name, phase, batch, small_trace):
    totals = simulate(load(name), small_trace, phase=phase, batch=batch).totals()
    assert 0 < totals["mac_utilization_ratio"] <= 1


def test_a_large_layer_saturates_the_array():
    # 512 × 1024 × 512: 64 × 64 blocks of 64 steps are 262,144 cycles; the ends are short of 2 %.
    assert 64 * 64 * 64 < cycles_of(load("dense"), (512, 1024, 512)) < 1.02 * 64 * 64 * 64
