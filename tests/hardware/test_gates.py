"""Logic blocks: counts of cells that a reader can draw."""

import pytest

from accelsim.hardware import gates


@pytest.mark.parametrize(
    ("block", "arguments", "expected"),
    [
        (gates.comparator, (8,), {"comparator": 8}),
        (gates.adder, (5,), {"adder": 5}),
        (gates.popcount, (7,), {"adder": 6}),
        (gates.popcount, (1,), {}),
        (gates.mux, (4, 8), {"mux": 3 * 8}),
        (gates.mux, (1, 8), {}),
        (gates.register, (3,), {"register": 3}),
        # Counts 1 … 8 need 4 bits; the first of 16 flags needs no adder.
        (gates.prefix_count, (16, 8), {"adder": 15 * 4}),
    ],
)
def test_blocks_by_hand(toy, cells, block, arguments, expected):
    cost = block(toy, *arguments)
    assert cells(cost.area_um2) == cells(cost.energy_pj) == expected


def test_compaction_that_drops_nothing_has_no_multiplexers(toy, cells):
    # 4:4: each output has one place to come from.
    cost = gates.compaction(toy, n=4, m=4, bits=8)
    assert cells(cost.area_um2) == {"adder": 3 * 3, "register": 40}


@pytest.mark.parametrize(("positions", "bits"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (64, 6)])
def test_index_bits(positions, bits):
    assert gates.index_bits(positions) == bits
