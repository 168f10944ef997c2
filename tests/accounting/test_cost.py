"""Counts meet prices: every number by hand, and the same last bit however it is added up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.accounting.breakdown import Breakdown
from accelsim.accounting.cost import PricedTally, Prices, unit_pj
from accelsim.accounting.tally import Tally

# At 500 MHz, 1000 cycles are 2 µs: 3 mW leak 6 nJ, 6000 pJ.
PRICES = Prices(
    area_um2={"array": 10.0, "memory": 5.0, "idle": 1.0},
    leakage_mw={"array": 3.0, "memory": 0.5, "idle": 0.0},
    energy_pj={
        "array": {"mac": 2.0, "mac_idle": 0.5},
        "memory": {"read_bytes": 4.0},
        "idle": {"b": 1.0, "a": 1.0},
    },
    clock_mhz=500.0,
)
TALLY = Tally(
    cycles=1000,
    ledgers={},
    breakdown=Breakdown(),
    bound_cycles={},
    actions={"array": {"mac": 0, "mac_idle": 100}, "memory": {"read_bytes": 7}},
    nonzero_actions={"array": {"mac": 8, "mac_idle": -8}, "memory": {"read_bytes": 0}},
)


def test_area_is_that_of_all_units():
    assert PRICES.total_um2 == 16


def test_actions_by_hand():
    priced = PricedTally(PRICES, TALLY)
    # 5 nonzero activations: 40 multiplications, and 60 lane-cycles without one.
    assert priced.action_pj("array", 5) == {"mac": 80.0, "mac_idle": 30.0}
    assert priced.action_pj("memory", 5) == {"read_bytes": 28.0}


def test_leakage_by_hand():
    priced = PricedTally(PRICES, TALLY)
    assert priced.leakage_pj("array") == pytest.approx(6000)
    assert priced.leakage_pj("memory") == pytest.approx(1000)


def test_a_unit_that_a_layer_has_no_use_for_does_nothing():
    actions = PricedTally(PRICES, TALLY).action_pj("idle", 5)
    assert list(actions.items()) == [("a", 0.0), ("b", 0.0)]


@pytest.mark.parametrize(("nonzero", "dynamic_pj"), [(0, 50 + 28), (5, 110 + 28), (12, 194 + 28)])
def test_energy_of_all_units(nonzero, dynamic_pj):
    priced = PricedTally(PRICES, TALLY)
    assert priced.energy_pj(nonzero) == pytest.approx(dynamic_pj + 7000)


@given(
    prices=st.lists(st.floats(0, 1e3), min_size=3, max_size=3),
    counts=st.lists(st.integers(0, 10**12), min_size=3, max_size=3),
    nonzero=st.integers(0, 10**9),
)
def test_a_sweep_adds_up_to_the_bits_of_a_result(prices, counts, nonzero):
    mac, idle, read = prices
    energy_pj = {
        "array": {"mac": mac, "mac_idle": idle},
        "memory": {"read_bytes": read},
        "idle": {},
    }
    macs, idles, reads = counts
    actions = {"array": {"mac": macs, "mac_idle": idles}, "memory": {"read_bytes": reads}}
    tally = Tally(1000, {}, Breakdown(), {}, actions, TALLY.nonzero_actions)
    priced = PricedTally(Prices(PRICES.area_um2, PRICES.leakage_mw, energy_pj, 500.0), tally)
    units = [
        unit_pj(priced.action_pj(name, nonzero).values(), priced.leakage_pj(name))
        for name in energy_pj
    ]
    assert priced.energy_pj(nonzero) == sum(units)
    exact = np.array([mac * (macs + 8 * nonzero), idle * (idles - 8 * nonzero), read * reads])
    assert priced.energy_pj(nonzero) == pytest.approx(
        exact.sum() + 7000, abs=1e-9 * abs(exact).max()
    )
