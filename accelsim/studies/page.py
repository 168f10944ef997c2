"""The page of an experiment: a README, and what its script writes: answer, tables, figures."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim.base.errors import InputError
from accelsim.base.files import replacing
from accelsim.results.export import csv_text

if TYPE_CHECKING:
    from accelsim.report.style import Figure

_TOLERANCE = 1e-6  # relative, of numbers in tables: sums differ in the last digits by machine


@dataclass
class Page:
    """The files that a script writes into its folder, each whole.

    Attributes:
        folder: of the experiment.
        is_check: write nothing; complain of what differs from what is there.
    """

    folder: Path
    is_check: bool = False
    _texts: dict[Path, str] = field(default_factory=dict)
    _figures: dict[Path, Figure] = field(default_factory=dict)

    def write(self, section: str, text: str, *, path: Path | None = None) -> None:
        """Put a text between `<!-- SECTION -->` and `<!-- / -->` of a page; default: the README."""
        path = path or self.folder / "README.md"
        if not path.is_file():
            raise InputError(f"{path}: is missing; a page begins as a README with its sections")
        page = self._texts.get(path) or path.read_text(encoding="utf-8")
        inside = r"(?:(?!<!-- ).)*"  # up to its end, and not into another section
        place = re.compile(rf"(<!-- {re.escape(section)} -->\n){inside}(<!-- / -->)", re.DOTALL)
        if len(place.findall(page)) != 1:
            raise InputError(f"{path}: needs '<!-- {section} -->' once, and '<!-- / -->' behind it")
        self._texts[path] = place.sub(lambda found: f"{found[1]}{text.strip()}\n{found[2]}", page)

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows as a CSV file."""
        self._texts[self.folder / f"{name}.csv"] = csv_text(rows)

    def figure(self, name: str, figure: Figure) -> None:
        """Write a figure as PNG and PDF."""
        for kind in ("png", "pdf"):
            self._figures[self.folder / f"{name}.{kind}"] = figure

    def finish(self) -> None:
        """Write everything, or end with an error that says what differs."""
        if self.is_check:
            stale = [str(path) for path, text in self._texts.items() if not _same(path, text)]
            stale += [str(path) for path in self._figures if not path.is_file()]
            if stale:
                raise SystemExit(f"differs from what its script makes: {', '.join(stale)}")
            return
        with ExitStack() as pending:
            for path, text in self._texts.items():
                pending.enter_context(replacing(path)).write_text(text, encoding="utf-8")
        if self._figures:
            from accelsim.report.style import save

            for path, figure in self._figures.items():
                save(figure, path)
        print(f"{self.folder}: {', '.join(p.name for p in (*self._texts, *self._figures))}")


def markdown_table(rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows as a table; the columns are those of the first.

    >>> print(markdown_table([{"pattern": "2:4", "speed-up": "1.95×"}]))
    | pattern | speed-up |
    |---|---|
    | 2:4 | 1.95× |
    """
    head = list(rows[0])
    lines = [head, *(list(map(str, row.values())) for row in rows)]
    texts = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([texts[0], "|" + "---|" * len(head), *texts[1:]])


def _same(path: Path, text: str) -> bool:
    """Whether a file holds this text; of tables, these numbers."""
    if not path.is_file():
        return False
    there = path.read_text(encoding="utf-8")
    if path.suffix != ".csv":
        return there == text
    ours, theirs = (list(csv.reader(io.StringIO(part))) for part in (text, there))
    if [len(line) for line in ours] != [len(line) for line in theirs]:
        return False
    return all(map(_equal, chain.from_iterable(ours), chain.from_iterable(theirs)))


def _equal(one: str, other: str) -> bool:
    try:
        return math.isclose(float(one), float(other), rel_tol=_TOLERANCE)
    except ValueError:
        return one == other
