"""A sentence to the user about a machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Note:
    """A decision that was made for a machine or, as a warning, something wrong with it.

    Printed, a warning says so; whoever wants only the warnings asks `is_warning`.

    >>> print(Note("selector: 3 stages"), warning("crossbar: 1 stage is too few"), sep="; ")
    selector: 3 stages; warning: crossbar: 1 stage is too few
    """

    text: str
    is_warning: bool = False

    def __str__(self) -> str:
        return f"warning: {self.text}" if self.is_warning else self.text


def warning(text: str) -> Note:
    """Return a note that is a warning."""
    return Note(text, is_warning=True)
