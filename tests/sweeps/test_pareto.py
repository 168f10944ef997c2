"""Domination and hypervolume, against definitions applied point by point."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.sweeps.pareto import costs_of, covered_share, front, hypervolume, usable

SIDE = 5  # of the box in whole steps


def points(objectives):
    coordinate = st.integers(0, SIDE)
    return st.lists(st.tuples(*[coordinate] * objectives), max_size=12)


def beats(one, other):
    return all(a <= b for a, b in zip(one, other, strict=True)) and one != other


@given(st.integers(1, 4).flatmap(points))
def test_the_front_is_what_nothing_beats(found):
    expected = {i for i, p in enumerate(found) if not any(beats(q, p) for q in found)}
    chosen = front(found)
    assert set(chosen) == expected
    assert len(chosen) == len(expected)
    assert [found[i] for i in chosen] == sorted(found[i] for i in chosen)


@given(st.integers(1, 4).flatmap(lambda n: st.tuples(st.just(n), points(n))))
def test_the_hypervolume_counts_unit_cubes(drawn):
    objectives, found = drawn
    cubes = product(range(SIDE), repeat=objectives)
    covered = sum(
        any(all(a <= b for a, b in zip(p, cube, strict=True)) for p in found) for cube in cubes
    )
    assert hypervolume(found, (SIDE,) * objectives) == covered


def test_a_point_at_the_reference_adds_nothing():
    assert hypervolume([(1, 4), (4, 1)], (4, 4)) == 0


def test_the_share_is_of_the_box_around_all_points():
    # Scaled to the unit square, (2, 10) and (4, 6) of a box from (2, 6) to (6, 10) are (0, 1) and
    # (0.5, 0): only the second one is inside, and covers half of it.
    assert covered_share([(2, 10), (4, 6)], [(2, 10), (4, 6), (6, 10)]) == pytest.approx(0.5)
    assert covered_share([], []) == 0


def test_more_is_better_of_some_metrics():
    rows = [{"status": "ok", "area_um2": 2.0, "effective_tops": 3.0}]
    assert costs_of(rows, ["area_um2", "effective_tops"]) == [(2.0, -3.0)]


def test_only_points_that_ran_and_know_the_metrics_count():
    rows = [
        {"status": "ok", "area_um2": 1.0},
        {"status": "excluded", "area_um2": 0.5},
        {"status": "ok", "area_um2": None},
    ]
    assert usable(rows, ["area_um2"]) == rows[:1]
