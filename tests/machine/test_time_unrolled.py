"""Both operands sparse: a lane takes the kept activations of its block one by one (S2TA)."""

from dataclasses import replace

import numpy as np
import pytest

from accelsim import load_arch, simulate
from accelsim.base.errors import InputError
from accelsim.hardware import BLOCKS
from accelsim.hardware.logic import shape
from accelsim.rtl.design import parameters
from accelsim.run import stored_weights
from accelsim.run.verify import verify
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.policy import Method, Policy
from accelsim.testing.traces import trace_of
from tests.helpers.small import ROOT

S2TA = ROOT / "arch_configs" / "s2ta.yaml"
WIDE = ("buffers.activations.port_bytes=2048", "buffers.weights.port_bytes=2048")
SHAPES = [(40, 24), (300, 33)]
PHASES = [("prefill", None), ("decode", 1), ("decode", 3)]


def machine(pattern="4:8", *keys):
    return load_arch(S2TA, [f'pattern="{pattern}"', *WIDE, "tiling=quick", *keys])


def policy(*patterns):
    """Return a policy with a pattern for each of so many layers."""
    methods = [Method(parse_pattern(pattern)) for pattern in patterns]
    rules = tuple((f"layers.{number}.*", method) for number, method in enumerate(methods))
    return Policy(methods[0], rules)


# By hand ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pattern", "kept"), [("1:8", 1), ("2:8", 2), ("4:8", 4), ("5:8", 5)])
def test_a_block_takes_as_many_cycles_as_it_keeps_activations(pattern, kept):
    """64 positions are 8 blocks, of which 16 lanes take all at once; 64 outputs 8 column blocks.

    Half of the weights are there: each block of 8 is 4 values and a mask, 5 bytes.
    """
    result = simulate(machine(pattern), trace_of([(64, 64)], lengths=(8,)))
    (layer,) = result.layers
    assert layer.units["mac_array"].ledger.busy_cycles == 8 * kept
    assert layer.units["dram"].actions["read_bytes"] == 8 * 64 + 64 * 8 * 5
    assert layer.units["weight_buffer"].actions["read_bytes"] == 64 * 8 * 5
    stored = 8 * 8 * (kept + 1)  # tokens × blocks × (values and a mask)
    assert layer.units["compressed_buffer"].actions == {
        "read_bytes": 8 * stored,
        "write_bytes": stored,
    }
    assert layer.units["crossbar"].actions == {
        "route": 8 * 64 * 8 * kept,  # tokens × outputs × kept
        "decode": 64 * 8,
        "step": 8 * 8 * 8 * kept,  # tokens × blocks × kept, once a column block
    }
    assert layer.macs_executed == layer.macs_dense * kept // 8


def test_products_are_counted_where_a_nonzero_activation_meets_a_weight():
    """Of 2 × 16 activations 5 are not zero; half of 24 outputs have a weight for each."""
    values = np.zeros((2, 16), np.float32)
    values[0, [0, 3, 15]] = values[1, [8, 9]] = 1.0
    trace = trace_of([(16, 24)], lengths=(2,), arrays={"layers.0.x": values})
    (layer,) = simulate(machine(), trace).layers
    assert layer.units["mac_array"].actions["mac"] == 5 * 24 // 2


def test_more_blocks_than_lanes_take_turns():
    """17 blocks: 16 lanes take 16, then one; a tile of 8 positions a lane more costs 4 steps."""
    busy = [
        simulate(machine(), trace_of([(k, 8)], lengths=(1,))).units["mac_array"].ledger.busy_cycles
        for k in (128, 129, 256)
    ]
    assert busy == [4, 8, 8]


def test_dense_layers_take_as_long_as_on_a_dense_machine():
    """8 steps a block; all weights that are stored pass, which are 5 bytes of 8."""
    trace = trace_of([(256, 64), (128, 40)], lengths=(16,))
    keys = [*WIDE, "tiling=quick"]
    dense = simulate(load_arch(ROOT / "arch_configs/dense.yaml", keys), trace, layers="isolated")
    sparse = simulate(machine(), trace, policy=policy("dense", "dense"), layers="isolated")
    eight = simulate(machine("8:8"), trace, layers="isolated")
    busy = [
        [layer.units["mac_array"].ledger.busy_cycles for layer in run.layers]
        for run in (dense, sparse, eight)
    ]
    assert busy[0] == busy[1] == busy[2]
    moved = [run.units["weight_buffer"].actions["write_bytes"] for run in (dense, sparse, eight)]
    assert moved[1] == moved[2] == moved[0] * 5 // 8


