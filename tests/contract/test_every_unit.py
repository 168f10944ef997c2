"""Every unit prices exactly what it counts, grows with its parameters, and describes itself."""

import inspect
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.dataflows import DATAFLOWS
from accelsim.hardware import (
    BLOCKS,
    CROSSBARS,
    SELECTORS,
    ActivationBuffer,
    CompressedBuffer,
    Dram,
    Epilogue,
    LaneUnit,
    MacArray,
    Moments,
    OutputBuffer,
    PreScaler,
    PreShifter,
    Selector,
    Splitter,
    Statistics,
    Unit,
    Unpacker,
    WeightBuffer,
)
from accelsim.hardware import UNITS as REGISTERED
from accelsim.hardware.logic import shape
from accelsim.testing import check_dataflow
from accelsim.testing.harness import problems_in, with_defaults
from accelsim.testing.machines import places_of
from accelsim.testing.parameters import OF_FIELDS, made, numbers
from accelsim.testing.rules import keep
from accelsim.testing.unit_rules import (
    OF_WORK,
    counts_follow_nonzero,
    counts_follow_weights,
    key_tells_units_apart,
    some_job_is_busy,
    technology,
    unit_grows,
)
from accelsim.testing.works import BURST_BYTES, PATTERNS, path_of, ragged_work

TECH = technology()

UNITS = {
    "dram": Dram(standard="lpddr4", bandwidth_gb_per_s=25.6, latency_ns=80),
    "activations": ActivationBuffer(capacity_kib=64, port_bytes=64),
    "weights": WeightBuffer(capacity_kib=64, port_bytes=128, macros=2),
    "outputs": OutputBuffer(capacity_kib=64, port_bytes=64, banks=2),
    "compressed": CompressedBuffer(capacity_kib=64, port_bytes=80),
    "mac_array": MacArray(rows=8, columns=4, lanes=16),
    **{f"selector {kind}": SELECTORS[kind](kind=kind, instances=3) for kind in SELECTORS},
    **{f"crossbar {kind}": CROSSBARS[kind](kind=kind) for kind in CROSSBARS},
    "selector radix pipelined": SELECTORS["radix"](kind="radix", pipelined=True),
    "selector cascade pipelined": SELECTORS["cascade"](kind="cascade", pipelined=True),
    "selector radix slow": SELECTORS["radix"](kind="radix", extra_stages=2, step_cycles=3),
    "crossbar full slow": CROSSBARS["full"](kind="full", pipeline_stages=3),
    "statistics": Statistics(lanes=24),
    "pre-shifter": PreShifter(lanes=24),
    "pre-scaler": PreScaler(lanes=24),
    "splitter": Splitter(lanes=24),
    "moments": Moments(lanes=24),
    "epilogue": Epilogue(lanes=6),
    "unpacker": Unpacker(lanes=24),
    **{name: with_defaults(REGISTERED[name]) for name in REGISTERED if name != "dram"},
}
METHOD_UNITS = {name for name, unit in UNITS.items() if isinstance(unit, LaneUnit)}
SPARSE_ONLY = {name for name in UNITS if name.startswith(("selector", "crossbar"))} | {"compressed"}
SPARSE_ONLY = SPARSE_ONLY - {"crossbar none"} | METHOD_UNITS
CASES = [
    pytest.param(unit, pattern, id=f"{name}-{pattern}")
    for name, unit in UNITS.items()
    for pattern in PATTERNS
    if (pattern != "dense") == (name in SPARSE_ONLY) or name not in {*SPARSE_ONLY, "crossbar none"}
]


def concrete_units(cls=Unit):
    """Yield every class of the package that can be built; what kinds share is in modules `base`."""
    for child in cls.__subclasses__():
        is_ours = child.__module__.startswith("accelsim.") and not child.__module__.endswith(
            ".base"
        )
        # Not one of the guide, which a test has run and forgotten.
        is_known = child.__module__ in sys.modules
        if is_ours and is_known and not inspect.isabstract(child):
            yield child
        yield from concrete_units(child)


