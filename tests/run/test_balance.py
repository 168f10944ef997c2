"""Warnings of ports, selectors and lanes: what they say to write is enough, and no more is said."""

from dataclasses import replace
from math import ceil, log2

import pytest

from accelsim.run.balance import area_notes, balanced_ports, bottlenecks, run_notes
from accelsim.run.simulation import simulate
from accelsim.trace import load_trace
from accelsim.trace.shapes import synthesise
from tests.helpers.small import ARCHITECTURES, SHIPPED_TRACE, load, machine_for

WHOLE = load_trace(SHIPPED_TRACE)
# Its layers are alike in all blocks.
TRACE = replace(WHOLE, meta=WHOLE.meta.model_copy(update={"linears": WHOLE.linears[:7]}))
PORTS = {"weight_buffer": "weights", "activation_buffer": "activations"}


@pytest.fixture(scope="module")
def block(tmp_path_factory):
    """One block of a model, 64 tokens, without values."""
    path = tmp_path_factory.mktemp("balance") / "block.npz"
    return synthesise("llama-3.2-1b", path, tokens=64, layers=1, distribution="none")


def keys(name, changes, trace, **options):
    machine = load(name, changes)
    return {
        found.key: found.needed
        for found in bottlenecks(machine, simulate(machine, trace, **options))
    }


