"""Dot products of fp4 with scales of blocks: parts by hand, prices against netlists and toggles."""

import csv

import pytest

from accelsim.hardware import MacArray
from accelsim.mapping import Datapath
from accelsim.precision import PRECISIONS, Operands
from accelsim.tech.blocks import Shape, block
from accelsim.tech.technology import Technology
from tests.tech.test_blocks import SYNTHESIS

ENERGY = SYNTHESIS.with_name("energy_nangate45.csv")


def block_shape(lanes, shared):
    return Shape(
        lanes=lanes,
        scale_lanes=shared,
        bits=4,
        is_float=True,
        significand_bits=2,
        exponent_bits=4,
    )


def test_two_blocks_of_two_lanes_by_hand():
    # Of each block: two products of 9 bits, a sum of 10; scales of 2 × 8 bits behind two registers.
    # A sum with 10 bits has 11 significant ones behind its scales: 20 with sign and exponent.
    # Then one adder of 32 bits, two accumulators, and three flags of each of 5 stages.
    parts = block("block_dot_product_e8m0").parts(block_shape(4, 2))
    registers = 2 * (18 + 10 + 32 + 20) + 32 + 64 + 3 * 5
    assert parts == {
        "fp4_multipliers": 4,
        "adder_bits": 2 * 10,
        "block_sums": 2,
        "register_bits": registers,
    }


def blocks_of_fp4():
    """Yield name, shape and row of the dot products with scales of blocks."""
    with SYNTHESIS.open(encoding="utf-8") as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            if row["block"] == "block_dot_product":
                shape = block_shape(int(row["lanes"]), int(row["n"]))
                yield f"block_dot_product_{row['kind']}", shape, row


def test_flip_flops_of_blocks_are_those_of_synthesis():
    seen = list(blocks_of_fp4())
    assert len(seen) == 32
    for name, shape, row in seen:
        assert block(name).parts(shape)["register_bits"] == int(row["flip_flops"]), row


def test_areas_of_blocks_are_those_of_synthesis():
    tech = Technology.load("nangate45")
    for name, shape, row in blocks_of_fp4():
        small = tech.block(name, shape)
        found = small if row["script"] == "area" else tech.block(name, shape, period_ps=1)
        assert found.effort == row["script"]
        assert found.area_um2 == pytest.approx(float(row["area_um2"]), rel=0.06), row


@pytest.mark.parametrize(("kind", "name"), [("e4m3", "nvfp4"), ("e8m0", "mxfp4")])
def test_energies_of_a_step_in_blocks_are_those_of_toggles(kind, name):
    """One block of 16 lanes, of which the prices are made, and two of 8, of which they are not."""
    tech, array = Technology.load("nangate45"), MacArray(rows=1, columns=1, lanes=16)
    with ENERGY.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(x for x in file if not x.startswith("#")))
    seen = {}
    for row in rows:
        if row["block"] == "block_dot_product" and row["kind"] == kind and row["action"] == "step":
            shared = int(row["n"])
            n, m = (shared, PRECISIONS[name].block)
            path = Datapath(
                rows=1,
                columns=1,
                lanes=16,
                formats=Operands.of(name),
                accumulator_bits=32,
                clock_mhz=100,
                kept_per_group=n,
                group_size=m,
            )
            energy = array.energy_pj(tech, path)
            seen[shared] = (16 * energy["mac"] + energy["accumulate"]) / float(row["energy_pj"])
    assert seen == {8: pytest.approx(1, abs=0.06), 16: pytest.approx(1, abs=0.005)}


def test_scaling_takes_one_stage_more_than_other_formats():
    """The RTL has 4 + log2 S + log2 (L / S) cycles to the result, `dot_product` 3 + log2 L."""
    cycles = {}
    for name in ("int8", "nvfp4", "mxfp4"):
        path = Datapath(rows=1, columns=1, lanes=16, formats=Operands.of(name), accumulator_bits=32)
        cycles[name] = MacArray(rows=1, columns=1, lanes=16).latency_cycles(path)
    assert cycles == {"int8": 6, "nvfp4": 7, "mxfp4": 7}