def test_the_registries_hold_what_is_documented():
    assert {"rank", "bitonic", "radix", "cascade"} <= set(SELECTORS)
    assert {"full", "window", "logshift", "hierarchical", "none"} <= set(CROSSBARS)


def test_every_unit_of_the_package_is_tested_here():
    # Those that a dataflow has in place of shipped ones are tested with it.
    of_dataflows = {cls for diagram in DATAFLOWS.values() for cls in diagram.classes.values()}
    found = set(concrete_units()) - of_dataflows
    assert found == {type(unit) for unit in UNITS.values()}
    # dram, four buffers, the array, five selectors, five crossbars, six units of methods, the
    # unpacker
    assert len(found) >= 23


@pytest.mark.parametrize("rule", OF_WORK)
@pytest.mark.parametrize(("unit", "pattern"), CASES)
def test_a_unit_keeps_the_rules_of_work(unit, pattern, rule):
    work = ragged_work(pattern)
    assert len(work.jobs) > 8
    assert list(OF_WORK[rule](unit, work)) == []


@pytest.mark.parametrize(("unit", "pattern"), CASES)
def test_a_unit_works_and_grows(unit, pattern):
    assert list(some_job_is_busy(unit, [ragged_work(pattern)])) == []
    assert list(unit_grows(unit, pattern)) == []


@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS)
def test_the_timing_key_tells_units_apart(unit):
    works = [ragged_work(pattern) for pattern in ("dense", "8:16")]
    assert list(key_tells_units_apart(unit, works)) == []


# --- sums: a layer of many runs is counted once (`accelsim.accounting.tally`) ---------------


@pytest.mark.parametrize(("unit", "pattern"), CASES)
@given(first=st.integers(0, 2000), second=st.integers(0, 2000))
def test_actions_are_proportional_to_nonzero_activations(unit, pattern, first, second):
    """What one more adds does not depend on how many there are, nor on the rest."""
    assert list(counts_follow_nonzero(unit, ragged_work(pattern), first, second)) == []


@pytest.mark.parametrize(("unit", "pattern"), CASES)
@given(seed=st.integers(0, 2**16), largest=st.sampled_from([1, 3, 1000]))
def test_actions_are_proportional_to_weight_bytes_in_whole_bursts(unit, pattern, seed, largest):
    """Any two runs together, or one of them thrice, are what they are one by one."""
    work, rng = ragged_work(pattern), np.random.default_rng(seed)
    first, second = (BURST_BYTES * rng.integers(0, largest + 1, len(work.jobs)) for _ in range(2))
    assert list(counts_follow_weights(unit, work, first, second)) == []


def test_weights_and_nonzero_activations_are_counted_by_someone():
    """A guard: counts that do not depend on something are proportional to it."""
    work = ragged_work("8:16")
    assert UNITS["dram"].burst_bytes == BURST_BYTES
    more = replace(work, weight_bytes=work.weight_bytes + BURST_BYTES, nonzero=work.nonzero + 1)
    grown = {
        (name, action)
        for name, unit in UNITS.items()
        if name not in {"crossbar none"}
        for action in unit.action_names
        if unit.actions(more)[action] != unit.actions(work)[action]
    }
    assert grown == {
        ("dram", "read_bytes"),
        ("weights", "write_bytes"),
        ("mac_array", "mac"),
        ("mac_array", "mac_idle"),
    }


# --- fields and what is said of them -------------------------------------------------------------

FIELDS = [
    pytest.param(unit, rule, id=f"{name}-{rule}")
    for name, unit in UNITS.items()
    for rule in OF_FIELDS
]


@pytest.mark.parametrize(("unit", "rule"), FIELDS)
def test_a_unit_keeps_the_rules_of_its_fields(unit, rule):
    assert list(OF_FIELDS[rule](unit)) == []


# None: as the clock asks for, or as many as keep up.
BY_CLOCK = {"extra_stages", "step_cycles", "pipeline_stages"}
OPEN = {
    *((name, field) for name in UNITS for field in BY_CLOCK if name != "crossbar none"),
    *((name, "lanes") for name in (*METHOD_UNITS, "unpacker")),
}