# --- the formulas of the table of keys -----------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "changes"),
    [
        ("8:16", {}),
        ("2:4", {"mac_array.rows": 16, "format": "index"}),
        ("3:5", {"mac_array.columns": 24}),
        ("16:32", {"mac_array.lanes": 8}),
        ("8:16", {"precision": "bf16", "mac_array.lanes": 32}),
        ("dense", {"mac_array.rows": 32}),
        ("dense", {"precision": "bf16"}),
    ],
)
def test_the_formulas_are_those_of_the_page(pattern, changes):
    machine = machine_for(pattern, changes)
    rows, columns, lanes = (getattr(machine.mac_array, n) for n in ("rows", "columns", "lanes"))
    kept, group = (1, 1) if pattern == "dense" else map(int, pattern.split(":"))
    size = 2 if machine.precision == "bf16" else 1
    groups, steps = max(1, lanes // kept), ceil(kept / lanes)
    metadata = group if machine.format == "bitmask" else kept * ceil(log2(group))
    needed = {"weight_buffer": ceil(columns * groups * group * size / steps)}
    if pattern == "dense":
        needed["activation_buffer"] = rows * lanes * size
    else:
        row_bytes = ceil(groups * (kept * 8 * size + metadata) / 8)
        needed["compressed_buffer"] = ceil(rows * row_bytes / steps)
    assert balanced_ports(machine) == needed


@pytest.mark.parametrize("pattern", ["8:16", "2:4", "16:32", "dense"])
@pytest.mark.parametrize("changes", [{}, {"mac_array.lanes": 8}, {"mac_array.rows": 16}])
def test_a_balanced_port_just_keeps_up(pattern, changes, block):
    needed = balanced_ports(machine_for(pattern, changes))
    names = {"compressed_buffer": "compressed", **PORTS}
    for width, keeps_up in ((0, True), (-1, False)):
        ports = {f"buffers.{names[unit]}.port_bytes": n + width for unit, n in needed.items()}
        macros = {key.replace("port_bytes", "macros"): 1 for key in ports}
        machine = machine_for(pattern, changes | ports | macros)
        layer = simulate(machine, block).layers[0]
        for unit in needed:
            assert (layer.bound_cycles[unit] <= layer.bound_cycles["mac_array"]) is keeps_up


# --- the warnings of a run -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("options", [{}, {"phase": "decode", "batch": 4}])
def test_shipped_machines_do_not_warn(name, options):
    machine = load(name)
    assert list(run_notes(machine, simulate(machine, WHOLE, **options))) == []
    assert list(area_notes(machine)) == []


CASES = [
    ("nm816", {"pattern": "2:4"}),
    ("nm816", {"selector.instances": 1}),
    ("nm816", {"selector.kind": "radix"}),  # 9 cycles a group, which 36 do not divide
    ("nm816", {"selector.kind": "bitonic", "selector.instances": 3}),
    ("nm1632", {"mac_array.rows": 32}),
    ("nm816", {"mac_array.columns": 32}),
    ("nm48", {"mac_array.lanes": 64}),
    ("nm816", {"buffers.compressed.port_bytes": 52}),
    ("nm816", {"buffers.activations.port_bytes": 4}),
    ("nm24", {"buffers.outputs.port_bytes": 4}),
    ("nm816", {"buffers.weights.port_bytes": 24, "buffers.weights.macros": 3}),
    ("nm816", {"mitigation": "var", "moments.lanes": 3}),
    ("nm816", {"criterion": "clact", "statistics.lanes": 1}),
    ("dense", {"mac_array.rows": 32}),
    ("dense", {"mac_array.columns": 64}),
    ("dense", {"buffers.activations.port_bytes": 16}),
    ("dense", {"dram.bandwidth_gb_per_s": 1024, "buffers.weights.port_bytes": 32}),
]


@pytest.mark.parametrize(("name", "changes"), CASES)
@pytest.mark.parametrize("options", [{}, {"phase": "decode", "batch": 8}])
def test_what_is_written_ends_the_warning_and_the_stall(name, changes, options):
    said = keys(name, changes, TRACE, **options)
    assert said or options, "not a bottleneck: no test"
    assert keys(name, changes | said, TRACE, **options) == {}
    slow, quick = (simulate(load(name, changes | extra), TRACE, **options) for extra in ({}, said))
    assert quick.cycles < slow.cycles or not said
    for key in said:
        unit = key.split(".")[1].rstrip("s") + "_buffer" if "buffers" in key else key.split(".")[0]
        stall = quick.breakdown.stall_cycles.get(unit, 0)
        assert stall <= 0.05 * quick.cycles


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"pattern": "2:4"}, "selector.instances"),
        ({"mac_array.columns": 16}, "buffers.weights.port_bytes"),
        ({"buffers.activations.port_bytes": 4}, "buffers.activations.port_bytes"),
    ],
)
def test_three_quarters_of_what_is_said_are_not_enough(changes, key):
    said = keys("nm816", changes, TRACE)
    assert key in keys("nm816", changes | said | {key: said[key] * 3 // 4}, TRACE)


@pytest.mark.parametrize(
    ("changes", "port"),
    [
        ({"format": "index"}, 8 * 2 * (8 + 4)),  # R × g × (N bytes + N × 4 bits of metadata)
        ({"precision": "bf16"}, 8 * 2 * (16 + 2)),
    ],
)
@pytest.mark.parametrize("present", [160, 100, 52])
def test_a_run_says_the_number_of_the_table_of_keys(changes, port, present):
    narrow = {"buffers.compressed.port_bytes": present}
    assert keys("nm816", changes | narrow, TRACE)["buffers.compressed.port_bytes"] == port


def test_a_run_bound_by_dram_does_not_blame_ports_that_are_wide_enough():
    slow = {"dram.bandwidth_gb_per_s": 1}
    assert keys("nm816", slow, TRACE) == {}


def test_a_port_is_a_whole_number_of_macros():
    said = keys("nm816", {"buffers.weights.port_bytes": 33, "buffers.weights.macros": 3}, TRACE)
    assert said["buffers.weights.port_bytes"] == 258  # 256, by threes


# --- the warnings of a machine -------------------------------------------------------------------


def test_area_warns_of_ports_that_no_layer_can_run_at_full_speed_with():
    (note,) = area_notes(load("nm816", {"mac_array.columns": 32}))
    assert str(note) == (
        "warning: buffers.weights.port_bytes 256 keeps the array at 25% of its speed at most; "
        "write 1024"
    )
    changes = {"mac_array.columns": 32, "buffers.weights.port_bytes": 1024}
    assert list(area_notes(load("nm816", changes))) == []
