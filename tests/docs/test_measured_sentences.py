"""Sentences of the pages with numbers that nothing else prints: measured again."""

import re
from pathlib import Path

import pytest

from accelsim import load_arch, simulate
from accelsim.hardware.logic import block_cost
from accelsim.report.diagram import drawing

ROOT = Path(__file__).parents[2]
DEVIATIONS = (ROOT / "docs" / "DEVIATIONS.md").read_text(encoding="utf-8")
MODEL = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
TRACE = ROOT / "traces" / "llama.npz"


def machine(name, *keys):
    return load_arch(ROOT / "arch_configs" / f"{name}.yaml", keys)


def row_of(about):
    """The row of the table that begins so."""
    (row,) = re.findall(rf"^\| {re.escape(about)} \|.*$", DEVIATIONS, re.MULTILINE)
    return row


def percents(row):
    return [float(number) for number in re.findall(r"([\d.]+) %", row)]


@pytest.mark.parametrize(("phase", "place"), [("prefill", 0), ("decode", 1)])
def test_the_share_of_leakage(phase, place):
    units = simulate(machine("nm816"), TRACE, phase=phase).units
    chip = [unit for name, unit in units.items() if name != "dram"]
    share = sum(unit.leakage_pj for unit in chip) / sum(unit.energy_pj for unit in chip)
    assert percents(row_of("leakage"))[place] == round(100 * share)


@pytest.mark.parametrize(("clock_mhz", "place"), [(100, 0), (1000, 1)])
def test_the_share_of_the_adder_in_a_lane_of_fp8(clock_mhz, place):
    arch = machine("nm816", "precision=fp8", f"clock_mhz={clock_mhz}")
    lane = block_cost(arch.load_technology(), "dot_product", arch.path)
    share = lane.parts_um2["float_adders"] / lane.area_um2
    assert percents(row_of("fp8"))[place] == round(100 * share)


def test_the_model_page_draws_the_diagram():
    arch = machine("nm816")
    (block,) = re.findall(r"^```text\n(.*?)^```$", MODEL, re.MULTILINE | re.DOTALL)
    assert block.rstrip("\n") == drawing(arch.diagram, arch.units, arch.streams)


@pytest.mark.parametrize("name", ["dense", "nm24", "nm816", "nm1632"])
def test_what_chained_layers_save(name):
    cells = []
    for phase, batch in (("prefill", None), ("decode", 1), ("decode", 8)):
        result = simulate(machine(name), TRACE, phase=phase, batch=batch)
        alone, saved = result.isolated_cycles, 1 - result.cycles / result.isolated_cycles
        cells.append(f"{alone / 1e6:.2f} → {result.cycles / 1e6:.2f} (−{100 * saved:.1f} %)")
    assert f"| {name} | {' | '.join(cells)} |" in MODEL
