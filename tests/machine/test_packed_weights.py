"""Machines whose weights are narrower than their multipliers: bytes, units, values."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim import simulate
from accelsim.base.errors import InputError
from accelsim.dataflows.pipeline import build_pipeline
from accelsim.engine import engine_named
from accelsim.mapping import Gemm, Store, Stores, Tiling, tile_jobs
from accelsim.mapping.tiling import TileBytes, dram_bytes
from accelsim.planning import Planner
from accelsim.report.summary import headline
from accelsim.run.area import AreaReport
from accelsim.run.balance import Bottleneck, balanced_ports, bottlenecks, narrow_ports
from accelsim.run.verify import verify
from accelsim.selection.decode import Fetches
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.policy import Method
from accelsim.sweeps.totals import Workload, new_memory, totals_of
from tests.helpers.decode import fetched
from tests.helpers.small import load, trace_of, works_of

W4A8 = {"precision": "int8/int4:32"}
SHAPES = [(64, 32), (100, 24), (37, 9), (256, 130)]


def machine(precision="int8/int4:32", name="nm816", **changes):
    return load(name, {"precision": precision} | changes)


# Which machines have one -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dense", "nm816"])
def test_there_is_an_unpacker_exactly_if_weights_are_narrower(name):
    plain, narrow = load(name), machine(name=name)
    assert "unpacker" not in plain.units
    assert "unpacker" not in plain.resolved()
    assert list(narrow.units).index("unpacker") == list(narrow.units).index("weight_buffer") + 1
    assert set(narrow.units) - {"unpacker"} == set(plain.units)
    assert "unpacker" in narrow.dense().units


def test_the_dense_counterpart_unpacks_as_much_as_it_needs():
    # 8 columns × 16 lanes; the lanes beyond are there for 8:16, so that their area is overhead. A
    # dense layer of the sparse machine passes through all of them.
    sparse = machine()
    assert (sparse.unpacker.lanes, sparse.dense().unpacker.lanes) == (256, 128)
    assert sparse.dense().unpacker == machine(name="dense").unpacker
    assert sparse.running(Method(parse_pattern("dense"))).units["unpacker"].lanes == 256
    assert machine(**{"unpacker.lanes": 192}).dense().unpacker.lanes == 192
    by_file = AreaReport.of(machine(name="dense")).total_um2  # the same buffers
    assert AreaReport.of(sparse).dense_um2 == pytest.approx(by_file, rel=1e-12)


def test_a_short_precision_stays_short_and_a_section_is_filled_in():
    assert load("nm816").resolved()["precision"] == "int8"
    long = machine("{x: int8, w: {format: int4, group: 64}, y: int8}")
    assert long.resolved()["precision"] == {
        "x": "int8", "w": {"format": "int4", "group": 64}, "y": "int8",
    }  # fmt: skip
    assert long.path == machine("int8/int4:64").path
    assert machine("{x: bf16, w: int4}").path == machine("bf16/int4:128").path
    assert load("nm816", {"precision": "{x: int8}"}).path == load("nm816").path


# Bytes -------------------------------------------------------------------------------------------


def test_bytes_of_a_tile_by_hand():
    # 48 × 10 weights: 240 bytes of codes, and 2 scales of a byte for each of 10 columns; of 16 bits
    # with multipliers of bf16. X and Y are not touched.
    gemm, tiling = Gemm(8, 96, 10), Tiling(8, 10, 48, "tokens_outer")
    size = TileBytes.of(tiling, gemm, machine().path)
    assert (size.weights, size.activations, size.outputs) == (260, 8 * 48, 8 * 10 * 4)
    size = TileBytes.of(tiling, gemm, machine("bf16/int4:32").path)
    assert (size.weights, size.activations) == (280, 2 * 8 * 48)
    size = TileBytes.of(Tiling(8, 10, 96, "tokens_outer"), gemm, machine("fp8/int4:32/bf16").path)
    assert (size.weights, size.outputs) == (480 + 30, 8 * 10 * 2)


def test_dram_and_buffer_bytes_by_hand():
    # One tile of 96 × 10: 480 bytes of codes and 3 scales a column, 8 bursts of 64 bytes. Two row
    # blocks read it twice.
    arch = machine(**{"tiling": "{tokens: 16, columns: 10, reduction: 96}"})
    (work,) = works_of(arch, trace_of([(96, 10)], lengths=(16,)))
    assert arch.dram.weight_bytes(work).tolist() == [512]
    assert work.weight_bytes.tolist() == [510]
    assert arch.buffers.weights.read_bytes(work).tolist() == [2 * 510]
    assert arch.buffers.weights.busy_cycles(work).tolist() == [2 * 510 // 256 + 1]
    assert arch.unpacker.actions(work) == {"unpack": 2 * 960, "scale": 2 * 30}


@given(
    st.integers(1, 80), st.integers(1, 300), st.integers(1, 40),
    st.integers(1, 20), st.integers(1, 12), st.sampled_from(["int8/int4:32", "bf16/int4:64"]),
)  # fmt: skip
def test_tiles_add_up_to_no_less_than_the_layer(  # noqa: PLR0917
    tokens, width, outputs, groups, columns, precision
):
    """No tile is larger than the room that is asked for; scales of cut groups are loaded twice."""
    path = machine(precision).path
    gemm, tiling = (
        Gemm(tokens, width, outputs),
        Tiling(tokens, columns, 16 * groups, "tokens_outer"),
    )
    store = Store(1 << 30)
    jobs = tile_jobs(gemm, tiling, path, Stores(store, store, store, store))
    sizes = jobs.weight_tile_bytes(path)
    assert sizes.max() <= TileBytes.of(tiling, gemm, path).weights
    bits = path.w.tile_bits(width, outputs, -(-width // path.w.group))
    assert 8 * sizes.sum() >= bits
    if (16 * groups) % path.w.group == 0:
        assert 8 * sizes.sum() < bits + 8 * len(jobs)


def test_the_mapper_counts_codes_and_scales():
    class Once:
        activation_loads = weight_loads = 1
        spills = 0

    gemm, path = Gemm(8, 96, 10), machine().path
    assert dram_bytes(gemm, path, Once) == 8 * 96 + (480 + 30) + 8 * 10
    # A tile of 256 × 32 codes and 8 scales a column takes 4,352 bytes, of int8 it takes 8,192.
    cramped = {"buffers.weights.capacity_kib": 4.25}
    by_hand = cramped | {"tiling": "{tokens: 8, columns: 32, reduction: 256}"}
    gemm = Gemm(8, 512, 64)
    assert Planner().tile(load("nm816", by_hand | W4A8).running(), gemm).columns == 32
    with pytest.raises(InputError, match="a tile of 8192 bytes must fit"):
        Planner().tile(load("nm816", by_hand).running(), gemm)
    assert Planner().tile(load("nm816", cramped | W4A8).running(), gemm)


@given(
    share=st.floats(0, 1),
    seed=st.integers(0, 2**16),
    burst=st.sampled_from([1, 8, 64, 256]),
    precision=st.sampled_from(["int8/int4:32", "bf16/int4:64"]),
    width=st.sampled_from([2, 10, 32]),
)
def test_decode_fetches_needed_rows_and_the_scales_of_their_groups(
    share, seed, burst, precision, width
):
    path, rows = machine(precision).path, 144
    gemm, tiling = Gemm(1, rows, width), Tiling(1, width, 48, "tokens_outer")
    store = Store(1 << 20)
    jobs = tile_jobs(gemm, tiling, path, Stores(store, store, store, store))
    needed = np.random.default_rng(seed).random(rows) < share
    fetches = Fetches.of(jobs, path, [needed[None]], burst)
    for job, size in enumerate(fetches.size_bytes[0, fetches.kind].tolist()):
        start = int(jobs.reduction_start[job])
        inside = {row for row in range(48) if needed[start + row]}
        first = start // path.w.group
        groups = {(start + row) // path.w.group - first for row in inside}
        # Two columns of 4 bits are a byte; rows of a byte or more here.
        codes = fetched(inside, width // 2, 1, burst)
        scales = fetched(groups, width * path.w.scale_bits // 8, 1, burst)
        whole = -(-int(jobs.weight_tile_bytes(path)[job]) // burst) * burst
        assert size == min(codes + scales, whole)


# Time --------------------------------------------------------------------------------------------


def test_few_lanes_set_the_pace_and_are_named(small_trace):
    slow, fast = machine(**{"unpacker.lanes": 4}), machine()
    results = [simulate(arch, small_trace) for arch in (slow, fast)]
    for layer in results[0].layers:
        assert (
            layer.cycles
            >= layer.bound_cycles["unpacker"]
            == layer.units["unpacker"].ledger.busy_cycles
        )
    assert results[0].layers[-1].bound == "unpacker"
    assert results[0].cycles > results[1].cycles
    assert all(layer.bound != "unpacker" for layer in results[1].layers)


@pytest.mark.parametrize("batch", [None, 2])
def test_both_engines_agree(batch, small_trace):
    arch = machine(tiling="{tokens: 8, columns: 16, reduction: 48}")
    for layer in range(len(small_trace.linears)):
        for work in works_of(arch, small_trace, batch=batch, layer=layer):
            network = build_pipeline(arch.running(), work).network
            times = [engine_named(name)(network) for name in ("recurrence", "simpy")]
            assert times[0].cycles == times[1].cycles


@pytest.mark.parametrize("phase", ["prefill", "decode"])
@pytest.mark.parametrize("precision", ["int8/int4:32", "bf16/int4:64", "fp16/int4"])
def test_a_sweep_comes_to_what_a_run_says(phase, precision, small_trace):
    batch = None if phase == "prefill" else 1
    memory, workload = new_memory(), Workload(small_trace, None)
    for lanes in (4, 256):  # the second after its neighbour
        arch = machine(precision, **{"unpacker.lanes": lanes})
        result = simulate(arch, small_trace, phase=phase, batch=batch)
        row = totals_of(arch, workload, None, batch, memory)
        assert {key: row[key] for key in result.totals()} == result.totals()


def test_narrow_weights_move_fewer_bytes_for_the_price_of_a_unit(small_trace):
    plain, narrow = (simulate(arch, small_trace) for arch in (load("nm816"), machine()))
    assert narrow.totals()["dram_bytes"] < plain.totals()["dram_bytes"]
    assert narrow.units["unpacker"].area_um2 > 0
    assert narrow.units["unpacker"].energy_pj > 0
    assert narrow.area_um2 == pytest.approx(plain.area_um2 + narrow.units["unpacker"].area_um2)
    json.dumps(narrow.to_dict())


# Values ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "precision",
    ["int8/int4:32", "int8/int4:128", "bf16/int4:32", "fp16/int4:64", "fp8/int4:32", "int4"],
)
@pytest.mark.parametrize("name", ["dense", "nm816"])
def test_the_machine_computes_with_what_it_unpacks(precision, name):
    trace = trace_of([(100, 24), (37, 9)], lengths=(8,))
    arch = machine(precision, name, tiling="{tokens: 8, columns: 16, reduction: 48}")
    checks = list(verify(arch, trace))
    assert len(checks) == 2
    assert all(check.passed for check in checks)
    assert all(check.is_exact for check in checks if precision.startswith("int"))


def test_a_lost_scale_is_noticed(monkeypatch):
    from accelsim.precision.groups import Packed

    whole = Packed.__getitem__

    def first_scale_only(packed, tile):
        rows, columns = tile
        if rows.start is None:
            return whole(packed, tile)
        moved = slice(0, rows.stop - rows.start)
        return whole(Packed(packed.codes[:, rows], packed.scales, packed.formats), (moved, columns))

    monkeypatch.setattr(Packed, "__getitem__", first_scale_only)
    arch = machine(tiling="{tokens: 8, columns: 16, reduction: 48}")
    assert not all(check.passed for check in verify(arch, trace_of([(100, 24)])))


# What is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("precision", "message"),
    [
        ("{x: int8, w: int7}", "unknown precision 'int7'"),
        ("{x: int8, w: {format: int4, group: 48}}", "group 48: allowed: 32, 64, 128"),
        ("{x: bf16, w: int4, y: int8}", "Y of format 'int8' does not go with X of format 'bf16'"),
        ("{x: int8, w: bf16}", "W of format 'bf16' does not go with X of format 'int8'"),
        ("{w: int4}", "key 'precision.x' is missing"),
        ("{x: int8, w: {fromat: int4}}", "unknown key 'precision.w.fromat'"),
        ("{x: int8, v: int4}", "unknown key 'precision.v'.*allowed: w, x, y"),
        ("int8/int4:48", "group 48"),
    ],
)
def test_formats_that_do_not_go_together_are_refused(precision, message):
    with pytest.raises(InputError, match=message) as error:
        machine(precision)
    assert "precision" in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unpacker_without_use_is_refused():
    with pytest.raises(InputError, match=r"unpacker\.lanes=4: precision 'int8' has W as"):
        load("nm816", {"unpacker.lanes": 4})


# What is told -------------------------------------------------------------------------------------


def test_lanes_that_cannot_keep_up_are_told_with_the_number_to_write():
    slow = machine(**{"unpacker.lanes": 4})
    assert list(narrow_ports(slow)) == [Bottleneck("unpacker.lanes", 4, 256)]
    long = trace_of([(256, 512)], lengths=(256,))  # enough cycles to be judged
    assert bottlenecks(slow, simulate(slow, long)) == [Bottleneck("unpacker.lanes", 4, 256)]
    assert list(narrow_ports(machine())) == []


def test_the_port_that_keeps_up_has_codes_and_its_share_of_scales():
    # 8 columns × 32 positions of 4 bits are 128 bytes a step; a byte for each column and step more.
    assert balanced_ports(machine("int8/int4:32"))["weight_buffer"] == 128 + 8
    assert balanced_ports(machine("int8/int4:128"))["weight_buffer"] == 128 + 2
    assert balanced_ports(load("nm816"))["weight_buffer"] == 256


@pytest.mark.parametrize("precision", ["int8/int4:64", "{x: int8, w: {format: int4, group: 64}}"])
def test_the_headline_says_the_formats_in_one_way(precision, small_trace):
    assert "8:16 int8/int4:64, 8×8×16 MACs" in headline(simulate(machine(precision), small_trace))
