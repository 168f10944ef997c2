"""A layer is bound by DRAM exactly where its bytes take longer than its multiplications."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim import simulate
from accelsim.accounting.breakdown import bound, busy_totals, leaders
from accelsim.dataflows import DATAFLOWS
from tests.helpers.small import changed, layer_runs, load, tile, trace_of

# Ports and selectors out of the way: only the array and DRAM are left to bind.
FAST = {
    "buffers.activations.port_bytes": 4096,
    "buffers.weights.port_bytes": 4096,
    "buffers.outputs.port_bytes": 4096,
}
FAST_SPARSE = FAST | {"buffers.compressed.port_bytes": 4096, "selector.instances": 4096}
FIRST = leaders(DATAFLOWS["output_stationary"])


def ceil(value, divisor):
    return -(-value // divisor)


def machine(name, changes):
    return changed(load(name), (FAST if name == "dense" else FAST_SPARSE) | changes)


def array_cycles(shape, pattern_speed):
    """8 × 8 outputs at a time, 16 kept values of each a cycle."""
    tokens, reduction, columns = shape
    return ceil(tokens, 8) * ceil(columns, 8) * ceil(reduction, 16 * pattern_speed)


@pytest.mark.parametrize("name", ["dense", "nm24", "nm816", "nm1632"])
@pytest.mark.parametrize("shape", [(64, 256, 64), (8, 256, 64), (128, 64, 128)])
def test_the_bound_flips_where_dram_needs_as_long_as_the_array(name, shape):
    """One tile: three requests of whole bursts, each rounded up to cycles, against the array."""
    tokens, reduction, columns = shape
    compute = array_cycles(shape, 1 if name == "dense" else 2)
    sizes = (tokens * reduction, reduction * columns, tokens * columns)
    assert all(size % 64 == 0 for size in sizes)
    balance = sum(sizes) / compute
    seen = set()
    for share in (0.25, 0.5, 0.9, 0.97, 0.99, 1.0, 1.01, 1.03, 1.1, 2, 4):
        rate = Fraction(balance * share).limit_denominator(1000)
        dram = sum(ceil(size * rate.denominator, rate.numerator) for size in sizes)
        changes = {"dram.bandwidth_gb_per_s": float(rate), "tiling": tile(*shape)}
        ((_, run),) = layer_runs(machine(name, changes), shape)
        totals = busy_totals(run.pipeline)
        assert totals["mac_array"] == compute
        assert abs(totals["dram"] - dram) <= 3  # the rate went through a float
        if abs(totals["dram"] - compute) > 3:
            assert bound(totals, FIRST) == ("dram" if dram > compute else "compute")
            seen.add(bound(totals, FIRST))
    assert seen == {"dram", "compute"}


@pytest.mark.parametrize("bandwidth", [1, 2, 4, 8, 16, 32, 64, 128])
@pytest.mark.parametrize("name", ["dense", "nm816"])
def test_layers_turn_dram_bound_one_by_one(name, bandwidth):
    """Auto tiling, everything on chip once: bytes / bandwidth against blocks × steps.

    The bandwidth divides every burst, so no tiling rounds up. 32 tokens.
    """
    layers = [(64, 64), (128, 512), (256, 64), (512, 32), (64, 8), (32, 256)]
    arch = machine(name, {"dram.bandwidth_gb_per_s": bandwidth, "dram.burst_bytes": 128})
    result = simulate(arch, trace_of(layers, lengths=(32,)), layers="isolated")
    for layer, (reduction, columns) in zip(result.layers, layers, strict=True):
        compute = array_cycles((32, reduction, columns), 1 if name == "dense" else 2)
        dram = (32 * reduction + reduction * columns + 32 * columns) // bandwidth
        assert layer.bound_cycles["mac_array"] == compute
        assert layer.bound_cycles["dram"] == dram
        assert layer.bound == ("dram" if dram > compute else "compute"), (reduction, columns)
        assert layer.cycles >= max(dram, compute)


def test_layers_do_turn_and_not_all_at_once():
    """A guard for the test above: at one bandwidth, layers of both kinds."""
    layers = [(64, 64), (128, 512), (256, 64), (512, 32), (64, 8), (32, 256)]
    arch = machine("dense", {"dram.bandwidth_gb_per_s": 64, "dram.burst_bytes": 128})
    bounds = {layer.bound for layer in simulate(arch, trace_of(layers, lengths=(32,))).layers}
    assert bounds == {"dram", "compute"}


def test_decode_is_bound_by_weights():
    """One token: 512 × 512 weights at 64 bytes a cycle are 4096 cycles.

    The array needs 64 column blocks × 32 steps = 2048.
    """
    arch = changed(load("dense"), {"tiling": tile(1, 512, 64)})
    ((_, run),) = layer_runs(arch, (1, 512, 512), batch=1)
    totals = busy_totals(run.pipeline)
    assert totals["mac_array"] == 64 * 32
    assert totals["dram"] == (512 + 512 * 512 + 512) // 64
    assert bound(totals, FIRST) == "dram"


@given(
    bandwidth=st.integers(1, 64),
    shape=st.tuples(st.integers(1, 64), st.integers(1, 256), st.integers(1, 64)),
)
def test_a_run_is_never_shorter_than_its_compulsory_traffic(bandwidth, shape):
    tokens, reduction, columns = shape
    arch = machine("dense", {"dram.bandwidth_gb_per_s": bandwidth})
    ((_, run),) = layer_runs(arch, shape)
    compulsory = tokens * reduction + reduction * columns + tokens * columns
    assert run.times.cycles >= compulsory / bandwidth
    assert run.times.cycles >= array_cycles(shape, 1)
