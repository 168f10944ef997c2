"""Technology tables: prices, netlists by clock, nodes; a table of one's own is read strictly."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import accelsim.tech
from accelsim import simulate
from accelsim.base.errors import InputError
from accelsim.hardware import BLOCKS
from accelsim.tech.blocks import Shape
from accelsim.tech.dram import DramCost, dram_standards, published_dram
from accelsim.tech.load import built_in
from accelsim.tech.scaling import area_ratio, energy_ratio
from accelsim.tech.technology import Table, Technology
from tests.helpers.small import load, trace_of
from tests.helpers.toy import cells, toy, toy_table

DATA = Path(accelsim.tech.__file__).parent / "data"
BUILT_IN = built_in()
SMALL = Shape(n=2, m=4)


@pytest.fixture
def write(tmp_path):
    def _write(contents):
        path = tmp_path / "mine.yaml"
        text = contents if isinstance(contents, str) else yaml.safe_dump(contents)
        path.write_text(text, encoding="utf-8")
        return str(path)

    return _write


# --- tables that are there -----------------------------------------------------------------------


def test_the_documented_table_is_built_in():
    assert "nangate45" in BUILT_IN
    assert "dram" not in BUILT_IN  # beside them, but no technology


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_table_prices_every_block_and_says_where_from(name):
    table = Technology.load(name).table
    assert table.name == name
    assert set(table.blocks) == {name for name in BLOCKS if BLOCKS[name].priced_like is None}
    for number in (table.nand2_um2, table.register_um2, table.register_pj):
        assert number.value > 0
        assert number.source
    assert all(block.source for block in table.blocks.values())


@pytest.mark.parametrize("name", BUILT_IN)
@given(
    size=st.tuples(st.integers(1, 64), st.integers(2, 64)),
    is_float=st.booleans(),
    lanes=st.integers(1, 64),
    columns=st.integers(1, 64),
)
def test_a_built_in_table_knows_every_part_of_selectors_and_crossbars(
    name, size, is_float, lanes, columns
):
    tech = Technology.load(name)
    bits = {"bits": 16, "is_float": True} if is_float else {"bits": 8}
    shape = Shape(n=min(size), m=max(size), lanes=lanes, columns=columns, **bits)
    for block in set(BLOCKS) - {"mac", "dot_product"}:
        for period_ps in (None, 1.0):
            cost = tech.block(block, shape, period_ps=period_ps)
            assert cost.area_um2 >= 0
            assert cost.delay_ps >= 0


def test_a_table_is_taken_at_its_own_node():
    tech = Technology.load("nangate45")
    assert tech.node_nm == 45
    assert tech.register_um2 == tech.table.register_um2.value


# --- prices --------------------------------------------------------------------------------------


def test_an_area_is_parts_times_prices():
    # 2:4 of int8: 6 × 8 comparator bits, 12 counted wins, 32 bits to negate; 37 flip-flops.
    contents = toy_table()
    contents["register_um2"]["value"] = 5
    prices = {"comparator_bits": 2.0, "count_bits": 0.5, "magnitude_bits": 1.0}
    contents["blocks"]["select_rank"]["area"]["area_um2"] = prices
    cost = Technology(Table.model_validate(contents), 45).block("select_rank", SMALL)
    assert cost.parts_um2 == {"comparator_bits": 96, "count_bits": 6, "magnitude_bits": 32}
    assert cost.logic_um2 == 96 + 6 + 32
    assert (cost.register_bits, cost.register_um2) == (37, 185)
    assert cost.area_um2 == 134 + 185


def test_a_delay_is_a_sum_along_the_path():
    # 2:4 of int8: log2 of 8 bits is 3, of M is 2.
    contents = toy_table({"compact": 100})
    contents["blocks"]["compact"]["area"]["delay_ps"] |= {"log_bits": 10, "log_m": 7, "bits": 1}
    tech = Technology(Table.model_validate(contents), 45)
    assert tech.block("compact", SMALL).delay_ps == 100 + 3 * 10 + 2 * 7 + 8 * 1


@pytest.mark.parametrize(
    ("period_ps", "effort", "delay_ps", "cycles"),
    [
        (None, "area", 900, None),
        (1000, "area", 900, 1),
        (900, "area", 900, 1),  # just in time
        (899, "delay", 400, 1),
        (400, "delay", 400, 1),
        (399, "delay", 400, 2),  # neither is in time: the fast one, in two cycles
        (100, "delay", 400, 4),
    ],
)
def test_the_small_netlist_unless_only_the_fast_one_is_in_time(period_ps, effort, delay_ps, cycles):
    tech = toy({"select_rank": 900}, {"select_rank": 400})
    cost = tech.block("select_rank", SMALL, period_ps=period_ps)
    assert (cost.effort, cost.delay_ps) == (effort, delay_ps)
    # The fast netlist of the toy is three times as large; its flip-flops are the same.
    times = {"area": 1, "delay": 3}[effort]
    assert cells(cost.area_um2) == {"core": times * 92, "register": 37}
    assert cycles is None or cost.cycles(period_ps) == cycles


def test_an_energy_goes_with_the_area_that_switches():
    assert toy().energy_pj("dot_product", "int_mac", 20) == 100  # 5 pJ per um2


def test_a_gate_equivalent_is_a_nand2_at_any_node():
    for node in (45, 7):
        tech = Technology.load("nangate45", node_nm=node)
        nand2_um2 = tech.table.nand2_um2.value * area_ratio(45, node)
        assert tech.gate_equivalents(10 * nand2_um2) == pytest.approx(10)


@pytest.mark.parametrize("node", [65, 32, 16, 7])
def test_everything_is_scaled_from_the_node_of_the_table(node):
    table = toy({"select_rank": 900}).table
    native, scaled = Technology(table, 45), Technology(table, node)
    area, energy = area_ratio(45, node), energy_ratio(45, node)
    assert scaled.register_um2 == pytest.approx(native.register_um2 * area)
    assert scaled.register_pj == pytest.approx(native.register_pj * energy)
    before, after = (tech.block("select_rank", SMALL) for tech in (native, scaled))
    assert after.area_um2 == pytest.approx(before.area_um2 * area)
    assert after.register_bits == before.register_bits
    assert after.delay_ps == pytest.approx(900 * node / 45)  # in proportion to the node
    # The same actions of the same block, which has become smaller.
    assert scaled.energy_pj("select_rank", "group", after.area_um2) == pytest.approx(
        native.energy_pj("select_rank", "group", before.area_um2) * energy
    )


def test_a_finer_node_may_do_with_the_small_netlist():
    table = toy({"select_rank": 900}, {"select_rank": 400}).table
    efforts = [
        Technology(table, node).block("select_rank", SMALL, period_ps=500).effort
        for node in (45, 28, 22)  # 900, 560 and 440 ps
    ]
    assert efforts == ["delay", "delay", "area"]


# --- memories ------------------------------------------------------------------------------------


def test_memories_below_the_finest_node_of_the_table_are_scaled():
    sizes = {"capacity_bytes": 65536, "width_bytes": 64, "banks": 1}
    fine, finer = (Technology.load("nangate45", node_nm=n).sram(**sizes) for n in (22, 7))
    assert finer.read_pj == pytest.approx(fine.read_pj * energy_ratio(22, 7))
    assert finer.write_pj == pytest.approx(fine.write_pj * energy_ratio(22, 7))
    assert finer.area_um2 == pytest.approx(fine.area_um2 * area_ratio(22, 7))
    assert finer.leakage_mw == pytest.approx(fine.leakage_mw * area_ratio(22, 7))


def test_memories_above_the_coarsest_node_of_the_table_are_scaled():
    sizes = {"capacity_bytes": 65536, "width_bytes": 64, "banks": 1}
    coarse, coarser = (Technology.load("nangate45", node_nm=n).sram(**sizes) for n in (45, 65))
    assert coarser.read_pj == pytest.approx(coarse.read_pj * energy_ratio(45, 65))
    assert coarser.area_um2 == pytest.approx(coarse.area_um2 * area_ratio(45, 65))


# --- DRAM ----------------------------------------------------------------------------------------


def test_every_dram_standard_has_a_source():
    known = yaml.safe_load((DATA / "dram.yaml").read_text(encoding="utf-8"))
    assert {"lpddr4", "hbm2"} <= set(known)
    for name, number in known.items():
        assert len(number["source"]) > 10
        assert 0 < number["value"] < 100
        assert published_dram(name) == DramCost(number["value"], number["value"])
        assert len(number["peak_gb_per_s"]["source"]) > 10


def test_the_standards_of_today_are_there():
    wanted = {"ddr5", "gddr6", "hbm3", "hbm3e", "lpddr5", "lpddr5x"}
    assert wanted <= set(dram_standards())


@pytest.mark.parametrize("name", dram_standards())
def test_the_peak_of_a_part_is_pins_times_rate(name):
    peak = dram_standards()[name].peak_gb_per_s
    rate, pins = re.search(r"([0-9.]+) Gb/s × ([0-9]+) pins", peak.source).groups()
    assert peak.value == pytest.approx(float(rate) * int(pins) / 8, rel=3e-3)


def test_an_unknown_dram_standard_lists_the_known_ones():
    with pytest.raises(InputError, match=r"'hbm4' .did you mean 'hbm3'.*allowed: lpddr4"):
        published_dram("hbm4")


# --- what a table does not price -----------------------------------------------------------------


def without(*keys):
    """Return the toy technology without an entry."""
    contents = toy_table()
    section = contents
    for key in keys[:-1]:
        section = section[key]
    del section[keys[-1]]
    return Technology(Table.model_validate(contents), 45)


def test_a_block_that_is_not_priced_is_named_with_the_nearest():
    tech = without("blocks", "select_rank")
    said = r"technology 'toy' has no block 'select_rank' .did you mean 'select_r"
    with pytest.raises(InputError, match=said):
        tech.block("select_rank", SMALL)


@pytest.mark.parametrize(
    ("quantity", "part"), [("area_um2", "comparator_bits"), ("delay_ps", "constant")]
)
@pytest.mark.parametrize(("effort", "period_ps"), [("area", None), ("delay", 1)])
def test_a_part_that_is_not_priced_is_named(quantity, part, effort, period_ps):
    contents = toy_table({"select_rank": 900})
    del contents["blocks"]["select_rank"][effort][quantity][part]
    tech = Technology(Table.model_validate(contents), 45)
    with pytest.raises(InputError, match=f"'toy' does not price '{part}' of select_rank"):
        tech.block("select_rank", SMALL, period_ps=period_ps)


def test_a_part_that_is_not_priced_does_not_matter_where_there_is_none_of_it():
    tech = without("blocks", "crossbar_full", "area", "area_um2", "substep_bits")
    assert tech.block("crossbar_full", Shape(n=2, m=4, lanes=2)).area_um2 > 0
    with pytest.raises(InputError, match="'substep_bits' of crossbar_full"):
        tech.block("crossbar_full", Shape(n=4, m=8, lanes=2))


def test_an_energy_that_is_not_priced_is_named():
    with pytest.raises(InputError, match="technology 'toy' has no energy 'sleep' of select_rank"):
        toy().energy_pj("select_rank", "sleep", 1.0)


def test_a_block_that_does_not_exist():
    with pytest.raises(InputError, match="no block 'select_bubble'"):
        toy().block("select_bubble", SMALL)


# --- a table of one's own ------------------------------------------------------------------------


def test_a_table_by_path(write):
    contents = toy_table()
    contents["node_nm"] = 28
    contents["register_um2"]["value"] = 1.25
    tech = Technology.load(write(contents))
    assert (tech.table.name, tech.node_nm, tech.register_um2) == ("toy", 28, 1.25)


def test_a_table_of_a_node_without_scaling_serves_at_its_own_node_only(write):
    contents = toy_table() | {"node_nm": 130}
    path = write(contents)
    assert Technology.load(path).register_um2 == 1
    with pytest.raises(InputError, match="7 to 65 nm"):
        Technology.load(path, node_nm=65)


def refused(path, *parts):
    with pytest.raises(InputError) as caught:
        Technology.load(path)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_a_missing_table_lists_the_built_in_ones(tmp_path):
    refused(str(tmp_path / "none.yaml"), "none.yaml", f"built in: {', '.join(BUILT_IN)}")


def test_a_misspelt_table_is_named_with_the_nearest():
    refused("nangate54", "no file 'nangate54' (did you mean 'nangate45'?)")


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


def test_a_table_of_the_former_schema(write):
    path = write("schema: 1\nname: old\nnumbers: {}\n")
    refused(path, f"{path}:1: schema: ")


HEAD = """schema: 2
name: mine
node_nm: 45
nand2_um2: {value: 1, source: x}
register_um2: {value: 1, source: x}
register_pj: {value: 1, source: x}
leakage_nw_per_um2: {value: 1, source: x}
"""


def test_the_smallest_table(write):
    assert Technology.load(write(HEAD + "blocks: {}\n")).gate_equivalents(3) == 3


@pytest.mark.parametrize(
    ("number", "field"),
    [
        ("{value: 1.0}", "source"),
        ('{value: 1.0, source: ""}', "source"),
        ("{source: x}", "value"),
        ("{value: -1.0, source: x}", "value"),
        ("{value: .nan, source: x}", "value"),
        ("{value: .inf, source: x}", "value"),
        ("{value: 1 pJ, source: x}", "value"),
        ("{value: 1.0, source: x, unit: pJ}", "unit"),
    ],
)
def test_a_number_that_is_not_one_is_named_with_its_line(write, number, field):
    path = write(HEAD.replace("register_um2: {value: 1, source: x}", f"register_um2: {number}"))
    refused(path, f"{path}:5: register_um2.{field}: ")


@pytest.mark.parametrize("key", ["schema", "node_nm", "register_pj", "blocks"])
def test_a_missing_entry_is_named(write, key):
    text = HEAD + "blocks: {}\n"
    text = "".join(row for row in text.splitlines(keepends=True) if not row.startswith(f"{key}:"))
    path = write(text)
    refused(path, path, f"{key}: Field required")


@pytest.mark.parametrize("node", ["0", "-45", "fine"])
def test_a_node_that_is_none(write, node):
    path = write(HEAD.replace("node_nm: 45", f"node_nm: {node}") + "blocks: {}\n")
    refused(path, f"{path}:3: node_nm: ")


@pytest.mark.parametrize(
    ("line", "text", "key"),
    [
        (10, "    area: {area_um2: {places: -1}, delay_ps: {}}", "area.area_um2.places"),
        (10, "    area: {area_um2: {places: 1}}", "area.delay_ps"),
        (11, "    delay: {area_um2: {}, delay_ps: {m: soon}}", "delay.delay_ps.m"),
        (11, "    delay: {area_um2: {}, delay_ps: {}, energy: 1}", "delay.energy"),
        (12, "    energy_pj_per_um2: {group: -1}", "energy_pj_per_um2.group"),
        (13, '    source: ""', "source"),
        (13, "    sauce: x", "sauce"),
    ],
)
def test_a_block_that_is_wrong_is_named_with_its_line(write, line, text, key):
    rows = [
        "blocks:",
        "  compact:",
        "    area: {area_um2: {}, delay_ps: {}}",
        "    delay: {area_um2: {}, delay_ps: {}}",
        "    energy_pj_per_um2: {}",
        "    source: x",
    ]
    rows[line - 8] = text
    if key == "sauce":
        rows.append("    source: x")
    path = write(HEAD + "\n".join(rows) + "\n")
    refused(path, f"{path}:{line}: blocks.compact.{key}: ")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("nand2_um2", "0", "greater than 0"),
        ("register_um2", "0", "greater than 0"),
        ("register_um2", "1.7e308", "less than or equal to 1"),
        ("register_pj", "1.7e308", "less than or equal to 1"),
        ("register_pj", "-0.1", "greater than or equal to 0"),
        ("leakage_nw_per_um2", ".nan", "finite"),
        ("register_pj", "yes", "a switch is true or false"),
        ("register_pj", "1_0", "a number has no underscores"),
        ("register_pj", '"1"', "without quotes it is a number"),
        ("register_pj", "true", "number"),
    ],
)
def test_prices_are_in_a_range_that_makes_sense(write, key, value, said):
    text = HEAD.replace(f"{key}: {{value: 1,", f"{key}: {{value: {value},") + "blocks: {}\n"
    path = write(text)
    line = next(i for i, row in enumerate(text.splitlines(), 1) if row.startswith(key))
    refused(path, f"{path}:{line}: {key}.value: ", said)


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "two\nlines"])
def test_a_name_that_no_file_has(name):
    refused(name, "no file '", "built in: ")


def test_a_table_of_zeros_gives_finite_results(write):
    contents = toy_table()
    for block in contents["blocks"].values():
        for effort in ("area", "delay"):
            block[effort] = {kind: dict.fromkeys(parts, 0) for kind, parts in block[effort].items()}
    arch = load("nm816", {"technology.table": write(contents), "mitigation": "dpts"})
    result = simulate(arch, trace_of([(64, 32)]))
    assert all(np.isfinite(value) for value in result.totals().values())
