"""An experiment as data: what it simulates, and what its page shows of that."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from accelsim.base.errors import InputError
from accelsim.studies.choice import Data
from accelsim.studies.figure import Figure
from accelsim.studies.page import Page
from accelsim.studies.perplexity import Perplexities
from accelsim.studies.runs import Run, runs_of
from accelsim.studies.searched import Searched
from accelsim.studies.tables import Numbers
from accelsim.studies.tuned import TunedMachines

Source = Callable[[argparse.Namespace], list[Run]]
"""Where the runs of a group come from, given the flags of the script."""

Kept = Perplexities | Searched | TunedMachines
"""What was found once, is kept in files, and is found again by `--measure`."""


class Part(Protocol):
    """The text of one section of a page."""

    @property
    def section(self) -> str:
        """The name of the section."""

    def text(self, data: Data) -> str:
        """Return the text."""


@dataclass(frozen=True)
class Study:
    """An experiment.

    Attributes:
        question: what it asks; the first line of `--help`.
        script: its `__file__`, beside which its sweep files, its page and its figure are.
        groups: by name, the sweep files whose runs are simulated (without `.yaml`), measured
            perplexities, machines that were searched for or tuned, or a function of the flags.
        parts: what stands on the page.
        figure: what is drawn.
        numbers: the CSV files.
        flags: `name: {...}`, what `add_argument` takes for `--name`.
        copies: for sections of this page, those of the project's README that show the same.
    """

    question: str
    script: str
    groups: Mapping[str, Sequence[str] | Kept | Source]
    parts: Sequence[Part]
    figure: Figure
    numbers: Sequence[Numbers] = ()
    flags: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    copies: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The folder of the experiment."""
        return Path(self.script).parent

    def data(self, flags: argparse.Namespace) -> Data:
        """Simulate and read what the study is about."""
        return Data({name: self._runs(it, flags) for name, it in self.groups.items()})

    def _runs(self, source: Sequence[str] | Kept | Source, flags: argparse.Namespace) -> list[Run]:
        if isinstance(source, Kept):
            return source.records()
        if callable(source):
            return source(flags)
        return [run for name in source for run in runs_of(self.folder / f"{name}.yaml")]

    def write(self, page: Page, data: Data) -> None:
        """Write the files, sections and figure of the page."""
        for numbers in self.numbers:
            page.table(numbers.name, numbers.rows(data))
        for part in self.parts:
            text = part.text(data)
            page.write(part.section, text)
            if part.section in self.copies:
                readme = self.folder.parents[1] / "README.md"
                page.write(self.copies[part.section], text, path=readme)
        page.figure("figure", self.figure.drawn(data))
        page.finish()

    def main(self) -> None:
        """Do what the flags of the script say: measure again, compare, or write the page.

        What is wrong with an input ends the script with one line and code 2, Ctrl-C with 130.
        """
        flags = self.parsed()
        try:
            if flags.measure:
                self.measure(flags)
            self.write(Page(self.folder, flags.check), self.data(flags))
        except InputError as error:
            sys.stderr.write(f"error: {error}\n")
            sys.exit(2)
        except KeyboardInterrupt:
            sys.stderr.write("interrupted; started again, a search goes on where it was\n")
            sys.exit(128 + signal.SIGINT)

    def measure(self, flags: argparse.Namespace) -> None:
        """Find again what is kept in files, as the flags say."""
        for source in self.groups.values():
            if isinstance(source, Searched):
                source.measure(flags.journal)
            elif isinstance(source, Kept):
                source.measure()

    def parsed(self) -> argparse.Namespace:
        """Return the flags of the script."""
        parser = argparse.ArgumentParser(description=self.question)
        parser.add_argument("--check", action="store_true", help="compare with what is there")
        about = "measure perplexities, and search for machines, again, if it has any (minutes)"
        parser.add_argument("--measure", action="store_true", help=about)
        if any(isinstance(source, Searched) for source in self.groups.values()):
            about = "folder of what was simulated; a search that was stopped goes on from it"
            parser.add_argument("--journal", type=Path, metavar="FOLDER", help=about)
        for name, options in self.flags.items():
            parser.add_argument(f"--{name.replace('_', '-')}", **options)
        return parser.parse_args()
