"""Comparisons of metrics, and arrays that fill an area."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.base.errors import InputError
from accelsim.sweeps.constraints import Constraint, largest_within


@pytest.mark.parametrize(
    ("text", "value", "is_met"),
    [
        ("area_um2 <= 100", 100, True),
        ("area_um2 < 100", 100, False),
        ("effective_tops>=2e0", 1.9, False),
        ("effective_tops > 2", 2.1, True),
    ],
)
def test_comparisons(text, value, is_met):
    constraint = Constraint.parse(text)
    assert bool(constraint.problem({constraint.metric: value})) is not is_met


def test_the_problem_is_said():
    problem = Constraint.parse("area_um2 <= 100").problem({"area_um2": 120.5})
    assert problem == "area_um2 120.5 is not <= 100"


def test_what_is_not_known_yet_is_no_problem():
    assert Constraint.parse("area_um2 <= 100").problem({}) == ""


def test_the_excess_is_relative_to_the_limit():
    assert Constraint.parse("area_um2 <= 100").excess({"area_um2": 150}) == pytest.approx(0.5)
    assert Constraint.parse("tops_per_w >= 4").excess({"tops_per_w": 5}) == pytest.approx(-0.25)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("area_um2", "write METRIC <= NUMBER"),
        ("area_um2 == 3", "write METRIC <= NUMBER"),
        ("area <= 3", "unknown metric 'area'"),
        ("area_um2 <= many", "'many' is not a number"),
        ("area_um2 <= nan", "'nan' is not a number"),
        ("__import__('os') <= 3", "write METRIC <= NUMBER"),
    ],
)
def test_other_texts_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        Constraint.parse(text)


@given(
    fixed=st.floats(0, 1e6),
    slope=st.floats(0.1, 1e4),
    power=st.floats(0.5, 2),
    limit=st.floats(0, 1e7),
    guess=st.integers(-5, 2000),
)
def test_the_largest_that_fits(fixed, slope, power, limit, guess):
    def area(size):
        return fixed + slope * size**power

    fitting = [size for size in range(1, 1025) if area(size) <= limit]
    assert largest_within(area, limit, guess) == (fitting[-1] if fitting else None)


def test_few_machines_are_built():
    asked = []

    def area(size):
        asked.append(size)
        return 1e5 + 3e4 * size

    assert largest_within(area, 1e6, guess=8) == 30
    assert len(asked) <= 4
