"""Every unit prices exactly what it counts, grows with its parameters, and describes itself."""

import inspect
import math
import re
from itertools import pairwise

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from accelsim.hardware import (
    CROSSBARS,
    SELECTORS,
    ActivationBuffer,
    CompressedBuffer,
    Dram,
    MacArray,
    OutputBuffer,
    Unit,
    WeightBuffer,
)
from accelsim.sparsity import parse_pattern
from accelsim.tech.technology import Technology
from accelsim.workload import Datapath, Gemm, Store, Stores, Tiling, Work, tile_jobs
from accelsim.workload.sparsify import dense_weight_bytes

TECH = Technology.load("literature45", node_nm=45)
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
}
SPARSE_ONLY = {name for name in UNITS if name.startswith(("selector", "crossbar"))} | {"compressed"}
SPARSE_ONLY -= {"crossbar none"}
CASES = [
    pytest.param(unit, pattern, id=f"{name}-{pattern}")
    for name, unit in UNITS.items()
    for pattern in ("dense", *SPARSE)
    if (pattern != "dense") == (name in SPARSE_ONLY) or name not in {*SPARSE_ONLY, "crossbar none"}
]


def path_of(pattern, *, bits=8, precision="int8", rows=8, columns=4, lanes=16):
    kept = parse_pattern(pattern)
    return Datapath(
        rows=rows,
        columns=columns,
        lanes=lanes,
        value_bits=bits,
        accumulator_bits=32,
        precision=precision,
        kept_per_group=kept.kept_per_group,
        group_size=kept.group_size,
        metadata_bits_per_group=0 if kept.is_dense else kept.group_size,
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
    """Yield every class of the package that can be built."""
    for child in cls.__subclasses__():
        if not inspect.isabstract(child) and child.__module__.startswith("accelsim."):
            yield child
        yield from concrete_units(child)


def test_the_registries_hold_what_is_documented():
    assert {"rank", "bitonic", "radix"} <= set(SELECTORS)
    assert {"full", "window", "none"} <= set(CROSSBARS)


def test_every_unit_of_the_package_is_tested_here():
    found = set(concrete_units())
    assert found == {type(unit) for unit in UNITS.values()}
    assert len(found) >= 12  # dram, four buffers, the array, three selectors, three crossbars


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


@pytest.mark.parametrize("bad", [-1, math.inf, -math.inf, math.nan, "many", None, [1]])
@pytest.mark.parametrize(("unit", "field"), NUMBERS)
def test_a_number_that_makes_no_sense_is_refused(unit, field, bad):
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


GROWING_PATHS = {
    "M, half kept": [path_of(p) for p in ("2:4", "4:8", "8:16", "16:32", "32:64")],
    "M, two kept": [path_of(p) for p in ("2:4", "2:8", "2:16", "2:32", "2:64")],
    "bits": [path_of("8:16"), path_of("8:16", bits=16, precision="bf16")],
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
    paths = [path_of("8:16", **{side: size}) for size in (8, 16, 32, 64)]
    assert_grows(areas([CROSSBARS[kind](kind=kind)] * 4, paths))


@pytest.mark.parametrize("side", ["rows", "columns", "lanes"])
def test_array_area_grows_with_each_side(side):
    sizes = [{"rows": 8, "columns": 8, "lanes": 8} | {side: size} for size in (1, 2, 8, 64)]
    units = [MacArray(**size) for size in sizes]
    assert_grows(areas(units, [path_of("dense", **size) for size in sizes]))


def test_array_area_grows_with_the_width():
    paths = [path_of("dense"), path_of("dense", bits=16, precision="bf16")]
    assert_grows(areas([MacArray(rows=8, columns=4, lanes=16)] * 2, paths))


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


@pytest.mark.parametrize("cls", {type(unit) for unit in UNITS.values()}, ids=lambda c: c.__name__)
@pytest.mark.parametrize("section", ["Timing", "Actions", "Not modelled"])
def test_a_unit_says_what_it_does_and_what_it_leaves_out(cls, section):
    # A kind may leave a section to the class that all its kinds share.
    texts = [inspect.getdoc(c) or "" for c in cls.__mro__ if issubclass(c, Unit) and c is not Unit]
    assert any(re.search(rf"^(\w+, )*{section}(, \w+)*:$", text, re.MULTILINE) for text in texts)


@pytest.mark.parametrize("cls", {type(unit) for unit in UNITS.values()}, ids=lambda c: c.__name__)
def test_a_unit_has_an_example_that_runs(cls):
    assert re.search(r"^Example:\n(.|\n)*>>> ", inspect.getdoc(cls), re.MULTILINE)
