"""How numbers are written in sentences: formats of Python, and those of the pages.

| format | number | written |
|---|---|---|
| `.1 %` | 0.138 | 13.8 % |
| `.0p` | 0.138 | 14 |
| `word` | 4; 0.1 | four; a tenth |
| `times` | 2; 3 | twice; three times |
| `points` | 0.1; 0.01 | 10 points; a point |
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Any

_WORDS: Mapping[Fraction, str] = MappingProxyType(
    {
        **{
            Fraction(number): word
            for number, word in enumerate(
                ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
            )
        },
        Fraction(1, 10): "a tenth",
        Fraction(1, 4): "a quarter",
        Fraction(1, 2): "half",
        Fraction(3, 4): "three quarters",
    }
)


def written(template: str, values: Mapping[str, Any]) -> str:
    """Return a template with its values.

    >>> written("{more:.1 %} in {n:word}; {n:times}", {"more": 0.138, "n": 2})
    '13.8 % in two; twice'
    """
    return _House().vformat(template, (), values)


def word(number: float) -> str:
    """Return a number as a word; digits if there is none.

    >>> word(4), word(1.1 - 1), word(0.75), word(12)
    ('four', 'a tenth', 'three quarters', '12')
    """
    return _WORDS.get(Fraction(number).limit_denominator(1000), f"{number:g}")


def times(number: float) -> str:
    """Return a multiple in words.

    >>> times(2), times(3)
    ('twice', 'three times')
    """
    return "twice" if number == 2 else f"{word(number)} times"  # noqa: PLR2004 (has its word)


def sign(number: float) -> str:
    """Return a number with few signs.

    >>> sign(0.5), sign(2)
    ('½', '2')
    """
    return "½" if number == 0.5 else f"{number:g}"  # noqa: PLR2004 (has its sign)


def points(number: float) -> str:
    """Return a difference of shares in hundredths.

    >>> points(0.01), points(0.1)
    ('a point', '10 points')
    """
    count = f"{100 * number:g}"
    return "a point" if count == "1" else f"{count} points"


class _House(string.Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        if format_spec in _SAID:
            return _SAID[format_spec](value)
        for ending, sign in ((" %", " %"), ("p", "")):
            if format_spec.endswith(ending):
                return f"{100 * value:{format_spec.removesuffix(ending)}f}{sign}"
        return str(super().format_field(value, format_spec))


_SAID = MappingProxyType({"word": word, "times": times, "points": points})
