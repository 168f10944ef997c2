"""Numbers of several runs, made from facts of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from accelsim.studies.facts import fact
from accelsim.studies.runs import Run

Fact = str | Callable[[Run], Any]
"""A fact: its name, if every study knows it, or a function of the run."""

Measure = Callable[[Sequence[Run]], float]
"""A quantity that is a function."""


def over(quantity: Fact) -> Measure:
    """Return a quantity of several runs: a fact of the last one over that of the first."""
    return lambda runs: _of(runs[-1], quantity) / _of(runs[0], quantity)


def growth(quantity: Fact) -> Measure:
    """Return a quantity of several runs: the growth of a fact from first to last, as a share."""
    return lambda runs: over(quantity)(runs) - 1


def gap(quantity: Fact) -> Measure:
    """Return a quantity of several runs: a fact of the last one less that of the first."""
    return lambda runs: _of(runs[-1], quantity) - _of(runs[0], quantity)


def apart(quantity: Fact) -> Measure:
    """Return a quantity of several runs: the distance of a fact of the last from the first's."""
    return lambda runs: abs(gap(quantity)(runs))


def largest(quantity: Fact) -> Measure:
    """Return a quantity of several runs: the largest of a fact."""
    return lambda runs: max(_of(run, quantity) for run in runs)


def smallest(quantity: Fact) -> Measure:
    """Return a quantity of several runs: the smallest of a fact."""
    return lambda runs: min(_of(run, quantity) for run in runs)


def spread(quantity: Fact) -> Measure:
    """Return a quantity of several runs: the largest of a fact over the smallest."""
    return lambda runs: largest(quantity)(runs) / smallest(quantity)(runs)


def first_over_next(quantity: Fact) -> Measure:
    """Return a quantity of several runs: a fact of the first over the least of the others."""
    return lambda runs: _of(runs[0], quantity) / smallest(quantity)(runs[1:])


def over_least(quantity: Fact) -> Measure:
    """Return a quantity of several runs: a fact of the first over the smallest of all."""
    return lambda runs: _of(runs[0], quantity) / smallest(quantity)(runs)


def ratio(one: Fact, other: Fact) -> Callable[[Run], float]:
    """Return a fact: one over another."""
    return lambda run: _of(run, one) / _of(run, other)


def saving(quantity: Fact) -> Measure:
    """Return a quantity of several runs: the first of a fact less its least, as a share of it.

    >>> runs = [{"point": {"pj": pj}, "totals": {}, "baseline": {}, "arch": {}} for pj in (4, 3)]
    >>> saving("pj")(runs)
    0.25
    """
    return lambda runs: 1 - smallest(quantity)(runs) / _of(runs[0], quantity)


def last_over_first(numbers: Sequence[float]) -> float:
    """Return the last number over the first."""
    return numbers[-1] / numbers[0]


def across(pick: Callable[[list[float]], float], quantity: Measure, *names: str) -> Measure:
    """Return a quantity of runs that fall into groups: one number of the groups' numbers.

    Args:
        pick: picks from, or joins, the numbers of the groups, in the order of their first runs.
        quantity: of the runs of a group.
        names: of facts that the runs of a group share.

    Example:
        The most that any of two clocks takes, of its fewest cycles.

        >>> keys = [(1, 5), (1, 4), (2, 3)]
        >>> nothing = {"totals": {}, "baseline": {}, "arch": {}}
        >>> runs = [{"point": {"clock_mhz": mhz, "cycles": n}, **nothing} for mhz, n in keys]
        >>> across(max, smallest("cycles"), "clock")(runs)
        4
    """

    def picked(runs: Sequence[Run]) -> float:
        groups: dict[tuple[Any, ...], list[Run]] = {}
        for run in runs:
            groups.setdefault(tuple(fact(run, name) for name in names), []).append(run)
        return pick([quantity(group) for group in groups.values()])

    return picked


def of_picked(pick: Callable[[Sequence[Run]], Run], quantity: Fact) -> Measure:
    """Return a quantity of several runs: a fact of one run, picked anew whenever prices vary."""
    return lambda runs: _of(pick(runs), quantity)


def least_of(name: str) -> Callable[[Sequence[Run]], Run]:
    """Return a function that picks the run with the least of a fact."""
    return lambda runs: min(runs, key=lambda run: _of(run, name))


def most_of(name: str) -> Callable[[Sequence[Run]], Run]:
    """Return a function that picks the run with the most of a fact."""
    return lambda runs: max(runs, key=lambda run: _of(run, name))


def _of(run: Run, quantity: Fact) -> Any:
    return quantity(run) if callable(quantity) else fact(run, quantity)
