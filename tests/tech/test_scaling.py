"""Node scaling: the published table, nothing invented between or beyond."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.base.errors import InputError
from accelsim.tech.scaling import NODES_NM, area_ratio, energy_ratio

nodes = st.floats(7, 65)


@pytest.mark.parametrize("node", [7, 14, 16, 22, 28, 32, 45, 65])
def test_a_node_to_itself_changes_nothing(node):
    assert energy_ratio(node, node) == 1.0
    assert area_ratio(node, node) == 1.0


@pytest.mark.parametrize(
    ("node", "area", "energy"),
    # Energy a V² + b V + c at 0.8 V; at 45 nm: 1.103 × 0.64 - 0.362 × 0.8 + 0.2767 = 0.69302.
    [
        (65, 1 / 0.66, (3.755 * 0.64 - 4.398 * 0.8 + 1.975) / 0.69302),
        (32, 0.46, (0.9559 * 0.64 - 0.7823 * 0.8 + 0.471) / 0.69302),
        (16, 0.19, (0.2958 * 0.64 - 0.1241 * 0.8 + 0.03024) / 0.69302),
        (7, 0.059, (0.1776 * 0.64 - 0.09097 * 0.8 + 0.02447) / 0.69302),
    ],
)
def test_published_nodes(node, area, energy):
    assert area_ratio(45, node) == pytest.approx(area)
    assert energy_ratio(45, node) == pytest.approx(energy, rel=1e-4)


def test_28_nm_lies_between_its_neighbours():
    assert area_ratio(45, 20) < area_ratio(45, 28) < area_ratio(45, 32)
    assert energy_ratio(45, 20) < energy_ratio(45, 28) < energy_ratio(45, 32)
    # Log-log: 28 is 71.6 % of the way from 20 to 32; 0.21 × (0.46 / 0.21)^0.716 = 0.368.
    assert area_ratio(45, 28) == pytest.approx(0.368, abs=0.001)


@given(a=nodes, b=nodes, c=nodes)
def test_scaling_in_two_steps_is_scaling_in_one(a, b, c):
    for ratio in (energy_ratio, area_ratio):
        assert ratio(a, b) * ratio(b, c) == pytest.approx(ratio(a, c))
        assert ratio(a, b) * ratio(b, a) == pytest.approx(1)


@pytest.mark.parametrize("ratio", [energy_ratio, area_ratio])
def test_finer_is_smaller_and_cheaper(ratio):
    values = [ratio(45, node) for node in (65, 45, 32, 28, 22, 20, 16, 14, 10, 7)]
    assert all(a > b for a, b in pairwise(values))


@pytest.mark.parametrize("node", [0, -45, 5, 6.99, 65.01, 130, float("nan")])
@pytest.mark.parametrize("ratio", [energy_ratio, area_ratio])
def test_nothing_is_known_beyond(ratio, node):
    with pytest.raises(InputError, match="scaling is known from 7 to 65 nm"):
        ratio(45, node)


def test_the_range_is_exported():
    assert NODES_NM == (7, 65)
