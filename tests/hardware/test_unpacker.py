"""The unpacker: weights and scales by hand, prices from the parts of a dot product."""

import pytest

from accelsim.hardware import MacArray, Unpacker
from accelsim.hardware.unpacker import balanced_lanes
from accelsim.precision import Operands
from accelsim.tech.technology import Technology

TECH = Technology.load("nangate45")


def narrow(path, pattern="8:16", formats="int8/int4:32", **changes):
    return path(pattern, formats=Operands.parse(formats), **changes)


def test_weights_and_scales_by_hand(path, layer):
    # 9 tokens are 3 blocks of 4 rows. K is cut into 48, 48 and 4: 2 groups of 32, 2 (the first of
    # them a half) and 1. Each tile passes once for each block.
    work = layer("8:16", narrow(path), (9, 100, 6), (9, 48, 6))
    unpacker = Unpacker(lanes=16)
    assert unpacker.busy_cycles(work).tolist() == [3 * 48 * 6 // 16, 3 * 48 * 6 // 16, 5]
    assert unpacker.actions(work) == {"unpack": 3 * 100 * 6, "scale": 3 * (2 + 2 + 1) * 6}


@pytest.mark.parametrize("pattern", ["dense", "2:4", "8:16", "16:32", "32:64", "3:5"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (9, 100, 6), (4, 64, 2), (5, 333, 7)])
def test_open_lanes_keep_up_with_the_array(path, layer, pattern, shape):
    machine = narrow(path, pattern)
    work = layer(pattern, machine, shape)
    array = MacArray(rows=4, columns=2, lanes=16).busy_cycles(work)
    assert (Unpacker().keeping_up(machine).busy_cycles(work) <= array).all()


def test_lanes_by_hand(path):
    # Two groups of 16 positions a step for 2 columns; 32 values of a group take two steps.
    assert balanced_lanes(narrow(path)) == 2 * 2 * 16
    assert balanced_lanes(narrow(path, "32:64")) == 2 * 64 // 2
    assert balanced_lanes(narrow(path, "dense")) == 2 * 16
    given = Unpacker(lanes=3).keeping_up(narrow(path))
    assert given.lanes == 3


@pytest.mark.parametrize(
    ("formats", "multiplier", "share"),
    [
        ("int8/int4:32", "int8_multipliers", 4 / 8),
        ("bf16/int4:32", "bf16_multipliers", 4 / 8),
        ("fp16/int4:32", "bf16_multipliers", 4 / 11 * (11 / 8) ** 2),
        ("fp8/int4:32", "bf16_multipliers", 4 / 4 * (4 / 8) ** 2),
        ("bf16/int8:32", "bf16_multipliers", 8 / 8),
    ],
)
def test_a_lane_is_a_multiplier_of_a_code_and_a_register(path, formats, multiplier, share):
    """4 × 8 bits are half of 8 × 8, 4 × 11 bits 44 of 64 parts."""
    machine = narrow(path, formats=formats, clock_mhz=1)
    dot = TECH.table.blocks["dot_product"]
    price = dot.area.area_um2[multiplier]
    bits = Operands.parse(formats).x.bits
    lane = Unpacker(lanes=2).area_um2(TECH, machine) - Unpacker(lanes=1).area_um2(TECH, machine)
    assert lane == pytest.approx(share * price + bits * TECH.register_um2)


def test_scales_in_use_are_held_twice(path):
    # 32 positions a step are one group of 32 or of 128, for each of 2 columns.
    machine, wide = narrow(path, formats="bf16/int4:32"), narrow(path, formats="bf16/int4:128")
    lane = Unpacker(lanes=2).area_um2(TECH, machine) - Unpacker(lanes=1).area_um2(TECH, machine)
    rest = Unpacker(lanes=1).area_um2(TECH, machine) - lane
    assert rest == pytest.approx(2 * 2 * 16 * TECH.register_um2)
    assert Unpacker(lanes=1).area_um2(TECH, wide) == Unpacker(lanes=1).area_um2(TECH, machine)


@pytest.mark.parametrize("formats", ["int8/int4:32", "bf16/int4:64", "fp16/int4", "bf16/int8:32"])
def test_every_action_has_a_price_below_that_of_a_product(path, formats):
    machine = narrow(path, formats=formats)
    unpacker = Unpacker().keeping_up(machine)
    prices = unpacker.energy_pj(TECH, machine)
    product = MacArray(rows=4, columns=2, lanes=16).energy_pj(TECH, machine)["mac"]
    assert set(prices) == unpacker.action_names
    assert 0 < prices["scale"] < prices["unpack"] < product
    assert unpacker.area_um2(TECH, machine) > 0
