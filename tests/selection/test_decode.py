"""Decode steps, and the weights that they fetch."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.base.errors import InputError
from accelsim.mapping import Gemm, Store, Stores, Tiling, tile_jobs
from accelsim.selection.decode import (
    Fetches,
    decode_batches,
    decode_notes,
    dense_weight_bytes,
    touched_bursts,
)
from accelsim.selection.sparsify import select
from accelsim.sparsity import parse_pattern
from tests.helpers.tiled_layers import path_of

lengths = st.lists(st.integers(1, 12), min_size=1, max_size=6)


def batches(sequence_lengths, batch):
    return [step.tolist() for step in decode_batches(sequence_lengths, batch)]


@pytest.mark.parametrize(
    ("sequences", "batch", "steps"),
    [
        ([3], 1, [[0], [1], [2]]),
        ([2, 2], 2, [[0, 2], [1, 3]]),
        ([1, 3], 2, [[0, 1], [2, 3]]),  # the second step has one sequence left
        ([2, 2], 3, [[0, 2, 1]]),  # more than there are sequences; one token is left over
        ([2, 2], 4, [[0, 2, 1, 3]]),
    ],
)
def test_steps_by_hand(sequences, batch, steps):
    assert batches(sequences, batch) == steps


@pytest.mark.parametrize(
    ("sequences", "batch", "said"),
    [
        ([2, 2], 1, None),
        ([2, 2], 2, None),
        (
            [2, 2],
            3,
            "batch 3 of a trace of 2 sequences: in 1 of 1 decode steps.* up to 2 do without",
        ),
        (
            [1, 3],
            2,
            "batch 2 of a trace of 2 sequences: in 1 of 2 decode steps.* up to 1 do without",
        ),
        ([3], 3, "of 1 sequences"),
    ],
)
def test_a_sequence_that_stands_for_several_is_said(sequences, batch, said):
    notes = list(decode_notes(sequences, decode_batches(sequences, batch)))
    assert len(notes) == (said is not None)
    assert all(re.search(said, note) for note in notes)


@given(lengths=lengths, batch=st.integers(1, 6))
def test_what_a_note_recommends_gets_none(lengths, batch):
    if batch <= sum(lengths):
        notes = list(decode_notes(lengths, decode_batches(lengths, batch)))
        for note in notes:
            best = int(re.search(r"up to (\d+) do", note)[1])
            assert not list(decode_notes(lengths, decode_batches(lengths, best)))


@given(lengths=lengths, batch=st.integers(1, 12))
def test_every_token_is_decoded_at_most_once_and_less_than_a_batch_is_dropped(lengths, batch):
    tokens = sum(lengths)
    if batch > tokens:
        with pytest.raises(InputError, match=f"batch {batch} is larger than the {tokens} tokens"):
            batches(lengths, batch)
        return
    steps = batches(lengths, batch)
    decoded = [token for step in steps for token in step]
    assert all(len(step) == batch for step in steps)
    assert len(set(decoded)) == len(decoded) == tokens - tokens % batch
    assert set(decoded) <= set(range(tokens))


@given(count=st.integers(1, 8), length=st.integers(1, 8), data=st.data())
def test_sequences_of_equal_length_are_mixed_and_advance_together(count, length, data):
    divisors = [size for size in range(1, count + 1) if count % size == 0]
    batch = data.draw(st.sampled_from(divisors))
    for step in batches([length] * count, batch):
        assert len({token // length for token in step}) == batch  # different sequences
        assert len({token % length for token in step}) == 1  # at the same position


@given(lengths=lengths)
def test_a_sequence_is_decoded_in_order(lengths):
    decoded = [token for step in batches(lengths, 1) for token in step]
    start = 0
    for length in lengths:
        own = [token for token in decoded if start <= token < start + length]
        assert own == list(range(start, start + length))
        start += length


# --- weights -------------------------------------------------------------------------------------


@given(
    rows=st.sets(st.integers(0, 60)).map(sorted),
    row_bytes=st.integers(1, 200),
    burst=st.sampled_from([1, 16, 48, 64, 100]),
)
def test_touched_bursts_equal_a_set_of_bursts(rows, row_bytes, burst):
    touched = {
        byte // burst for row in rows for byte in range(row * row_bytes, (row + 1) * row_bytes)
    }
    needed = np.zeros((2, 61), bool)
    needed[1, rows] = True
    assert touched_bursts(needed, row_bytes, burst).tolist() == [0, len(touched)]


def gathered_weight_bytes(jobs, path, needed, burst):
    fetches = Fetches.of(jobs, path, [needed[None]], burst)
    return fetches.size_bytes[0, fetches.kind]


def layer(shape, tile, *, pattern="2:4"):
    store = Store(1, double_buffered=False)  # nothing stays on chip
    stores = Stores(store, store, store, store)
    tokens, reduction, columns = tile
    tiling = Tiling(tokens, columns, reduction, "tokens_outer")
    return tile_jobs(Gemm(*shape), tiling, path_of(pattern), stores)


def test_dense_weights_are_fetched_whole():
    # K 8 + 2, columns 4 + 1; two row tiles fetch everything twice.
    jobs = layer((2, 10, 5), (1, 8, 4))
    assert dense_weight_bytes(jobs, path_of("2:4")).tolist() == [32, 8, 8, 2] * 2
    assert dense_weight_bytes(jobs, path_of("2:4", bits=16)).tolist() == [64, 16, 16, 4] * 2


def test_gathered_weights_by_hand():
    # One tile of 8 rows of 16 bytes, burst 32: rows 0 and 1 share a burst, as do 6 and 7.
    jobs = layer((1, 8, 16), (1, 8, 16))
    needed = np.array([1, 1, 0, 0, 0, 1, 0, 1], bool)
    assert gathered_weight_bytes(jobs, path_of("2:4"), needed, 32).tolist() == [3 * 32]


@given(needed=st.lists(st.booleans(), min_size=20, max_size=20), burst=st.sampled_from([1, 8, 64]))
def test_gathering_needs_at_least_the_rows_and_at_most_the_tile(needed, burst):
    machine = path_of("2:4")
    jobs = layer((1, 20, 24), (1, 8, 16))
    needed = np.array(needed)
    fetched = gathered_weight_bytes(jobs, machine, needed, burst)
    whole = -(-dense_weight_bytes(jobs, machine) // burst) * burst
    rows = [
        needed[s : s + r].sum() for s, r in zip(jobs.reduction_start, jobs.reduction, strict=True)
    ]
    assert (fetched >= rows * jobs.columns).all()
    assert (fetched <= whole).all()
    assert (fetched % burst == 0).all()
    if needed.all():
        assert (fetched == whole).all()


def test_a_larger_batch_needs_more_weights_and_less_a_token():
    x = np.random.default_rng(0).integers(-127, 128, (64, 128), dtype=np.int8)
    mask = select(x, parse_pattern("8:16")).kept_mask
    jobs = layer((1, 128, 64), (1, 128, 64))
    sizes = [
        int(gathered_weight_bytes(jobs, path_of("8:16"), mask[:batch].any(axis=0), 64).sum())
        for batch in (1, 2, 4, 8, 64)
    ]
    # One sequence keeps exactly half of the rows; rows are one burst here.
    assert sizes[0] == 128 * 64 // 2
    assert sizes == sorted(sizes)
    assert sizes[-1] == 128 * 64
