"""Points share what they have run by content: a row after its neighbours is a row by itself."""

from dataclasses import replace
from unittest.mock import patch

import pytest

import accelsim as acs
from accelsim.base.errors import InputError
from accelsim.config.schema import dotted_keys
from accelsim.dataflows import DATAFLOWS
from accelsim.dataflows.diagram import unit
from accelsim.dataflows.memory import Memory, timing_key
from accelsim.dataflows.output_stationary import OUTPUT_STATIONARY
from accelsim.hardware import CROSSBARS, SELECTORS, UNITS, Crossbar, Unit
from accelsim.hardware.examples import path, work
from accelsim.mapping import Gemm, ceil_div
from accelsim.precision import PRECISIONS
from accelsim.run.layers import TiledProduct
from accelsim.run.runner import Runner
from accelsim.run.simulation import equip
from accelsim.sparsity import stored_formats
from accelsim.sweeps.totals import Workload, new_memory, totals_of
from accelsim.tech.dram import dram_standards
from tests.helpers.small import trace_of
from tests.helpers.sweep_commands import ARCHS

METHODS = {"criterion": "clact", "mitigation": "spts"}  # units of methods, with tables
CHOICES = {
    "precision": list(PRECISIONS),
    "pattern": ["2:4", "8:16", "16:32"],
    "criterion": ["act", "clact", "amber"],
    "mitigation": ["none", "var", "dpts", "spts", "ls"],
    "format": stored_formats(),
    "selector.kind": list(SELECTORS),
    "crossbar.kind": list(CROSSBARS),
    "dram.standard": list(dram_standards()),
}
MACHINES = [
    *((file.stem, {}) for file in sorted(ARCHS.glob("*.yaml"))),
    ("nm816", METHODS),
    ("nm816", {"tiling": "{tokens: 8, columns: 32, reduction: 32}"}),
]


def value_of(data, key):
    """Return what a resolved machine has for a dotted key; None if the section is missing."""
    for part in key.split("."):
        data = data.get(part) if isinstance(data, dict) else None
    return data


def alternatives(key, value):
    """Return other values for a key, likely ones first; not all of them make a machine."""
    if key in CHOICES:
        return [choice for choice in CHOICES[key] if choice != value]
    if isinstance(value, bool):
        return [str(not value).lower()]
    if isinstance(value, int | float):
        half = value // 2 if isinstance(value, int) else value / 2
        return [value * 2, half, value + 1]
    return [] if isinstance(value, str | dict | list) else [2, 1]


def variants(name, given):
    """Return by key what a machine is with that key changed, each in one or more ways."""
    file, sets = ARCHS / f"{name}.yaml", [f"{key}={value}" for key, value in given.items()]
    plain = acs.load_arch(file, sets)
    found = {"": [plain]}
    for key in dotted_keys():
        ways = alternatives(key, value_of(plain.resolved(), key))
        machines = [
            made for way in ways if (made := machine_or_none(file, [*sets, f"{key}={way}"]))
        ]
        if machines:
            found[key] = machines if key in CHOICES else machines[:1]
    return found


def machine_or_none(file, sets):
    try:
        return acs.load_arch(file, sets)
    except InputError:
        return None


def row_or_reason(arch, workload, batch, memory):
    """Return what a point of a sweep comes to, or why it does not run."""
    try:
        ready = equip(arch, workload.trace, None)
        return totals_of(ready, workload, None, batch, memory)
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("batch", [None, 2])
@pytest.mark.parametrize(("name", "given"), MACHINES)
def test_a_row_after_its_neighbours_is_a_row_by_itself(name, given, batch):
    """Each key of each unit is changed, one after the other, in one process with one memory."""
    workload, memory = Workload(trace_of([(96, 40)], lengths=(9, 6)), None), new_memory()
    found, rows = variants(name, given), {}
    for key, machines in found.items():
        rows[key] = [row_or_reason(arch, workload, batch, memory) for arch in machines]
        for arch, row in zip(machines, rows[key], strict=True):
            assert row == row_or_reason(arch, workload, batch, new_memory()), key
    of_plain = rows[""][0]["cycles"]
    slower = {key for key in rows for row in rows[key] if cycles_of(row) not in (None, of_plain)}
    assert len(found) > 25, "does this test still find the keys?"
    assert {"dram.bandwidth_gb_per_s", "dram.latency_ns"} <= slower
    assert {"mac_array.rows", "mac_array.columns"} & slower  # blocks may be as many by chance


def cycles_of(row):
    return None if isinstance(row, str) else row["cycles"]


# A unit that nobody thought of --------------------------------------------------------------------


class RowGather(Unit):
    """Puts the rows of W that were kept beside each other, `rate` rows a cycle."""

    action_names = frozenset({"row"})
    rate: int = 1

    def busy_cycles(self, work):
        return ceil_div(work.jobs.reduction * work.jobs.loads_weights, self.rate)

    def actions(self, work):
        return {"row": int((work.jobs.reduction * work.jobs.loads_weights).sum())}

    def energy_pj(self, tech, path):  # noqa: ARG002
        return {"row": 0.5}

    def area_um2(self, tech, path):  # noqa: ARG002
        return 100.0


