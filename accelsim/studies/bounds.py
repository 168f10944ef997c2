"""What a machine waits for, and what it would need not to."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from accelsim.studies.facts import Names
from accelsim.studies.runs import Run


def busiest(part: Mapping[str, Any]) -> str:
    """Return the busiest unit of a machine; the array wins ties, as buffers are in step with it.

    Args:
        part: a run, or its baseline.
    """
    units: Mapping[str, Any] = part["units"]
    return max(("mac_array", *units), key=lambda name: units[name]["busy_cycles"])


def macs_per_byte(run: Run) -> float:
    """Return the multiplications of the dense product for each byte to or from DRAM."""
    return float(run["totals"]["macs_dense"] / run["totals"]["dram_bytes"])


def needed_gb_per_s(run: Run, part: Mapping[str, Any]) -> float:
    """Return the bandwidth at which DRAM and the array of a machine would be equally busy.

    Args:
        run: gives the clock.
        part: the run, or its baseline.
    """
    bytes_per_cycle = part["totals"]["dram_bytes"] / part["units"]["mac_array"]["busy_cycles"]
    return float(bytes_per_cycle * run["arch"]["clock_mhz"] / 1000)


def waiting(run: Run) -> int:
    """Return how many of two machines wait for DRAM, a run's and its dense one: 0, 1 or 2."""
    return sum(busiest(part) == "dram" for part in (run["baseline"], run))


BOUNDS: Names = MappingProxyType(
    {
        "bound": busiest,
        "dense_bound": lambda run: busiest(run["baseline"]),
        "macs_per_byte": macs_per_byte,
        "needed_gb_per_s": lambda run: needed_gb_per_s(run, run),
        "dense_needed_gb_per_s": lambda run: needed_gb_per_s(run, run["baseline"]),
        "waiting": waiting,
        "dense_mac_utilization_ratio": (
            lambda run: run["baseline"]["totals"]["mac_utilization_ratio"]
        ),
    }
)
"""Names of these facts, for studies that ask for them."""
