"""The MAC array: blocks × steps, and where every lane-cycle goes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal as same

from accelsim.hardware import MacArray
from accelsim.precision import Operands
from tests.helpers.toy import cells

ARRAY = MacArray(rows=4, columns=2, lanes=16)


@pytest.mark.parametrize(
    ("pattern", "reduction", "steps"),
    [
        ("dense", 64, 4),
        ("dense", 65, 5),
        ("dense", 1, 1),
        ("2:4", 64, 2),  # 16 groups, 8 a step
        ("2:4", 65, 3),  # a 17th group
        ("8:16", 64, 2),  # 4 groups, 2 a step
        ("16:32", 64, 2),  # 2 groups, 1 a step
        ("32:64", 64, 2),  # 1 group in 2 steps of 16 lanes
        ("32:64", 65, 4),
        ("3:4", 64, 4),  # 16 groups; 16 lanes hold 5 of 3 and idle one
        ("3:4", 60, 3),  # 15 groups
        ("5:7", 21, 1),  # 3 groups of 5 in 16 lanes
        ("5:7", 22, 2),
        ("20:32", 64, 4),  # 2 groups, each 16 + 4 values: 2 steps
        ("1:64", 1024, 1),  # 16 groups of one kept value
        ("16:16", 64, 4),  # keeps all: as dense
    ],
)
def test_steps_of_one_block(path, layer, pattern, reduction, steps):
    same(ARRAY.busy_cycles(layer(pattern, path(pattern), (4, reduction, 2))), [steps])


@pytest.mark.parametrize(
    ("tokens", "columns", "blocks"),
    [(1, 1, 1), (4, 2, 1), (5, 2, 2), (4, 3, 2), (5, 3, 4), (9, 7, 12), (8, 8, 8)],
)
def test_ragged_edges_take_whole_blocks(path, layer, tokens, columns, blocks):
    work = layer("8:16", path("8:16"), (tokens, 32, columns))
    same(ARRAY.busy_cycles(work), [blocks])
    same(ARRAY.busy_cycles(layer("dense", path("dense"), (tokens, 32, columns))), [2 * blocks])


def test_each_tile_pays_for_its_own_edges(path, layer):
    # Tokens 8 + 1, columns 4 + 1: 2 × 2, 2 × 1, 1 × 2 and 1 × 1 blocks; K = 40 is 3 steps dense.
    work = layer("dense", path("dense"), (9, 40, 5), (8, 40, 4))
    same(ARRAY.busy_cycles(work), [12, 6, 6, 3])


def test_actions_by_hand(path, layer):
    # 4 × 64 × 2 at 2:4: 4 × 32 kept, 100 of them not zero; 2 outputs each. Busy 2 cycles of
    # 4 × 2 × 16 = 128 lanes = 256 lane-cycles. 8 accumulators, 2 steps.
    work = layer("2:4", path("2:4"), (4, 64, 2), nonzero=100)
    assert ARRAY.actions(work) == {"mac": 200, "mac_idle": 56, "accumulate": 16}


def test_a_ragged_edge_idles(path, layer):
    # 1 × 8 × 1 at 2:4: 4 products in a step of 128 lanes.
    work = layer("2:4", path("2:4"), (1, 8, 1))
    assert ARRAY.actions(work) == {"mac": 4, "mac_idle": 124, "accumulate": 1}


dimensions = st.integers(1, 70)
patterns = st.sampled_from(["dense", "2:4", "8:16", "3:5", "5:7", "1:4", "32:64"])


@given(shape=st.tuples(dimensions, dimensions, dimensions), pattern=patterns)
def test_every_lane_cycle_is_a_product_or_idle(path, layer, shape, pattern):
    work = layer(pattern, path(pattern), shape)
    actions = ARRAY.actions(work)
    assert actions["mac"] + actions["mac_idle"] == ARRAY.busy_cycles(work).sum() * 4 * 2 * 16
    assert min(actions.values()) >= 0
    assert actions["mac"] == work.macs_executed


@given(shape=st.tuples(dimensions, st.integers(1, 8).map(lambda groups: 64 * groups), dimensions))
@pytest.mark.parametrize("pattern", ["2:4", "4:8", "8:16", "16:32", "32:64"])
def test_half_the_values_take_half_the_cycles(path, layer, pattern, shape):
    sparse = ARRAY.busy_cycles(layer(pattern, path(pattern), shape))
    dense = ARRAY.busy_cycles(layer("dense", path("dense"), shape))
    assert (2 * sparse == dense).all()


@pytest.mark.parametrize(("lanes", "latency"), [(1, 2), (2, 3), (5, 5), (16, 6), (64, 8)])
def test_latency_is_multiply_tree_accumulate(path, lanes, latency):
    assert MacArray(rows=4, columns=2, lanes=lanes).latency_cycles(path("2:4")) == latency


def test_parts_and_prices_by_hand(toy, path):
    # 8 elements of 16 int8 lanes: 16 multipliers; 8 + 4 + 2 + 1 adders of 17, 18, 19, 20 bits; 32
    # bits of accumulator. Behind products 16 × 16, behind the adders 136 + 72 + 38 + 20, two
    # accumulators 64, three flags for each of 6 stages.
    logic, tree = 16 + 266 + 32, 136 + 72 + 38 + 20
    assert cells(ARRAY.area_um2(toy, path("2:4"))) == {
        "core": 8 * logic,
        "register": 8 * (256 + tree + 64 + 18),
    }
    energy = ARRAY.energy_pj(toy, path("2:4"))
    lane = logic * 10**4 / 16  # of an element's logic; 5 and 3 pJ per um2
    assert energy == {"mac": 5 * lane, "mac_idle": 3 * lane, "accumulate": 64}


def test_a_gate_with_hardware_has_registers_for_both_operands_and_takes_no_time(toy, path, layer):
    held, at = ARRAY.model_copy(update={"gating": "held"}), path("2:4")
    plain, gated = (cells(array.area_um2(toy, at)) for array in (ARRAY, held))
    # 8 elements of 16 lanes, and in each 8 bits of X and 8 of W.
    assert gated == plain | {"register": plain["register"] + 8 * 16 * 16}
    without, with_gate = (array.energy_pj(toy, at) for array in (ARRAY, held))
    clocked = {"mac": 16, "mac_idle": 16, "accumulate": 0}  # a flip-flop takes 1 pJ a cycle
    assert with_gate == {name: without[name] + pj for name, pj in clocked.items()}
    work = layer("2:4", at, (4, 64, 2), nonzero=100)
    assert held.actions(work) == ARRAY.actions(work)
    same(held.busy_cycles(work), ARRAY.busy_cycles(work))
    assert held.latency_cycles(at) == ARRAY.latency_cycles(at)


@pytest.mark.parametrize(
    ("precision", "multipliers"),
    # The area of a multiplier grows with the square of the significand: 8 bits of bf16, 11 of fp16.
    [("bf16", 16), ("fp16", 16 * (11 / 8) ** 2)],
)
def test_floats_by_hand(toy, path, precision, multipliers):
    # 15 adders and an accumulator; sums have 32 bits, products sign, 8 exponent bits and 15 of
    # 8 × 8, or 21 of 11 × 11.
    product = {"bf16": 24, "fp16": 30}[precision]
    machine = path("2:4", formats=Operands.of(precision))
    assert cells(ARRAY.area_um2(toy, machine)) == {
        "core": 8 * (multipliers + 16),
        "register": 8 * (16 * product + 15 * 32 + 64 + 18),
    }
    lane = (multipliers + 16) * 10**4 / 16
    assert ARRAY.energy_pj(toy, machine) == {
        "mac": pytest.approx(50 * lane),
        "mac_idle": pytest.approx(30 * lane),
        "accumulate": 640,
    }
