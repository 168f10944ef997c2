"""The bitonic network, wire by wire: it selects, and it has the elements that are priced."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.hardware.selectors.bitonic import network


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
