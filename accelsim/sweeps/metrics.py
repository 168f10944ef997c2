"""The numbers that a sweep reports of a point, and which way is better."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from accelsim.base.errors import InputError, shown
from accelsim.base.registry import did_you_mean
from accelsim.base.renamed import RENAMED, new_name

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
        "dropped_squared_magnitude_ratio": MINIMIZE,
    }
)
# What a sweep file without `metrics` asks for: its identity, so that no name is put in its place
# before the old one goes.
DEFAULT_METRICS = tuple(name for name in METRICS if name not in RENAMED.values())
COUNTS = frozenset({"cycles", "macs_dense", "macs_executed", "dram_bytes"})


def columns_of(metrics: Sequence[str]) -> list[str]:
    """Return the columns of some metrics: after an old name the new one.

    >>> columns_of(["dropped_energy_ratio", "cycles"])
    ['dropped_energy_ratio', 'dropped_squared_magnitude_ratio', 'cycles']
    """
    return list(dict.fromkeys(name for one in metrics for name in (one, new_name(one))))


def check_metric(name: str) -> str:
    """Return the name of a metric; raise InputError if there is none of this name."""
    if name not in METRICS:
        near = did_you_mean(name, METRICS)
        raise InputError(f"unknown metric '{shown(name)}'{near}; allowed: {', '.join(METRICS)}")
    return name
