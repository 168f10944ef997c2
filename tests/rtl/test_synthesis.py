"""Areas and energies of mapped netlists, against arithmetic that a reader can redo."""

import importlib
import itertools
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.rtl_bench import tool

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "experiments" / "area_calibration"))
liberty, gates, synthesis, grid = map(
    importlib.import_module, ("liberty", "gates", "synthesis", "grid")
)

SHARED = ROOT.parent / "shared" / "liberty"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir() and not os.environ.get("CI"), reason="../shared is not here"
)

# Capacitances in fF, times in ns, energies in fJ (fF V^2), at 2 V: half C V^2 of 3 fF is 6 fJ.
TINY = r"""
/* a library { of its own } */
library (tiny) {
  revision : "1.2"; nom_voltage : 2.0;
  time_unit : "1ns"; voltage_unit : "1V"; leakage_power_unit : "1uW";
  capacitive_load_unit (1,ff);
  lu_table_template (two) {
    variable_1 : input_transition_time; variable_2 : total_output_net_capacitance;
    index_1 ("0.1, 0.3"); index_2 ("1, 5");
  }
  cell (INV) {
    area : 1.5; cell_leakage_power : 0.002;
    pin (A) { direction : input; capacitance : 3; }
    pin (Y) {
      direction : output; function : "!A";
      timing () { related_pin : "A"; cell_rise (scalar) { values ("0.02"); } cell_fall (scalar) {
        values ("0.04"); } }
      internal_power () {
        related_pin : "A";
        rise_power (two) { values ("10, 14", \
                                   "20, 24"); }
        fall_power (scalar) { values ("0.5"); }
      }
    }
  }
  cell (NAND) {
    area : 2; cell_leakage_power : 0.004;
    pin (A) { direction : input; capacitance : 1; }
    pin (B) { direction : input; capacitance : 2; }
    pin (Y) { direction : output; function : "(A B)'";
      timing () { cell_rise (scalar) { values ("0.02"); } } }
  }
  cell (NAND_BIG) {
    area : 3;
    pin (A) { direction : input; } pin (B) { direction : input; }
    pin (Y) { direction : output; function : "!A + !B"; }
  }
  cell (XOR) {
    area : 4;
    pin (A) { direction : input; capacitance : 1; }
    pin (B) { direction : input; capacitance : 1; }
    pin (Y) { direction : output; function : "A ^ B";
      timing () { cell_rise (scalar) { values ("0.02"); } } }
  }
  cell (DFF) {
    area : 7;
    ff (IQ, IQN) { next_state : "D"; clocked_on : "CK"; }
    pin (D) { direction : input; capacitance : 1;
      internal_power () { when : "CK"; rise_power (scalar) { values ("0.25"); }
                                       fall_power (scalar) { values ("0.125"); } }
      internal_power () { when : "!CK"; rise_power (scalar) { values ("99"); } } }
    pin (CK) { direction : input; capacitance : 0.5;
      internal_power () { when : "D & !Q"; fall_power (scalar) { values ("64"); } }
      internal_power () { rise_power (scalar) { values ("4"); }
                          fall_power (scalar) { values ("8"); } } }
    pin (Q) { direction : output; function : "IQ"; }
    pin (QN) { direction : output; function : "IQN"; }
  }
}
"""


@pytest.fixture(scope="module")
def tiny():
    return liberty.Library(TINY)


def netlist(folder, library, ports, cells):
    """Write what Yosys would; ports: name -> (direction, bits), cells: (type, pin -> bit)."""
    module = {
        "attributes": {},
        "ports": {name: {"direction": way, "bits": bits} for name, (way, bits) in ports.items()},
        "cells": {
            str(number): {"type": kind, "connections": {pin: [bit] for pin, bit in pins.items()}}
            for number, (kind, pins) in enumerate(cells)
        },
    }
    path = Path(folder) / "netlist.json"
    path.write_text(json.dumps({"modules": {"top": module}}))
    return gates.Netlist(path, library)


def simulation(of, **settings):
    return gates.Simulation(of, **({"streams": 64, "slew_ps": 200.0, "output_ff": 3.0} | settings))


