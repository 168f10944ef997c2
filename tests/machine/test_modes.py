"""Machines with modes: a layer's pattern in its own time and at its own price on one hardware."""

import re
from dataclasses import replace

import pytest

from accelsim import load_arch, load_trace, simulate
from accelsim.base.errors import InputError
from accelsim.hardware import BLOCKS
from accelsim.hardware.logic import shape
from accelsim.hardware.modes import legs
from accelsim.rtl.design import parameters
from accelsim.run.area import AreaReport
from accelsim.run.runner import Runner
from accelsim.run.simulation import equip, simulate_all
from accelsim.run.verify import verify
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.policy import Method, Policy
from accelsim.sweeps.totals import Totals, Workload
from accelsim.tech.technology import Technology
from accelsim.testing.traces import trace_of
from tests.helpers.small import ROOT, SHIPPED_TRACE

MODEL = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
MODES = ["1:4", "2:4", "4:8", "8:16", "16:32"]
PHASES = [("prefill", None), ("decode", 1), ("decode", 8)]
QUICK = "tiling=quick"
UNITS = ("selector", "crossbar")


def flex(*keys):
    return load_arch(ROOT / "arch_configs" / "flex.yaml", keys)


def dedicated(pattern, *keys):
    """The machine of one pattern: the same kinds, 64 activations a cycle."""
    instances = 64 // parse_pattern(pattern).group_size
    chosen = (f'pattern="{pattern}"', f"selector.instances={instances}", "crossbar.kind=window")
    return load_arch(ROOT / "arch_configs" / "nm816.yaml", [*chosen, *keys])


def only(pattern):
    return Policy(Method(parse_pattern(pattern)))


# Time and counts --------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", MODES)
@pytest.mark.parametrize(("phase", "batch"), [("prefill", None), ("decode", 2)])
def test_a_mode_takes_the_time_and_does_the_work_of_its_own_machine(pattern, phase, batch):
    """Ragged sizes: 40 positions are 1 and a bit groups of 32, 10 of 4."""
    trace = trace_of([(40, 24), (256, 64), (33, 18)], lengths=(5, 3))
    options = {"phase": phase, "batch": batch}
    ours = simulate(flex(QUICK), trace, policy=only(pattern), **options)
    theirs = simulate(dedicated(pattern, QUICK), trace, **options)
    assert ours.cycles == theirs.cycles
    for mine, own in zip(ours.layers, theirs.layers, strict=True):
        assert mine.breakdown == own.breakdown
        assert {n: u.actions for n, u in mine.units.items()} == (
            {n: u.actions for n, u in own.units.items()}
        )


