"""The shipped machines: alike but for sparsity, and complete when printed."""

from pathlib import Path

import pytest
import yaml

from accelsim.config import load_arch

FOLDER = Path(__file__).parents[2] / "arch_configs"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
INT8 = ("dense", "nm24", "nm48", "nm816", "nm1632")
SPARSE = INT8[1:]


def load(name):
    return load_arch(FOLDER / f"{name}.yaml")


def test_the_documented_machines_are_shipped():
    assert {*INT8, "nm816_bf16"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_file_loads_and_is_called_as_it_is_named(name):
    assert load(name).name == name


@pytest.mark.parametrize("name", INT8)
def test_the_int8_machines_differ_in_sparsity_only(name):
    machine, dense = load(name), load("dense")
    assert machine.path.macs_per_cycle == dense.path.macs_per_cycle == 1024
    for part in ("clock_mhz", "precision", "mac_array", "dram", "technology", "tiling"):
        assert getattr(machine, part) == getattr(dense, part)
    for buffer in ("activations", "weights", "outputs"):
        assert getattr(machine.buffers, buffer) == getattr(dense.buffers, buffer)


@pytest.mark.parametrize("name", SPARSE)
def test_the_sparse_machines_differ_in_pattern_and_selectors_only(name):
    machine, first = load(name), load("nm24")
    assert machine.buffers == first.buffers
    assert machine.crossbar.kind == first.crossbar.kind
    assert machine.format == first.format
    assert machine.selector.kind == first.selector.kind
    # All select 64 activations a cycle.
    assert machine.selector.instances * machine.pattern.group_size == 64


@pytest.mark.parametrize(
    ("name", "pattern"),
    [("dense", "dense"), ("nm24", "2:4"), ("nm48", "4:8"), ("nm816", "8:16"), ("nm1632", "16:32")],
)
def test_patterns(name, pattern):
    assert str(load(name).pattern) == pattern


def test_the_bf16_machine_holds_as_many_values():
    int8, bf16 = load("nm816"), load("nm816_bf16")
    assert (int8.precision, bf16.precision) == ("int8", "bf16")
    assert bf16.path.macs_per_cycle == int8.path.macs_per_cycle
    for name in ("activations", "weights", "outputs"):
        small, large = getattr(int8.buffers, name), getattr(bf16.buffers, name)
        assert large.capacity_kib == 2 * small.capacity_kib
        assert large.port_bytes == 2 * small.port_bytes


@pytest.mark.parametrize("name", NAMES)
def test_what_is_printed_describes_the_same_machine(name, tmp_path):
    machine = load(name)
    path = tmp_path / "resolved.yaml"
    path.write_text(yaml.safe_dump(machine.resolved()), encoding="utf-8")
    again = load_arch(path)
    assert again.resolved() == machine.resolved()
    assert again == machine


@pytest.mark.parametrize("name", NAMES)
def test_the_dense_twin_is_a_valid_machine(name, tmp_path):
    twin = load(name).dense()
    path = tmp_path / "twin.yaml"
    path.write_text(yaml.safe_dump(twin.resolved()), encoding="utf-8")
    assert load_arch(path) == twin
    assert twin.pattern.is_dense
    assert twin.buffers.compressed is None


def test_the_dense_twin_of_8_16_is_the_shipped_dense_machine():
    twin, dense = load("nm816").dense(), load("dense")
    ignored = {"name", "format"}
    assert twin.model_dump(exclude=ignored) == dense.model_dump(exclude=ignored)


@pytest.mark.parametrize("name", NAMES)
def test_units_come_in_the_order_of_the_data_flow(name):
    machine = load(name)
    order = ["dram", "activation_buffer", "selector", "compressed_buffer", "weight_buffer"]
    order += ["crossbar", "mac_array", "output_buffer"]
    if name == "twell":
        order = ["dram", "activation_buffer", "weight_buffer", "token_gather", "mac_array"]
        order += ["twell_packer", "output_buffer", "crossbar"]
    if machine.pattern.is_dense:
        order = [unit for unit in order if unit not in {"selector", "compressed_buffer"}]
    is_dense = machine.pattern.is_dense and machine.weight_pattern.is_dense
    if is_dense or "crossbar" not in machine.diagram.units:
        order.remove("crossbar")
    if name == "qsparse":
        order.insert(1, "statistics")  # all of X, for the levels of its tokens
    if name == "sharq":
        order.insert(order.index("selector"), "splitter")
    if name == "teal_w4":
        order.insert(order.index("mac_array"), "unpacker")
    assert list(machine.units) == order


def test_defaults_are_those_of_the_documentation(tmp_path):
    path = tmp_path / "minimal.yaml"
    path.write_text(
        """
schema: 1
name: minimal
clock_mhz: 500
precision: int8
pattern: dense
mac_array: {rows: 4, columns: 4, lanes: 4}
buffers:
  activations: {capacity_kib: 16, port_bytes: 16}
  weights: {capacity_kib: 16, port_bytes: 16}
  outputs: {capacity_kib: 16, port_bytes: 16}
dram: {standard: lpddr4, bandwidth_gb_per_s: 8}
""",
        encoding="utf-8",
    )
    machine = load_arch(path).resolved()
    assert machine["format"] == "bitmask"
    assert machine["selector"] is None
    assert machine["crossbar"] == {"kind": "none", "pipeline_stages": 0}
    assert machine["buffers"]["compressed"] is None
    assert machine["technology"] == {"table": "nangate45", "node_nm": 45.0}
    assert machine["tiling"] == "auto"
    assert machine["dram"]["burst_bytes"] == 64