def same(bit):
    """A one-bit port that is equal in all 64 streams."""
    return gates.pack(np.full(64, bit), 1)


# --- Liberty --------------------------------------------------------------------------------------
def test_liberty_is_read_in_its_units(tiny):
    assert (tiny.version, tiny.supply_v, tiny.nand2_um2) == ("1.2", 2.0, 2.0)
    inverter = tiny.cells["INV"]
    assert (inverter.area_um2, inverter.leakage_nw) == (1.5, pytest.approx(2.0))
    assert inverter.pins["A"].capacitance_ff == pytest.approx(3)
    assert [delay.at(0, 0) for delay in inverter.pins["Y"].delays] == pytest.approx([20, 40])


def test_tables_are_interpolated_and_end_at_their_edges(tiny):
    (power,) = tiny.cells["INV"].pins["Y"].power
    table = power.rise  # 10 at 100 ps and 1 fF, +10 at 300 ps, +4 at 5 fF
    assert table.at(200, 3) == pytest.approx(17)
    assert table.at(0, 0) == pytest.approx(10)
    assert table.at(1000, 1000) == pytest.approx(24)


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("!(A*B)+C", lambda a, b, c: not (a and b) or c),
        ("A' B + C", lambda a, b, c: (not a and b) or c),
        ("A ^ B & C", lambda a, b, c: (a != b) and c),  # Liberty: exclusive or before and
        ("!A & !B | !(B ^ C)'", lambda a, b, c: (not a and not b) or b != c),
        ("((A))(B+!C)", lambda a, b, c: a and (b or not c)),
    ],
)
def test_functions(text, python):
    function = liberty.compile_function(text)
    for values in itertools.product((0, 1), repeat=3):
        assert function(dict(zip("ABC", values, strict=True))) & 1 == bool(python(*values))


def test_unwanted_cells_are_cut_out_of_the_text(tiny):
    rest = liberty.Library(tiny.without("NAND|DFF"))
    assert list(rest.cells) == ["INV", "XOR"]
    assert rest.supply_v == 2.0


# --- simulation and energy ------------------------------------------------------------------------
def test_packing_is_undone_by_unpacking():
    values = np.arange(128 * 3).reshape(128, 3) % 32
    words = gates.pack(values, 5)
    assert words.shape == (15, 2)
    assert np.array_equal(gates.unpack(words, 5), values)


def test_energy_of_an_inverter(tiny, tmp_path):
    """Input pin 3 fF, output port 3 fF, 2 V: 6 fJ an edge each; table at 200 ps, 3 fF: 17 fJ."""
    ports = {"a": ("input", [2]), "y": ("output", [3])}
    sim = simulation(netlist(tmp_path, tiny, ports, [("INV", {"A": 2, "Y": 3})]))
    sim.cycle({"a": same(1)})
    sim.start()
    sim.cycle({"a": same(0)})  # a falls, y rises
    assert sim.output("y").tolist() == [[1]] * 64
    assert sim.energy.gate_fj / 64 == pytest.approx(6 + 6)
    assert sim.energy.internal_fj / 64 == pytest.approx(17)
    sim.cycle({"a": same(0)})  # nothing moves
    assert sim.energy.total_fj / 64 == pytest.approx(12 + 17)
    sim.cycle({"a": same(1)})
    assert sim.energy.total_fj / 64 == pytest.approx(12 + 17 + 12 + 0.5)
    assert (sim.energy.toggles / 64, sim.energy.cycles) == (4, 3)
    assert (sim.netlist.area_um2, sim.netlist.leakage_nw) == (1.5, pytest.approx(2.0))


