"""Random small layers on random small machines, for laws that hold on all of them."""

from hypothesis import strategies as st

from accelsim.mapping.tiling import ORDERS
from tests.helpers.small import changed, machine_for, tile

PATTERNS = ("dense", "2:4", "4:8", "8:16", "16:32", "1:4", "3:5", "8:8", "32:64")


@st.composite
def machines(draw, patterns=PATTERNS):
    """A machine of up to 4 × 4 × 8 multipliers whose every part may be the narrow one.

    Double-buffered throughout; which machines can deadlock is the subject of
    `tests/machine/test_no_deadlock.py`.
    """
    arch = machine_for(draw(st.sampled_from(patterns)))
    sizes = st.integers(1, 4)
    ports = st.sampled_from([1, 3, 8, 20, 64, 256])
    changes = {
        "mac_array.rows": draw(sizes),
        "mac_array.columns": draw(sizes),
        "mac_array.lanes": draw(st.integers(1, 8)),
        "dram.bandwidth_gb_per_s": draw(st.floats(0.25, 300)),
        "dram.latency_ns": draw(st.integers(0, 200)),
        "dram.burst_bytes": draw(st.sampled_from([1, 16, 64])),
        "dram.store_lag_tiles": draw(st.integers(1, 4)),
    }
    buffers = ["activations", "weights", "outputs"]
    if not arch.pattern.is_dense:
        buffers.append("compressed")
        changes["selector.instances"] = draw(st.integers(1, 16))
        changes["format"] = draw(st.sampled_from(["bitmask", "index"]))
    for buffer in buffers:
        changes[f"buffers.{buffer}.port_bytes"] = draw(ports)
        changes[f"buffers.{buffer}.capacity_kib"] = draw(st.sampled_from([1, 2, 4, 64]))
    return changed(arch, changes)


@st.composite
def tiles(draw, group_size):
    """A tile set by hand that cuts no group."""
    return tile(
        tokens=draw(st.integers(1, 24)),
        reduction=group_size * draw(st.integers(1, 4)),
        columns=draw(st.integers(1, 32)),
        order=draw(st.sampled_from(ORDERS)),
    )


def shapes(largest=64):
    """(tokens, in_features, out_features)."""
    return st.tuples(st.integers(1, 24), st.integers(1, 2 * largest), st.integers(1, largest))


def batches():
    """Prefill (None), or the batch of a decode step."""
    return st.sampled_from([None, None, 1, 3])
