"""The protocol of a metadata format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from accelsim.base.registry import Registry
from accelsim.sparsity.patterns.base import Mask

Bits = NDArray[np.bool_]
Positions = NDArray[np.integer[Any]]


class Format(ABC):
    """Says where in its group of M each of the N kept values stood.

    Machines store only formats that have hardware, others are there to be compared.
    """

    has_hardware: ClassVar[bool] = True

    @staticmethod
    @abstractmethod
    def bits_per_group(n: int, m: int) -> int:
        """Return the metadata bits stored and moved for one group."""

    @staticmethod
    @abstractmethod
    def encode(mask: Mask) -> Bits:
        """Encode masks `[groups, M]`, N set in each, as `[groups, bits_per_group]`."""

    @staticmethod
    @abstractmethod
    def decode(bits: Bits, n: int, m: int) -> Positions:
        """Return the positions `[groups, N]` of the kept values, in index order."""


FORMATS: Registry[Format] = Registry("format")


def stored_formats() -> list[str]:
    """Return the names of the formats that machines store."""
    return sorted(name for name in FORMATS if FORMATS[name].has_hardware)


def positions_of(mask: Mask) -> Positions:
    """Return the positions `[groups, N]` of the set entries of `[groups, M]`, N set in each."""
    return np.nonzero(mask)[1].reshape(mask.shape[0], -1)
