"""Text as it may be shown: names without hidden commands, characters that the reader has."""

from __future__ import annotations

import codecs
import unicodedata

LOOKALIKES = {
    **{"×": "x", "²": "^2", "³": "^3", "µ": "u", "μ": "u", "±": "+/-", "·": "*", "•": "*"},
    **{"…": "...", "–": "-", "—": "-", "−": "-", "→": "->", "≤": "<=", "≥": ">=", "≈": "~"},
    **{"‘": "'", "’": "'", "“": '"', "”": '"', "─": "-", "━": "-", "│": "|", "█": "#"},
}
"""ASCII for characters that an encoding may lack."""
HANDLER = "accelsim.lookalike"
"""Name of the error handler that writes look-alikes, for `errors=` of `str.encode` and streams."""


def escaped(text: object) -> str:
    r"""Return text on one line, in which nothing moves a cursor, changes a colour or hides.

    Names in traces, models and files are their makers'; a terminal would obey what is in them.

    >>> print(escaped("q\x1b[31m_proj\n"))
    q\x1b[31m_proj\n
    """
    return "".join(_shown(character) for character in str(text))


def escaped_lines(text: str) -> str:
    """Return text of our own, which may have several lines, with names escaped."""
    return "\n".join(map(escaped, text.split("\n")))


def fitting(text: str, encoding: str) -> str:
    """Return text in characters that an encoding has.

    >>> fitting("1.95× on 4.35 mm², 3 µJ ± 1", "ascii")
    '1.95x on 4.35 mm^2, 3 uJ +/- 1'
    """
    return text.encode(encoding, HANDLER).decode(encoding)


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")


def _lookalike(error: UnicodeError) -> tuple[str, int]:
    """Return ASCII for what cannot be encoded, and where encoding goes on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(map(_ascii, lost)), error.end


def _ascii(character: str) -> str:
    if character in LOOKALIKES:
        return LOOKALIKES[character]
    base = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode("ascii")
    return base or character.encode("unicode_escape").decode("ascii")


codecs.register_error(HANDLER, _lookalike)
