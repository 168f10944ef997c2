"""Better parts never make a machine slower."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from accelsim.base.errors import InputError
from tests.helpers.random_machines import batches, machines, shapes, tiles
from tests.helpers.small import ARCHITECTURES, SELECTING, changed, cycles_of, layer_runs, load, tile

SHAPES = [(21, 256, 130), (40, 100, 24), (3, 640, 320)]
PHASES = [None, 2]


@st.composite
def cases(draw):
    """A machine, tiled by hand or not, and a layer in a phase that it can run."""
    arch, shape, batch = draw(machines()), draw(shapes()), draw(batches())
    if draw(st.booleans()):
        arch = changed(arch, {"tiling": draw(tiles(arch.pattern.group_size))})
    return arch, shape, min(batch, shape[0]) if batch else None


def cycles_or_skip(arch, shape, batch):
    try:
        return cycles_of(arch, shape, batch=batch)
    except InputError:
        assume(False)


def assert_never_slower(case, improvement):
    arch, shape, batch = case
    before = cycles_or_skip(arch, shape, batch)
    assert cycles_of(changed(arch, improvement), shape, batch=batch) <= before


@given(case=cases(), factor=st.floats(1, 50))
@settings(max_examples=50)
def test_more_bandwidth_never_slows(case, factor):
    bandwidth = case[0].dram.bandwidth_gb_per_s * factor
    assert_never_slower(case, {"dram.bandwidth_gb_per_s": bandwidth})


@given(case=cases(), share=st.floats(0, 1))
@settings(max_examples=50)
def test_less_latency_never_slows(case, share):
    assert_never_slower(case, {"dram.latency_ns": case[0].dram.latency_ns * share})


@given(case=cases(), more=st.integers(1, 16))
@settings(max_examples=50)
def test_more_selectors_never_slow(case, more):
    selector = case[0].selector
    assume(selector is not None)
    assert_never_slower(case, {"selector.instances": selector.instances + more})


@given(case=cases(), more=st.lists(st.integers(0, 100), min_size=4, max_size=4))
@settings(max_examples=50)
def test_wider_ports_never_slow_the_same_tiles(case, more):
    """Auto tiling looks at the ports and may choose other tiles, so a tile is set by hand."""
    assume(case[0].tiling != "auto")
    improvement = {}
    for extra, buffer in zip(more, buffers_of(case[0]), strict=False):
        port = getattr(case[0].buffers, buffer).port_bytes
        improvement[f"buffers.{buffer}.port_bytes"] = port + extra
    assert_never_slower(case, improvement)


@given(case=cases(), more=st.lists(st.floats(1, 8), min_size=4, max_size=4))
@settings(max_examples=100)
def test_more_room_never_slows_the_same_tiles(case, more):
    """Auto tiling may choose other tiles, so a tile is set by hand; the stores lag equally."""
    assume(case[0].tiling != "auto")
    improvement = {}
    for factor, buffer in zip(more, buffers_of(case[0]), strict=False):
        capacity = getattr(case[0].buffers, buffer).capacity_kib
        improvement[f"buffers.{buffer}.capacity_kib"] = capacity * factor
    assert_never_slower(case, improvement)


def buffers_of(arch):
    names = ["activations", "weights", "outputs"]
    return names if arch.pattern.is_dense else [*names, "compressed"]


def assert_falls(series):
    assert all(later <= earlier for earlier, later in pairwise(series)), series
    assert series[-1] < series[0]


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("batch", PHASES)
def test_a_sweep_of_bandwidth_falls(name, shape, batch):
    bandwidths = (0.37, 1, 3.3, 7, 12.8, 25.6, 33.3, 64, 64.1, 100.7, 1000)
    machines = (changed(load(name), {"dram.bandwidth_gb_per_s": value}) for value in bandwidths)
    assert_falls([cycles_of(arch, shape, batch=batch) for arch in machines])


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("batch", PHASES)
def test_a_sweep_of_latency_falls(name, batch):
    latencies = (1000, 333.3, 100, 99.9, 10, 1, 0.1, 0)
    machines = (changed(load(name), {"dram.latency_ns": value}) for value in latencies)
    assert_falls([cycles_of(arch, SHAPES[0], batch=batch) for arch in machines])


@pytest.mark.parametrize("name", SELECTING)
def test_a_sweep_of_selectors_falls(name):
    machines = (changed(load(name), {"selector.instances": count}) for count in (1, 2, 3, 5, 64))
    # Few outputs, so that one selector is slower than loading: at 16:32, 64 × 8 groups against
    # 64 × 256 / 64 = 256 cycles.
    assert_falls([cycles_of(arch, (64, 256, 8)) for arch in machines])


@pytest.mark.parametrize(
    ("name", "buffer"),
    [(name, buffer) for name in ARCHITECTURES for buffer in buffers_of(load(name))],
)
def test_a_sweep_of_ports_falls(name, buffer):
    widths = (1, 2, 7, 16, 60, 256, 1024)
    base = changed(load(name), {"tiling": tile(16, 64, 32)})
    machines = (changed(base, {f"buffers.{buffer}.port_bytes": width}) for width in widths)
    assert_falls([cycles_of(arch, SHAPES[0]) for arch in machines])


def test_bandwidth_counts_however_little_there_is():
    """1000 bytes at b bytes a cycle take 1000 / b cycles, down to a byte in a hundred million."""
    sizes = np.array([1000])
    for exponent in (-2, -5, -6, -7, -8):
        dram = changed(load("dense"), {"dram.bandwidth_gb_per_s": 10.0**exponent}).dram
        found = int(dram.transfer_cycles(sizes, clock_mhz=1000)[0])
        assert found == pytest.approx(1000 / 10.0**exponent, rel=1e-6), exponent


@pytest.mark.parametrize("bandwidth", [1e6, 1e18, 1e19, 1e30])
def test_unlimited_bandwidth_may_be_written_as_a_large_number(bandwidth):
    # Every transfer takes one cycle.
    arch = changed(load("dense"), {"dram.bandwidth_gb_per_s": bandwidth})
    ((work, _),) = layer_runs(arch, (16, 64, 32))
    assert arch.dram.busy_cycles(work).max() <= 3
