"""Technology tables: every number has a source, and a table of one's own is read strictly."""

import re
from pathlib import Path

import pytest
import yaml

import accelsim.tech
from accelsim.errors import InputError
from accelsim.tech.scaling import area_ratio, energy_ratio
from accelsim.tech.technology import Technology

DATA = Path(accelsim.tech.__file__).parent / "data"
BUILT_IN = sorted(path.stem for path in DATA.glob("*.yaml"))


@pytest.fixture
def table():
    """The contents of the built-in table."""
    return yaml.safe_load((DATA / "literature45.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def write(tmp_path):
    def _write(contents):
        path = tmp_path / "mine.yaml"
        text = contents if isinstance(contents, str) else yaml.safe_dump(contents)
        path.write_text(text, encoding="utf-8")
        return str(path)

    return _write


def test_the_documented_table_is_built_in():
    assert "literature45" in BUILT_IN


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_number_has_a_source_a_node_and_a_unit(name):
    tech = Technology.load(name, node_nm=45)
    for key, number in tech.table.numbers.items():
        assert len(number.source) > 5, key
        assert number.node_nm, key
        assert re.search(r"_(pj|um2|nw)(_per_\w+)?$", key), key
    for number in tech.table.dram_pj_per_bit.values():
        assert len(number.source) > 10
        assert 0 < number.value < 100


@pytest.mark.parametrize("node", [65, 45, 28, 16, 7])
def test_numbers_are_scaled_from_their_own_node(node):
    tech = Technology.load("literature45", node_nm=node)
    assert tech.area_um2("nand2_um2") == pytest.approx(0.798 * area_ratio(45, node))
    # The comparator was published at 40 nm.
    expected = tech.table.numbers["comparator_pj_per_bit"].value * energy_ratio(40, node)
    assert tech.energy_pj("comparator_pj_per_bit") == pytest.approx(expected)


def test_a_gate_equivalent_is_a_nand2_at_any_node():
    for node in (45, 7):
        tech = Technology.load("literature45", node_nm=node)
        assert tech.gate_equivalents(10 * tech.area_um2("nand2_um2")) == pytest.approx(10)


def test_dram_does_not_scale_with_the_logic():
    prices = [
        Technology.load("literature45", node_nm=node).dram_pj_per_bit("lpddr4") for node in (45, 7)
    ]
    assert prices[0] == prices[1] == 8.0


def test_memories_below_the_finest_node_of_the_table_are_scaled():
    sizes = {"capacity_bytes": 65536, "width_bytes": 64, "banks": 1}
    fine, finer = (Technology.load("literature45", node_nm=n).sram(**sizes) for n in (22, 7))
    assert finer.read_pj == pytest.approx(fine.read_pj * energy_ratio(22, 7))
    assert finer.write_pj == pytest.approx(fine.write_pj * energy_ratio(22, 7))
    assert finer.area_um2 == pytest.approx(fine.area_um2 * area_ratio(22, 7))
    assert finer.leakage_mw == pytest.approx(fine.leakage_mw * area_ratio(22, 7))


def test_memories_above_the_coarsest_node_of_the_table_are_scaled():
    sizes = {"capacity_bytes": 65536, "width_bytes": 64, "banks": 1}
    coarse, coarser = (Technology.load("literature45", node_nm=n).sram(**sizes) for n in (45, 65))
    assert coarser.read_pj == pytest.approx(coarse.read_pj * energy_ratio(45, 65))
    assert coarser.area_um2 == pytest.approx(coarse.area_um2 * area_ratio(45, 65))


# --- a table of one's own ------------------------------------------------------------------------


def test_a_table_by_path(write, table):
    table["numbers"]["int8_mac_pj"]["value"] = 1.25
    tech = Technology.load(write(table), node_nm=45)
    assert tech.energy_pj("int8_mac_pj") == 1.25


def refused(path, *parts):
    with pytest.raises(InputError) as caught:
        Technology.load(path, node_nm=45)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_a_missing_table_lists_the_built_in_ones(tmp_path):
    refused(str(tmp_path / "none.yaml"), "none.yaml", "built in: literature45")


@pytest.mark.parametrize("text", ["a: [", "a: \x07", "\t"])
def test_a_table_that_is_not_yaml(write, text):
    path = write(text)
    refused(path, path, "YAML")


@pytest.mark.parametrize("text", ["", "- a", "3"])
def test_a_table_that_is_no_mapping(write, text):
    path = write(text)
    refused(path, path)


def test_a_table_that_is_not_text(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    refused(str(path), str(path), "UTF-8")


def numbers(table, **changes):
    table["numbers"]["int8_mac_pj"] = changes
    return table


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ({"value": 1.0}, "source"),
        ({"value": 1.0, "source": ""}, "source"),
        ({"source": "x"}, "value"),
        ({"value": -1.0, "source": "x"}, "value"),
        ({"value": float("nan"), "source": "x"}, "value"),
        ({"value": "1 pJ", "source": "x"}, "value"),
        ({"value": 1.0, "source": "x", "unit": "pJ"}, "unit"),
    ],
)
def test_a_number_that_is_not_one_is_named(write, table, entry, field):
    path = write(numbers(table, **entry))
    refused(path, path, f"numbers.int8_mac_pj.{field}")


def test_a_number_of_an_unknown_node_is_an_input_error(write, table):
    path = write(numbers(table, value=1.0, source="x", node_nm=500))
    with pytest.raises(InputError, match="500"):
        Technology.load(path, node_nm=45).energy_pj("int8_mac_pj")


def test_a_number_that_is_missing_is_named_with_the_nearest(write, table):
    del table["numbers"]["int8_mac_pj"]
    tech = Technology.load(write(table), node_nm=45)
    with pytest.raises(InputError, match=r"no number 'int8_mac_pj' .did you mean 'int8_mac_"):
        tech.energy_pj("int8_mac_pj")


def test_an_unknown_dram_standard_lists_the_known_ones():
    tech = Technology.load("literature45", node_nm=45)
    with pytest.raises(InputError, match=r"'hbm4' .did you mean 'hbm2'.*allowed: lpddr4"):
        tech.dram_pj_per_bit("hbm4")
