"""Which activations survive: the protocol of a sparsity pattern, and the patterns by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import InputError
from accelsim.precision import Values
from accelsim.registry import Registry

Mask = NDArray[np.bool_]


class Pattern(ABC):
    """Selects values along K. The machine sees it as N kept values in every group of M.

    A pattern is one file in this package; its shorthand (`8:16`, `dense`) is what YAML holds.
    """

    group_size: int
    kept_per_group: int

    @classmethod
    @abstractmethod
    def parse(cls, text: str) -> Self | None:
        """Return the pattern written as `text`, or None if `text` is not of this family.

        Raises:
            InputError: of this family, but with impossible numbers.
        """

    @abstractmethod
    def keep(self, values: Values) -> Mask:
        """Return which of the values `[..., K]` (int8 codes or floats) survive, same shape."""

    @abstractmethod
    def __str__(self) -> str:
        """Return the shorthand."""

    @property
    def is_dense(self) -> bool:
        """Whether every value survives, so that no selector is needed."""
        return self.kept_per_group == self.group_size == 1

    def kept(self, length: int) -> int:
        """Return how many of `length` values survive, zero padding of the last group apart."""
        whole, rest = divmod(length, self.group_size)
        return whole * self.kept_per_group + min(rest, self.kept_per_group)


PATTERNS: Registry[Pattern] = Registry("pattern")


def parse_pattern(text: str) -> Pattern:
    """Return the pattern for a shorthand such as `dense` or `8:16`; raise InputError if none fits.

    >>> str(parse_pattern("8:16")), parse_pattern("8:16").kept(40)
    ('8:16', 24)
    """
    for family in PATTERNS.values():
        pattern = family.parse(text.strip())
        if pattern is not None:
            return pattern
    raise InputError(f"unknown pattern '{text}'; allowed: dense, or N:M such as 2:4, 8:16, 16:32")


def magnitude(values: Values) -> Values:
    """Return |x|; int8 widens to int16 first, because |-128| does not fit int8."""
    wide = values.astype(np.int16) if values.dtype == np.int8 else values
    strength: Values = np.abs(wide)
    return strength
