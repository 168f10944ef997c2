"""Numbers for people: three digits that count, in a unit that fits them."""

from __future__ import annotations

from collections.abc import Iterable
from math import floor, log10
from statistics import median
from typing import NamedTuple

_PREFIXES = dict(
    zip(range(-5, 6), ("f", "p", "n", "µ", "m", "", "k", "M", "G", "T", "P"), strict=True)
)
_WHOLE = 999.5  # from here on all digits before the point are written, and none behind it
_LEAST_MM2 = 0.01  # areas below are in µm²
_LEAST_TOPS_PER_W = 0.01  # efficiencies below are in GOPS/W
_OPS_PER_TOPS = 1e12


class Scale(NamedTuple):
    """A unit for a column of numbers, and what a number in the base unit is multiplied by."""

    unit: str
    factor: float

    def show(self, value: float) -> str:
        """Return a number in this unit."""
        return digits(value * self.factor)

    def with_unit(self, value: float) -> str:
        """Return a number in this unit, with it."""
        return f"{self.show(value)} {self.unit}"


def counted(number: int, thing: str) -> str:
    """Return a number of things with their name, in the plural if need be.

    >>> counted(1, "sequence"), counted(20_000, "token")
    ('1 sequence', '20,000 tokens')
    """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def digits(value: float) -> str:
    """Return a number with three significant digits, or with all digits before the point.

    >>> [digits(value) for value in (1.9497, 0.00312, 99.96, 1962.9, 0)]
    ['1.95', '0.00312', '100', '1,963', '0']
    """
    if not value:
        return "0"
    return f"{value:,.0f}" if abs(value) >= _WHOLE else f"{value:#.3g}".rstrip(".")


def scale_of(values: Iterable[float], base: str) -> Scale:
    """Return the unit in which the middle one of these numbers has one to three digits.

    Args:
        values: in the base unit; zeros say nothing.
        base: the unit without a prefix, `J`.

    >>> scale_of([3e-6, 5.2e-4, 2e-3], "J").unit
    'µJ'
    """
    known = [abs(value) for value in values if value]
    thousands = floor(log10(median(known)) / 3) if known else 0
    thousands = min(max(thousands, min(_PREFIXES)), max(_PREFIXES))
    return Scale(_PREFIXES[thousands] + base, 1000.0**-thousands)


def efficiency_scale(tops_per_w: Iterable[float]) -> Scale:
    """Return TOPS/W, or less where the middle one of these efficiencies is small."""
    values = list(tops_per_w)
    if values and median(values) >= _LEAST_TOPS_PER_W:
        return Scale("TOPS/W", 1.0)
    found = scale_of([_OPS_PER_TOPS * value for value in values], "OPS/W")
    return Scale(found.unit, _OPS_PER_TOPS * found.factor)


def area_scale(areas_um2: Iterable[float]) -> Scale:
    """Return mm², or µm² where the middle one of these areas is small."""
    known = [area for area in areas_um2 if area]
    is_small = bool(known) and median(known) * 1e-6 < _LEAST_MM2
    return Scale("µm²", 1.0) if is_small else Scale("mm²", 1e-6)


def scaled(value: float, base: str) -> str:
    """Return one number with the unit that fits it.

    >>> scaled(5.874e-3, "J"), scaled(3.1e10, "OPS")
    ('5.87 mJ', '31.0 GOPS')
    """
    return scale_of([value], base).with_unit(value)


def scaled_area(area_um2: float) -> str:
    """Return one area with the unit that fits it."""
    return area_scale([area_um2]).with_unit(area_um2)


def times(ratio: float) -> str:
    """Return a ratio.

    >>> times(1.9497), times(0.0004)
    ('1.95×', '0.000400×')
    """
    return f"{digits(ratio)}×"


def percent(ratio: float | None) -> str:
    """Return a ratio as a percentage with one decimal, 0 as `0`, an unknown one as `-`.

    >>> [percent(ratio) for ratio in (0.12345, 0, 0.0002, None)]
    ['12.3%', '0', '<0.1%', '-']
    """
    if ratio is None:
        return "-"
    text = f"{100 * ratio:.1f}%" if ratio else "0"
    return "<0.1%" if text == "0.0%" else text


def change(ratio: float) -> str:
    """Return a difference as a percentage with its sign.

    >>> change(0.138), change(-0.00012), change(0.0)
    ('+13.8%', '-0.012%', '+0.0%')
    """
    text = f"{ratio:+.1%}"
    return f"{100 * ratio:+.2g}%" if ratio and float(text[:-1]) == 0 else text
