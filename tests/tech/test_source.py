"""Cost sources: which class reads a file, and what nobody prices is refused."""

import pytest
import yaml

from accelsim.base.errors import InputError
from accelsim.tech.load import built_in, load_source
from accelsim.tech.source import SOURCES, clock_periods
from accelsim.tech.technology import Technology
from tests.helpers.toy import toy_table


def write(folder, contents):
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(contents, sort_keys=False), encoding="utf-8")
    return str(path)


def test_a_kind_is_registered_on_import():
    assert SOURCES["synthesis"] is Technology


@pytest.mark.parametrize("name", built_in())
def test_a_built_in_table_is_read_once_and_scaled_anew(name):
    source = load_source(name)
    assert source.name == name
    assert load_source(name) is source
    scaled = load_source(name, node_nm=16)
    assert (scaled.node_nm, type(scaled)) == (16, type(source))
    assert scaled.register_um2 < source.register_um2
    assert load_source(name, node_nm=source.node_nm).register_um2 == source.register_um2


@pytest.mark.parametrize("name", built_in())
def test_wires_are_refused_rather_than_free(name):
    with pytest.raises(InputError, match=f"'{name}' does not price wires .8 bits over 150 um"):
        load_source(name).wire(8, 150.0)


@pytest.mark.parametrize("name", built_in())
def test_a_block_says_where_its_prices_come_from(name):
    assert load_source(name).origin("dot_product").startswith("fit to our RTL, Yosys ")
    # A lane is composed of the parts of a dot product.
    assert load_source(name).origin("scale_lane") == load_source(name).origin("dot_product")


def test_memories_are_known_at_fewer_nodes_than_logic(tmp_path):
    source = load_source(write(tmp_path, toy_table() | {"node_nm": 130}))
    assert source.register_um2 == 1
    with pytest.raises(InputError, match="7 to 65 nm"):
        source.check_node()


@pytest.mark.parametrize("kind", ["layout", 3, [1], None])
def test_an_unknown_kind_is_named_with_its_line(tmp_path, kind):
    path = write(tmp_path, {"schema": 2, "kind": kind, "name": "x"})
    with pytest.raises(InputError, match=r"mine.yaml:2: unknown kind of technology .*synthesis"):
        load_source(path)


def test_the_kind_may_be_said_of_a_table_of_parts(tmp_path):
    assert load_source(write(tmp_path, toy_table() | {"kind": "synthesis"})).name == "toy"


@pytest.mark.parametrize(("delay_ps", "cycles"), [(0, 1), (999, 1), (1000, 1), (1001, 2)])
def test_a_path_takes_whole_periods_and_at_least_one(delay_ps, cycles):
    assert clock_periods(delay_ps, 1000) == cycles
