"""N:M: of every M consecutive values along K, the N of largest magnitude survive."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

import numpy as np
from typing_extensions import override

from accelsim.base.compiled import pays
from accelsim.base.errors import InputError
from accelsim.precision import Values
from accelsim.sparsity.patterns.base import PATTERNS, Mask, Pattern, keep_largest, magnitude

MAX_GROUP_SIZE = 64
_INTERPRETED_NS = 40  # of one value in numpy


@PATTERNS.register("nm")
@dataclass(frozen=True)
class NM(Pattern):
    """Keep the `kept_per_group` largest magnitudes of every `group_size` consecutive values.

    Ties keep the lower index, as the RTL does. A last group shorter than M is padded with zeros,
    which lose every tie against a real value because they have the higher index.

    Example:
        Of 3, -3, 1, 3 the lower two of the three equal magnitudes survive.

        >>> NM(2, 4).keep(np.array([3, -3, 1, 3], np.int8)).tolist()
        [True, True, False, False]
    """

    kept_per_group: int
    group_size: int

    def __post_init__(self) -> None:
        if not 1 <= self.kept_per_group <= self.group_size <= MAX_GROUP_SIZE:
            raise InputError(f"pattern {self}: N:M needs 1 <= N <= M <= {MAX_GROUP_SIZE}")

    @classmethod
    @override
    def parse(cls, text: str) -> Self | None:
        match = re.fullmatch(r"([0-9]{1,9}):([0-9]{1,9})", text)
        return cls(int(match[1]), int(match[2])) if match else None

    @override
    def keep(self, values: Values) -> Mask:
        if _is_plain(values) and pays(values.size * _INTERPRETED_NS):
            from accelsim.base.compiled import ranking

            return ranking.keep_largest(values, self.kept_per_group, self.group_size)
        length = values.shape[-1]
        padding = -length % self.group_size
        strength = magnitude(values)
        if padding:
            strength = np.pad(strength, [(0, 0)] * (values.ndim - 1) + [(0, padding)])
        grouped = strength.reshape(-1, self.group_size)
        mask: Mask = keep_largest(grouped, self.kept_per_group).reshape(strength.shape)
        return mask[..., :length]

    @override
    def __str__(self) -> str:
        return f"{self.kept_per_group}:{self.group_size}"


def _is_plain(values: Values) -> bool:
    """Whether the values are what vector registers hold: native integers or floats, and some."""
    kind = values.dtype
    return kind.kind in "if" and kind.isnative and kind.itemsize <= 8 and values.size > 0  # noqa: PLR2004
