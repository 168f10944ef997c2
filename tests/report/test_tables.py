"""Tables for people: digits that count, units that fit, power, and times where clocks differ."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from accelsim.report.quantity import area_scale, change, digits, percent, scale_of, times
from accelsim.report.summary import headline
from accelsim.report.tables import (
    area_table,
    comparison_table,
    layer_table,
    power_table,
    unit_table,
)
from accelsim.results.comparison import comparison_rows
from accelsim.run.area import AreaReport
from accelsim.run.simulation import simulate, simulate_all
from accelsim.trace import load_trace
from tests.helpers.small import ARCHITECTURES, SHIPPED_TRACE, load, trace_of

ZERO = re.compile(r"[-+]?0(\.0+)?[×%]?")
numbers = st.floats(1e-30, 1e15) | st.floats(-1e15, -1e-30)


def texts(table):
    """The cells of a table by column."""
    return {str(column.header): list(map(str, column.cells)) for column in table.columns}


@given(value=numbers)
def test_three_digits_are_within_half_a_percent(value):
    assert float(digits(value).replace(",", "")) == pytest.approx(value, rel=5.1e-3)
    assert float(times(value)[:-1].replace(",", "")) == pytest.approx(value, rel=5.1e-3)


@given(value=st.floats(1e-12, 1e3))
def test_what_is_not_nothing_is_not_shown_as_nothing(value):
    assert percent(value) != "0"
    assert "0.0%" not in (percent(value), change(value)[1:], change(-value)[1:])
    assert (percent(0), change(0.0)) == ("0", "+0.0%")


@given(values=st.lists(st.floats(1e-12, 1e12), min_size=1, max_size=9))
def test_the_middle_number_has_one_to_three_digits(values):
    scale = scale_of(values, "J")
    middle = sorted(value * scale.factor for value in values)[len(values) // 2]
    if len(values) % 2:
        assert 0.999 <= middle <= 1000.1
    assert area_scale([value * 1e6 for value in [5.0, 3.0, 4.0]]).unit == "mm²"
    assert area_scale([5.0, 3.0]).unit == "µm²"


def test_no_number_of_a_tiny_machine_is_shown_as_nothing():
    # One multiplier a row at 1 MHz, and almost no buffers: 32 MOPS on some 10,000 µm².
    changes = {"mac_array.rows": 1, "mac_array.columns": 1, "mac_array.lanes": 1, "clock_mhz": 1}
    changes |= {"technology.node_nm": 7, "dram.bandwidth_gb_per_s": 0.01}
    changes |= {f"buffers.{name}.capacity_kib": 1 for name in ("activations", "weights", "outputs")}
    result = simulate(load("dense", changes), trace_of([(8, 4)], lengths=(2,)))
    for table, columns in ((layer_table(result, None), (3, 6)), (unit_table(result), (1, 2))):
        cells = list(texts(table).values())
        for column in columns:
            assert not [cell for cell in cells[column] if ZERO.fullmatch(cell)]
    cells = texts(area_table("tiny", AreaReport.of(load("dense", changes))))
    assert not [cell for column in cells.values() for cell in column if ZERO.fullmatch(cell)]
    assert not re.search(r"(?<![\d.,])0(\.0+)? ", headline(result))


@pytest.fixture(scope="module")
def small():
    return trace_of([(64, 32), (128, 64)], lengths=(8,))


def test_times_stand_where_clocks_differ_and_speed_up_is_by_time(small):
    machines = [load("dense"), load("dense", {"clock_mhz": 100}), load("nm816")]
    rows = comparison_rows(simulate_all(machines, small))
    cells = texts(power_table(rows))
    shown = [float(text.replace(",", "")) for text in cells["ns"]]
    assert shown == pytest.approx([1e9 * row["time_s"] for row in rows], rel=5e-3)
    assert cells["MHz"] == ["1000", "100", "1000"]
    speedups = texts(comparison_table(rows))["speed-up"]
    assert speedups[1] == times(rows[0]["time_s"] / rows[1]["time_s"])
    same = comparison_rows(simulate_all([machines[0], machines[2]], small))
    assert "ns" not in texts(power_table(same))


def test_tables_of_machines_at_several_clocks_fit_a_terminal(small):
    machines = [load("nm1632"), load("nm1632", {"clock_mhz": 500})]
    rows = [
        row | {"cycles": row["cycles"] % 1000 + 16_320_000}  # as many as of a larger trace
        for row in comparison_rows(simulate_all(machines, small))
    ]
    for table in (comparison_table(rows), power_table(rows)):
        assert Console(width=200).measure(table).maximum <= 80


def test_power_is_energy_over_time_with_and_without_dram(small):
    result = simulate(load("nm816"), small)
    totals = result.totals() | result.chip_power()
    dram_pj = result.units["dram"].energy_pj
    time_us = result.cycles / 1000
    assert totals["power_mw"] == pytest.approx(result.energy_pj / time_us * 1e-3)
    chip_mw = (result.energy_pj - dram_pj) / time_us * 1e-3
    assert totals["chip_power_mw"] == pytest.approx(chip_mw)
    density = chip_mw * 1e-3 / (result.area_um2 * 1e-6)
    assert totals["power_density_w_per_mm2"] == pytest.approx(density)
    (line,) = [line for line in headline(result).splitlines() if "TOPS/W" in line]
    power, efficiency, without = re.findall(r"[\d.]+", line)[:3]
    assert float(power) == pytest.approx(totals["power_mw"] / 1000, rel=5e-3)
    assert float(efficiency) == pytest.approx(totals["tops_per_w"], rel=5e-3)
    assert float(without) in (
        pytest.approx(chip_mw, rel=5e-3),
        pytest.approx(chip_mw / 1e3, rel=5e-3),
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"technology.node_nm": 7, "clock_mhz": 2000}, r"W/mm², more than chips are cooled at"),
        ({"technology.node_nm": 7}, "most of it in DRAM: .* no room for such an interface"),
    ],
)
def test_implausible_power_is_remarked(changes, said):
    result = simulate(load("nm816", changes), load_trace(SHIPPED_TRACE))
    (note,) = result.power_notes
    assert re.search(said, note)
    assert note in result.to_dict()["warnings"]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_shipped_machines_are_plausible(name, small):
    assert simulate(load(name), small).power_notes == ()
