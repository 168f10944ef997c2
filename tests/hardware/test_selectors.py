"""Selectors: groups over instances, cycles a group, pipeline depth, and what they are built of."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal as same

from accelsim.hardware import SELECTORS
from accelsim.hardware.selectors.bitonic import network


def make(kind, **fields):
    return SELECTORS[kind](kind=kind, **fields)


@pytest.mark.parametrize(
    ("unit", "bits", "cycles", "latency"),
    [
        (make("rank"), 8, 1, 2),
        (make("rank"), 16, 1, 2),
        (make("bitonic"), 8, 1, 8),  # 8:16: 7 stages (below), one cycle to compact
        (make("radix"), 8, 9, 0),  # 8 planes and one cycle to settle ties
        (make("radix"), 16, 17, 0),
        (make("radix", pipelined=True), 8, 1, 9),
        (make("radix", pipelined=True), 16, 1, 17),
    ],
)
def test_pace_and_depth(path, unit, bits, cycles, latency):
    machine = path("8:16", value_bits=bits)
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


def test_rank_is_built_of_all_pairs(toy, cells, path):
    # 2:4 int8. Ranking: 6 pairs × 8 bits; 4 counts of 3 wins = 2 adders each; 4 tests of 2 bits.
    # Compaction: 2 outputs of 3:1 = 2 multiplexers, 8 + 2 bits; 3 running counts of 2 bits;
    # a register of 2 × 10 bits. Between the two stages: 4 values and 4 flags, 36 bits.
    expected = {"comparator": 48 + 8, "adder": 8 + 6, "mux": 40, "register": 36 + 20}
    cost = make("rank").cost(toy, path("2:4"))
    assert cells(cost.area_um2) == cells(cost.energy_pj) == expected
    assert make("rank").energy_pj(toy, path("2:4")) == {"group": cost.energy_pj}


def test_rank_has_the_comparators_of_the_literature(toy, cells, path):
    # 8:16: 120 pairs of 8 bits; 16 tests of 4 bits.
    assert cells(make("rank").cost(toy, path("8:16")).area_um2)["comparator"] == 120 * 8 + 64


def test_bitonic_is_built_of_exchanges(toy, cells, path):
    # 2:4 int8: 4 exchanges in 2 stages; value and index are 10 bits.
    # Compaction as above; a comparator and two 2:1 multiplexers an exchange.
    expected = {"comparator": 40, "adder": 6, "mux": 4 * 20 + 40, "register": 2 * 40 + 20}
    assert cells(make("bitonic").cost(toy, path("2:4")).area_um2) == expected


def test_iterative_radix_has_one_plane_and_uses_it_for_each(toy, cells, path):
    # 2:4 int8, a plane: a count of 4 flags = 3 adders, the room left (2 bits) compared and
    # subtracted; 8 + 2 flip-flops of state. Values: 32 flip-flops. Compaction as above.
    cost = make("radix").cost(toy, path("2:4"))
    assert cells(cost.area_um2) == {
        "comparator": 2,
        "adder": 3 + 2 + 6,
        "mux": 40,
        "register": 10 + 32 + 20,
    }
    assert cells(cost.energy_pj) == {
        "comparator": 8 * 2,
        "adder": 8 * 5 + 6,
        "mux": 40,
        "register": 8 * 10 + 32 + 20,
    }


def test_pipelined_radix_has_a_plane_a_stage(toy, cells, path):
    cost = make("radix", pipelined=True).cost(toy, path("2:4"))
    expected = {
        "comparator": 8 * 2,
        "adder": 8 * 5 + 6,
        "mux": 40,
        "register": 8 * (10 + 32) + 20,
    }
    assert cells(cost.area_um2) == cells(cost.energy_pj) == expected


def test_logic_leaks_with_its_area(toy, path):
    unit = make("rank", instances=4)
    area = unit.area_um2(toy, path("2:4"))
    assert unit.leakage_mw(toy, path("2:4")) == pytest.approx(area * 2e-6)  # 2 nW per um2


# --- the bitonic network, wire by wire -----------------------------------------------------------


class Wires:
    """Runs and counts compare-exchange elements; the larger of (|x|, lower index) goes first."""

    def __init__(self, values):
        self.tagged = [(abs(v), -i) for i, v in enumerate(values)]
        self.exchanges = 0
        self.depth = [0] * len(values)

    def exchange(self, first, second):
        a, b = self.tagged[first], self.tagged[second]
        self.tagged[first], self.tagged[second] = max(a, b), min(a, b)
        self.exchanges += 1
        self.depth[first] = self.depth[second] = 1 + max(self.depth[first], self.depth[second])

    def larger_half(self, bitonic):
        """Move the larger half of a bitonic sequence to its first half, and return that."""
        half = len(bitonic) // 2
        for first, second in zip(bitonic[:half], bitonic[half:], strict=True):
            self.exchange(first, second)
        return bitonic[:half]

    def merge(self, bitonic):
        """Sort a bitonic sequence; return its wires, largest first."""
        if len(bitonic) == 1:
            return bitonic
        first = self.larger_half(bitonic)
        return [*self.merge(first), *self.merge(bitonic[len(first) :])]

    def sort(self, wires):
        """Sort; return the wires, largest first."""
        if len(wires) == 1:
            return wires
        half = len(wires) // 2
        return self.merge([*self.sort(wires[:half]), *reversed(self.sort(wires[half:]))])


def selected(values, n):
    """Return (indices of the n largest, exchanges, depth) of the network `Bitonic` documents."""
    block, wires = (1 << (size - 1).bit_length() for size in (n, len(values)))
    net = Wires(values)
    net.tagged += [(-1, -i) for i in range(len(values), wires)]  # padding loses against all
    net.depth = [0] * wires
    blocks = [net.sort(list(range(i, i + block))) for i in range(0, wires, block)]
    has_levels = len(blocks) > 1
    while len(blocks) > 1:
        pairs = zip(blocks[::2], blocks[1::2], strict=True)
        blocks = [net.larger_half([*first, *reversed(second)]) for first, second in pairs]
        if len(blocks) > 1:
            blocks = [net.merge(block) for block in blocks]
    (survivors,) = blocks
    if has_levels and n < block:
        survivors = net.merge(survivors)
    depth = max(net.depth[wire] for wire in survivors)
    return {-net.tagged[wire][1] for wire in survivors[:n]}, net.exchanges, depth


POWERS = [(n, m) for m in (2, 4, 8, 16, 32, 64) for n in (1, 2, 4, 8, 16, 32, 64) if n <= m]
OTHERS = [(3, 4), (3, 5), (5, 7), (3, 16), (8, 20), (5, 33), (11, 64), (33, 64), (63, 64)]


@pytest.mark.parametrize(("n", "m"), POWERS + OTHERS)
def test_the_network_has_the_elements_and_stages_that_are_priced(n, m):
    values = np.random.default_rng(m).integers(-128, 128, m).tolist()
    _, exchanges, depth = selected(values, n)
    assert (exchanges, depth) == network(n, m)


@pytest.mark.parametrize(
    ("n", "m"), [(1, 4), (2, 4), (4, 8), (4, 16), (8, 16), (16, 32), (3, 5), (5, 7), (3, 16)]
)
@given(data=st.data())
def test_the_network_selects_what_the_pattern_selects(n, m, data):
    values = data.draw(st.lists(st.integers(-4, 4), min_size=m, max_size=m))
    best = sorted(range(m), key=lambda i: (-abs(values[i]), i))[:n]
    assert selected(values, n)[0] == set(best)


@pytest.mark.parametrize(
    ("size", "exchanges", "depth"),
    # 1:M is a tournament: M - 1 exchanges, log2 M deep. 8:8 sorts: 8 / 4 × 3 × 4 = 24, 6 deep.
    [((1, 2), 1, 1), ((1, 64), 63, 6), ((8, 8), 24, 6), ((2, 4), 4, 2), ((8, 16), 56, 7)],
)
def test_known_networks(size, exchanges, depth):
    assert network(*size) == (exchanges, depth)