def test_streams_are_independent_and_logic_is_what_the_cells_say(tiny, tmp_path):
    """y = nand(a, xor(a, b)), in all four cases at once; a toggles into both gates."""
    ports = {"a": ("input", [2]), "b": ("input", [3]), "y": ("output", [5])}
    cells = [("NAND", {"A": 2, "B": 4, "Y": 5}), ("XOR", {"A": 2, "B": 3, "Y": 4})]
    sim = simulation(netlist(tmp_path, tiny, ports, cells))
    a, b = np.arange(64) % 2, np.arange(64) // 2 % 2
    sim.cycle({"a": gates.pack(a, 1), "b": gates.pack(b, 1)})
    assert np.array_equal(sim.output("y")[:, 0], 1 - (a & (a ^ b)))
    # Driven capacitance: a 1 + 1, b 1, the xor 2, y 3 fF, all from zero; y was 0 and is 1, 0, 1, 1.
    per_four = 2 * (2 * 2 + 2 * 1 + 2 * 2 + 3 * 3)
    assert sim.energy.gate_fj == pytest.approx(16 * per_four)


def test_energy_of_a_flip_flop(tiny, tmp_path):
    """Clock pin 0.5 fF: 1 fJ an edge. D moves while the clock is high."""
    ports = {"clk": ("input", [2]), "d": ("input", [3]), "q": ("output", [4])}
    sim = simulation(netlist(tmp_path, tiny, ports, [("DFF", {"CK": 2, "D": 3, "Q": 4})]))
    sim.cycle({"d": same(0)})
    sim.start()
    sim.cycle({"d": same(0)})  # rest: edges of the clock 1 + 1, inside 4 + 8
    assert sim.energy.clock_fj / 64 == pytest.approx(14)
    assert sim.energy.gate_fj == sim.energy.internal_fj == 0
    sim.start()
    sim.cycle({"d": same(1)})  # d: half x 1 fF x 4 = 2, inside 0.25; the fall sees D and not Q: 64
    assert sim.output("q").tolist() == [[0]] * 64
    assert sim.energy.clock_fj / 64 == pytest.approx(2 + 4 + 64)
    assert sim.energy.gate_fj / 64 == pytest.approx(2)
    assert sim.energy.internal_fj / 64 == pytest.approx(0.25)
    sim.start()
    sim.cycle({"d": same(1)})  # q: 3 fF, 6 fJ; the rise sees D and not Q, which costs nothing
    assert sim.output("q").tolist() == [[1]] * 64
    assert sim.energy.clock_fj / 64 == pytest.approx(2 + 0 + 8)
    assert sim.energy.gate_fj / 64 == pytest.approx(6)


def late_xor(folder, library):
    """y = a ^ not not not not a: always 0, but for the time that a needs to come through."""
    chain = [("INV", {"A": bit, "Y": bit + 1}) for bit in (2, 3, 4, 5)]
    ports = {"a": ("input", [2]), "y": ("output", [7])}
    return netlist(folder, library, ports, [*chain, ("XOR", {"A": 2, "B": 6, "Y": 7})])


@pytest.mark.parametrize(
    ("tick_ps", "toggles"),
    [
        (0, 5),  # a and the four inverters
        (np.inf, 5 + 2),  # a pulse of four units
        (10, 5 + 2),  # inverters of 30 ps: a pulse of 120 ps, longer than the 20 ps of the gate
    ],
)
def test_glitches_need_delays(tiny, tmp_path, tick_ps, toggles):
    sim = simulation(late_xor(tmp_path, tiny), tick_ps=tick_ps)
    sim.cycle({"a": same(0)})
    sim.start()
    sim.cycle({"a": same(1)})
    assert sim.output("y").tolist() == [[0]] * 64
    assert sim.energy.toggles / 64 == toggles


def test_pulses_shorter_than_a_gate_are_swallowed(tmp_path):
    before, gate = TINY.split('"A ^ B"')
    slow = before + '"A ^ B"' + gate.replace('values ("0.02")', 'values ("0.13")', 1)
    sim = simulation(late_xor(tmp_path, liberty.Library(slow)), tick_ps=10)
    sim.cycle({"a": same(0)})
    sim.start()
    sim.cycle({"a": same(1)})
    assert sim.energy.toggles / 64 == 5


