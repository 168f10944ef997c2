"""What is counted is exact, whatever a machine's keys and a layer's sizes are; else it is refused.

The interpreter counts with Python's integers, compiled loops with those of 64 bits.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.base.errors import InputError
from accelsim.engine import Network, Stage
from accelsim.engine.network import MAX_CYCLES, check_cycles
from accelsim.mapping import jobs
from accelsim.run.runner import Runner
from accelsim.run.simulation import simulate
from accelsim.selection.sparsify import Selection
from accelsim.trace import Linear
from tests.helpers.engines import loops
from tests.helpers.small import machine_for, trace_of


def logarithmic(low, high):
    """Whole numbers from low to high, small ones as often as large ones."""
    exponents = st.floats(np.log2(low), np.log2(high))
    return exponents.map(lambda exponent: max(low, min(high, int(2**exponent))))


@st.composite
def machines(draw):
    """Any machine within the documented ranges, narrow and wide in the same breath."""
    pattern = draw(st.sampled_from(["dense", "2:4", "8:16", "32:64"]))
    buffers = ["activations", "weights", "outputs", *(["compressed"] if pattern != "dense" else [])]
    changes = {
        "clock_mhz": 10 ** draw(st.floats(-2.9, 4.5)),
        "dram.bandwidth_gb_per_s": 10 ** draw(st.floats(-9, 9)),
        "dram.latency_ns": draw(st.sampled_from([0, 100, 1e9])),
        "dram.burst_bytes": draw(logarithmic(1, 65536)),
        "mac_array.rows": draw(logarithmic(1, 1024)),
    }
    for buffer in buffers:
        changes[f"buffers.{buffer}.macros"] = 1
        changes[f"buffers.{buffer}.port_bytes"] = draw(logarithmic(1, 512))
        changes[f"buffers.{buffer}.capacity_kib"] = draw(logarithmic(64, 65536))
    return machine_for(pattern, changes)


sizes = logarithmic(1, 2**31)


def outcome(arch, linear, selection, *, are_compiled):
    """Return the result of a layer, or the message that refuses it."""
    with loops(are_compiled=are_compiled):
        try:
            return Runner(arch).layer(linear, selection, None)
        except InputError as error:
            return str(error)


@pytest.mark.slow
def test_compiled_loops_count_what_python_does(monkeypatch):
    monkeypatch.setattr(jobs, "MAX_JOBS", 2**12)  # more take seconds
    seen = []

    @given(machines(), sizes, sizes, sizes)
    @settings(max_examples=80)
    def check(arch, tokens, in_features, out_features):
        linear = Linear(name="x", input="x", in_features=in_features, out_features=out_features)
        kept = np.broadcast_to(np.int64(arch.pattern.kept_count(in_features)), tokens)
        selection = Selection(in_features, kept, None, None)
        found = outcome(arch, linear, selection, are_compiled=True)
        seen.append(isinstance(found, str))
        assert found == outcome(arch, linear, selection, are_compiled=False)
        if isinstance(found, str):
            return
        assert max(found.bound_cycles.values()) <= found.cycles <= MAX_CYCLES
        assert found.breakdown.total_cycles == found.cycles
        assert all(unit.ledger.total_cycles == found.cycles for unit in found.units.values())
        assert all(count >= 0 for unit in found.units.values() for count in unit.actions.values())
        assert np.isfinite(found.energy_pj)

    check()
    assert 10 <= sum(seen) <= len(seen) - 10  # many run, many are refused


@pytest.mark.parametrize("phase", ["prefill", "decode"])
@pytest.mark.parametrize("engine", ["recurrence", "simpy"])
def test_a_channel_too_slow_for_its_clock_is_refused(phase, engine):
    trace = trace_of([(4096, 4096)], lengths=(4,))
    slow = machine_for("8:16", {"dram.bandwidth_gb_per_s": 1e-9, "clock_mhz": 20000})
    # 16 MiB at a byte a second, of 2 × 10^10 cycles each: 3.4e17.
    with pytest.raises(InputError, match=r"layer 'layers\.0\.linear': up to .*at most 2\^53 are"):
        simulate(slow, trace, phase=phase, engine=engine)


@pytest.mark.parametrize("are_compiled", [True, False])
def test_sums_beyond_64_bits_are_refused_before_they_are_made(are_compiled):
    # 1 GiB at a byte a second: 2.1e19 cycles, of which no transfer takes more than 2^62.
    slow = machine_for("dense", {"dram.bandwidth_gb_per_s": 1e-9, "clock_mhz": 20000})
    linear = Linear(name="x", input="x", in_features=2**15, out_features=2**15)
    selection = Selection(2**15, np.array([2**15]), None, None)
    said = outcome(slow, linear, selection, are_compiled=are_compiled)
    assert said.startswith("dense, layer 'x': up to 2.15e+19 cycles")


def test_a_bound_is_what_a_chain_takes():
    busy = np.array([[5, 2], [7, 1]])
    network = Network((Stage("load", busy, latency=3), Stage("use", busy, inputs=("load",))))
    assert network.bound_cycles.tolist() == [2 * 7 + 2 * 3, 2 * 8 + 2 * 3]


def test_the_limit_is_where_doubles_stop_counting():
    check_cycles(2**53)
    with pytest.raises(InputError, match="cycles"):
        check_cycles(2**53 + 2)
