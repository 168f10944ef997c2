"""What a rule is: a function that yields a sentence for each way in which it is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

Findings = Iterator[str]
"""What was found and what is expected, a sentence each; nothing if the rule is kept."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A rule that is broken.

    Attributes:
        subject: what breaks it, as a sentence begins: `RowGather first in stage select`.
        rule: its name.
        finding: what was found, and what is expected.
    """

    subject: str
    rule: str
    finding: str

    def __str__(self) -> str:
        return f"{self.subject} breaks the rule '{self.rule}': {self.finding}"


Problems = Iterator[Problem]


def problems_of(subject: str, rules: Iterable[tuple[str, Callable[[], Findings]]]) -> Problems:
    """Yield each rule that a subject breaks, with the first thing found.

    Args:
        subject: what is checked, as sentences begin.
        rules: names with functions that need no more arguments. A rule in which the subject raises
            an error is broken, too.
    """
    for name, rule in rules:
        try:
            finding = next(rule(), None)
        except Exception as error:
            finding = f"it raises {type(error).__name__}: {error}"
        if finding is not None:
            yield Problem(subject, name, finding)


def keep(problems: Iterable[Problem]) -> None:
    """Raise AssertionError with a sentence for each rule that is broken, if there is one.

    >>> keep([])
    >>> keep([Problem("It", "is whole", "it is half"), Problem("It, too,", "is whole", "1/3")])
    Traceback (most recent call last):
    AssertionError: It breaks the rule 'is whole': it is half (and 1 more)
    """
    broken: dict[str, list[Problem]] = {}
    for problem in problems:
        broken.setdefault(problem.rule, []).append(problem)
    lines = [
        f"{first}{f' (and {len(more)} more)' if more else ''}" for first, *more in broken.values()
    ]
    if lines:
        raise AssertionError("\n".join(lines))
