"""Scaling of energy and area between process nodes.

Source: A. Stillmaker, B. Baas, "Scaling equations for the accurate prediction of CMOS device
performance from 180 nm to 7 nm", Integration 58 (2017). Coefficients and area ratios as listed in
`accelergy-library` scaling.py; both nodes at 0.8 V, that library's default supply.
"""

from __future__ import annotations

import math

from accelsim.base.errors import InputError

SUPPLY_V = 0.8
# Energy factor of a node = a V² + b V + c.
_ENERGY = {
    130: (7.171, -6.709, 2.904),
    90: (4.762, -4.781, 2.092),
    65: (3.755, -4.398, 1.975),
    45: (1.103, -0.362, 0.2767),
    32: (0.9559, -0.7823, 0.471),
    20: (0.373, -0.1582, 0.04104),
    16: (0.2958, -0.1241, 0.03024),
    14: (0.2363, -0.09675, 0.02239),
    10: (0.2068, -0.09311, 0.02375),
    7: (0.1776, -0.09097, 0.02447),
}
# Area relative to 45 nm; 65 nm from the published ratio 65 → 45 of 0.66.
_AREA = {65: 1 / 0.66, 45: 1.0, 32: 0.46, 20: 0.21, 16: 0.19, 14: 0.17, 10: 0.10, 7: 0.059}
NODES_NM = (min(_AREA), max(_AREA))


def energy_ratio(from_nm: float, to_nm: float) -> float:
    """Return energy at `to_nm` over energy at `from_nm`.

    >>> energy_ratio(45, 45), round(energy_ratio(45, 7), 3)
    (1.0, 0.094)
    """
    factors = {node: a * SUPPLY_V**2 + b * SUPPLY_V + c for node, (a, b, c) in _ENERGY.items()}
    return _interpolate(factors, to_nm) / _interpolate(factors, from_nm)


def area_ratio(from_nm: float, to_nm: float) -> float:
    """Return area at `to_nm` over area at `from_nm`.

    >>> area_ratio(45, 16)
    0.19
    """
    return _interpolate(_AREA, to_nm) / _interpolate(_AREA, from_nm)


def _interpolate(table: dict[int, float], node_nm: float) -> float:
    """Interpolate log-log between the neighbouring nodes (28 nm lies between 32 and 20)."""
    if not NODES_NM[0] <= node_nm <= NODES_NM[1]:
        raise InputError(
            f"node {node_nm:g} nm: scaling is known from {NODES_NM[0]} to {NODES_NM[1]} nm"
        )
    if node_nm in table:
        return table[int(node_nm)]
    below = max(node for node in table if node < node_nm)
    above = min(node for node in table if node > node_nm)
    weight = math.log(node_nm / below) / math.log(above / below)
    return math.exp((1 - weight) * math.log(table[below]) + weight * math.log(table[above]))
