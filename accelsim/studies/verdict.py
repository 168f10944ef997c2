"""A claim held against the constants that are not known well."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from accelsim.studies.constants import CONSTANTS, Priced, corners, samples, sides
from accelsim.studies.runs import Run

_WIDEST = 10.0  # factor up to which a flip is looked for
_STEPS = 20  # of bisection: a millionth of the range
_SAME = 1e-9  # relative: no constant moves the number
_COLUMNS = ("within ±30 %", "survives", "one constant alone flips it at")


@dataclass(frozen=True)
class Verdict:
    """A claim with its runs, to be held against prices that may be off.

    Attributes:
        value: the number, from runs in the order in which they were simulated.
        runs: the runs; none if the number depends on no price.
        above, below: the bound; one of them.
        form: how the number is written.
    """

    value: Callable[[Sequence[Run]], float]
    runs: Sequence[Run]
    above: float | None = None
    below: float | None = None
    form: str = "{:.2f}×"

    def holds(self, value: float) -> bool:
        """Whether the sentence is true of a number."""
        if self.above is not None:
            return value > self.above
        assert self.below is not None
        return value < self.below

    def at(self, factors: Mapping[str, float]) -> float:
        """Return the number if constants are multiplied by these factors."""
        return self.value([run.at(factors) for run in self._priced])

    @cached_property
    def _priced(self) -> list[Priced]:
        return [Priced(run) for run in self.runs]

    @cached_property
    def nominal(self) -> float:
        """The number with the constants as they are."""
        return self.at({})

    @cached_property
    def extremes(self) -> tuple[float, float]:
        """The smallest and the largest number at corners, sides, and drawn points of the ranges."""
        values = [self.nominal, *map(self.at, chain(corners(), sides(), samples()))]
        return min(values), max(values)

    @property
    def is_robust(self) -> bool:
        """Whether the sentence is true everywhere, or false everywhere."""
        return {self.holds(value) for value in self.extremes} == {self.holds(self.nominal)}

    @property
    def is_priced(self) -> bool:
        """Whether prices are in the number."""
        return bool(self.runs)

    @property
    def is_shaky(self) -> bool:
        """Whether prices are in the number, and flip the sentence."""
        return self.is_priced and not self.is_robust

    def flips(self) -> dict[str, float]:
        """Return for each constant the factor nearest to 1 at which it alone flips the sentence.

        Constants that do not up to a factor of ten either way are left out. The number is taken to
        be monotone in each constant.
        """
        found = {}
        for name in CONSTANTS:
            factors = [self._flip(name, end) for end in (1 / _WIDEST, _WIDEST)]
            known = [factor for factor in factors if factor is not None]
            if known:
                found[name] = min(known, key=lambda factor: max(factor, 1 / factor))
        return found

    def _flip(self, name: str, end: float) -> float | None:
        was = self.holds(self.nominal)
        if self.holds(self.at({name: end})) == was:
            return None
        same, other = 1.0, end
        for _ in range(_STEPS):
            middle = (same * other) ** 0.5
            if self.holds(self.at({name: middle})) == was:
                same = middle
            else:
                other = middle
        return other


def claims_table(claims: Sequence[tuple[str, Verdict]]) -> list[dict[str, str]]:
    """Return a row a claim: its number, the range of it as constants vary, and what flips it.

    Args:
        claims: each with its sentence.
    """
    return [
        {
            "claim": sentence,
            "true": "yes" if claim.holds(claim.nominal) else "**no**",
            "number": claim.form.format(claim.nominal),
            **(_under_test(claim) if claim.is_priced else dict.fromkeys(_COLUMNS, "–")),
        }
        for sentence, claim in claims
    ]


def _under_test(claim: Verdict) -> dict[str, str]:
    """Return what the constants do to a claim; of one that they cannot touch, nothing is tested."""
    if math.isclose(*claim.extremes, rel_tol=_SAME):
        return dict.fromkeys(_COLUMNS, "–")
    span = " to ".join(map(claim.form.format, claim.extremes))
    flips = [f"{name} × {factor:.2g}" for name, factor in claim.flips().items()]
    cells = (span, "yes" if claim.is_robust else "**flips**", ", ".join(flips) or "none up to × 10")
    return dict(zip(_COLUMNS, cells, strict=True))
