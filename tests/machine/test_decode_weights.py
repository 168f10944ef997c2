"""Decode fetches the weight rows that some sequence keeps, in whole bursts, counted by sets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim import load_trace
from accelsim.mapping import Gemm, Store, Stores, Tiling, tile_jobs
from accelsim.mapping.tiling import ORDERS
from accelsim.selection.decode import Fetches
from tests.helpers.decode import fetched, kept, layer_bytes, steps_of
from tests.helpers.small import (
    ARCHITECTURES,
    SELECTING,
    SHIPPED_TRACE,
    changed,
    layer_runs,
    load,
    machine_for,
    tile,
    trace_of,
    works_of,
)

LENGTHS = (5, 9, 2, 6)


def test_the_oracle_itself():
    assert steps_of((2, 3), 2) == [[0, 2], [1, 3]]  # the fifth token is left over
    assert kept([3, -3, 1, 3, 9], 2, 4) == {0, 1, 4}
    # Rows of 32 bytes in bursts of 64: rows 0 and 1 share a burst, row 5 lies in the third.
    assert fetched({0, 1, 5}, 32, 1, 64) == 2 * 64


# The simulator against them --------------------------------------------------------------------


def assert_fetches_the_union(arch, trace, *, batch, limit=None):
    linear = trace.linears[0]
    operands = trace.operands(linear.input, arch.precision)
    values = operands[0] if isinstance(operands, tuple) else operands
    n, m = arch.path.kept_per_group, arch.path.group_size
    masks = [kept(row, n, m) for row in values.tolist()]
    works = works_of(arch, trace, batch=batch)
    steps = steps_of(trace.meta.sequence_lengths, batch)
    count = 0
    for tokens, work in zip(steps[:limit], works, strict=limit is None):
        assert work.gemm.tokens == batch
        needed = set().union(*(masks[token] for token in tokens))
        shape = (linear.in_features, linear.out_features)
        value_bytes = arch.path.w.bits // 8
        expected = layer_bytes(needed, shape, work.tiling, value_bytes, arch.dram.burst_bytes)
        assert arch.dram.weight_bytes(work).sum() == expected
        count += 1
    assert count == len(steps[:limit]) > 0


@pytest.mark.parametrize("name", SELECTING)
@pytest.mark.parametrize("batch", [1, 2, 8])
@pytest.mark.parametrize("shape", [(64, 64), (100, 24), (37, 9)], ids=str)
def test_weights_fetched_are_the_union_of_the_masks(name, batch, shape):
    assert_fetches_the_union(load(name), trace_of([shape], lengths=LENGTHS), batch=batch)


@pytest.mark.parametrize("batch", [1, 2, 8])
@pytest.mark.parametrize("burst", [16, 64, 256])
def test_every_tile_is_fetched_by_itself(batch, burst):
    """Odd widths: 130 columns in tiles of 24 (the last of 10), 96 rows in tiles of 32."""
    arch = changed(load("nm816"), {"tiling": tile(8, 32, 24), "dram.burst_bytes": burst})
    trace = trace_of([(96, 130)], lengths=LENGTHS)
    assert_fetches_the_union(arch, trace, batch=batch)


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_the_shipped_trace_fetches_the_union(batch):
    assert_fetches_the_union(load("nm816"), load_trace(SHIPPED_TRACE), batch=batch, limit=4)


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_a_dense_machine_fetches_everything_in_every_step(batch):
    """64 × 128 bytes are whole bursts, whatever the tile."""
    trace = trace_of([(64, 128)], lengths=LENGTHS)
    works = works_of(load("dense"), trace, batch=batch)
    assert len(works) == sum(LENGTHS) // batch
    assert {int(load("dense").dram.weight_bytes(work).sum()) for work in works} == {64 * 128}


@pytest.mark.parametrize("pattern", ["2:4", "4:8", "8:16", "16:32", "1:4", "3:4"])
def test_one_sequence_fetches_n_of_m_rows(pattern):
    """Rows of 64 bytes are one burst each: exactly N / M of the bytes, in every step."""
    n, m = map(int, pattern.split(":"))
    arch = changed(machine_for(pattern), {"tiling": tile(8, 64, 64)})
    runs = layer_runs(arch, (8, 256, 128), batch=1)
    assert len(runs) == 8
    for work, _ in runs:
        assert arch.dram.weight_bytes(work).sum() * m == 256 * 128 * n


def test_one_sequence_of_the_shipped_trace_fetches_about_half():
    """Exactly half of the rows; a little more where a tile's row ends inside a burst."""
    arch, trace = load("nm816"), load_trace(SHIPPED_TRACE)
    for layer, linear in enumerate(trace.linears[:7]):
        work, *_ = works_of(arch, trace, batch=1, layer=layer)
        share = arch.dram.weight_bytes(work).sum() / (linear.in_features * linear.out_features)
        assert 0.5 <= share < 0.8, linear.name
        if work.tiling.columns % 64 == 0:
            assert share == 0.5


