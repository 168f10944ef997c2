"""The points of a sweep: axes with their values, and every combination of them by number.

Nothing is listed: a point is found from its number by mixed radix, so that a space of a million
points takes no memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, log1p, prod
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, model_validator

from accelsim.base.errors import InputError

_MOST_VALUES = 100_000  # of a range; more is a slip of the pen
_FARTHEST = 1e100  # numbers of a range, so that no arithmetic on them overflows
_SLACK = 1e-9  # of a step: 0.1 + 0.2 still reaches an end of 0.3

Number = StrictInt | StrictFloat


class Range(BaseModel):
    """Values from one number to another, both included: by step, by factor, or so many.

    >>> Range(**{"from": 8, "to": 64, "factor": 2}).values()
    [8, 16, 32, 64]
    >>> Range(**{"from": 1, "to": 100, "points": 3, "scale": "log"}).values()
    [1, 10, 100]
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    start: Number = Field(alias="from")
    to: Number
    step: Annotated[Number, Field(gt=0)] | None = None
    factor: Annotated[Number, Field(gt=1)] | None = None
    points: Annotated[int, Field(strict=True, ge=2, le=_MOST_VALUES)] | None = None
    scale: Literal["linear", "log"] = "linear"

    @model_validator(mode="after")
    def _is_one_way(self) -> Range:
        ways = [name for name in ("step", "factor", "points") if getattr(self, name) is not None]
        if len(ways) != 1:
            given = f"; {' and '.join(ways)} are given" if ways else ""
            raise InputError(f"a range needs one of step, factor and points{given}")
        numbers = (self.start, self.to, self.step or 0, self.factor or 0)
        if max(map(abs, numbers)) > _FARTHEST or 0 < self.start < 1 / _FARTHEST:
            raise InputError(f"numbers of a range lie between {1 / _FARTHEST} and {_FARTHEST}")
        if self.to < self.start:
            raise InputError(f"a range goes upwards: from {self.start} to {self.to}")
        if self.start <= 0 and (self.factor is not None or self.scale == "log"):
            raise InputError(f"a logarithmic range begins above 0, not at {self.start}")
        if self.scale == "log" and self.points is None:
            raise InputError("scale: log goes with points; or write factor")
        return self

    def count(self) -> int:
        """Return about how many values there are, without listing them."""
        if self.points is not None:
            return self.points
        if self.factor is not None:
            steps = log(self.to / self.start) / log1p(self.factor - 1)
        else:
            steps = (self.to - self.start) / (self.step or 1)
        return int(min(steps, _FARTHEST)) + 1

    def values(self) -> list[int | float]:
        """Return the values; whole ones as integers if both ends are."""
        if self.points is not None:
            values = [self._between(place / (self.points - 1)) for place in range(self.points)]
        else:
            values = self._walked()
        is_whole = isinstance(self.start, int) and isinstance(self.to, int)
        return [int(v) if is_whole and float(v).is_integer() else v for v in values]

    def _between(self, share: float) -> float:
        if share in (0, 1):
            return self.to if share else self.start
        if self.scale == "log":
            return float(f"{self.start * (self.to / self.start) ** share:.12g}")
        return float(f"{self.start + (self.to - self.start) * share:.12g}")

    def _walked(self) -> list[int | float]:
        values: list[int | float] = []
        value: int | float = self.start
        while value <= self.to * (1 + _SLACK if self.to > 0 else 1):
            values.append(value)
            if len(values) > _MOST_VALUES:
                raise InputError(f"a range of more than {_MOST_VALUES:,} values")
            if self.factor is not None:
                value = value * self.factor
            else:
                value = _rounded(self.start + len(values) * (self.step or 0))
        return values


def _rounded(value: int | float) -> int | float:
    """Undo what binary fractions do to 0.1 + 0.2."""
    return value if isinstance(value, int) else float(f"{value:.12g}")


@dataclass(frozen=True, slots=True)
class Axis:
    """Keys that change together, and the settings they go through; mostly one key.

    Attributes:
        keys: dotted paths into an architecture file, or `base`, `trace`, `phase`, `batch`,
            `policy`.
        settings: values in the order of the keys, one tuple a setting.
    """

    keys: tuple[str, ...]
    settings: tuple[tuple[Any, ...], ...]

    @classmethod
    def of(cls, columns: dict[str, list[Any]]) -> Axis:
        """Link columns of equal length.

        >>> Axis.of({"pattern": ["2:4", "8:16"], "selector.instances": [16, 4]}).settings
        (('2:4', 16), ('8:16', 4))
        """
        return cls(tuple(columns), tuple(zip(*columns.values(), strict=True)))

    @property
    def is_ordered(self) -> bool:
        """Whether its settings are numbers of one key, which a search may call near or far."""
        return len(self.keys) == 1 and all(
            isinstance(value, int | float) and not isinstance(value, bool)
            for (value,) in self.settings
        )


@dataclass(frozen=True, slots=True)
class Grid:
    """Every combination of the settings of some axes; the last axis changes fastest.

    >>> grid = Grid((Axis.of({"a": [1, 2]}), Axis.of({"b": ["x", "y", "z"]})))
    >>> len(grid), grid.settings(4), grid.index((1, 1))
    (6, {'a': 2, 'b': 'y'}, 4)
    """

    axes: tuple[Axis, ...]

    def __len__(self) -> int:
        return self.size

    @property
    def size(self) -> int:
        """The number of points; `len` gives up where a machine word ends, this does not."""
        return prod(len(axis.settings) for axis in self.axes)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of all axes."""
        return tuple(key for axis in self.axes for key in axis.keys)

    def places(self, index: int) -> tuple[int, ...]:
        """Return the place of a point on each axis: the number of its setting."""
        if not 0 <= index < self.size:
            raise IndexError(f"point {index} of {self.size}")
        places = []
        for axis in reversed(self.axes):
            index, place = divmod(index, len(axis.settings))
            places.append(place)
        return tuple(reversed(places))

    def index(self, places: tuple[int, ...]) -> int:
        """Return the number of the point with these settings."""
        index = 0
        for axis, place in zip(self.axes, places, strict=True):
            index = index * len(axis.settings) + place
        return index

    def settings(self, index: int) -> dict[str, Any]:
        """Return the value of every key at a point."""
        return {
            key: value
            for axis, place in zip(self.axes, self.places(index), strict=True)
            for key, value in zip(axis.keys, axis.settings[place], strict=True)
        }