@pytest.mark.parametrize(
    ("name", "field"), [(name, field) for name, unit in UNITS.items() for field in numbers(unit)]
)
def test_only_what_may_be_left_open_is_none(name, field):
    left_open = made(UNITS[name], field, None)
    assert (left_open is not None) == ((name, field) in OPEN)
    assert left_open is None or getattr(left_open, field) is None


# --- area ----------------------------------------------------------------------------------------


def areas(units, paths):
    return [unit.area_um2(TECH, path) for unit, path in zip(units, paths, strict=True)]


def assert_grows(values, *, strictly=True):
    assert all(a < b if strictly else a <= b for a, b in pairwise(values))


@pytest.mark.parametrize("kind", sorted(SELECTORS))
def test_selector_area_is_proportional_to_instances(kind):
    one, six = (SELECTORS[kind](kind=kind, instances=count) for count in (1, 6))
    path = path_of("8:16")
    assert six.area_um2(TECH, path) == pytest.approx(6 * one.area_um2(TECH, path))


# So slow a clock that it is always the small netlist: sizes are compared, not ways to synthesise.
SLOW = {"clock_mhz": 1}
GROWING_PATHS = {
    "M, half kept": [path_of(p, **SLOW) for p in ("2:4", "4:8", "8:16", "16:32", "32:64")],
    "M, two kept": [path_of(p, **SLOW) for p in ("2:4", "2:8", "2:16", "2:32", "2:64")],
    "bits": [path_of("8:16", **SLOW), path_of("8:16", bits=16, precision="bf16", **SLOW)],
}


@pytest.mark.parametrize("kind", sorted(SELECTORS))
@pytest.mark.parametrize("paths", GROWING_PATHS.values(), ids=GROWING_PATHS)
def test_selector_area_grows_with_the_group_and_the_width(kind, paths):
    unit = SELECTORS[kind](kind=kind)
    assert_grows(areas([unit] * len(paths), paths))


@pytest.mark.parametrize("kind", sorted(set(CROSSBARS) - {"none"}))
@pytest.mark.parametrize("paths", GROWING_PATHS.values(), ids=GROWING_PATHS)
def test_crossbar_area_grows_with_the_group_and_the_width(kind, paths):
    unit = CROSSBARS[kind](kind=kind)
    assert_grows(areas([unit] * len(paths), paths))


@pytest.mark.parametrize("kind", sorted(set(CROSSBARS) - {"none"}))
@pytest.mark.parametrize("side", ["rows", "columns", "lanes"])
def test_crossbar_area_grows_with_the_array(kind, side):
    paths = [path_of("8:16", **{side: size}, **SLOW) for size in (8, 16, 32, 64)]
    assert_grows(areas([CROSSBARS[kind](kind=kind)] * 4, paths))


@pytest.mark.parametrize("side", ["rows", "columns", "lanes"])
def test_array_area_grows_with_each_side(side):
    sizes = [{"rows": 8, "columns": 8, "lanes": 8} | {side: size} for size in (1, 2, 8, 64)]
    units = [MacArray(**size) for size in sizes]
    assert_grows(areas(units, [path_of("dense", **size, **SLOW) for size in sizes]))


def test_array_area_grows_with_the_width():
    paths = [path_of("dense", **SLOW), path_of("dense", bits=16, precision="bf16", **SLOW)]
    assert_grows(areas([MacArray(rows=8, columns=4, lanes=16)] * 2, paths))


# --- area and delay, drawn ------------------------------------------------------------------------

LOGIC = [
    *(pytest.param(SELECTORS[kind](kind=kind), id=f"selector {kind}") for kind in SELECTORS),
    *(
        pytest.param(SELECTORS[kind](kind=kind, pipelined=True), id=f"selector {kind} pipelined")
        for kind in ("radix", "cascade")
    ),
    *(
        pytest.param(CROSSBARS[kind](kind=kind), id=f"crossbar {kind}")
        for kind in sorted(set(CROSSBARS) - {"none"})
    ),
]
WIDTHS = st.sampled_from([{}, {"bits": 16, "precision": "bf16"}])
POWERS = [(1, 1), (1, 2), (1, 4), (1, 8)]
RATIOS = [*POWERS, (2, 3), (3, 4), (3, 5)]


