"""Nothing is lost and nothing is invented: counts of a run against plain products of shapes."""

import json

import pytest
from hypothesis import given

from accelsim import simulate
from accelsim.base.errors import InputError
from tests.helpers.decode import kept, steps_of
from tests.helpers.random_machines import batches, machines, shapes
from tests.helpers.small import ARCHITECTURES, changed, layer_runs, load, machine_for, tile

PHASES = [("prefill", None), ("decode", 1), ("decode", 4)]
TOKENS = 8 + 6 + 7  # of the small trace


def ceil(value, divisor):
    return -(-value // divisor)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def arch(request):
    return load(request.param)


@pytest.fixture(scope="module", params=PHASES, ids=lambda phase: f"{phase[0]}-{phase[1]}")
def result(request, arch, small_trace):
    phase, batch = request.param
    return simulate(arch, small_trace, phase=phase, batch=batch)


def tokens_of(result):
    """All tokens, or those of full decode batches."""
    return TOKENS - TOKENS % (result.batch or 1)


def test_dense_macs_are_tokens_times_reduction_times_columns(result, small_trace):
    for layer, linear in zip(result.layers, small_trace.linears, strict=True):
        assert layer.tokens == tokens_of(result)
        assert layer.macs_dense == tokens_of(result) * linear.in_features * linear.out_features
    assert result.totals()["macs_dense"] == sum(layer.macs_dense for layer in result.layers)


def test_executed_macs_are_the_kept_values_times_columns(result, arch):
    n, m = arch.path.kept_per_group, arch.path.group_size
    for layer in result.layers:
        whole, rest = divmod(layer.in_features, m)
        kept = tokens_of(result) * (whole * n + min(rest, n))
        assert layer.macs_executed == kept * layer.out_features
        assert layer.density == kept / (tokens_of(result) * layer.in_features)


def test_every_lane_cycle_of_a_busy_array_is_a_product_or_idle(result, arch):
    unit = result.units["mac_array"]
    lane_cycles = unit.ledger.busy_cycles * arch.path.macs_per_cycle
    assert unit.actions["mac"] + unit.actions["mac_idle"] == lane_cycles
    assert unit.actions["mac"] > 0
    assert unit.actions["mac_idle"] >= 0


def test_products_are_the_kept_values_that_are_not_zero(result, arch, small_trace):
    """Counted one by one: of each group the N largest magnitudes, of which some are zero."""
    n, m = arch.path.kept_per_group, arch.path.group_size
    steps = steps_of(small_trace.meta.sequence_lengths, result.batch or 1)
    products = 0
    for linear in small_trace.linears:
        rows = small_trace.source.read(linear.input).tolist()
        for token in (token for step in steps for token in step):
            survivors = [rows[token][position] for position in kept(rows[token], n, m)]
            products += sum(value != 0 for value in survivors) * linear.out_features
    assert result.units["mac_array"].actions["mac"] == products


def test_dram_moves_at_least_what_is_compulsory(result, arch):
    value = arch.path.x.bits // 8
    for layer in result.layers:
        outputs = tokens_of(result) * layer.out_features * value
        inputs = tokens_of(result) * layer.in_features * value
        weights = layer.in_features * layer.out_features * value
        if result.phase == "decode" and arch.path.is_sparse:
            weights = ceil(weights * arch.path.kept_per_group, 2 * arch.path.group_size)
        actions = layer.units["dram"].actions
        assert actions["write_bytes"] >= outputs
        assert actions["read_bytes"] >= inputs + weights
        assert layer.dram_bytes == actions["read_bytes"] + actions["write_bytes"]


def test_routed_weights_are_slots_times_tokens_times_columns(result, arch):
    if not arch.path.is_sparse:
        assert "crossbar" not in result.units
        return
    n, m = arch.path.kept_per_group, arch.path.group_size
    for layer in result.layers:
        slots = ceil(layer.in_features, m) * n
        routes = slots * tokens_of(result) * layer.out_features
        assert layer.units["crossbar"].actions["route"] == routes


def test_every_group_is_selected_at_least_once(result, arch):
    if not arch.path.is_sparse:
        assert "selector" not in result.units
        return
    for layer in result.layers:
        groups = tokens_of(result) * ceil(layer.in_features, arch.path.group_size)
        assert layer.units["selector"].actions["group"] >= groups
        assert layer.units["selector"].actions["group"] % groups == 0


def test_equal_runs_give_equal_bytes(result, arch, small_trace):
    again = simulate(load(arch.name), small_trace, phase=result.phase, batch=result.batch)
    assert again.to_json() == result.to_json()
    data = json.loads(result.to_json())
    assert data["totals"]["cycles"] == sum(layer["cycles"] for layer in data["layers"])
    for unit in data["units"].values():
        causes = ("busy", "starved", "blocked", "contended", "idle")
        assert sum(unit[f"{cause}_cycles"] for cause in causes) == data["totals"]["cycles"]


def test_layers_do_not_depend_on_each_other(small_trace):
    """Runs of equal layers are remembered; a layer alone gives what it gives among others."""
    arch = load("nm816")
    together = simulate(arch, small_trace, layers="isolated").layers
    for index, linear in enumerate(small_trace.linears):
        ((_, run),) = layer_runs(
            arch,
            (TOKENS, linear.in_features, linear.out_features),
            values=small_trace.source.read(linear.input),
        )
        assert run.times.cycles == together[index].cycles


@given(arch=machines(), shape=shapes(), batch=batches())
def test_counts_hold_on_random_machines(arch, shape, batch):
    tokens, reduction, columns = shape
    batch = min(batch, tokens) if batch else None
    try:
        runs = layer_runs(arch, shape, batch=batch)
    except InputError:
        return
    path = arch.path
    for work, run in runs[:3]:
        rows = batch or tokens
        assert work.jobs.blocks(path).min() > 0
        products = work.jobs.tokens * work.jobs.columns * work.jobs.reduction
        assert products.sum() == rows * reduction * columns == work.gemm.macs
        actions = arch.mac_array.actions(work)
        lanes = run.tally.ledgers["mac_array"].busy_cycles * path.macs_per_cycle
        assert actions["mac"] + actions["mac_idle"] == lanes
        assert actions["mac_idle"] >= 0
        moved = arch.dram.actions(work)
        assert moved["write_bytes"] >= rows * columns
        assert moved["read_bytes"] >= rows * reduction + work.weight_bytes.sum()
        if batch is None or not path.is_sparse:
            assert work.weight_bytes.sum() >= reduction * columns
        if path.is_sparse:
            routed = rows * columns * path.stored_values(reduction)
            assert arch.crossbar.actions(work)["route"] == routed
            groups = rows * path.groups(reduction)
            assert arch.selector.actions(work)["group"] >= groups


# How often an activation is selected -----------------------------------------------------------


@pytest.mark.parametrize("pattern", ["2:4", "8:16", "16:32"])
@pytest.mark.parametrize(
    ("compressed_bytes", "passes"),
    [
        # Two token tiles of 8, K in two tiles, four column tiles. A row of activations is two
        # compressed tiles; with a third slot to prefetch into, it stays for all column tiles.
        (3, 1),
        # All four tiles of the layer fit: they stay without a slot to spare.
        (4, 1),
        # Two slots: each column tile selects everything again.
        (2, 4),
    ],
)
@pytest.mark.parametrize("order", ["tokens_outer"])
def test_groups_are_selected_once_if_they_stay_and_again_for_each_column_tile_if_not(
    pattern, compressed_bytes, passes, order
):
    n, m = map(int, pattern.split(":"))
    tile_bytes = 8 * ceil((n * 8 + m) * 32 // m, 8)  # 8 tokens × 32 positions with a bitmask
    arch = machine_for(
        pattern,
        {"buffers.compressed.capacity_kib": compressed_bytes * tile_bytes / 1024}
        | {"buffers.compressed.port_bytes": 1, "buffers.compressed.macros": 1},
    )
    arch = changed(arch, {"tiling": tile(8, 32, 16, order)})
    ((work, _),) = layer_runs(arch, (16, 64, 64))
    groups = 16 * ceil(64, m)
    assert arch.selector.actions(work)["group"] == passes * groups
    assert arch.buffers.compressed.actions(work)["write_bytes"] == passes * 2 * 2 * tile_bytes


@pytest.mark.parametrize(("slots", "passes"), [(2, 4), (3, 4), (4, 1)])
def test_columns_outer_keeps_activations_only_if_all_of_them_fit(slots, passes):
    """Between two uses of a tile lie all others: 2 × 2 tiles of 8 × 32, 4 column tiles."""
    tile_bytes = 8 * 2 * (8 + 2)
    arch = changed(
        load("nm816"),
        {
            "tiling": tile(8, 32, 16, "columns_outer"),
            "buffers.compressed.capacity_kib": slots * tile_bytes / 1024,
        },
    )
    ((work, _),) = layer_runs(arch, (16, 64, 64))
    assert arch.selector.actions(work)["group"] == passes * 16 * 4


def test_activations_that_stay_compressed_are_not_loaded_again():
    """Raw tiles fit twice only, compressed ones all: 16 × 64 bytes pass DRAM once."""
    arch = changed(
        load("nm816"),
        {"tiling": tile(8, 32, 16), "buffers.activations.capacity_kib": 2 * 8 * 32 / 1024},
    )
    ((work, _),) = layer_runs(arch, (16, 64, 64))
    assert arch.dram.activation_bytes(work).sum() == 16 * 64


def test_weights_that_do_not_stay_are_loaded_for_each_row_of_tiles():
    """Eight weight tiles of 32 × 16; three token tiles. All stay in eight slots, none in seven."""
    for slots, passes in ((8, 1), (7, 3)):
        arch = changed(
            load("dense"),
            {"tiling": tile(8, 32, 16), "buffers.weights.capacity_kib": slots * 32 * 16 / 1024},
        )
        ((work, _),) = layer_runs(arch, (24, 64, 64))
        assert arch.dram.weight_bytes(work).sum() == passes * 64 * 64
