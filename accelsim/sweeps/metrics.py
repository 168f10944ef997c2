"""The numbers that a sweep reports of a point, and which way is better."""

from __future__ import annotations

from types import MappingProxyType

from accelsim.base.errors import InputError, shown
from accelsim.base.registry import did_you_mean

MINIMIZE, MAXIMIZE = "minimize", "maximize"

# The headline numbers of `accelsim run`, in its order.
METRICS = MappingProxyType(
    {
        "cycles": MINIMIZE,
        "time_s": MINIMIZE,
        "macs_dense": MAXIMIZE,
        "macs_executed": MINIMIZE,
        "effective_tops": MAXIMIZE,
        "mac_utilization_ratio": MAXIMIZE,
        "energy_pj": MINIMIZE,
        "energy_pj_per_dense_mac": MINIMIZE,
        "power_mw": MINIMIZE,
        "area_um2": MINIMIZE,
        "tops_per_w": MAXIMIZE,
        "tops_per_mm2": MAXIMIZE,
        "edp_pj_s": MINIMIZE,
        "dram_bytes": MINIMIZE,
        "dropped_energy_ratio": MINIMIZE,
    }
)
COUNTS = frozenset({"cycles", "macs_dense", "macs_executed", "dram_bytes"})


def check_metric(name: str) -> str:
    """Return the name of a metric; raise InputError if there is none of this name."""
    if name not in METRICS:
        near = did_you_mean(name, METRICS)
        raise InputError(f"unknown metric '{shown(name)}'{near}; allowed: {', '.join(METRICS)}")
    return name
