"""Every criterion and mitigation can be put into an architecture, priced and run."""

import inspect

import pytest

from accelsim import simulate
from accelsim.hardware import LaneUnit
from accelsim.run.area import AreaReport
from accelsim.sparsity.criteria import CRITERIA
from accelsim.sparsity.mitigations import MITIGATIONS, parse_mitigation
from tests.helpers.random_methods import METHODS
from tests.helpers.small import load

ON_ITS_MACHINE = [*METHODS, ("act", "residual"), ("amber", "residual")]


def name_of(mitigation):
    return "nm48_fp4" if mitigation == "residual" else "nm816"


def machine(criterion, mitigation, **changes):
    changes = {"criterion": criterion, "mitigation": mitigation, **changes}
    return load(name_of(mitigation), changes)


def test_the_registries_hold_what_is_documented():
    assert {"act", "wt", "clact", "amber"} <= set(CRITERIA)
    mitigations = {"none", "var", "l2", "dpts", "spts", "lpts", "ls", "rsparse", "residual"}
    assert mitigations <= set(MITIGATIONS)


@pytest.mark.parametrize("name", sorted({m for _, m in METHODS}))
def test_a_mitigation_finds_itself_by_its_name(name):
    assert type(parse_mitigation(name)) in MITIGATIONS.values()
    assert sum(family.parse(name) is not None for family in MITIGATIONS.values()) == 1


@pytest.mark.parametrize("cls", [*CRITERIA.values(), *MITIGATIONS.values()])
def test_a_method_says_what_it_computes(cls):
    assert "=" in (inspect.getdoc(cls) or "").splitlines()[0]


@pytest.mark.parametrize(("criterion", "mitigation"), ON_ITS_MACHINE)
def test_a_machine_has_the_units_that_it_asks_for_and_they_cost_something(criterion, mitigation):
    arch = machine(criterion, mitigation)
    assert set(arch.method_units) == set(arch.method.demands.units)
    report = AreaReport.of(arch)
    for name, unit in arch.method_units.items():
        assert isinstance(unit, LaneUnit)
        assert unit.lanes >= 1
        assert report.area_um2[name] > 0
    extra = report.total_um2 - AreaReport.of(load(name_of(mitigation))).total_um2
    assert extra > 0 if arch.method_units else extra == 0


@pytest.mark.parametrize(("phase", "batch"), [("prefill", None), ("decode", 4)])
@pytest.mark.parametrize(("criterion", "mitigation"), ON_ITS_MACHINE)
def test_a_method_is_charged_in_every_layer(criterion, mitigation, phase, batch, small_trace):
    arch = machine(criterion, mitigation)
    result = simulate(arch, small_trace, phase=phase, batch=batch)
    assert set(result.units) == set(arch.units) | set(arch.streams)
    for layer in result.layers:
        assert layer.breakdown.total_cycles == layer.cycles
        for name, unit in layer.units.items():
            assert unit.ledger.total_cycles == layer.cycles, name
        for name in arch.method_units:
            assert layer.units[name].ledger.busy_cycles > 0
            assert layer.units[name].energy_pj > layer.units[name].leakage_pj > 0
    plain = simulate(load(name_of(mitigation)), small_trace, phase=phase, batch=batch)
    if arch.method_units or arch.method.demands.rank:
        assert result.energy_pj > plain.energy_pj
        # In decode a residual waits for no selection: all of W is fetched in any case.
        assert result.cycles > plain.cycles or (mitigation, phase) == ("residual", "decode")
    else:
        assert result.totals() == plain.totals()


@pytest.mark.parametrize("precision", ["int8", "bf16", "fp16"])
def test_every_precision_prices_every_unit(precision, small_trace):
    arch = machine("clact", "spts", precision=precision)
    result = simulate(arch, small_trace)
    for name in arch.method_units:
        assert result.units[name].energy_pj > 0
    assert arch.path.score_bits == 16


def test_units_that_nothing_asks_for_are_there_and_idle(small_trace):
    arch = load("nm816", {"moments": "{}", "statistics": "{table_kib: 8}"})
    assert arch.statistics.kinds == ("columns", "median", "level")
    plain, result = simulate(load("nm816"), small_trace), simulate(arch, small_trace)
    assert result.cycles == plain.cycles
    assert result.area_um2 > plain.area_um2
    for name in ("moments", "statistics", "prologue_dma"):
        assert result.units[name].ledger.idle_cycles == result.cycles
    assert result.units["moments"].energy_pj == result.units["moments"].leakage_pj > 0


def test_a_pre_scaler_that_nothing_asks_for_still_widens_the_keys():
    wide, plain = (
        load("nm816", {"selector.kind": "radix", **extra}) for extra in ({"pre_scaler": "{}"}, {})
    )
    assert wide.selector.steps(wide.path) == 16
    assert plain.selector.steps(plain.path) == 8
    areas = [a.selector.area_um2(a.load_technology(), a.path) for a in (wide, plain)]
    assert areas[0] > areas[1]


def test_the_dense_machine_has_none_of_it():
    arch = machine("clact", "spts").dense()
    assert arch == load("nm816").dense()
    assert not arch.method_units
    assert (arch.criterion, arch.mitigation) == ("act", "none")