@st.composite
def growths(draw, *, powers_of_two=False):
    """Two datapaths that differ in one thing, the larger one last."""
    n, m = draw(st.sampled_from(POWERS if powers_of_two else RATIOS))
    copies = [2**k for k in range(4)] if powers_of_two else list(range(1, 64 // m + 1))
    first, second = sorted(draw(st.tuples(st.sampled_from(copies), st.sampled_from(copies))))
    columns = draw(st.integers(1, 64))
    base = {"columns": columns, "lanes": draw(st.sampled_from([4, 16, 64]))} | SLOW
    base["index"] = draw(st.booleans())
    grown = draw(st.sampled_from(["M", "bits", "columns"]))
    width = draw(WIDTHS)
    if grown == "M":  # at the same share of kept values
        return [path_of(f"{n * k}:{m * k}", **base, **width) for k in (first, second)]
    pattern = f"{n * second}:{m * second}"
    if grown == "bits":
        return [path_of(pattern, **base, bits=bits, precision="bf16") for bits in (12, 16)]
    more = columns + draw(st.integers(0, 64))
    return [path_of(pattern, **base | {"columns": count}, **width) for count in (columns, more)]


def fed(path):
    """Return the lanes that get a value; the others have no multiplexer."""
    return min(path.lanes, path.groups_per_step * path.kept_per_group)


@pytest.mark.parametrize("unit", LOGIC)
@given(data=st.data())
def test_area_is_positive_and_never_shrinks(unit, data):
    # A bitonic network of 14:56 is larger than one of 16:64: it sorts once more to drop two.
    paths = data.draw(growths(powers_of_two=unit.kind == "bitonic"))
    small, large = (unit.area_um2(TECH, path) for path in paths)
    assert small > 0
    assert large > 0
    if isinstance(unit, Selector) or fed(paths[0]) == fed(paths[1]):
        assert small <= large * (1 + 1e-12)


BLOCK_NAMES = sorted(name for name in BLOCKS if name not in {"mac", "dot_product"})


@pytest.mark.parametrize("name", BLOCK_NAMES)
@pytest.mark.parametrize("effort_ps", [None, 1e-3], ids=["small", "fast"])
@given(paths=growths())
def test_delay_is_never_negative_and_never_shrinks(name, effort_ps, paths):
    small, large = (TECH.block(name, shape(path), period_ps=effort_ps).delay_ps for path in paths)
    assert 0 <= small <= large * (1 + 1e-12)


@pytest.mark.parametrize(
    "kind",
    [ActivationBuffer, WeightBuffer, OutputBuffer, CompressedBuffer],
    ids=lambda k: k.__name__,
)
def test_buffer_area_grows_with_capacity(kind):
    units = [kind(capacity_kib=size, port_bytes=64) for size in (8, 16, 32, 64, 128, 256)]
    assert_grows(areas(units, [path_of("8:16")] * len(units)), strictly=False)


def test_no_crossbar_costs_nothing():
    none, path = CROSSBARS["none"](kind="none"), path_of("dense")
    assert none.area_um2(TECH, path) == 0
    assert set(none.energy_pj(TECH, path).values()) == {0}


# --- in machines ---------------------------------------------------------------------------------

PLACED = [
    pytest.param(unit, diagram, id=f"{name}-{diagram}")
    for name, unit in UNITS.items()
    for diagram in DATAFLOWS
]


@pytest.mark.slow
@pytest.mark.parametrize(("unit", "diagram"), PLACED)
def test_every_dataflow_runs_with_the_unit_wherever_it_can_stand(unit, diagram):
    keep(problems_in(unit, DATAFLOWS[diagram]))


@pytest.mark.slow
@pytest.mark.parametrize("diagram", list(DATAFLOWS))
def test_every_dataflow_keeps_the_rules(diagram):
    check_dataflow(DATAFLOWS[diagram])


def test_every_unit_stands_somewhere():
    for name, unit in UNITS.items():
        assert any(list(places_of(unit, diagram)) for diagram in DATAFLOWS.values()), name
