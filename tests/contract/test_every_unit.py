"""Every unit prices exactly what it counts, grows with its parameters, and describes itself."""

import inspect
import math
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

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
    Statistics,
    Unit,
    Unpacker,
    WeightBuffer,
)
from accelsim.hardware.logic import shape
from accelsim.mapping import Datapath, Gemm, Store, Stores, Tiling, Work, tile_jobs
from accelsim.precision import OperandFormat, Operands
from accelsim.selection.decode import dense_weight_bytes
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.demands import Demands
from accelsim.tech.technology import Technology

TECH = Technology.load("nangate45")
EVERYTHING = Demands(
    factors="fixed", shift="channel", moments=True, statistics="columns", epilogue="axpy"
)
SPARSE = ("2:4", "8:16", "16:32", "3:5", "32:64")

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
    "moments": Moments(lanes=24),
    "epilogue": Epilogue(lanes=6),
    "unpacker": Unpacker(lanes=24),
}
METHOD_UNITS = {name for name, unit in UNITS.items() if isinstance(unit, LaneUnit)}
SPARSE_ONLY = {name for name in UNITS if name.startswith(("selector", "crossbar"))} | {"compressed"}
SPARSE_ONLY = SPARSE_ONLY - {"crossbar none"} | METHOD_UNITS
CASES = [
    pytest.param(unit, pattern, id=f"{name}-{pattern}")
    for name, unit in UNITS.items()
    for pattern in ("dense", *SPARSE)
    if (pattern != "dense") == (name in SPARSE_ONLY) or name not in {*SPARSE_ONLY, "crossbar none"}
]


def path_of(
    pattern, *, bits=8, precision="int8", rows=8, columns=4, lanes=16, clock_mhz=1000, index=False
):
    kept = parse_pattern(pattern)
    return Datapath(
        rows=rows,
        columns=columns,
        lanes=lanes,
        accumulator_bits=32,
        formats=Operands(*3 * [OperandFormat(precision, bits)]),
        clock_mhz=clock_mhz,
        metadata_format="index" if index else "bitmask",
        kept_per_group=kept.kept_per_group,
        group_size=kept.group_size,
        metadata_bits_per_group=0 if kept.is_dense else kept.group_size,
        demands=Demands() if kept.is_dense else EVERYTHING,
    )


def ragged_work(pattern):
    """A layer whose tiles are cut at every edge: tokens 21 = 2 × 8 + 5, columns 37 = 2 × 16 + 5."""
    path, gemm = path_of(pattern), Gemm(21, 200, 37)
    tiling = Tiling(8, 16, 2 * path.group_size * (32 if pattern == "dense" else 1), "tokens_outer")
    store = Store(1 << 12)
    stores = Stores(store, store, store, store if path.is_sparse else None)
    jobs = tile_jobs(gemm, tiling, path, stores)
    kept = gemm.tokens * parse_pattern(pattern).kept(gemm.in_features)
    return Work(
        gemm=gemm,
        path=path,
        tiling=tiling,
        jobs=jobs,
        weight_bytes=dense_weight_bytes(jobs, path),
        kept=kept,
        nonzero=kept * 4 // 5,
    )


def concrete_units(cls=Unit):
    """Yield every class of the package that can be built; what kinds share is in modules `base`."""
    for child in cls.__subclasses__():
        is_ours = child.__module__.startswith("accelsim.") and not child.__module__.endswith(
            ".base"
        )
        if is_ours and not inspect.isabstract(child):
            yield child
        yield from concrete_units(child)


def test_the_registries_hold_what_is_documented():
    assert {"rank", "bitonic", "radix", "cascade"} <= set(SELECTORS)
    assert {"full", "window", "logshift", "hierarchical", "none"} <= set(CROSSBARS)


def test_every_unit_of_the_package_is_tested_here():
    found = set(concrete_units())
    assert found == {type(unit) for unit in UNITS.values()}
    # dram, four buffers, the array, four selectors, five crossbars, five units of methods, the
    # unpacker
    assert len(found) >= 21


@pytest.mark.parametrize(("unit", "pattern"), CASES)
def test_a_unit_prices_exactly_the_actions_that_it_counts_and_declares(unit, pattern):
    work = ragged_work(pattern)
    assert set(unit.actions(work)) == unit.action_names
    assert set(unit.energy_pj(TECH, work.path)) == unit.action_names


@pytest.mark.parametrize(("unit", "pattern"), CASES)
def test_counts_are_whole_and_not_negative(unit, pattern):
    for count in unit.actions(ragged_work(pattern)).values():
        assert type(count) is int  # numpy integers would not survive json
        assert count >= 0


# --- sums: a layer of many runs is counted once (`accelsim.accounting.tally`) ---------------

BURST_BYTES = UNITS["dram"].burst_bytes


def sums(*counts):
    """Add up counts by name."""
    assert len({frozenset(part) for part in counts}) == 1
    return {name: sum(part[name] for part in counts) for name in counts[0]}


@pytest.mark.parametrize(("unit", "pattern"), CASES)
@given(first=st.integers(0, 2000), second=st.integers(0, 2000))
def test_actions_are_proportional_to_nonzero_activations(unit, pattern, first, second):
    """What one more adds does not depend on how many there are, nor on the rest."""
    work = ragged_work(pattern)
    none, one, some, others, all_of_them = (
        unit.actions(replace(work, nonzero=count))
        for count in (0, 1, first, second, first + second)
    )
    assert sums(some, others) == sums(all_of_them, none)
    assert all(some[name] == none[name] + first * (one[name] - none[name]) for name in none)