@pytest.fixture
def gathering(monkeypatch):
    """Make machines with a row gather at a rate, as a user's file and one line of a diagram do."""
    drawn = OUTPUT_STATIONARY.with_part("weight_dma", unit("row_gather"))
    monkeypatch.setitem(DATAFLOWS._known, "gathering", replace(drawn, name="gathering"))
    monkeypatch.setitem(UNITS._known, "row_gather", RowGather)

    def machine(rate):
        sets = ["dataflow=gathering", f"units={{row_gather: {{rate: {rate}}}}}"]
        return acs.load_arch(ARCHS / "nm816.yaml", sets)

    return machine


@pytest.mark.parametrize("batch", [None, 2])
def test_the_rate_of_a_unit_that_is_new_enters_the_key(gathering, batch):
    workload, memory = Workload(trace_of([(96, 40)], lengths=(9, 6)), None), new_memory()
    rates = (1, 2, 64)
    rows = [row_or_reason(gathering(rate), workload, batch, memory) for rate in rates]
    assert rows == [row_or_reason(gathering(r), workload, batch, new_memory()) for r in rates]
    cycles = [row["cycles"] for row in rows]
    assert cycles[0] > cycles[2]


def test_a_rate_that_is_left_out_of_the_key_is_found(gathering, monkeypatch):
    """What the tests above are for: every row would have the cycles of the first."""
    monkeypatch.setattr(RowGather, "timing_key", lambda _: "forgotten")
    workload, memory = Workload(trace_of([(96, 40)], lengths=(9, 6)), None), new_memory()
    rows = [row_or_reason(gathering(rate), workload, 2, memory) for rate in (1, 2, 64)]
    assert len({row["cycles"] for row in rows}) == 1


def test_the_diagram_is_in_the_key(gathering):
    """The same units in another diagram: with the gather where weights leave the buffer."""
    keys = [timing_key(gathering(1).running())]
    moved = OUTPUT_STATIONARY.with_part("compute", unit("row_gather"), before="crossbar")
    with patch.dict(DATAFLOWS._known, gathering=replace(moved, name="gathering")):
        keys.append(timing_key(gathering(1).running()))
    assert keys[0] != keys[1]
    assert timing_key(gathering(1).running()) == keys[0]


# Keys of units ------------------------------------------------------------------------------------


def test_a_key_is_the_whole_unit_by_default():
    arch = acs.load_arch(ARCHS / "nm816.yaml")
    for name, found in arch.units.items():
        if name == "crossbar":
            continue
        for field in type(found).model_fields:
            other = found.model_copy(update={field: "something else"})
            assert other.timing_key() != found.timing_key(), (name, field)
        assert found.model_copy().timing_key() == found.timing_key()


def test_crossbars_that_move_weights_alike_share_their_runs():
    """The narrowed key: of all shipped kinds, only the depth plays a part in time and counts."""
    tile = work("8:16", tokens=8, reduction=64)
    units = [CROSSBARS[kind](kind=kind, pipeline_stages=2) for kind in CROSSBARS if kind != "none"]
    assert len(units) > 3
    assert len({each.timing_key() for each in units}) == 1
    facts = {
        (each.busy_cycles(tile).tolist()[0], each.latency_cycles(path("8:16")), *actions)
        for each in units
        for actions in [sorted(each.actions(tile).items())]
    }
    assert len(facts) == 1
    deeper = CROSSBARS["full"](kind="full", pipeline_stages=3)
    assert deeper.timing_key() != units[0].timing_key()


@pytest.mark.parametrize("method", ["busy_cycles", "latency_cycles", "actions"])
def test_a_crossbar_that_runs_its_own_way_has_a_key_of_its_own(method):
    """Whatever it does, its rate may enter."""

    class Rated(CROSSBARS["full"]):
        rate: int = 1

    setattr(Rated, method, lambda self, *_: self.rate)
    keys = {Rated(kind="full", pipeline_stages=1, rate=rate).timing_key() for rate in (1, 2)}
    assert len(keys) == 2
    assert CROSSBARS["full"](kind="full", pipeline_stages=1).timing_key() not in keys


def test_costs_alone_do_not_part_crossbars():
    class Cheap(CROSSBARS["full"]):
        def area_um2(self, tech, path):  # noqa: ARG002
            return 1.0

    assert Cheap(kind="full").timing_key() == CROSSBARS["full"](kind="full").timing_key()
    assert issubclass(Cheap, Crossbar)


# The memory itself --------------------------------------------------------------------------------


def test_what_has_not_been_used_for_longest_is_forgotten():
    memory, made = Memory(2), []

    def get(key):
        return memory.get(key, lambda: made.append(key) or key)

    for key in ("a", "b", "a", "c", "a", "b"):  # c takes the place of b
        assert get(key) == key
    assert made == ["a", "b", "c", "b"]


def test_brief_tallies_and_full_ones_are_apart():
    arch, memory = acs.load_arch(ARCHS / "nm816.yaml"), new_memory()
    tiled = TiledProduct.of(arch.running(), Gemm(16, 64, 32))
    brief = Runner(arch, memory=memory, is_brief=True).whole(tiled)
    full = Runner(arch, memory=memory).whole(tiled)
    assert (brief.ledgers, brief.bound_cycles) == ({}, {})
    assert full == Runner(arch).whole(tiled)
    assert replace(full, ledgers={}, bound_cycles={}, breakdown=brief.breakdown) == brief
