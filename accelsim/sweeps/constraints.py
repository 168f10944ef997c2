"""What a point must meet: comparisons of metrics with numbers, and an area to fill."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

from accelsim.base.errors import InputError, shown
from accelsim.sweeps.metrics import check_metric

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_FORM = re.compile(r"\s*(?P<metric>\w+)\s*(?P<sign><=|>=|<|>)\s*(?P<limit>[^\s<>=]+)\s*")
_LARGEST_SIZE = 1024  # rows or columns of an array


@dataclass(frozen=True, slots=True)
class Constraint:
    """`metric <= limit`, or another comparison.

    >>> Constraint.parse("area_um2 <= 2e6").problem({"area_um2": 2.5e6})
    'area_um2 2500000.0 is not <= 2e+06'
    """

    metric: str
    sign: str
    limit: float

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """Read a comparison; raise InputError if it is none."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise InputError(f"'{shown(text)}': write METRIC <= NUMBER (or <, >, >=)")
        metric, sign = check_metric(found["metric"]), found["sign"]
        try:
            limit = float(found["limit"])
        except ValueError:
            limit = nan
        if not isfinite(limit):
            raise InputError(f"'{shown(text)}': '{shown(found['limit'])}' is not a number")
        return cls(metric, sign, limit)

    def problem(self, metrics: Mapping[str, Any]) -> str:
        """Return why the metrics do not meet it; nothing if they do, or if it is not known yet."""
        value = metrics.get(self.metric)
        if value is None or _COMPARISONS[self.sign](value, self.limit):
            return ""
        return f"{self.metric} {value} is not {self.sign} {self.limit:g}"

    def excess(self, metrics: Mapping[str, Any]) -> float:
        """Return the excess over the limit as a share of it; at most 0 if it is met."""
        over = float(metrics[self.metric]) - self.limit
        return (over if self.sign in ("<=", "<") else -over) / (abs(self.limit) or 1.0)


def largest_within(area_of: Callable[[int], float], limit_um2: float, guess: int) -> int | None:
    """Return the largest size whose area does not pass a limit; None if not even size 1 fits.

    Areas grow with the size, nearly in proportion, so a straight line through two sizes lands close
    to the answer; what is returned has been checked on both sides.

    >>> largest_within(lambda rows: 100 + 10.0 * rows, 185, guess=2)
    8
    """
    low, high = 0, _LARGEST_SIZE + 1  # fits, does not fit
    areas: dict[int, float] = {}
    size = min(max(guess, 1), _LARGEST_SIZE)
    while high - low > 1:
        areas[size] = area_of(size)
        low, high = (size, high) if areas[size] <= limit_um2 else (low, size)
        size = min(max(_extrapolated(areas, limit_um2, size), low + 1), high - 1)
    return low or None


def _extrapolated(areas: Mapping[int, float], limit_um2: float, last: int) -> int:
    """Return where a line through the two sizes nearest to the limit meets it."""
    nearest = sorted(areas, key=lambda size: abs(areas[size] - limit_um2))[:2]
    if len(nearest) == 1:
        return last * 2 if areas[last] <= limit_um2 else last // 2
    one, other = nearest
    slope = (areas[one] - areas[other]) / (one - other)
    place = int(one + (limit_um2 - areas[one]) // slope) if slope > 0 else last
    return place + 1 if areas.get(place, float("inf")) <= limit_um2 else place
