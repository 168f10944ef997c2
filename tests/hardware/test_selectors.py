"""Selectors: groups over instances, cycles a group, pipeline depth, and what they are built of."""

import pytest
from numpy.testing import assert_array_equal as same

from accelsim.hardware import SELECTORS
from accelsim.precision import Operands
from tests.helpers.toy import cells


def make(kind, **fields):
    return SELECTORS[kind](kind=kind, **fields)


@pytest.mark.parametrize(
    ("unit", "bits", "cycles", "latency"),
    [
        (make("rank"), 8, 1, 2),
        (make("rank"), 16, 1, 2),
        (make("bitonic"), 8, 1, 8),  # 8:16: 7 stages (below), one cycle to compact
        (make("radix"), 8, 9, 2),  # 8 planes; the next group comes while the last is compacted
        (make("radix"), 16, 16, 2),  # 15 planes: a float has a sign apart
        (make("radix", step_cycles=3), 8, 25, 2),
        (make("radix", pipelined=True), 8, 1, 9),
        (make("radix", pipelined=True), 16, 1, 16),
        (make("radix", pipelined=True, extra_stages=5), 8, 1, 14),
        (make("cascade"), 8, 9, 2),  # 8 kept values
        (make("cascade"), 16, 9, 2),
        (make("cascade", step_cycles=2, extra_stages=1), 8, 17, 3),
        (make("cascade", pipelined=True), 8, 1, 9),
        (make("rank", extra_stages=2), 8, 1, 4),
    ],
)
def test_pace_and_depth(path, unit, bits, cycles, latency):
    machine = path("8:16", formats=Operands.of({8: "int8", 16: "bf16"}[bits]))
    assert unit.cycles_per_group(machine) == cycles
    assert unit.latency_cycles(machine) == latency


@pytest.mark.parametrize(
    ("instances", "cycles"),
    # 3 tokens × ceil(40 / 16) = 3 groups = 9 groups.
    [(1, 9), (2, 5), (4, 3), (8, 2), (9, 1), (100, 1)],
)
def test_groups_are_shared_by_instances_and_rounded_up(path, layer, instances, cycles):
    work = layer("8:16", path("8:16"), (3, 40, 2))
    same(make("rank", instances=instances).busy_cycles(work), [cycles])
    same(make("radix", instances=instances).busy_cycles(work), [9 * cycles])
    same(make("cascade", instances=instances, step_cycles=2).busy_cycles(work), [17 * cycles])


def test_ragged_tiles_have_fewer_groups(path, layer):
    # Tokens 4 + 3; K 32 + 13 at 2:4: 8 and 4 groups a token; two instances.
    work = layer("2:4", path("2:4"), (7, 45, 2), (4, 32, 2))
    same(make("rank", instances=2).busy_cycles(work), [16, 8, 12, 6])
    assert make("rank").actions(work) == {"group": 4 * 12 + 3 * 12}


def test_a_tile_that_stays_compressed_is_selected_once(path, layer):
    work = layer("2:4", path("2:4"), (4, 8, 6), (4, 8, 2), keep=True)
    same(make("rank").busy_cycles(work), [8, 0, 0])
    assert make("rank").actions(work) == {"group": 8}


def test_a_tile_that_was_dropped_is_selected_again_and_counted_again(path, layer):
    # Two tiles of K and room for one: by the next column tile the first is gone.
    work = layer("2:4", path("2:4"), (4, 8, 6), (4, 4, 2))
    same(make("rank").busy_cycles(work), [4] * 6)
    assert make("rank").actions(work) == {"group": 24}


# --- area and energy -----------------------------------------------------------------------------
# 2:4 int8 in a toy technology. Behind every core: compaction of 2 values from 3 positions each, of
# 8 bits (48 legs, 6 places), and 2 × 8 + 4 + 1 = 21 flip-flops for values, mask and a valid bit.

