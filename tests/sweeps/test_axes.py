"""Axes and their combinations, by hand and against itertools."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from accelsim.sweeps.axes import Axis, Grid, Range


def values(**keys):
    return Range.model_validate({key.rstrip("_"): value for key, value in keys.items()}).values()


def test_steps_include_both_ends():
    assert values(from_=8, to=32, step=8) == [8, 16, 24, 32]


def test_steps_stop_before_an_end_that_they_miss():
    assert values(from_=1, to=8, step=3) == [1, 4, 7]


def test_binary_fractions_do_not_lose_the_end():
    assert values(from_=0.1, to=0.3, step=0.1) == [0.1, 0.2, 0.3]


def test_factors_multiply():
    assert values(from_=4, to=40, factor=2) == [4, 8, 16, 32]


def test_whole_ends_give_whole_numbers():
    assert values(from_=1, to=10, points=4) == [1, 4, 7, 10]
    assert all(isinstance(value, int) for value in values(from_=1, to=10, points=4))


def test_a_logarithmic_range_has_equal_ratios():
    assert values(from_=1, to=1000, points=4, scale="log") == [1, 10, 100, 1000]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"from_": 1, "to": 2}, "needs one of step, factor and points"),
        ({"from_": 1, "to": 2, "step": 1, "points": 3}, "step and points are given"),
        ({"from_": 2, "to": 1, "step": 1}, "goes upwards"),
        ({"from_": 0, "to": 8, "factor": 2}, "begins above 0"),
        ({"from_": 1, "to": 8, "step": 1, "scale": "log"}, "goes with points"),
        ({"from_": 1, "to": 8, "step": 0}, "greater than 0"),
        ({"from_": 1, "to": 8, "factor": 1}, "greater than 1"),
        ({"from_": True, "to": 8, "step": 1}, "valid integer"),
    ],
)
def test_bad_ranges_are_refused(keys, message):
    with pytest.raises(ValidationError, match=message):
        values(**keys)


def test_a_range_without_end_is_refused():
    with pytest.raises(ValueError, match="more than 100,000"):
        values(from_=0, to=1e9, step=0.5)


def test_linked_axes_go_together():
    grid = Grid((Axis.of({"pattern": ["2:4", "8:16"], "n": [16, 4]}), Axis.of({"x": [1, 2]})))
    assert [grid.settings(i) for i in range(len(grid))] == [
        {"pattern": "2:4", "n": 16, "x": 1},
        {"pattern": "2:4", "n": 16, "x": 2},
        {"pattern": "8:16", "n": 4, "x": 1},
        {"pattern": "8:16", "n": 4, "x": 2},
    ]


def test_axes_of_different_length_cannot_be_linked():
    with pytest.raises(ValueError, match="shorter"):
        Axis.of({"a": [1, 2], "b": [1]})


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_every_combination_has_one_number(lengths):
    grid = Grid(tuple(Axis.of({f"k{i}": list(range(n))}) for i, n in enumerate(lengths)))
    places = [grid.places(index) for index in range(len(grid))]
    assert places == list(product(*(range(n) for n in lengths)))
    assert [grid.index(place) for place in places] == list(range(len(grid)))


def test_a_point_outside_of_the_space_does_not_exist():
    grid = Grid((Axis.of({"a": [1, 2]}),))
    with pytest.raises(IndexError, match="point 2 of 2"):
        grid.places(2)


def test_a_space_of_a_trillion_points_takes_no_memory():
    grid = Grid(tuple(Axis.of({f"k{i}": list(range(1000))}) for i in range(4)))
    assert grid.settings(10**12 - 1) == {f"k{i}": 999 for i in range(4)}


def test_numbers_of_one_key_are_ordered():
    assert Axis.of({"a": [1, 2.5]}).is_ordered
    assert not Axis.of({"a": ["x", "y"]}).is_ordered
    assert not Axis.of({"a": [True, False]}).is_ordered
    assert not Axis.of({"a": [1, 2], "b": [1, 2]}).is_ordered
