"""The DRAM channel: whole bursts, exact cycles, latency apart."""

from decimal import Decimal
from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal as same
from pydantic import ValidationError

from accelsim.hardware import Dram


def make(bandwidth=64, **fields):
    return Dram(standard="lpddr4", bandwidth_gb_per_s=bandwidth, **fields)


def cycles(unit, *sizes, clock_mhz=1000):
    return unit.transfer_cycles(np.array(sizes), clock_mhz=clock_mhz).tolist()


@pytest.mark.parametrize(
    ("bandwidth", "clock", "size", "expected"),
    [
        (64, 1000, 0, 0),
        (64, 1000, 1, 1),
        (64, 1000, 64, 1),
        (64, 1000, 65, 2),
        (25.6, 1000, 64, 3),  # 2.5
        (25.6, 1000, 128, 5),  # exactly 5
        (25.6, 1000, 129, 6),
        (64, 2000, 64, 2),  # 32 bytes a cycle
        (0.5, 1000, 1, 2),
        (100, 300, 1000, 3),  # 333.3 bytes a cycle: exactly 3
        (100, 300, 1001, 4),
        (0.1, 1000, 7, 70),  # 0.1 is not a binary number
        (819.2, 1700, 8192, 17),  # exactly 17
        (0.3, 500, 3, 5),  # 0.6 bytes a cycle: exactly 5, though the float 0.3 is below 3 / 10
    ],
)
def test_transfer_rounds_up_exactly(bandwidth, clock, size, expected):
    assert cycles(make(bandwidth), size, clock_mhz=clock) == [expected]


@settings(max_examples=300)
@given(
    bandwidth=st.decimals("0.1", "4000", places=1),
    clock=st.integers(50, 3000),
    size=st.integers(0, 2**36),
)
def test_transfer_is_the_ceiling_of_the_fraction(bandwidth, clock, size):
    expected = ceil(size / (Fraction(bandwidth) * 1000 / clock))
    assert cycles(make(float(bandwidth)), size, clock_mhz=float(clock)) == [expected]


@given(size=st.integers(0, 2**36), slow=st.floats(1e-6, 1e4), fast=st.floats(1e-6, 1e4))
def test_more_bandwidth_is_never_slower(size, slow, fast):
    slow, fast = sorted((slow, fast))
    assert cycles(make(fast), size) <= cycles(make(slow), size)


@pytest.mark.parametrize("bandwidth", [1e-3, 1e-6, 1e-7, 1e-9, 1e-12])
def test_a_tiny_bandwidth_is_slow_or_refused(bandwidth):
    try:
        unit = make(bandwidth)
    except ValidationError:
        return
    assert cycles(unit, 1) == [pytest.approx(1 / bandwidth)]  # 1 GHz


@pytest.mark.parametrize("bandwidth", [1e6, 1e9, 1e12, 1e18, 1e300])
def test_a_huge_bandwidth_takes_one_cycle_or_is_refused(bandwidth):
    try:
        unit = make(bandwidth)
    except ValidationError:
        return
    assert cycles(unit, 0, 1, 10**6) == [0, 1, 1]


@pytest.mark.parametrize(
    ("burst", "sizes", "expected"),
    [(64, [0, 1, 64, 65], [0, 64, 64, 128]), (1, [0, 7], [0, 7]), (48, [49], [96])],
)
def test_bursts_are_whole(burst, sizes, expected):
    same(make(burst_bytes=burst).bursts(np.array(sizes)), expected)


@pytest.mark.parametrize(
    ("latency", "clock", "expected"),
    [(100, 1000, 100), (0, 1000, 0), (100, 1500, 150), (33.3, 1000, 34), (0.1, 500, 1)],
)
def test_latency_rounds_up(path, latency, clock, expected):
    unit = make(latency_ns=latency)
    assert unit.latency_cycles(path("dense", clock_mhz=float(clock))) == expected


@given(latency=st.decimals(0, 500, places=1), clock=st.integers(50, 3000))
def test_latency_is_the_ceiling_of_the_product(path, latency, clock):
    expected = ceil(Decimal(latency) * clock / 1000)
    unit = make(latency_ns=float(latency))
    assert unit.latency_cycles(path("dense", clock_mhz=float(clock))) == expected


def test_streams_of_a_tile_by_hand(path, layer):
    # X 3 × 10 = 30 bytes, W 10 × 5 = 50, Y 15: one burst of 64 each, 2.5 → 3 cycles each.
    work = layer("2:4", path("2:4"), (3, 10, 5))
    unit = make(25.6)
    assert unit.actions(work) == {"read_bytes": 128, "write_bytes": 64}
    same(unit.busy_cycles(work), [9])


def test_each_stream_of_each_tile_rounds_up_by_itself(path, layer):
    # K in 8 + 2, nothing stays: X 24 and 6 bytes, W 40 and 10; Y only with the last tile of K.
    work = layer("dense", path("dense"), (3, 10, 5), (3, 8, 5))
    unit = make(burst_bytes=32)
    same(unit.activation_bytes(work), [32, 32])
    same(unit.weight_bytes(work), [64, 32])
    same(unit.output_bytes(work), [0, 32])
    assert unit.actions(work) == {"read_bytes": 160, "write_bytes": 32}


def test_activations_are_loaded_whole_whatever_the_pattern(path, layer):
    reads = [
        make(burst_bytes=1).actions(layer(p, path(p), (4, 64, 8)))["read_bytes"]
        for p in ("dense", "2:4", "16:32")
    ]
    assert reads == [4 * 64 + 64 * 8] * 3


def test_price_and_area(toy, path):
    # 8 pJ a bit; the device is off chip.
    assert make().energy_pj(toy, path("dense")) == {"read_bytes": 64.0, "write_bytes": 64.0}
    assert make().area_um2(toy, path("dense")) == 0.0
    assert make().leakage_mw(toy, path("dense")) == 0.0