def test_combinational_loops_are_refused(tiny, tmp_path):
    cells = [("INV", {"A": 2, "Y": 3}), ("INV", {"A": 3, "Y": 2})]
    with pytest.raises(ValueError, match="loop"):
        netlist(tmp_path, tiny, {"y": ("output", [3])}, cells)


# --- the grid -------------------------------------------------------------------------------------
@pytest.mark.parametrize("library", synthesis.KITS)
def test_no_point_is_listed_twice_and_all_modules_exist(library):
    points = grid.points(library)
    assert len(points) == len(set(points))
    for folder, top in {(point.folder, point.top) for point in points}:
        assert len(grid.sources_sha256(folder, top)) == 12


def test_the_hash_of_sources_is_that_of_the_code(tmp_path):
    (tmp_path / "top.sv").write_text("module top; // first\n  part u_part ();\nendmodule\n")
    (tmp_path / "part.sv").write_text("module part;\nendmodule\n")
    first = grid.sources_sha256(tmp_path, "top")
    (tmp_path / "top.sv").write_text("module top;\n  part u_part (); // second\nendmodule\n")
    assert grid.sources_sha256(tmp_path, "top") == first
    (tmp_path / "part.sv").write_text("module part;\n  wire w;\nendmodule\n")
    assert grid.sources_sha256(tmp_path, "top") != first


# --- with Yosys and the libraries -----------------------------------------------------------------
@pytest.fixture(scope="module", params=synthesis.KITS)
def kit(request):
    tool("yosys")
    with synthesis.kitted(request.param) as prepared:
        yield prepared


SMALLEST = {  # area of the flip-flop and of the NAND2, um2, from the libraries
    "nangate45": (4.522, 0.798),
    "asap7": (0.2916, 0.08748),
    "sg13g2": (48.9888, 7.2576),
}


@needs_shared
@pytest.mark.shared
def test_a_register_is_its_flip_flops(kit):
    row = synthesis.synthesise(kit, "register", {"B": 8}, "area", folder=grid.HERE)
    flip_flop, nand = SMALLEST[kit.name]
    inverters = 8 if kit.name == "asap7" else 0  # its flip-flop inverts
    assert (row.flip_flops, row.cells) == (8, 8 + inverters)
    assert row.seq_um2 == pytest.approx(8 * flip_flop)
    assert row.comb_um2 == pytest.approx(inverters * 0.04374)
    assert row.ge == pytest.approx(row.area_um2 / nand, rel=1e-3)


@needs_shared
@pytest.mark.shared
@pytest.mark.parametrize("script", synthesis.SCRIPTS)
def test_a_mapped_module_computes_what_its_source_says(kit, tmp_path, script):
    """Product and sum of 8 x 8 bits into 32: the netlist against numpy, for random operands."""
    path = tmp_path / "netlist.json"
    row = synthesis.synthesise(kit, "mac", {"B": 8}, script, netlist=path)
    assert row.flip_flops == 32
    assert 0 < row.delay_ps < 20_000
    sim = simulation(gates.Netlist(path, kit.library), streams=128)
    assert sim.netlist.area_um2 == pytest.approx(row.area_um2, rel=1e-4)
    random = np.random.default_rng(1)
    a, b = random.integers(-128, 128, (2, 128, 5))
    for step in range(5):
        sim.cycle(
            {
                "a": gates.pack(a[:, step] & 0xFF, 8),
                "b": gates.pack(b[:, step] & 0xFF, 8),
                "in_valid": gates.pack(np.ones(128, int), 1),
                "in_first": gates.pack(np.full(128, step == 0), 1),
            }
        )
    sim.cycle({})
    assert np.array_equal(sim.output("total", 32)[:, 0], (a * b).sum(axis=1) & 0xFFFFFFFF)


@needs_shared
@pytest.mark.shared
def test_latches_are_refused(kit, tmp_path):
    (tmp_path / "latch.sv").write_text(
        "module latch (input logic e, d, output logic q);\n"
        "  always_latch if (e) q = d;\nendmodule\n"
    )
    with pytest.raises(synthesis.SynthesisError, match="DLATCH"):
        synthesis.synthesise(kit, "latch", {}, "area", folder=tmp_path)