def test_time_follows_the_activations_of_each_layer():
    """1:4 keeps two of eight as well."""
    shapes, patterns = [(256, 64)] * 6, ("4:8", "2:8", "1:4", "1:8", "5:8", "dense")
    result = simulate(machine(), trace_of(shapes, lengths=(8,)), policy=policy(*patterns))
    busy = [layer.units["mac_array"].ledger.busy_cycles for layer in result.layers]
    assert busy == [2 * 8 * kept for kept in (4, 2, 2, 1, 5, 8)]
    densities = [layer.density for layer in result.layers]
    assert densities == [0.5, 0.25, 0.25, 0.125, 0.625, 1]


@pytest.mark.parametrize("weights", ["2:8", "6:8"])
def test_zeros_of_weights_save_bytes_and_no_time(weights):
    trace = trace_of([(64, 64)], lengths=(8,))
    sparse = simulate(machine("4:8", f'weight_pattern="{weights}"'), trace).layers[0]
    n = int(weights[0])
    assert sparse.units["mac_array"].ledger.busy_cycles == 8 * 4
    assert sparse.units["weight_buffer"].actions["write_bytes"] == 64 * 8 * (n + 1)
    half = simulate(machine(), trace).layers[0].units["mac_array"].actions["mac"]
    assert sparse.units["mac_array"].actions["mac"] == half * n // 4


