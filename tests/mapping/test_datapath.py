"""Groups, slots and steps, against packing the groups into lanes one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.mapping import Datapath, bytes_of, ceil_div


def packed_steps(groups, kept, lanes):
    """Fill the lanes with whole groups; a group wider than the lanes takes steps of its own."""
    steps = free = 0
    for _ in range(groups):
        if kept > lanes:
            steps += len(range(0, kept, lanes))
            continue
        if free < kept:
            steps, free = steps + 1, lanes
        free -= kept
    return steps


@given(
    n=st.integers(1, 64),
    extra=st.integers(0, 63),
    lanes=st.integers(1, 40),
    reduction=st.integers(1, 500),
)
def test_steps_equal_packing(n, extra, lanes, reduction):
    m = min(64, n + extra)
    path = Datapath(
        rows=1,
        columns=1,
        lanes=lanes,
        accumulator_bits=32,
        kept_per_group=n,
        group_size=m,
    )
    groups = len(range(0, reduction, m))
    assert path.groups(reduction) == groups
    assert path.stored_values(reduction) == groups * n
    assert path.steps(reduction) == packed_steps(groups, n, lanes)


def test_arrays_and_integers_agree(path):
    machine = path("3:5")
    lengths = np.arange(1, 40)
    for formula in (machine.groups, machine.stored_values, machine.steps, machine.compressed_bits):
        assert formula(lengths).tolist() == [formula(int(length)) for length in lengths]


def test_compressed_bits_by_hand(path):
    # 10 positions at 2:4 in int8: 3 groups × (2 × 8 + 4).
    assert path("2:4").compressed_bits(10) == 60
    assert path("2:4", bits=16).compressed_bits(10) == 108


@pytest.mark.parametrize(("value", "divisor", "up"), [(0, 3, 0), (1, 3, 1), (3, 3, 1), (4, 3, 2)])
def test_ceil_div(value, divisor, up):
    assert ceil_div(value, divisor) == up
    assert ceil_div(np.array([value]), divisor).tolist() == [up]


def test_bytes_hold_all_bits():
    assert [bytes_of(bits) for bits in (0, 1, 8, 9)] == [0, 1, 1, 2]


def test_ceil_div_is_exact_where_floats_are_not():
    assert ceil_div(2**60 + 1, 2) == 2**59 + 1


def test_a_machine_that_keeps_everything_in_groups_is_sparse(path):
    # 4:4 drops nothing, but its groups pass through selector and crossbar.
    assert path("2:4").is_sparse
    assert not path("dense").is_sparse
