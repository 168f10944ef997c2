"""Every pattern in the registry keeps the promises that the machine relies on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from accelsim.base.errors import InputError
from accelsim.sparsity import PATTERNS, parse_pattern

NM = ("1:4", "2:4", "3:4", "4:8", "8:16", "16:32", "4:16", "8:32", "5:7", "3:5", "64:64", "1:64")
TWO_RANKS = ("2:4x4:8", "2:2x4:8", "4:4x1:2", "1:3x2:5", "2:3x1:1", "pairs-2:4", "pairs-1:3")
SHORTHANDS = ("dense", *NM, *TWO_RANKS)
WITHOUT_GROUPS = ("topk:0.5", "threshold:0.5", "greedy-threshold:0.5", "nonzero")


def naive_keep(row, n, m):
    """Python integers, one group at a time: largest magnitude first, lower index first."""
    keep = [False] * len(row)
    for start in range(0, len(row), m):
        group = range(start, min(start + m, len(row)))
        for place in sorted(group, key=lambda i: (-abs(row[i]), i))[:n]:
            keep[place] = True
    return keep


def ranks(text):
    """Return N, M, P, Q of N:MxP:Q; pairs are blocks of two that stay whole."""
    if text.startswith("pairs-"):
        return (2, 2, *map(int, text.removeprefix("pairs-").split(":")))
    return tuple(int(number) for rank in text.split("x") for number in rank.split(":"))


def naive_two_ranks(row, n, m, p, q):
    """Each block by itself, then of each q blocks the p with the largest sums; a short one last."""
    lower, mask = naive_keep(row, n, m), [False] * len(row)
    blocks = [range(start, min(start + m, len(row))) for start in range(0, len(row), m)]
    for first in range(0, len(blocks), q):
        sums = [
            (len(block) < m, -sum(abs(row[i]) for i in block if lower[i]), block)
            for block in blocks[first : first + q]
        ]
        for _, _, block in sorted(sums, key=lambda one: (one[0], one[1], one[2].start))[:p]:
            for place in block:
                mask[place] = lower[place]
    return mask


shapes = st.tuples(st.integers(1, 3), st.integers(1, 150))
int8s = st.one_of(st.integers(-128, 127), st.sampled_from([-128, -127, 0, 1, -1, 127]))
floats = st.floats(-1e4, 1e4, width=32)
values = st.one_of(
    arrays(np.int8, shapes, elements=int8s),
    arrays(np.float32, shapes, elements=floats),
    arrays(np.float32, shapes, elements=st.sampled_from([-1.0, -0.0, 0.0, 1.0])),
)


def test_the_registry_holds_what_is_documented():
    assert {"dense", "nm"} <= set(PATTERNS)


def test_every_family_is_tested_here():
    texts = (*SHORTHANDS, *WITHOUT_GROUPS)
    assert {type(parse_pattern(text)) for text in texts} == set(PATTERNS.values())


@pytest.mark.parametrize("text", WITHOUT_GROUPS)
def test_a_pattern_without_groups_runs_nowhere(text):
    assert not parse_pattern(text).is_grouped
    assert not any(parse_pattern(text).runs_on(parse_pattern(machine)) for machine in SHORTHANDS)


@pytest.mark.parametrize("text", [*SHORTHANDS, *WITHOUT_GROUPS])
def test_the_shorthand_round_trips(text):
    assert str(parse_pattern(text)) == text
    assert parse_pattern(f" {text} ") == parse_pattern(text)


@pytest.mark.parametrize("text", SHORTHANDS)
@given(x=values)
def test_the_mask_has_the_shape_and_keeps_exactly_kept_values_a_row(text, x):
    pattern = parse_pattern(text)
    mask = pattern.keep(x)
    assert (mask.shape, mask.dtype) == (x.shape, np.bool_)
    assert mask.sum(axis=-1).tolist() == [pattern.kept_count(x.shape[-1])] * len(x)


@pytest.mark.parametrize("text", SHORTHANDS)
@given(x=values)
def test_selecting_what_was_selected_changes_nothing(text, x):
    pattern = parse_pattern(text)
    mask = pattern.keep(x)
    assert np.array_equal(pattern.keep(np.where(mask, x, x.dtype.type(0))), mask)


@pytest.mark.parametrize("text", SHORTHANDS)
@given(x=arrays(np.int8, st.integers(1, 40), elements=int8s))
def test_leading_axes_are_independent(text, x):
    keep = parse_pattern(text).keep
    assert np.array_equal(keep(np.stack([x, x])[:, None]), np.stack([keep(x), keep(x)])[:, None])


@pytest.mark.parametrize("text", SHORTHANDS)
def test_the_input_is_left_alone(text):
    x = np.arange(-64, 64, dtype=np.int8)
    parse_pattern(text).keep(x)
    assert x.tolist() == list(range(-64, 64))


@pytest.mark.parametrize("text", ["dense", *NM])
@given(length=st.integers(1, 300))
def test_groups_and_kept_follow_from_a_walk_over_the_groups(text, length):
    pattern = parse_pattern(text)
    sizes = [
        min(pattern.group_size, length - start) for start in range(0, length, pattern.group_size)
    ]
    assert pattern.kept_count(length) == sum(min(pattern.kept_per_group, size) for size in sizes)


@pytest.mark.parametrize("text", NM)
@given(x=values)
def test_nm_equals_sorting_each_group(text, x):
    n, m = map(int, text.split(":"))
    assert parse_pattern(text).keep(x).tolist() == [naive_keep(row, n, m) for row in x.tolist()]


@pytest.mark.parametrize("text", TWO_RANKS)
@given(x=values.map(np.round))
def test_two_ranks_equal_sorting_blocks_of_sorted_values(text, x):
    # Rounded: sums are then the same in whichever order they are taken.
    expected = [naive_two_ranks(row, *ranks(text)) for row in x.tolist()]
    assert parse_pattern(text).keep(x).tolist() == expected


def test_two_ranks_by_hand():
    # Blocks keep 9 + 1, 6 + 5, -8 + 2 (not 8 + 2 + 2), 3 + 3 of 4: sums 10, 11, 10, 6. The second
    # stays, and of the equals the first.
    x = np.array([9, 1, 0, 1, 5, 0, 6, 0, 2, -8, 2, 0, 3, 3, 3, 3], np.int8)
    mask = parse_pattern("2:4x2:4").keep(x).astype(int)
    assert mask.tolist() == [1, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    # Twice -128 is more than 127 + 128: a sum that wrapped would be 0.
    pairs = parse_pattern("pairs-1:2").keep(np.array([-128, -128, 127, -128], np.int8))
    assert pairs.tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("text", "length", "kept"),
    [
        ("2:4x4:8", 32, 8),
        ("2:4x4:8", 384, 96),  # 12 groups
        ("2:4x4:8", 32 + 9, 8 + 2 + 2 + 1),  # two blocks and one value: all within four
        ("2:4x4:8", 17, 8),  # four blocks and one value, which loses
        ("pairs-2:4", 13, 4 + 4),  # of two pairs and one value, the pairs
        ("pairs-2:4", 11, 4 + 3),
    ],
)
def test_two_ranks_keep_what_the_length_says(text, length, kept):
    assert parse_pattern(text).kept_count(length) == kept
    assert parse_pattern(text).keep(np.arange(1, length + 1)).sum() == kept


@pytest.mark.parametrize("text", NM)
@pytest.mark.parametrize("fill", [0, 7, -128])
def test_nm_keeps_the_lowest_indices_of_equals(text, fill):
    n, m = map(int, text.split(":"))
    mask = parse_pattern(text).keep(np.full((2, 3 * m), fill, np.int8))
    assert mask.tolist() == [([True] * n + [False] * (m - n)) * 3] * 2


def test_minus_128_is_larger_than_127():
    # |-128| = 128 does not fit int8; a wrapped -128 would lose against everything.
    assert parse_pattern("1:4").keep(np.array([127, 0, -128, -127], np.int8)).tolist() == [
        False,
        False,
        True,
        False,
    ]


def test_a_short_last_group_keeps_its_real_values_first():
    # 5 values at 2:4: the last group is [0 | pad pad pad]; the real zero wins over the padding.
    mask = parse_pattern("2:4").keep(np.array([1, 2, 3, 4, 0], np.int8))
    assert mask.tolist() == [False, False, True, True, True]


@pytest.mark.parametrize(
    "text",
    [
        "0:4",
        "5:4",
        "8:65",
        "1:0",
        "65:65",
        "",
        "8",
        "8:",
        ":16",
        "8/16",
        "-2:4",
        "2.0:4",
        "3:2x1:2",
        "2:4x3:2",
        "0:4x1:2",
        "2:4x0:8",
        "2:4x4:17",
        "2:4x",
        "pairs-",
        "pairs-3:2",
        "pairs-0:4",
        "pairs-2:33",
        "pairs2:4",
    ],
)
def test_impossible_shorthands_are_refused(text):
    with pytest.raises(InputError, match=r"needs 1 <= N <= M|allowed: dense, N:M"):
        parse_pattern(text)