KINDS_2_4 = [
    # 6 pairs × 8 bits, 4 counts of 3 wins, 32 bits to negate. Values, mask, valid: 37 flip-flops.
    pytest.param(make("rank"), (48 + 12 + 32, 37), 1, id="rank"),
    # Items of 8 + 2 bits: 2 exchanges sort pairs, 2 halves of one merge; behind the first level 4
    # items, behind the last the 2 indices of 2 bits; 2 winners of 4; 32 to negate. 2 × (32 + 1).
    pytest.param(make("bitonic"), (30 + 44 + 8 + 32, 66), 1, id="bitonic"),
    # One plane: 4 flags, room of 2 bits; 32 bits to hold and 32 to negate. Values, two flags a
    # value, room, 8 planes and valid: 32 + 8 + 2 + 8 + 1.
    pytest.param(make("radix"), (4 + 2 + 32 + 32, 51), 8, id="radix"),
    # 8 planes; each negates and holds a group of its own: 8 × (32 + 8 + 2 + 1).
    pytest.param(make("radix", pipelined=True), (8 * (4 + 2 + 32), 344), 1, id="radix pipelined"),
    # 3 comparators of 8 bits, 4 flags, 32 bits to hold, 32 to negate. 32 + 4 + 2 steps + 1.
    pytest.param(make("cascade"), (24 + 4 + 32 + 32, 39), 2, id="cascade"),
    pytest.param(
        make("cascade", pipelined=True), (2 * (24 + 4 + 32), 74), 1, id="cascade pipelined"
    ),
]


@pytest.mark.parametrize(("unit", "core", "steps"), KINDS_2_4)
def test_parts_of_every_kind_by_hand(toy, path, unit, core, steps):
    logic, registers = core
    one = {"core": logic, "leg": 48, "place": 6, "register": registers + 21}
    assert cells(unit.area_um2(toy, path("2:4"))) == one
    # An iterative core switches in every step; the toy takes 1 pJ per um2.
    energy = unit.energy_pj(toy, path("2:4"))
    assert {name: cells(pj) for name, pj in energy.items()} == {
        "group": {sort: steps * count for sort, count in one.items()}
    }


def test_indices_need_an_encoder(toy, path):
    # 2 indices of 2 bits from 3 positions each: 12 legs and 6 places more.
    area, energy = (
        cells(unit_cost)
        for unit_cost in (
            make("rank").area_um2(toy, path("2:4", format_="index")),
            make("rank").energy_pj(toy, path("2:4", format_="index"))["group"],
        )
    )
    assert area == energy == {"core": 92, "leg": 60, "place": 12, "register": 58}


def test_rank_has_the_comparators_of_the_literature(toy, path):
    # 8:16: 120 pairs of 8 bits; 240 wins to count; 128 bits to negate.
    assert cells(make("rank").area_um2(toy, path("8:16")))["core"] == 120 * 8 + 240 + 128


def test_floats_need_no_negation_and_compare_without_their_sign(toy, path):
    wide = path("2:4", formats=Operands.of("bf16"))
    assert cells(make("rank").area_um2(toy, wide))["core"] == 6 * 15 + 12


@pytest.mark.parametrize("kind", sorted(SELECTORS))
def test_instances_are_copies(toy, path, kind):
    one, six = (make(kind, instances=count).area_um2(toy, path("2:4")) for count in (1, 6))
    assert six == 6 * one


@pytest.mark.parametrize("kind", sorted(SELECTORS))
def test_extra_stages_are_registers_of_a_whole_group(toy, path, kind):
    # 4 values, 4 flags, valid: 37 flip-flops, at 1 pJ each for every group.
    none, three = (make(kind, extra_stages=count) for count in (0, 3))
    machine = path("2:4")
    assert cells(three.area_um2(toy, machine) - none.area_um2(toy, machine)) == {"register": 111}
    more = three.energy_pj(toy, machine)["group"] - none.energy_pj(toy, machine)["group"]
    assert cells(more) == {"register": 111}


def test_logic_leaks_with_its_area(toy, path):
    unit = make("rank", instances=4)
    area = unit.area_um2(toy, path("2:4"))
    assert unit.leakage_mw(toy, path("2:4")) == pytest.approx(area * 2e-6)  # 2 nW per um2
