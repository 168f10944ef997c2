"""Which activations survive: the protocol of a sparsity pattern, and the patterns by name."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from accelsim.base.errors import InputError, shown
from accelsim.base.registry import Registry
from accelsim.precision import Values
from accelsim.sparsity.demands import Demands

Mask = NDArray[np.bool_]


class Pattern(ABC):
    """A rule that selects values along K. Machines see N kept values in every group of M.

    A pattern is one file in this package; its shorthand (`8:16`, `dense`) is what YAML holds.
    Patterns that are not grouped have no N and M; machines that gather rows run them, in decode.
    Grouped ones for which no selector is modelled are no pattern of a
    machine; layers may have them, on machines that take all of their masks.
    """

    group_size: int
    kept_per_group: int
    is_grouped: ClassVar[bool] = True
    has_selector: ClassVar[bool] = True
    keeps_any: ClassVar[bool] = True  # N of a group, wherever they stand; else N of some places
    demands: ClassVar[Demands] = Demands()  # besides a selector
    together: ClassVar[int] = 1  # adjacent values that stay or go as one
    has_level: ClassVar[bool] = False  # that real values are compared with

    @classmethod
    @abstractmethod
    def parse(cls, text: str) -> Self | None:
        """Return the pattern written as `text`, or None if `text` is not of this family.

        Raises:
            InputError: of this family, but with impossible numbers.
        """

    @abstractmethod
    def keep(self, values: Values) -> Mask:
        """Return the mask `[..., K]` of those values (int8 codes or floats) that survive."""

    @abstractmethod
    def __str__(self) -> str:
        """Return the shorthand."""

    @property
    def is_dense(self) -> bool:
        """Whether every value survives, so that no selector is needed."""
        return self.is_grouped and self.kept_per_group == self.group_size == 1

    def kept_count(self, length: int) -> int:
        """Return the number of values that survive of `length`, padding of the last group apart."""
        whole, rest = divmod(length, self.group_size)
        return whole * self.kept_per_group + min(rest, self.kept_per_group)

    @property
    def kept_share(self) -> float:
        """Share of the values of a token that is expected to survive."""
        return self.kept_per_group / self.group_size

    def calibrated(self, strength: Values) -> Self:  # noqa: ARG002
        """Return the pattern with what it has to know of |x| of an input, `[T, K]`: nothing."""
        return self

    def most_kept(self, window: int) -> int | None:
        """Return the most values that survive of `window` values from a multiple of it on.

        None: groups straddle the ends of windows, and it is not known.

        >>> [parse_pattern("2:4").most_kept(window) for window in (4, 16, 6)]
        [2, 8, None]
        """
        groups, ragged = divmod(window, self.group_size)
        return None if ragged else groups * self.kept_per_group

    def in_groups_of(self, window: int) -> Pattern:
        """Return N:M of groups of so many values in which all masks of this pattern fit.

        >>> [str(parse_pattern(text).in_groups_of(8)) for text in ("2:8", "1:4", "2:4x4:8")]
        ['2:8', '2:8', '4:8']
        """
        return parse_pattern(f"{self.most_kept(window)}:{window}")

    def runs_on(self, machine: Pattern) -> bool:
        """Whether hardware for the pattern `machine` can run this one.

        It can if each of its masks is one of the machine's: 2:4 on 8:16 (four groups of 4 with 2
        each are a group of 16 with 8), 1:4 on 8:16 (places for kept values stay empty), not 8:16
        on 2:4, and nothing but pairs where pairs are selected. Every sparse machine runs dense
        layers by leaving its selector out.

        >>> tried = ("2:4", "pairs-2:4", "2:4x4:8", "16:32", "dense")
        >>> [parse_pattern(p).runs_on(parse_pattern("8:16")) for p in tried]
        [True, True, True, False, True]
        """
        if not machine.is_grouped:
            return self.is_dense or (isinstance(self, type(machine)) and self.has_selector)
        if not (self.is_grouped and machine.has_selector):
            return False
        if not machine.keeps_any:
            return self.is_dense or self == machine
        most = self.most_kept(machine.group_size)
        fits = most is not None and most <= machine.kept_per_group
        fits = fits and self.together % machine.together == 0
        return self.is_dense or (fits and not machine.is_dense)


PATTERNS: Registry[Pattern] = Registry("pattern")


def parse_pattern(text: str) -> Pattern:
    """Return the pattern for a shorthand such as `dense` or `8:16`; raise InputError if none fits.

    >>> str(parse_pattern("8:16")), parse_pattern("8:16").kept_count(40)
    ('8:16', 24)
    """
    for family in PATTERNS.values():
        pattern = family.parse(text.strip())
        if pattern is not None:
            return pattern
    raise InputError(
        f"unknown pattern '{shown(text)}'; allowed: dense, N:M such as 2:4, 8:16, 16:32, "
        f"two ranks such as 2:4x4:8, pairs-2:4, "
        f"and for accuracy topk:0.5, threshold:0.5, greedy-threshold:0.5"
    )


def share(family: str, text: str) -> float | None:
    """Return the number in `family:0.5`; None for any other text.

    >>> share("topk", "topk:0.5"), share("topk", "8:16")
    (0.5, None)
    """
    match = re.fullmatch(rf"{family}:([0-9]{{0,9}}\.?[0-9]{{1,20}})", text)
    return float(match[1]) if match else None


def keep_largest(strength: Values, count: int) -> Mask:
    """Select `count` of each row of `[rows, M]`: all above the count-th largest, equals from left.

    >>> keep_largest(np.array([[3, 3, 1, 3]]), 2).tolist()
    [[True, True, False, False]]
    """
    cut = strength.shape[-1] - count
    threshold = np.partition(strength, cut, axis=-1)[:, cut : cut + 1]
    above = strength > threshold
    room = count - above.sum(axis=-1, keepdims=True)
    equal = strength == threshold
    first_equals: Mask = np.cumsum(equal, axis=-1) <= room
    mask: Mask = above | (equal & first_equals)
    return mask


def magnitude(values: Values) -> Values:
    """Return |x|; int8 widens to int16 first, because |-128| does not fit int8."""
    wide = values.astype(np.int16) if values.dtype == np.int8 else values
    strength: Values = np.abs(wide)
    return strength
