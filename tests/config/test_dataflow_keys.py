"""The keys `dataflow` and `units`: the block diagram of a machine, and units that only it has."""

from dataclasses import replace
from typing import Annotated, ClassVar

import jsonschema
import numpy as np
import pytest
import yaml
from pydantic import Field
from typing_extensions import override

from accelsim.base.errors import InputError
from accelsim.config.keys import is_key, keys_below
from accelsim.config.schema import architecture_schema
from accelsim.dataflows import DATAFLOWS
from accelsim.dataflows.diagram import Wait, unit
from accelsim.hardware import UNITS, MacArray, Unit, WeightBuffer
from accelsim.rtl.design import parameters
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.policy import Method

PATTERN = 'pattern: "8:16"'
PLAIN = DATAFLOWS["output_stationary"]


class RowGather(Unit):
    """Gathers rows of W."""

    action_names: ClassVar[frozenset[str]] = frozenset()

    rows_per_cycle: Annotated[int, Field(strict=True, gt=0, le=64)] = 4
    depth: int | None = None

    @override
    def busy_cycles(self, work):
        return np.zeros(len(work.jobs), np.int64)

    @override
    def actions(self, work):
        return {}

    @override
    def energy_pj(self, tech, path):
        return {}

    @override
    def area_um2(self, tech, path):
        return 7.0

    @override
    def fit_clock(self, tech, path):
        return self if self.depth is not None else self.model_copy(update={"depth": 3})


class WideArray(MacArray):
    """An array with a key of its own."""

    wires: int = 1


class TaggedBuffer(WeightBuffer):
    """A buffer with a key of its own."""

    tag_bits: int = 2


@pytest.fixture(autouse=True)
def registered():
    """Register a unit and three dataflows for a test."""
    gathering = PLAIN.with_part("weight_dma", unit("row_gather"))
    split = gathering.with_stream_on("weight_dma", "weight_dram")
    classes = {"mac_array": WideArray, "weight_buffer": TaggedBuffer}
    waits = (Wait("activation_dma"), Wait("weight_dma"))
    stages = [stage for stage in PLAIN.stages if stage.name != "select"]
    stages = [replace(s, after=()) if s.name == "weight_dma" else s for s in stages]
    stages = [
        replace(s, after=waits, reads=("activation_buffer", "weight_buffer"))
        if s.name == "compute"
        else s
        for s in stages
    ]
    added = {
        "gathering": gathering,
        "split": split,
        "own_classes": replace(PLAIN, classes=classes, has_rtl=False),
        "no_selector": replace(PLAIN, stages=tuple(stages)),
    }
    UNITS.register("row_gather")(RowGather)
    for name, diagram in added.items():
        DATAFLOWS.add(name, replace(diagram, name=name))
    yield
    del UNITS._known["row_gather"]  # only tests forget
    for name in added:
        del DATAFLOWS._known[name]


@pytest.fixture
def gathering(edit):
    """Edit the 8:16 machine: a dataflow, and what stands below it."""

    def _gathering(units="", dataflow="gathering"):
        text = f"{PATTERN}\ndataflow: {dataflow}"
        return edit(PATTERN, f"{text}\nunits: {units}" if units else text)

    return _gathering


def test_the_default_is_not_printed(edit):
    arch = edit(PATTERN, f"{PATTERN}\ndataflow: output_stationary\nunits: {{}}").load()
    assert arch == edit(PATTERN, PATTERN).load()
    assert arch.diagram is PLAIN
    assert not {"dataflow", "units"} & set(arch.resolved())


def test_an_unknown_dataflow_is_refused_with_those_there_are(edit):
    edited = edit(PATTERN, f"{PATTERN}\ndataflow: output_stationery")
    edited.refused(
        "unknown dataflow 'output_stationery' (did you mean 'output_stationary'?); allowed: ",
        line=edited.line + 1,
    )


@pytest.mark.parametrize(
    ("units", "parts"),
    [
        ("{row_gater: {}}", ["unknown unit 'row_gater' (did you mean 'row_gather'?)", "allowed: "]),
        ("{x: {kind: row_gater}}", ["unknown unit 'row_gater'", "allowed: dram, row_gather"]),
        ("{x: {kind: row_gather}}", ["no place for unit 'x'", "allowed: row_gather"]),
        (
            "{row_gather: {rows: 3}}",
            ["unknown key 'units.row_gather.rows'", "kind, rows_per_cycle"],
        ),
        ("{row_gather: {rows_per_cycle: 0}}", ["key 'units.row_gather.rows_per_cycle'", "than 0"]),
        ("{row_gather: {rows_per_cycle: x}}", ["'units.row_gather.rows_per_cycle'", "got 'x'"]),
        ("{row_gather: 3}", ["'units.row_gather': must be a section with the keys of the unit"]),
        ("{row_gather: }", ["'units.row_gather': must be a section", "{} for its defaults"]),
        ("3", ["key 'units': must be a section"]),
        ("{dram: {standard: lpddr4, bandwidth_gb_per_s: 1}}", ["key of its own: write 'dram'"]),
        (
            "{weight_buffer: {kind: row_gather}}",
            ["unit 'weight_buffer' has a key of its own: write 'buffers.weights'"],
        ),
    ],
)
def test_a_wrong_unit_names_its_line_and_what_is_allowed(gathering, units, parts):
    edited = gathering(units)
    edited.refused(*parts, line=edited.line + 2)


