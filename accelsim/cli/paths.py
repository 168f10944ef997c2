"""Paths on the command line: an empty one would be the working folder."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_type_hints

from typer.core import TyperCommand

from accelsim.base.errors import InputError


class Command(TyperCommand):
    """A command that refuses empty paths, such as `--out "$UNSET"`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; raise InputError naming an option whose path is empty."""
        flags = path_flags(inspect.unwrap(self.callback)) if self.callback else set()
        for before, value in pairwise(["", *args]):
            flag, separator, given = value.partition("=")
            if not value and not before.startswith("-"):
                raise InputError("a path is empty; name a file or folder")
            if (not value and before in flags) or (separator and not given and flag in flags):
                raise InputError(f"{flag or before}: is empty; name a file or folder")
        return super().parse_args(ctx, args)


def flowing(docstring: str) -> str:
    r"""Return a docstring with each paragraph on one line, which a terminal wraps at its own width.

    >>> flowing("Run it.\n\n    Needs this\n    and that.\n    ")
    'Run it.\n\nNeeds this and that.'
    """
    paragraphs = inspect.cleandoc(docstring).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def path_flags(command: Callable[..., Any]) -> set[str]:
    """Return the flags of a command that take a path."""
    flags: set[str] = set()
    for name, hint in get_type_hints(command, include_extras=True).items():
        kinds, *extras = get_args(hint) or (hint,)
        if Path in (kinds, *get_args(kinds)):
            declared = [
                flag for extra in extras for flag in getattr(extra, "param_decls", ()) or ()
            ]
            flags.update(declared or [f"--{name.replace('_', '-')}"])
    return flags
