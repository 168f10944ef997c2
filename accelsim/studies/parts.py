"""What stands on the page of a study besides its figure: sentences, tables, claims, CSV files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from accelsim.studies.choice import Chosen, Data, NoRunError, Value, facts
from accelsim.studies.claims import Claim, Tested, claims_table
from accelsim.studies.facts import Names, Quantity, fact, number
from accelsim.studies.page import markdown_table
from accelsim.studies.runs import Run, row
from accelsim.studies.words import written

Keys = Mapping[str, Any]
"""What a row of a table is about: settings of its runs."""


class Part(Protocol):
    """What is written into one section of a page."""

    @property
    def section(self) -> str:
        """The name of the section."""

    def text(self, data: Data) -> str:
        """Return what is written."""


@dataclass(frozen=True)
class Prose:
    """Sentences whose numbers come from runs.

    Attributes:
        section: of the page.
        template: the sentences, with formats as of `words`.
        names: what they name: a `Value`, `Ends`, `Extremes`, a `Count`, a number, or a choice, of
            whose first run they may name each fact: `{dense.area_um2:.0f}`.
    """

    section: str
    template: str
    names: Mapping[str, Any]

    def text(self, data: Data) -> str:
        """Return the sentences."""
        return written(self.template, {name: _seen(it, data) for name, it in self.names.items()})


def _seen(named: Any, data: Data) -> Any:
    """Return what a template sees of something that was named for it."""
    if isinstance(named, Value | Ends | Extremes | Count):
        return named.of(data)
    return facts(named, data) if hasattr(named, "of") else named


RATIOS: Mapping[str, str] = MappingProxyType(
    {
        "speed-up": "{speedup:.2f}×",
        "energy": "{energy_ratio:.2f}×",
        "energy × delay": "{edp_ratio:.2f}×",
        "area": "{area_overhead_ratio:+.1%}",
        "work per area": "{tops_per_mm2_ratio:.2f}×",
    }
)
"""Columns of ratios to the dense machine, by head."""


def ratios(*heads: str) -> dict[str, str]:
    """Return columns of `RATIOS`, in this order.

    >>> ratios("energy", "speed-up")
    {'energy': '{energy_ratio:.2f}×', 'speed-up': '{speedup:.2f}×'}
    """
    return {head: RATIOS[head] for head in heads}


@dataclass(frozen=True)
class Column:
    """What a column of a table shows.

    Attributes:
        cell: a template; it may name facts of the runs of a cell, and `values`.
        at: settings of the runs of this column, besides those of the row.
        chosen: from which runs, if not from the table's: called with settings, a choice.
        values: other numbers of the runs of a cell, by name.
    """

    cell: str
    at: Keys = field(default_factory=dict)
    chosen: Callable[..., Chosen] | None = None
    values: Mapping[str, Quantity] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table: each row has settings, each column a number of the runs with these settings.

    Attributes:
        section: of the page.
        chosen: called with settings, the runs that have them: a `Choice`, or a function.
        rows: values by setting, of which every combination has a row; or a function of the data
            that returns the settings of each row.
        columns: by head, from left to right; only the template, if there is no more to a column.
        missing: the cell of which there is no run; without it, that is an error.
    """

    section: str
    chosen: Callable[..., Chosen]
    rows: Mapping[str, Iterable[Any]] | Callable[[Data], Iterable[Keys]]
    columns: Mapping[str, str | Column]
    missing: str | None = None

    def text(self, data: Data) -> str:
        """Return the table in Markdown."""
        return markdown_table(
            [
                {head: self._cell(column, keys, data) for head, column in self.columns.items()}
                for keys in self.keys(data)
            ]
        )

    def keys(self, data: Data) -> list[Keys]:
        """Return the settings of each row."""
        if callable(self.rows):
            return list(self.rows(data))
        return [dict(zip(self.rows, some, strict=True)) for some in product(*self.rows.values())]

    def _cell(self, column: str | Column, keys: Keys, data: Data) -> str:
        column = Column(column) if isinstance(column, str) else column
        settings = {**keys, **column.at}
        try:
            chosen = (column.chosen or self.chosen)(**settings)
            runs = chosen.of(data)
            values = {name: number(it, runs, chosen.names) for name, it in column.values.items()}
            return written(column.cell, facts(chosen, data, **settings, **values))
        except NoRunError:
            if self.missing is None:
                raise
            return self.missing


@dataclass(frozen=True)
class Claims:
    """The table of what a study claims, and what flips it.

    Attributes:
        claims: by sentence, a template (`Claim.said`); several of which the same is said.
        section: of the page.
    """

    claims: Mapping[str, Claim | Sequence[Claim]]
    section: str = "claims"

    def text(self, data: Data) -> str:
        """Return the table in Markdown."""
        said = [(claim.said(text, data), data.tested(claim)) for text, claim in self.pairs()]
        return markdown_table(claims_table(said))

    def pairs(self) -> list[tuple[str, Claim]]:
        """Return each claim with its sentence."""
        return [
            (sentence, claim)
            for sentence, some in self.claims.items()
            for claim in ([some] if isinstance(some, Claim) else some)
        ]


class Span(NamedTuple):
    """The smallest and the largest that a number is found to be."""

    low: float
    high: float


@dataclass(frozen=True)
class Ends:
    """From where to where a fact of some runs goes: `{loss.low:.0p} to {loss.high:.0 %}`.

    Attributes:
        quantity: of each run by itself.
        chosen: the runs.
    """

    quantity: Quantity
    chosen: Chosen

    def of(self, data: Data) -> Span:
        """Return both ends."""
        some = [number(self.quantity, [run], self.chosen.names) for run in self.chosen.of(data)]
        return Span(min(some), max(some))


@dataclass(frozen=True)
class Extremes:
    """How far the number of a claim moves as prices do: `{area.low:.2f} to {area.high:.2f}`.

    Attributes:
        claim: which claim.
        base: what both ends are counted from, e.g. 1 for what a ratio is more than 1.
    """

    claim: Claim
    base: float = 0.0

    def of(self, data: Data) -> Span:
        """Return both ends."""
        low, high = data.tested(self.claim).extremes
        return Span(low - self.base, high - self.base)


@dataclass(frozen=True)
class Count:
    """How many claims are of a kind."""

    claims: Claims
    kind: Callable[[Tested], bool]

    def of(self, data: Data) -> int:
        """Return how many."""
        return sum(self.kind(data.tested(claim)) for _, claim in self.claims.pairs())


@dataclass(frozen=True)
class Numbers:
    """A CSV file of all runs of a group.

    Attributes:
        group: of the study.
        extra: columns that it has besides those of every run, by name as of `fact`.
        file: its name without `.csv`; default: that of the group.
    """

    group: str
    extra: Names = field(default_factory=dict)
    file: str = ""

    @property
    def name(self) -> str:
        """The name of the file without its ending."""
        return self.file or self.group

    def rows(self, data: Data) -> list[dict[str, Any]]:
        """Return a row a run."""
        return [{**row(run), **self._of(run)} for run in data.groups[self.group]]

    def _of(self, run: Run) -> dict[str, Any]:
        return {name: fact(run, name, self.extra) for name in self.extra}