def test_a_unit_without_a_place_is_refused(edit):
    edited = edit(PATTERN, f"{PATTERN}\nunits: {{row_gather: {{}}}}")
    edited.refused(
        "dataflow 'output_stationary' has no place for unit 'row_gather'; allowed: none",
        line=edited.line + 1,
    )


def test_a_unit_that_the_diagram_cannot_do_without(gathering):
    edited = gathering(dataflow="split")
    edited.refused(
        "dataflow 'split' needs unit 'weight_dram', which is missing",
        "write 'units: {weight_dram: {}}', or its keys in there; kinds: dram, row_gather",
        line=edited.line + 1,
    )


def test_a_second_channel_is_checked_as_the_first(gathering):
    edited = gathering("{weight_dram: {kind: dram, standard: x, bandwidth_gb_per_s: 8}}", "split")
    edited.refused("units.weight_dram.standard: unknown standard 'x'", line=edited.line + 2)


def test_units_stand_where_the_diagram_has_them_and_load_again(gathering, write):
    units = "{weight_dram: {kind: dram, standard: lpddr4, bandwidth_gb_per_s: 8}, row_gather: {}}"
    arch = gathering(units, "split").load()
    names = list(arch.units)
    assert names[:2] == ["dram", "weight_dram"]
    assert names.index("row_gather") < names.index("weight_buffer")
    assert arch.units["row_gather"] == RowGather(rows_per_cycle=4, depth=3)  # as the clock asks
    resolved = arch.resolved()
    assert resolved["units"]["row_gather"] == {"rows_per_cycle": 4, "depth": 3}
    assert resolved["units"]["weight_dram"]["kind"] == "dram"
    assert write(yaml.safe_dump(resolved)).load() == arch
    assert arch.running().weight_burst_bytes == arch.units["weight_dram"].burst_bytes


def test_a_unit_that_only_this_diagram_draws_is_asked_for(gathering):
    """Left out, the machine would run as one of another dataflow, in silence."""
    gathering().refused(
        "needs unit 'row_gather', which is missing: write 'units: {row_gather: {}}'"
    )
    found = gathering("{row_gather: {rows_per_cycle: 2}}").load("units.row_gather.rows_per_cycle=9")
    assert found.units["row_gather"].rows_per_cycle == 9
    assert found.running(Method(parse_pattern("dense"))).units["row_gather"].rows_per_cycle == 9
    assert found.dense().extra_units == found.extra_units
    assert "row_gather" not in found.model_copy(update={"extra_units": {}}).units


def test_a_diagram_may_have_classes_of_its_own(edit, write):
    text = f"{PATTERN}\ndataflow: own_classes"
    arch = edit(PATTERN, text).load("mac_array.wires=5", "buffers.weights.tag_bits=4")
    assert isinstance(arch.mac_array, WideArray)
    assert (arch.mac_array.wires, arch.buffers.weights.tag_bits) == (5, 4)
    assert write(yaml.safe_dump(arch.resolved())).load() == arch
    edit(PATTERN, text).refused(
        "unknown key 'mac_array.wire' (did you mean 'wires'?)", overrides=["mac_array.wire=5"]
    )
    edit(PATTERN, text).refused(
        "'buffers.weights.tag_bit' (did you mean", overrides=["buffers.weights.tag_bit=5"]
    )
    edit(PATTERN, PATTERN).refused("unknown key 'mac_array.wires'", overrides=["mac_array.wires=5"])


def test_a_diagram_without_a_selector_is_for_dense_machines(edit):
    edited = edit('pattern: "dense"', 'pattern: "dense"\ndataflow: no_selector', base="dense")
    arch = edited.load()
    assert "selector" not in arch.diagram.units
    sparse = edit(PATTERN, f"{PATTERN}\ndataflow: no_selector")
    sparse.refused(
        "pattern '8:16' needs 'selector', for which dataflow 'no_selector' has no place; "
        "allowed: dense",
        line=sparse.line,
    )


def test_rtl_is_of_diagrams_that_have_it(gathering):
    with pytest.raises(InputError, match="unit 'row_gather' has no RTL"):
        parameters(gathering("{row_gather: {}}").load())
    with pytest.raises(InputError, match="'own_classes' has no RTL; with RTL: output_stationary"):
        parameters(gathering(dataflow="own_classes").load())


def test_keys_of_dataflows_and_units_are_known():
    assert "row_gather" in keys_below(("units",))
    assert "dram" not in keys_below(("units",))
    for key in ("units.row_gather.kind", "units.row_gather.depth", "units.other.depth"):
        assert is_key(tuple(key.split("."))), key
    assert is_key(("mac_array", "wires"))
    assert not is_key(("units", "row_gather", "wires"))
    assert not is_key(("units", "row_gather", "depth", "x"))


@pytest.mark.parametrize(
    ("units", "is_valid"),
    [
        ("{row_gather: {}}", True),
        ("{x: {kind: dram, standard: lpddr4, bandwidth_gb_per_s: 8}}", True),
        ("{row_gather: {rows_per_cycle: 0}}", False),
        ("{row_gather: {colour: red}}", False),
        ("3", False),
    ],
)
def test_units_follow_the_schema(gathering, units, is_valid):
    validator = jsonschema.Draft202012Validator(architecture_schema())
    assert validator.is_valid(yaml.safe_load(gathering(units).text)) is is_valid
