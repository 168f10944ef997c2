"""A console that shows names as they are, in characters that the reader has."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from accelsim.report.text import escaped_lines, fitting


class PlainConsole(Console):
    """Neither markup nor terminal commands are obeyed: names in traces and files are the user's.

    Texts are made to fit the encoding before they are laid out, so that columns stay aligned.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text as it is printed."""
        return super().render_str(fitting(escaped_lines(text), self.encoding), **options)
