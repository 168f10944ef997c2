"""What a diagram has a place for: names that hide each other, units without work, other parts."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import Field

import accelsim as acs
from accelsim.base.errors import InputError
from accelsim.dataflows import DATAFLOWS
from accelsim.dataflows.diagram import Wait, stage, stream, unit
from accelsim.hardware import READ, UNITS, Unit
from accelsim.rtl.design import parameters
from accelsim.run.area import AreaReport
from accelsim.run.balance import balanced_ports
from accelsim.run.verify import verify
from accelsim.sweeps.totals import Workload, new_memory, totals_of
from tests.helpers.small import ROOT, trace_of

PLAIN = DATAFLOWS["output_stationary"]
NM816 = ROOT / "arch_configs" / "nm816.yaml"
DENSE = ROOT / "arch_configs" / "dense.yaml"
STANDARD = "kind: dram, standard: lpddr4, bandwidth_gb_per_s: 8"


class Counter(Unit):
    """Counts tiles, at a cycle each."""

    action_names = frozenset({"tile"})

    def busy_cycles(self, work):
        return np.ones(len(work.jobs), np.int64)

    def actions(self, work):
        return {"tile": len(work.jobs)}

    def energy_pj(self, tech, path):  # noqa: ARG002
        return {"tile": 1.0}

    def area_um2(self, tech, path):  # noqa: ARG002
        return 100.0


@pytest.fixture
def machine(monkeypatch):
    """Make machines of a diagram."""
    monkeypatch.setitem(UNITS._known, "counter", Counter)

    def _machine(diagram, *sets, file=NM816):
        monkeypatch.setitem(DATAFLOWS._known, "drawn", replace(diagram, name="drawn"))
        return acs.load_arch(file, ["dataflow=drawn", *sets])

    return _machine


def without(name):
    """Return the shipped diagram with one box less."""
    stages = (replace(s, parts=tuple(p for p in s.parts if p.name != name)) for s in PLAIN.stages)
    return replace(PLAIN, stages=tuple(stages))


def renamed(name, other):
    """Return the shipped diagram with another name in a box."""
    stages = (
        replace(s, parts=tuple(replace(p, name=other) if p.name == name else p for p in s.parts))
        for s in PLAIN.stages
    )
    return replace(PLAIN, stages=tuple(stages))


def drop_prologue(drawn):
    """Return a stage that does not wait for a prologue."""
    return replace(drawn, after=tuple(wait for wait in drawn.after if wait.stage != "prologue"))


@pytest.mark.parametrize(
    ("draw", "problem"),
    [
        # A stream that hid its channel: the energy and the bytes of DRAM were 0.
        (lambda: renamed("weight_dma", "dram"), "part 'dram' is called like a resource"),
        (
            lambda: PLAIN.with_part("compute", unit("weight_buffer")),
            "part 'weight_buffer' is called like a buffer",
        ),
        (
            lambda: PLAIN.with_stream_on("weight_dma", "output_buffer"),
            "resource 'output_buffer' is called like a buffer",
        ),
        (
            lambda: replace(
                PLAIN,
                stages=(
                    stage("first", stream("first_dma", READ, "tables"), is_once=True),
                    *PLAIN.stages,
                ),
            ),
            "two stages serve once",
        ),
    ],
)
def test_names_that_hide_others_and_two_prologues_are_refused(draw, problem):
    with pytest.raises(InputError, match=problem):
        draw()


def test_a_place_in_another_stage_is_none():
    with pytest.raises(InputError, match="stage 'select' has no part 'mac_array'; allowed: pre_"):
        PLAIN.with_part("select", unit("counter"), before="mac_array")
    with pytest.raises(InputError, match="part 'mac_array' is no stream; allowed: prologue_dma"):
        PLAIN.with_stream_on("mac_array", "link")


def test_the_dense_machine_has_nothing_of_a_stage_that_it_does_not_have(machine):
    """A unit of `select` that does not say that it is for sparse machines is for those only."""
    arch = machine(PLAIN.with_part("select", unit("counter")), "units={counter: {}}")
    assert "counter" in arch.units
    assert "counter" not in arch.dense().units
    plain = AreaReport.of(acs.load_arch(NM816))
    assert AreaReport.of(arch).dense_um2 == plain.dense_um2
    assert AreaReport.of(arch).total_um2 == plain.total_um2 + 100


def test_a_unit_whose_stage_is_not_there_is_refused(machine):
    diagram = PLAIN.with_part("select", unit("counter"))
    with pytest.raises(InputError, match="'counter' works in stage 'select', which is not there"):
        machine(diagram, "units={counter: {}}", file=DENSE)


def test_a_stream_whose_stage_is_not_there_moves_nothing(machine):
    """X once more for a counter, which one machine has and the other one has not."""
    more = stage(
        "count", stream("count_dma", READ, "x"), unit("counter"), is_once=True, needs="counter"
    )
    stages = (more, *map(drop_prologue, PLAIN.stages[1:]))
    diagram, trace = replace(PLAIN, stages=stages), trace_of([(96, 40)])
    absent = acs.simulate(machine(diagram), trace)
    there = acs.simulate(machine(diagram, "units={counter: {}}"), trace)
    plain = acs.simulate(NM816, trace)
    assert absent.units["dram"].actions == plain.units["dram"].actions
    moved = there.units["dram"].actions["read_bytes"] - plain.units["dram"].actions["read_bytes"]
    assert moved > 0
    assert "count_dma" in there.units
    assert "count_dma" not in absent.units


def test_a_prologue_that_nobody_waits_for_is_not_longer_than_the_wait(machine):
    """Tables on a slow channel of their own, which the array does not wait for."""
    late = stage("late", stream("late_dma", READ, "x", resource="slow"), is_once=True)
    diagram = replace(PLAIN, stages=(late, *map(drop_prologue, PLAIN.stages[1:])))
    slow = "units={slow: {kind: dram, standard: lpddr4, bandwidth_gb_per_s: 0.1}}"
    parts = acs.simulate(machine(diagram, slow), trace_of([(96, 40)])).breakdown
    assert parts.fill_cycles >= 0
    assert parts.drain_cycles > 0


def test_a_resource_moves_tiles(machine):
    diagram = PLAIN.with_stream_on("weight_dma", "weight_dram")
    assert machine(diagram, f"units={{weight_dram: {{{STANDARD}}}}}").units["weight_dram"]
    with pytest.raises(InputError, match="'weight_dram': it must move tiles, as dram does"):
        machine(diagram, "units={weight_dram: {kind: counter}}")


def test_what_words_pass_is_no_channel(machine):
    diagram = PLAIN.with_part("weight_dma", unit("passed"))
    assert machine(diagram, "units={passed: {kind: counter}}").units["passed"]
    with pytest.raises(InputError, match="'passed': it must be neither channel nor buffer"):
        machine(diagram, f"units={{passed: {{{STANDARD}}}}}")


def test_a_unit_with_a_list_is_named(machine, monkeypatch):
    """Runs are remembered by the content of units, and a list may change meanwhile."""

    class Listed(Counter):
        sizes: list[int] = Field(default=[1, 2])

    monkeypatch.setitem(UNITS._known, "listed", Listed)
    arch = machine(PLAIN.with_part("weight_dma", unit("listed")), "units={listed: {}}")
    with pytest.raises(InputError, match="unit 'listed': a parameter is of a type that changes"):
        acs.simulate(arch, trace_of([(96, 40)]))


def test_what_a_stage_fills_is_a_buffer(machine):
    """Weights on their way through a second buffer."""
    second = stage("refill", after=("weight_dma",), reads=("weight_buffer",), fills="near_weights")
    *before, array, store = PLAIN.stages
    waits, reads = (*array.after, Wait("refill")), ("compressed_buffer", "near_weights")
    diagram = replace(
        PLAIN, stages=(*before, second, replace(array, after=waits, reads=reads), store)
    )
    with pytest.raises(InputError, match="fills 'near_weights': it must be a buffer"):
        machine(diagram, "units={near_weights: {kind: counter}}")


def test_the_store_lag_is_that_of_the_channel_that_stores(machine):
    diagram = PLAIN.with_stream_on("output_dma", "output_dram")
    arch = machine(diagram, f"units={{output_dram: {{{STANDARD}, store_lag_tiles: 9}}}}")
    assert arch.dram.store_lag_tiles == 4
    assert arch.stores.store_lag_tiles == 9
    assert acs.load_arch(NM816).stores.store_lag_tiles == 4


def test_a_sparse_machine_needs_only_what_its_diagram_has(machine):
    """Without a crossbar: X of kept positions is brought to the weights in another way."""
    arch = machine(without("crossbar"), "crossbar={kind: none}")
    assert "crossbar" not in arch.units
    trace = trace_of([(96, 40)], lengths=(9, 6))
    plain = acs.simulate(NM816, trace)
    found = acs.simulate(arch, trace)
    assert found.units["mac_array"].actions == plain.units["mac_array"].actions
    assert found.cycles <= plain.cycles
    assert balanced_ports(arch) == balanced_ports(acs.load_arch(NM816))
    assert all(check.passed for check in verify(arch, trace))
    with pytest.raises(InputError, match="dataflow 'drawn' has no place for 'crossbar'"):
        machine(without("crossbar"))


def test_a_diagram_with_an_array_of_its_own_has_no_rtl(machine):
    class Other(type(acs.load_arch(NM816).mac_array)):
        """Another array."""

    with pytest.raises(InputError, match="dataflow 'drawn' has no RTL"):
        parameters(machine(replace(PLAIN, classes={"mac_array": Other})))


def test_weights_that_do_not_wait_for_selection_are_fetched_whole(machine):
    """What was kept is not known yet: all 96 × 64 bytes, in each of 6 decode steps."""
    stages = (replace(s, after=()) if s.name == "weight_dma" else s for s in PLAIN.stages)
    hasty = replace(PLAIN, stages=tuple(stages)).with_stream_on("weight_dma", "weight_dram")
    patient = PLAIN.with_stream_on("weight_dma", "weight_dram")
    channel, trace = f"units={{weight_dram: {{{STANDARD}}}}}", trace_of([(96, 64)], lengths=(6,))

    def moved(diagram):
        result = acs.simulate(machine(diagram, channel), trace, phase="decode")
        return result.units["weight_dram"].actions["read_bytes"]

    assert moved(hasty) == 6 * 96 * 64
    assert moved(patient) < moved(hasty)
    arch, workload = machine(hasty, channel), Workload(trace, None)
    row = totals_of(arch, workload, None, 1, new_memory())
    assert row["cycles"] == acs.simulate(arch, trace, phase="decode").cycles