@pytest.mark.parametrize(("unit", "pattern"), CASES)
@given(seed=st.integers(0, 2**16), largest=st.sampled_from([1, 3, 1000]))
def test_actions_are_proportional_to_weight_bytes_in_whole_bursts(unit, pattern, seed, largest):
    """Any two runs together, or one of them thrice, are what they are one by one."""
    work, rng = ragged_work(pattern), np.random.default_rng(seed)
    none = 0 * work.weight_bytes
    first, second = (BURST_BYTES * rng.integers(0, largest + 1, len(work.jobs)) for _ in range(2))

    def counts(weight_bytes, **changes):
        return unit.actions(replace(work, weight_bytes=weight_bytes, is_decode=True, **changes))

    assert sums(counts(first), counts(second)) == sums(counts(first + second), counts(none))
    assert sums(*3 * [counts(first)]) == sums(counts(3 * first), *2 * [counts(none)])
    # Nor does what nonzero activations add depend on the weights.
    assert sums(counts(first, nonzero=7), counts(none, nonzero=0)) == sums(
        counts(first, nonzero=0), counts(none, nonzero=7)
    )


def test_weights_and_nonzero_activations_are_counted_by_someone():
    """A guard: counts that do not depend on something are proportional to it."""
    work = ragged_work("8:16")
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


@pytest.mark.parametrize(("unit", "pattern"), CASES)
def test_costs_are_finite_and_not_negative(unit, pattern):
    path = path_of(pattern)
    costs = [*unit.energy_pj(TECH, path).values()]
    costs += [unit.area_um2(TECH, path), unit.leakage_mw(TECH, path)]
    assert all(math.isfinite(cost) and cost >= 0 for cost in costs)


@pytest.mark.parametrize(("unit", "pattern"), CASES)
def test_busy_cycles_are_one_whole_number_a_job(unit, pattern):
    work = ragged_work(pattern)
    assert len(work.jobs) > 8
    busy = unit.busy_cycles(work)
    assert busy.shape == (len(work.jobs),)
    assert busy.dtype == np.int64
    assert (busy >= 0).all()
    assert busy.any()
    assert np.array_equal(busy, unit.busy_cycles(work))


@pytest.mark.parametrize(("unit", "pattern"), CASES)
def test_latency_is_a_whole_number_of_cycles(unit, pattern):
    latency = unit.latency_cycles(path_of(pattern))
    assert isinstance(latency, int)
    assert latency >= 0


@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS)
def test_parameters_survive_yaml(unit):
    text = yaml.safe_dump(unit.model_dump())
    assert type(unit).model_validate(yaml.safe_load(text)) == unit


@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS)
def test_an_unknown_parameter_is_refused(unit):
    with pytest.raises(ValidationError, match="extra_forbidden"):
        type(unit).model_validate({**unit.model_dump(), "colour": "red"})


@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS)
def test_parameters_cannot_change(unit):
    field = next(iter(type(unit).model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(unit, field, getattr(unit, field))


NUMBERS = [
    pytest.param(unit, field, id=f"{name}.{field}")
    for name, unit in UNITS.items()
    for field, value in unit.model_dump().items()
    if type(value) in {int, float}
]
# None: as the clock asks for, or as many as keep up.
BY_CLOCK = {"extra_stages", "step_cycles", "pipeline_stages"}
OPEN = {
    *((name, field) for name in UNITS for field in BY_CLOCK if name != "crossbar none"),
    *((name, "lanes") for name in (*METHOD_UNITS, "unpacker")),
}


@pytest.mark.parametrize("bad", [-1, math.inf, -math.inf, math.nan, "many", None, [1]])
@pytest.mark.parametrize(("unit", "field"), NUMBERS)
def test_a_number_that_makes_no_sense_is_refused(unit, field, bad):
    if bad is None and (next(name for name in UNITS if UNITS[name] == unit), field) in OPEN:
        assert getattr(type(unit).model_validate({**unit.model_dump(), field: None}), field) is None
        return
    with pytest.raises(ValidationError):
        type(unit).model_validate({**unit.model_dump(), field: bad})


@pytest.mark.parametrize(("unit", "field"), NUMBERS)
def test_yes_is_not_a_number(unit, field):
    with pytest.raises(ValidationError):
        type(unit).model_validate({**unit.model_dump(), field: True})


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


# --- documentation -------------------------------------------------------------------------------

CLASSES = list(dict.fromkeys(type(unit) for unit in UNITS.values()))


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
@pytest.mark.parametrize("section", ["Timing", "Actions", "Not modelled"])
def test_a_unit_says_what_it_does_and_what_it_leaves_out(cls, section):
    # A kind may leave a section to the class that all its kinds share.
    texts = [inspect.getdoc(c) or "" for c in cls.__mro__ if issubclass(c, Unit) and c is not Unit]
    assert any(re.search(rf"^(\w+, )*{section}(, \w+)*:$", text, re.MULTILINE) for text in texts)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_a_unit_has_an_example_that_runs(cls):
    assert re.search(r"^Example:\n(.|\n)*>>> ", inspect.getdoc(cls), re.MULTILINE)
