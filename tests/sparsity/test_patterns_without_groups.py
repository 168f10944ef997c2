"""Top-K and thresholds, which no machine runs, and which machine runs which pattern."""

from itertools import product
from math import lcm

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from accelsim.base.errors import InputError
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.patterns.threshold import Threshold
from accelsim.sparsity.patterns.topk import TopK
from accelsim.sparsity.patterns.two_rank import TwoRank

values = st.one_of(
    arrays(
        np.int8, st.tuples(st.integers(1, 3), st.integers(1, 60)), elements=st.integers(-128, 127)
    ),
    arrays(
        np.float32,
        st.tuples(st.integers(1, 3), st.integers(1, 60)),
        elements=st.one_of(st.floats(-1e3, 1e3, width=32), st.sampled_from([-1.0, -0.0, 0.0, 1.0])),
    ),
)


def kept_by_sorting(row, count):
    """Return the mask of the `count` largest magnitudes, the lower index first."""
    best = sorted(range(len(row)), key=lambda place: (-abs(row[place]), place))[:count]
    return [place in best for place in range(len(row))]


# Top-K -------------------------------------------------------------------------------------------


def test_topk_by_hand():
    # 0.4 × 5 = 2 of each token: 9 and -8, wherever they are; of equals the first two.
    mask = TopK(0.4).keep(np.array([[1, 9, 2, -8, 3], [4, 4, -4, 4, 4]], np.int8))
    assert mask.astype(int).tolist() == [[0, 1, 0, 1, 0], [1, 1, 0, 0, 0]]


@pytest.mark.parametrize(
    ("density", "length", "expected"),
    [(0.5, 8, 4), (0.5, 9, 4), (0.5, 11, 6), (0.7, 10, 7), (0.1, 3, 1), (0.001, 9, 1), (1, 9, 9)],
)
def test_topk_keeps_a_rounded_number_and_at_least_one(density, length, expected):
    # Of 9, half is 4.5, and halves round to even: 4; of 11, 5.5 rounds to 6.
    assert TopK(density).kept_count(length) == expected
    assert TopK(density).keep(np.arange(length)[None]).sum() == expected


@pytest.mark.parametrize("density", [0.1, 0.5, 0.9, 1.0])
@given(x=values)
def test_topk_equals_sorting_each_token(density, x):
    count = max(1, round(density * x.shape[1]))
    expected = [kept_by_sorting(row, count) for row in x.tolist()]
    assert TopK(density).keep(x).tolist() == expected


@given(x=arrays(np.float32, (2, 32), elements=st.floats(-1e3, 1e3, width=32)))
def test_no_groups_drop_less_than_top_k_of_the_same_share(x):
    squares = x.astype(np.float64) ** 2
    best = squares[~TopK(0.5).keep(x)].sum()
    for text in ("2:4", "8:16", "16:32"):
        assert best <= squares[~parse_pattern(text).keep(x)].sum() * (1 + 1e-12)


# Thresholds --------------------------------------------------------------------------------------


@given(x=values, level=st.floats(0, 200))
def test_a_threshold_equals_a_loop_over_the_values(x, level):
    nearest = float(np.float32(level))
    expected = [[abs(value) > nearest for value in row] for row in x.tolist()]
    assert Threshold(0.5, level=level).keep(x).tolist() == expected


def test_a_level_of_zero_keeps_all_but_zeros():
    mask = Threshold(0.0, level=0.0).keep(np.array([[0.0, -0.0, 1e-30, -5]], np.float32))
    assert mask.tolist() == [[False, False, True, True]]


def test_a_threshold_keeps_its_share_on_average():
    assert Threshold(0.7).kept_count(10) == 3
    assert Threshold(0.0).kept_count(10) == 10


@pytest.mark.parametrize("text", ["threshold:0.5", "greedy-threshold:0.25"])
def test_a_threshold_without_a_level_keeps_nothing_and_says_why(text):
    with pytest.raises(InputError, match=f"{text} has no level before it is calibrated"):
        parse_pattern(text).keep(np.ones((1, 4)))


# Shorthands --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("topk:0.5", TopK(0.5)),
        ("topk:.25", TopK(0.25)),
        ("topk:1", TopK(1.0)),
        ("threshold:0", Threshold(0.0)),
        ("threshold:0.35", Threshold(0.35)),
        ("greedy-threshold:0.4", Threshold(0.4, is_greedy=True)),
    ],
)
def test_shorthands_say_a_share(text, expected):
    assert parse_pattern(text) == expected
    assert parse_pattern(str(expected)) == expected
    assert not expected.is_dense


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("topk:0", "the density must be above 0 and at most 1"),
        ("topk:1.1", "the density must be above 0 and at most 1"),
        ("threshold:1", "the sparsity must be at least 0 and below 1"),
        ("greedy-threshold:7", "pattern greedy-threshold:7: the sparsity must be"),
        ("topk:", "unknown pattern 'topk:'"),
        ("topk:-1", "unknown pattern 'topk:-1'"),
        ("topk:0.5x", "unknown pattern"),
        ("greedy:0.5", r"unknown pattern 'greedy:0\.5'; allowed: dense, N:M .* topk:0\.5"),
    ],
)
def test_impossible_shares_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_pattern(text)


