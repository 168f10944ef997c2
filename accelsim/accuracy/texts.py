"""Texts that a model reads: a file, or the one that every Python installation has."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from accelsim.base.errors import InputError
from accelsim.base.files import is_file, read_text

BUILT_IN = "python-topics"
BUILT_IN_CALIBRATION = "python-topics-calibration"
_CALIBRATION_SHARE = 8  # every so manieth help topic calibrates and is not evaluated


@dataclass(frozen=True, slots=True)
class Text:
    """A text and where it came from."""

    name: str
    content: str

    @property
    def sha256(self) -> str:
        """Hash of the content."""
        return hashlib.sha256(self.content.encode()).hexdigest()

    def describe(self) -> dict[str, str]:
        """Return the facts that identify the text."""
        return {"name": self.name, "sha256": self.sha256}


def load_text(name: str) -> Text:
    """Read a UTF-8 file, or `python-topics`: Python's help topics (`pydoc_data.topics`).

    Every eighth topic makes up `python-topics-calibration` instead; the two share nothing. The
    topics differ a little from one Python version to the next; the hash tells.

    >>> len(load_text("python-topics").content) > 200_000
    True

    Raises:
        InputError: the file cannot be read or is not UTF-8.
    """
    if name in (BUILT_IN, BUILT_IN_CALIBRATION):
        return Text(name, _topics(calibrates=name == BUILT_IN_CALIBRATION))
    path = Path(name)
    try:
        return Text(path.name, read_text(path, "cannot read the text"))
    except InputError as error:
        if not is_file(path):
            raise InputError(
                f"{error} (allowed: a file, {BUILT_IN}, {BUILT_IN_CALIBRATION})"
            ) from error
        raise


def _topics(*, calibrates: bool) -> str:
    from pydoc_data.topics import topics

    chosen = [
        topics[key]
        for place, key in enumerate(sorted(topics))
        if (place % _CALIBRATION_SHARE == 0) == calibrates
    ]
    return "\n".join(chosen)