def test_groups_side_by_side_in_one_selector_by_hand():
    """8 tokens × 64: 2 selectors of 32 take 64 positions a cycle in each mode, 8 cycles."""
    trace = trace_of([(64, 8)], lengths=(8,))
    for pattern in MODES:
        (layer,) = simulate(flex(QUICK), trace, policy=only(pattern)).layers
        selector = layer.units["selector"]
        assert selector.ledger.busy_cycles == 8
        assert selector.actions == {"group": 8 * 64 // parse_pattern(pattern).group_size}


def test_the_array_is_four_times_as_fast_at_1_of_4_where_ports_let_it():
    """256 positions: 16 dense steps, 8 at a half, 4 at a quarter, of one block."""
    wide = ("buffers.weights.port_bytes=512", "buffers.compressed.port_bytes=256", QUICK)
    trace, steps = trace_of([(256, 8)], lengths=(8,)), {}
    for pattern in ("dense", *MODES):
        (layer,) = simulate(flex(*wide), trace, policy=only(pattern)).layers
        steps[pattern] = layer.units["mac_array"].ledger.busy_cycles
    assert steps == {"dense": 16, "1:4": 4, **dict.fromkeys(MODES[1:], 8)}


def test_a_pattern_that_is_no_mode_runs_in_the_first_that_takes_it():
    trace = trace_of([(256, 64)], lengths=(8,))
    taken = {"1:2": "2:4", "2:8": "4:8", "pairs-2:4": "4:8", "3:16": "8:16", "2:4x4:8": "2:4"}
    for pattern, mode in taken.items():
        machine = flex(QUICK).running(Method(parse_pattern(pattern)))
        assert str(machine.pattern) == mode, pattern
        checks = verify(flex(QUICK), trace, only(pattern))
        assert all(check.is_exact for check in checks)


@pytest.mark.parametrize("pattern", ["dense", *MODES])
def test_values_through_each_mode_are_those_of_numpy(pattern):
    trace = trace_of([(40, 24), (128, 9)], lengths=(5, 3))
    keys = (QUICK, "buffers.weights.capacity_kib=2", "buffers.activations.capacity_kib=1")
    checks = list(verify(flex(*keys), trace, only(pattern)))
    assert len(checks) == 2
    assert all(check.is_exact for check in checks)


# Hardware ---------------------------------------------------------------------------------------


def test_legs_by_hand():
    """2:4 and 4:8 on 4 lanes: windows of 3 and of 5; 4:8 reaches all that 2:4 does."""
    few, more = legs(2, 4, 4), legs(4, 8, 4)
    assert few == {(lane, 4 * (lane // 2) + lane % 2 + d) for lane in range(4) for d in range(3)}
    assert more == {(lane, lane + d) for lane in range(4) for d in range(5)}
    assert few < more
    assert not legs(1, 4, 4) <= more


def machine_of(modes):
    largest = modes[-1]
    group = parse_pattern(largest).group_size
    named = "[" + ", ".join(f'"{mode}"' for mode in modes) + "]"
    return flex(f'pattern="{largest}"', f"modes={named}", f"selector.instances={64 // group}")


def test_parts_of_a_selector_and_a_crossbar_with_two_modes_by_hand():
    """2:4 and 4:8: of 28 pairs 16 are between fours, whose 8 operands of 8 bits have gates."""
    path = machine_of(["2:4", "4:8"]).path
    whole, parts = shape(path), {name: BLOCKS[name].parts for name in BLOCKS}
    assert parts["select_flex"](whole) == {
        "comparator_bits": 28 * 8,
        "count_bits": 2 * 28 + 16 + 2 * 8,
        "magnitude_bits": 8 * 8 + 8 * 8,
        "register_bits": 8 * 9 + 1,
    }
    small = shape(machine_of(["2:4", "4:8"]).running(Method(parse_pattern("2:4"))).path)
    assert parts["select_flex_still"](small) == {
        "comparator_bits": 16 * 8,
        "count_bits": 3 * 16,
        "magnitude_bits": 64,
    }
    # 16 lanes: four groups of 8, of which lane 0 has legs 0 … 4, and at 2:4 0 … 2: legs 3 and 4 are
    # gated. Lane 1: 1 … 5 and 1 … 3; lane 2: 2 … 6 and 4 … 6; lane 3: 3 … 7 and 5 … 7. So the gated
    # legs are at positions 3, 4, 4, 5, 2, 3, 3, 4: four positions, each with one gate.
    assert parts["crossbar_flex"](whole) == {
        "leg_bits": 4 * (4 * 5 + 4) * 8 * 8,
        "places": 4 * 4 * 5,
    }
    assert parts["crossbar_flex_still"](small) == {"leg_bits": 4 * (8 + 4) * 8 * 8}
    assert parts["compact_flex"](whole) == {"leg_bits": 4 * 5 * 8, "places": 4 * 5}


# Netlists mapped for area, or for delay, by experiments/area_calibration/synthesis.py, µm².
SYNTHESISED = [
    (MODES, "select_flex", 1, "area", 14930),
    (MODES, "select_flex", 1, "delay", 24573),
    (MODES, "compact_flex", 1, "area", 2772),
    (MODES, "compact_flex", 1, "delay", 4901),
    (MODES, "crossbar_flex", 1, "area", 3593),
    (MODES, "crossbar_flex", 1, "delay", 5670),
    (MODES, "crossbar_flex", 4, "area", 12161),
    (MODES, "crossbar_flex", 8, "area", 23212),
    (MODES[:4], "select_flex", 1, "area", 4091),
    (MODES[:4], "compact_flex", 1, "area", 747),
    (MODES[:4], "crossbar_flex", 1, "area", 2128),
    (MODES[:4], "crossbar_flex", 4, "area", 7152),
]


@pytest.mark.parametrize(("modes", "name", "columns", "script", "um2"), SYNTHESISED)
def test_areas_are_those_of_the_netlists(modes, name, columns, script, um2):
    """Within a tenth, as the fits of the blocks without modes are."""
    tech = Technology.load("nangate45")
    whole = replace(shape(machine_of(modes).path), columns=columns)
    slow, fast = tech.block(name, whole), tech.block(name, whole, period_ps=1)
    assert (slow.effort, fast.effort) == ("area", "delay")
    assert (slow if script == "area" else fast).area_um2 == pytest.approx(um2, rel=0.1)


# Gate-level energy in each mode, mapped for area, pJ: a beat of 32 values through the selector, a
# weight through the crossbar.
MEASURED_PJ = {
    "1:4": (14.88, 0.2065),
    "2:4": (16.31, 0.1639),
    "4:8": (19.17, 0.1706),
    "8:16": (23.65, 0.1886),
    "16:32": (31.97, 0.2285),
}


@pytest.mark.parametrize("pattern", MODES)
def test_energy_in_each_mode_is_that_of_the_netlist(pattern):
    """Within a fifth; at 1 MHz all netlists are those for area, without pipeline registers."""
    arch = flex("clock_mhz=1", "crossbar.pipeline_stages=0", "mac_array.columns=4")
    tech, path = arch.load_technology(), arch.running(Method(parse_pattern(pattern))).path
    group_pj = arch.selector.energy_pj(tech, path)["group"]
    priced = group_pj * 32 / path.group_size, arch.crossbar.energy_pj(tech, path)["route"]
    assert priced == pytest.approx(MEASURED_PJ[pattern], rel=0.2)


def test_area_is_that_of_the_hardware_and_energy_that_of_the_mode():
    trace = trace_of([(256, 64)], lengths=(8,))
    results = [simulate(flex(QUICK), trace, policy=only(pattern)) for pattern in MODES[1:]]
    assert len({result.area_um2 for result in results}) == 1
    for unit, action in (("selector", "group"), ("crossbar", "route")):
        prices = [r.units[unit].action_pj[action] / r.units[unit].actions[action] for r in results]
        assert prices == sorted(prices)
        assert prices[0] < prices[-1]


def test_totals_of_a_sweep_have_the_prices_of_the_modes():
    """Several modes in one model; a sweep adds layers up in its own way."""
    trace = load_trace(SHIPPED_TRACE)
    rules = Policy(
        Method(parse_pattern("8:16")), (("*.o_proj", Method(parse_pattern("2:4"))),), "policy.yaml"
    )
    result = simulate(flex(QUICK), trace, policy=rules, layers="isolated")
    runner = Runner(equip(flex(QUICK), trace, rules), policy=rules, is_brief=True)
    totals = Totals(runner, Workload(trace, None), None).totals()
    assert totals["energy_pj"] == pytest.approx(result.totals()["energy_pj"], rel=1e-12)


# Files ------------------------------------------------------------------------------------------

REFUSED = [
    (['modes=["2:4"]'], "the last one is the pattern that the hardware is made for, '16:32'"),
    (['modes=["8:16", "4:8", "16:32"]'], "'4:8' behind '8:16': smallest first"),
    (['modes=["4:8", "4:8", "16:32"]'], "'4:8' behind '4:8': smallest first, each once"),
    (['modes=["3:6", "16:32"]'], "'3:6' does not fit into pattern '16:32'"),
    (['modes=["3:4", "16:32"]'], "'3:4' does not fit into pattern '16:32'"),
    (['modes=["dense", "16:32"]'], "'dense' is no N:M; dense layers need no mode"),
    (["selector.kind=bitonic"], "selector.kind 'bitonic' has no modes; with modes: rank"),
    (["crossbar.kind=full"], "crossbar.kind 'full' has no modes; with modes: window"),
    (["format=index"], "format 'index' has no modes; with modes: bitmask"),
]


@pytest.mark.parametrize(("keys", "message"), REFUSED)
def test_modes_without_hardware_are_refused(keys, message):
    with pytest.raises(InputError, match=re.escape(message)):
        flex(*keys)


def test_what_is_not_there_says_so():
    with pytest.raises(InputError, match="'modes' have no tile pipeline in RTL"):
        parameters(flex())
    rules = Policy(Method(parse_pattern("8:16"), "act", "rsparse64"))
    with pytest.raises(InputError, match="leave 'modes' out for it"):
        simulate(flex(QUICK), trace_of([(64, 64)], lengths=(8,)), policy=rules)


def test_modes_are_printed_with_the_machine():
    assert flex().resolved()["modes"] == MODES
    assert "modes" not in dedicated("8:16").resolved()
    assert flex().dense().modes == ()


# The page ---------------------------------------------------------------------------------------


def cost_of_flexibility():
    """Return the rows of the table in docs/model.md by pattern."""
    (table,) = re.findall(r"^\| layers \| area of.*?\n\n", MODEL, re.MULTILINE | re.DOTALL)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {row[0]: row[1:] for row in rows[2:] if row[0]}


OWN = {pattern: dedicated(pattern) for pattern in MODES}
OWN["dense"] = load_arch(ROOT / "arch_configs" / "dense.yaml")


def more(ours, theirs):
    return f"+{100 * (ours / theirs - 1):.1f} %"


def test_the_area_of_flexibility():
    area = AreaReport.of(flex()).total_um2
    cells = {name: more(area, AreaReport.of(arch).total_um2) for name, arch in OWN.items()}
    assert {name: row[0] for name, row in cost_of_flexibility().items()} == cells


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "phase", "batch"), [(1, *PHASES[0]), (2, *PHASES[1]), (3, *PHASES[2])]
)
def test_the_energy_of_flexibility(place, phase, batch):
    """Layers of one pattern on flex, and on the machine of that pattern; in the same cycles."""
    machines = [*[flex()] * len(OWN), *OWN.values()]
    policies = [*map(only, OWN), *[None] * len(OWN)]
    options = {"policies": policies, "phase": phase, "batch": batch}
    results = simulate_all(machines, load_trace(SHIPPED_TRACE), **options)
    rows = cost_of_flexibility()
    for pattern, mine, theirs in zip(OWN, results[: len(OWN)], results[len(OWN) :], strict=True):
        pj = [result.totals()["energy_pj"] for result in (mine, theirs)]
        assert rows[pattern][place] == more(*pj)
        # A dense layer passes the pipeline of the crossbar, a few cycles each.
        slack = 1e-4 if pattern == "dense" else 0
        assert mine.cycles == pytest.approx(theirs.cycles, rel=slack, abs=0)