# Which machine runs what -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "machine", "runs"),
    [
        ("2:4", "8:16", True),  # four groups of 4 with 2 each are a group of 16 with 8
        ("1:4", "8:16", True),  # 4 of 16: slots stay empty
        ("3:4", "8:16", False),  # 12 of 16
        ("8:16", "2:4", False),
        ("8:16", "8:16", True),
        ("7:16", "8:16", True),
        ("9:16", "8:16", False),
        ("1:3", "8:16", False),  # groups of 3 straddle those of 16
        ("16:32", "8:16", False),
        ("dense", "8:16", True),
        ("dense", "dense", True),
        ("2:4", "dense", False),
        ("4:4", "8:16", False),
        ("1:1", "8:16", True),  # another way to write dense
        ("2:4x4:8", "2:4", True),  # within each block
        ("2:4x4:8", "4:8", True),  # two blocks with 2 each
        ("2:4x4:8", "8:16", True),
        ("2:4x4:8", "8:32", True),
        ("2:4x4:8", "4:16", False),  # four blocks with 2 each
        ("2:4x4:8", "7:32", False),
        ("2:4x4:8", "1:4", False),
        ("2:2x4:8", "8:16", True),  # blocks of two
        ("2:2x4:8", "4:8", False),  # four whole blocks, one after the other
        ("pairs-2:4", "4:8", True),
        ("pairs-2:4", "8:16", True),
        ("pairs-2:4", "2:4", False),  # two pairs, one after the other
        ("pairs-2:4", "6:12", False),  # groups of 8 straddle those of 12
        ("2:4", "pairs-2:4", False),  # one value of a pair may stay
        ("4:8", "pairs-2:4", False),
        ("pairs-2:4", "pairs-2:4", True),
        ("pairs-1:2", "pairs-2:4", True),
        ("pairs-2:4", "pairs-1:4", False),
        ("dense", "pairs-2:4", True),
        ("2:4x4:8", "2:4x4:8", True),
        ("8:32", "2:4x4:8", False),  # more than four blocks
        ("2:4", "2:4x4:8", False),
        ("dense", "2:4x4:8", True),
        ("pairs-2:4", "dense", False),
        ("topk:0.5", "8:16", False),
        ("threshold:0.5", "dense", False),
    ],
)
def test_which_machine_runs_which_pattern(pattern, machine, runs):
    assert parse_pattern(pattern).runs_on(parse_pattern(machine)) is runs


SMALL = [f"{n}:{m}" for m in (1, 2, 3, 4, 6) for n in range(1, m + 1)]


def masks_of(text, length):
    """Return every mask of `length` places that a pattern can make."""
    n, m = map(int, text.split(":"))
    group = [bits for bits in product((0, 1), repeat=m) if sum(bits) <= n]
    return {sum(groups, ()) for groups in product(group, repeat=length // m)}


@pytest.mark.parametrize("machine", [text for text in SMALL if text != "1:1"])
def test_a_machine_runs_what_makes_only_masks_of_its_own(machine):
    m = int(machine.split(":")[1])
    for pattern in (text for text in SMALL if text != "1:1"):
        if m % int(pattern.split(":")[1]):
            continue  # groups straddle: the next test
        fits = masks_of(pattern, m) <= masks_of(machine, m)
        assert parse_pattern(pattern).runs_on(parse_pattern(machine)) == fits


def masks_of_two_ranks(n, m, p, q, length):
    """Return every mask of `length` places that N:MxP:Q can make."""
    block = [bits for bits in product((0, 1), repeat=m) if sum(bits) <= n]
    group = [
        sum(blocks, ())
        for blocks in product(block, repeat=q)
        if sum(1 for bits in blocks if any(bits)) <= p
    ]
    return {sum(groups, ()) for groups in product(group, repeat=length // (m * q))}


@pytest.mark.parametrize("ranks", [(1, 2, 1, 2), (2, 2, 1, 2), (1, 2, 2, 3), (2, 3, 1, 2)])
@pytest.mark.parametrize("machine", [text for text in SMALL if text != "1:1"])
def test_a_machine_runs_two_ranks_that_make_only_masks_of_its_own(ranks, machine):
    pattern, m = TwoRank(*ranks), int(machine.split(":")[1])
    length = lcm(m, pattern.group_size)
    if pattern.most_kept(m) is None or length > 6:
        return  # what straddles is refused
    fits = masks_of_two_ranks(*ranks, length) <= masks_of(machine, length)
    assert pattern.runs_on(parse_pattern(machine)) == fits


@pytest.mark.parametrize(("pattern", "machine"), [("1:3", "2:4"), ("1:4", "1:6"), ("2:3", "2:4")])
def test_groups_that_straddle_do_not_run(pattern, machine):
    assert not parse_pattern(pattern).runs_on(parse_pattern(machine))
