"""Energy, leakage, area and cycle time of on-chip SRAM, from a table made with CACTI 7.

Source: `data/sram_cacti.csv`, whose header says what made it; `experiments/sram_table` makes it
again and explains the settings. One read port and one write port, low-standby-power cells with
high-performance periphery, 350 K.

The width is that of one access of the whole memory. CACTI lets one bank of that width serve it, so
banks divide the capacity, not the width. Leakage and area count all banks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

import numpy as np
import numpy.typing as npt

from accelsim.base.errors import InputError
from accelsim.tech.scaling import area_ratio, energy_ratio

_Array = npt.NDArray[np.float64]

NATIVE_NODES_NM = (22, 32, 45)
"""Nodes in nm for which CACTI was run. It has no data below 22 nm."""

_MAX_WIDTH = 512
_MAX_BANKS = 8
_MAX_CAPACITY = 64 << 20
# How read, write, leakage, area and cycle time grow with capacity outside the table, as exponents.
# Below: fewer rows save area and leakage; the energy of the smallest entry is an upper bound.
_BELOW = np.array([0.0, 0.0, 1.0, 1.0, 0.0])
# Above: area and leakage follow the cells, energy the wires across the memory. The cycle time is
# that of one subarray, whose size no longer grows.
_ABOVE = np.array([0.5, 0.5, 1.0, 1.0, 0.0])
# Copies side by side work at the same time: everything adds up but the cycle time.
_COPIES = np.array([1.0, 1.0, 1.0, 1.0, 0.0])


@dataclass(frozen=True, slots=True)
class SramCost:
    """Cost of one SRAM with one read port and one write port.

    Attributes:
        read_pj: dynamic energy in pJ of one read of `width_bytes`.
        write_pj: dynamic energy in pJ of one write of `width_bytes`.
        leakage_mw: static power in mW of all banks, at 350 K.
        area_um2: area in um2 of all banks and the wires between them.
        cycle_time_ns: shortest time in ns between two accesses to one bank.
    """

    read_pj: float
    write_pj: float
    leakage_mw: float
    area_um2: float
    cycle_time_ns: float


@lru_cache(maxsize=4096)
def sram_cost(*, capacity_bytes: int, width_bytes: int, banks: int, node_nm: float) -> SramCost:
    """Return the cost of one SRAM, interpolated log-log between the points of the table.

    Outside the table:
        Wider than 512 B: equal memories of at most 512 B side by side. Narrower than 8 B: the cost
        at 8 B. Below 1 KiB, or below the 32 rows per bank that CACTI needs: energy and cycle time
        of the smallest entry, leakage and area in proportion to capacity. Above 4 MiB: leakage and
        area in proportion, energy with the square root (wire length), the same cycle time. A node
        below 22 nm: the value at 22 nm, for the caller to scale.

    Args:
        capacity_bytes: all banks together, up to 64 MiB.
        width_bytes: bytes of one access.
        banks: 1 to 8.
        node_nm: process node in nm, at most 45.

    Raises:
        InputError: an argument is out of range, or a bank would hold less than one access.

    >>> cost = sram_cost(capacity_bytes=64 * 1024, width_bytes=64, banks=1, node_nm=45)
    >>> 0.1 < cost.read_pj / (64 * 8) < 0.3  # pJ per bit
    True
    """
    _validate(capacity_bytes=capacity_bytes, width_bytes=width_bytes, banks=banks, node_nm=node_nm)
    copies = -(-width_bytes // _MAX_WIDTH)
    values = _interpolate(node_nm, capacity_bytes / copies, width_bytes / copies, banks)
    return SramCost(*(values * copies**_COPIES).tolist())


def scaled_sram_cost(
    *, capacity_bytes: int, width_bytes: int, banks: int, node_nm: float
) -> SramCost:
    """Return the cost of one SRAM at any node; beyond the table's, scaled from the nearest of it.

    Args:
        capacity_bytes: all banks together, up to 64 MiB.
        width_bytes: bytes of one access.
        banks: 1 to 8.
        node_nm: process node that `accelsim.tech.scaling` knows.
    """
    native = max(node_nm, min(NATIVE_NODES_NM))
    native = min(native, max(NATIVE_NODES_NM))
    cost = sram_cost(
        capacity_bytes=capacity_bytes, width_bytes=width_bytes, banks=banks, node_nm=native
    )
    energy, area = energy_ratio(native, node_nm), area_ratio(native, node_nm)
    return SramCost(
        read_pj=cost.read_pj * energy,
        write_pj=cost.write_pj * energy,
        # Leakage follows area, as for logic: the source gives no scaling for it.
        leakage_mw=cost.leakage_mw * area,
        area_um2=cost.area_um2 * area,
        cycle_time_ns=cost.cycle_time_ns,
    )


def _validate(*, capacity_bytes: int, width_bytes: int, banks: int, node_nm: float) -> None:
    """Raise `InputError` for the first argument that is out of range."""
    rows = capacity_bytes // max(width_bytes * banks, 1)
    for allowed, message in (
        (width_bytes > 0, f"width_bytes {width_bytes}: must be positive"),
        (1 <= banks <= _MAX_BANKS, f"banks {banks}: must be from 1 to {_MAX_BANKS}"),
        (rows > 0, f"capacity_bytes {capacity_bytes}: less than {width_bytes} B in each bank"),
        (
            capacity_bytes <= _MAX_CAPACITY,
            f"capacity_bytes {capacity_bytes}: at most {_MAX_CAPACITY}",
        ),
        (
            0 < node_nm <= NATIVE_NODES_NM[-1],
            f"node_nm {node_nm}: must be above 0 and at most {NATIVE_NODES_NM[-1]}",
        ),
    ):
        if not allowed:
            raise InputError(f"SRAM: {message}")


def _interpolate(node_nm: float, capacity: float, width: float, banks: float) -> _Array:
    """Return the five quantities; `np.interp` holds node and width at the ends of the table."""
    log_axes, values = _log_table()
    for axis, coordinate in zip(log_axes, (node_nm, capacity, width, banks), strict=True):
        place = float(np.interp(math.log(coordinate), axis, np.arange(axis.size)))
        low = min(int(place), axis.size - 2)
        values = values[low] + (place - low) * (values[low + 1] - values[low])
    smallest, largest = np.exp(log_axes[1][[0, -1]])
    below, above = min(capacity / smallest, 1.0), max(capacity / largest, 1.0)
    return np.asarray(np.exp(values) * below**_BELOW * above**_ABOVE)


@cache
def _log_table() -> tuple[tuple[_Array, ...], _Array]:
    """Read the table as logarithms: its axes, and `[node, capacity, width, banks, quantity]`."""
    file = resources.files("accelsim.tech") / "data" / "sram_cacti.csv"
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    rows = np.log(np.array([line.split(",") for line in lines[1:]], np.float64))
    axes = tuple(np.array(sorted(set(column.tolist()))) for column in rows[:, :4].T)
    places = tuple(
        np.searchsorted(axis, column) for axis, column in zip(axes, rows[:, :4].T, strict=True)
    )
    values = np.full((*(axis.size for axis in axes), rows.shape[1] - 4), np.nan)
    values[places] = rows[:, 4:]
    # CACTI finds no memory with few rows per bank. Such corners take the rule for small memories,
    # so that a query near them still finds all corners of its cell.
    for i in reversed(range(axes[1].size - 1)):
        smaller = values[:, i + 1] + _BELOW * (axes[1][i] - axes[1][i + 1])
        values[:, i] = np.where(np.isnan(values[:, i]), smaller, values[:, i])
    return axes, values