def test_rows_narrower_than_a_burst_share_it():
    """Tiles of 16 columns put four rows into a burst: 8 of 16 rows kept touch nearly all of it."""
    narrow = changed(load("nm816"), {"tiling": tile(8, 64, 16)})
    wide = changed(load("nm816"), {"tiling": tile(8, 64, 64)})
    for (few, _), (many, _) in zip(
        layer_runs(narrow, (8, 64, 64), batch=1),
        layer_runs(wide, (8, 64, 64), batch=1),
        strict=True,
    ):
        assert many.weight_bytes.sum() == 64 * 64 // 2
        assert 64 * 64 // 2 < few.weight_bytes.sum() <= 64 * 64


def test_larger_batches_need_more_rows_a_step_and_fewer_a_token():
    arch, trace = load("nm816"), load_trace(SHIPPED_TRACE)
    linear = trace.linears[0]
    mean = []
    for batch in (1, 2, 8, 32):
        works = works_of(arch, trace, batch=batch)
        mean.append(sum(int(work.weight_bytes.sum()) for work in works) / len(works))
    assert mean == sorted(mean)
    per_token = [total / batch for total, batch in zip(mean, (1, 2, 8, 32), strict=True)]
    assert per_token == sorted(per_token, reverse=True)
    assert mean[-1] <= linear.in_features * linear.out_features


def test_prefill_fetches_everything_even_if_sparse():
    for name in ARCHITECTURES:
        arch = load(name)
        ((work, _),) = layer_runs(arch, (16, 64, 64))
        assert work.weight_bytes.sum() == 64 * 64 * arch.path.w.bits // 8


@given(
    gemm=st.builds(Gemm, st.integers(1, 20), st.integers(1, 90), st.integers(1, 90)),
    tiling=st.builds(
        Tiling,
        st.integers(1, 20),
        st.integers(1, 40),
        st.integers(1, 40),
        st.sampled_from(ORDERS),
    ),
    value_bits=st.sampled_from([8, 16]),
    burst=st.sampled_from([1, 4, 24, 32, 64, 256, 4096]),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**16),
    stays=st.booleans(),
)
def test_gathered_bytes_of_any_tiling(gemm, tiling, *, value_bits, burst, share, seed, stays):
    path = changed(load("nm816"), {"precision": "int8" if value_bits == 8 else "bf16"}).path
    store = Store(1 << 20 if stays else 1)
    jobs = tile_jobs(gemm, tiling, path, Stores(store, store, store, store))
    needed = np.random.default_rng(seed).random(gemm.in_features) < share
    fetches = Fetches.of(jobs, path, [needed[None]], burst)
    found = fetches.size_bytes[0, fetches.kind]
    for job, size in enumerate(found.tolist()):
        first, count = int(jobs.reduction_start[job]), int(jobs.reduction[job])
        rows = {row for row in range(count) if needed[first + row]}
        loads = bool(jobs.loads_weights[job])
        columns = int(jobs.columns[job])
        assert size == (fetched(rows, columns, value_bits // 8, burst) if loads else 0)
    assert found[jobs.loads_weights].size > 0
