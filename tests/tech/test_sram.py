"""The SRAM cost table: what it holds, how it interpolates, what it does outside its grid."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import astuple
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from accelsim.tech.sram import NATIVE_NODES_NM, SramCost, sram_cost

SCRIPT = Path(__file__).parents[2] / "experiments" / "sram_table" / "generate.py"
KIB, MIB = 1 << 10, 1 << 20
# Measured leave-one-out errors, rounded up: read, write, leakage, area, cycle time. The two
# neighbours are a factor of four apart; the worst cases are jumps between CACTI's organisations.
MEDIAN = (0.07, 0.06, 0.13, 0.07, 0.13)
WORST = (0.65, 0.45, 1.25, 0.55, 1.35)


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_sram_table", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def cost(capacity: int = 64 * KIB, width: int = 64, banks: int = 1, node: float = 45) -> SramCost:
    return sram_cost(capacity_bytes=capacity, width_bytes=width, banks=banks, node_nm=node)


def test_exact_at_grid_points(generate: ModuleType) -> None:
    table = generate.read_table()
    assert {point.node_nm for point in table} == set(NATIVE_NODES_NM)
    for point, values in table.items():
        found = cost(point.capacity_bytes, point.width_bytes, point.banks, point.node_nm)
        assert astuple(found) == pytest.approx(values, rel=1e-9)


def test_leave_one_out_errors_stay_within_the_measured_ones(generate: ModuleType) -> None:
    errors = generate.leave_one_out_errors()
    assert len(errors) > 1000
    assert (np.median(errors, axis=0) <= MEDIAN).all()
    assert (errors.max(axis=0) <= WORST).all()


@pytest.mark.parametrize("node", NATIVE_NODES_NM)
@pytest.mark.parametrize("banks", [1, 3, 8])
@pytest.mark.parametrize("width", [1, 8, 24, 64, 512, 1536])
def test_more_capacity_never_costs_less(width: int, banks: int, node: float) -> None:
    # On, between, below (from one row per bank) and above the points of the table.
    capacities = [c for i in range(6, 27) for c in (1 << i, 5 << i >> 2) if c >= width * banks]
    costs = [cost(c, width, banks, node) for c in capacities if c <= 64 * MIB]
    for name in ("area_um2", "leakage_mw", "read_pj"):
        values = np.array([getattr(each, name) for each in costs])
        assert (values[1:] >= values[:-1] * (1 - 1e-12)).all(), name


def test_between_points_lies_between() -> None:
    low, middle, high = cost(64 * KIB), cost(96 * KIB), cost(128 * KIB)
    assert low.read_pj < middle.read_pj < high.read_pj
    assert cost(node=32).area_um2 < cost(node=40).area_um2 < cost(node=45).area_um2


def test_wide_memory_is_built_side_by_side() -> None:
    wide, part = cost(2 * MIB, 1024), cost(MIB, 512)
    assert wide.read_pj == pytest.approx(2 * part.read_pj)
    assert wide.area_um2 == pytest.approx(2 * part.area_um2)
    assert wide.cycle_time_ns == pytest.approx(part.cycle_time_ns)


def test_small_and_narrow_memories() -> None:
    small, smallest = cost(256, 8), cost(KIB, 8)
    assert small.read_pj == pytest.approx(smallest.read_pj)
    assert small.area_um2 == pytest.approx(smallest.area_um2 / 4)
    assert small.leakage_mw == pytest.approx(smallest.leakage_mw / 4)
    assert cost(width=2) == cost(width=8)
    few_rows = cost(KIB, 64)  # 16 rows, for which CACTI finds nothing
    assert few_rows.read_pj == pytest.approx(cost(2 * KIB, 64).read_pj)
    assert few_rows.area_um2 == pytest.approx(cost(2 * KIB, 64).area_um2 / 2)


def test_large_memory_and_fine_node() -> None:
    large, largest = cost(16 * MIB), cost(4 * MIB)
    assert large.area_um2 == pytest.approx(4 * largest.area_um2)
    assert large.read_pj == pytest.approx(2 * largest.read_pj)
    assert large.cycle_time_ns == pytest.approx(largest.cycle_time_ns)
    assert cost(node=7) == cost(node=22)


def test_agrees_with_published_read_energies() -> None:
    """Horowitz, ISSCC'14, 45 nm, a 64-bit read: 8 KB 10 pJ, 32 KB 20 pJ, 1 MB 100 pJ."""
    for capacity, published in ((8 * KIB, 10), (32 * KIB, 20), (MIB, 100)):
        assert cost(capacity, 8).read_pj == pytest.approx(published, rel=0.35)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "width_bytes 0"),
        ({"width": -8}, "width_bytes -8"),
        ({"banks": 0}, "banks 0"),
        ({"banks": 16}, "banks 16"),
        ({"capacity": 0}, "capacity_bytes 0"),
        ({"capacity": 64, "banks": 2}, "less than 64 B in each bank"),
        ({"capacity": 64 * MIB + 1}, "capacity_bytes 67108865"),
        ({"node": 0}, "node_nm 0"),
        ({"node": 65}, "node_nm 65"),
        ({"node": float("nan")}, "node_nm nan"),
    ],
)
def test_bad_inputs_raise(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cost(**arguments)