def test_decode_fetches_all_that_is_stored_at_any_batch():
    trace = trace_of([(512, 512)], lengths=(64,))
    for batch in (1, 8):
        (layer,) = simulate(machine(), trace, phase="decode", batch=batch).layers
        stored = 512 * 64 * 5 * (64 // batch)
        assert layer.units["weight_buffer"].actions["write_bytes"] == stored
        assert layer.needed_rows_ratio == 1


# Against other oracles ---------------------------------------------------------------------------

CHECKED = [
    ("4:8", ()),
    ("1:8", ("tiling={tokens: 3, reduction: 24, columns: 7, order: tokens_outer}",)),
    ("8:8", ()),
    ("4:8", ('weight_pattern="2:8"', "mac_array.lanes=3")),
    ("2:4", ('weight_pattern="3:4"',)),
    ("4:8", ("precision=int8/int4:32",)),
    ("4:8", ("precision=bf16",)),
]


@pytest.mark.parametrize(("pattern", "keys"), CHECKED)
def test_values_through_the_machine_are_those_of_numpy(pattern, keys):
    arch = machine(pattern, "buffers.weights.capacity_kib=4", *keys)
    checks = list(verify(arch, trace_of(SHAPES, lengths=(5, 3))))
    assert len(checks) == 2
    assert all(check.passed for check in checks)
    assert all(check.is_exact for check in checks) or keys == ("precision=bf16",)


def test_layers_with_patterns_of_their_own_are_those_of_numpy():
    trace = trace_of([(40, 24)] * 5, lengths=(5,))
    layers = policy("dense", "1:8", "2:4", "4:8", "5:8")
    assert [check.is_exact for check in verify(machine(), trace, layers)] == [True] * 5


def test_a_layer_keeps_no_more_than_the_selector_has_stages():
    with pytest.raises(InputError, match="'6:8' does not run on a machine of pattern '5:8'"):
        simulate(machine(), trace_of([(64, 64)], lengths=(8,)), policy=policy("6:8"))


def test_stages_that_most_layers_do_not_use_take_area_and_time_and_no_energy():
    five, four = machine(), machine("4:8", "selector.stages=4")
    tech = five.load_technology()
    assert five.selector.area_um2(tech, five.path) == pytest.approx(
        machine("5:8").selector.area_um2(tech, machine("5:8").path)
    )
    assert five.selector.area_um2(tech, five.path) > four.selector.area_um2(tech, four.path)
    prices = [arch.selector.energy_pj(tech, arch.path) for arch in (five, four)]
    assert prices[0] == prices[1]
    assert five.selector.depth(five.path) == four.selector.depth(four.path) + 1


def test_a_weight_at_the_wrong_place_is_found(monkeypatch):
    """The check is one: a multiplexer that takes the neighbour's weight changes what comes out."""
    real = stored_weights._stored_blocks

    def moved(*arguments):
        stored, places = real(*arguments)
        return stored, (places + 1) % 8

    monkeypatch.setattr(stored_weights, "_stored_blocks", moved)
    (check,) = verify(machine(), trace_of([(40, 24)], lengths=(5,)))
    assert not check.passed


@pytest.mark.parametrize(("phase", "batch"), PHASES)
@pytest.mark.parametrize("layers", ["chained", "isolated"])
def test_cycles_are_conserved_and_the_engines_agree(phase, batch, layers):
    trace = trace_of([(40, 24)] * 3, lengths=(5, 4))
    arch, rules = machine("4:8", "buffers.weights.port_bytes=16"), policy("4:8", "dense", "1:8")
    runs = [
        simulate(arch, trace, phase=phase, batch=batch, engine=engine, layers=layers, policy=rules)
        for engine in ("recurrence", "simpy")
    ]
    plain = [replace(run, engine="") for run in runs]
    assert plain[0].to_dict() == plain[1].to_dict()
    for layer in runs[0].layers:
        assert {unit.ledger.total_cycles for unit in layer.units.values()} == {layer.cycles}
        assert layer.breakdown.total_cycles == layer.cycles
        array = layer.units["mac_array"]
        lane_cycles = array.ledger.busy_cycles * 1024
        assert array.actions["mac"] + array.actions["mac_idle"] == lane_cycles


def test_tiles_that_are_searched_are_no_slower_than_estimated_ones():
    trace = trace_of([(300, 200)], lengths=(70,))
    searched = simulate(load_arch(S2TA), trace)
    assert searched.cycles <= simulate(load_arch(S2TA, ["tiling=quick"]), trace).cycles


# What it costs -----------------------------------------------------------------------------------


def test_a_column_is_made_of_a_decoder_a_lane_and_a_multiplexer_a_multiplier():
    """16 lanes × 8 rows × 4 weights: 8 bits picked, and one of 5 places matched, each."""
    parts = BLOCKS["crossbar_matching"].parts(shape(machine().path.seen_from_weights))
    assert parts == {
        "leg_bits": 16 * 8 * 4 * 8,
        "match_legs": 16 * 8 * 4 * 5,
        "places": 16 * 4 * 5,
    }
    stepper = BLOCKS["mask_stepper"].parts(shape(machine().path.seen_from_weights))
    assert stepper == {"places": 8}


def test_more_rows_share_the_decoders_of_a_column():
    arch, more = machine(), machine("4:8", "mac_array.rows=16")
    tech, unit = arch.load_technology(), arch.crossbar
    areas = [unit.area_um2(tech, each.path) for each in (arch, more)]
    assert areas[0] < areas[1] < 2 * areas[0]
    prices = [unit.energy_pj(tech, each.path) for each in (arch, more)]
    assert prices[0] == pytest.approx(prices[1])


# What is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (['pattern="8:16"'], "blocks of 8 and pattern '8:16' of 16"),
        (["weight_pattern=dense"], "blocks of 1 and pattern '4:8' of 8"),
        (["format=index"], "allowed: bitmask"),
        (["crossbar={kind: full}"], "'matching', got 'full'"),
        (["mitigation=rsparse8"], "with whole weights"),
        (["pattern=threshold:0.5"], "has no groups"),
    ],
)
def test_what_it_cannot_run_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        load_arch(S2TA, changes)


def test_other_dataflows_take_one_sparse_operand():
    with pytest.raises(InputError, match="dataflows with both: inner_join, time_unrolled"):
        load_arch(ROOT / "arch_configs/nm816.yaml", ['weight_pattern="2:4"'])


def test_there_is_no_rtl_of_the_tile_pipeline():
    with pytest.raises(InputError, match="dataflow 'time_unrolled' has no RTL"):
        parameters(machine())


def test_the_dense_counterpart_has_whole_weights_and_groups_of_one():
    dense = machine().dense()
    assert dense.weight_pattern.is_dense
    assert "crossbar" not in dense.units
    assert dense.path.steps(40) == 3
