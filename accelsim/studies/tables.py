"""The tables of a study: on its page, and as CSV files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from types import MappingProxyType
from typing import Any

from accelsim.studies.choice import Chosen, Data, NoRunError, facts
from accelsim.studies.facts import Names, Quantity, fact, number
from accelsim.studies.page import markdown_table
from accelsim.studies.runs import Run, row
from accelsim.studies.words import written

Keys = Mapping[str, Any]
"""What a row of a table is about: settings of its runs."""

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
    """One column of a table.

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


def columns(
    cell: str, values: Mapping[str, Quantity] | None = None, **setting: Iterable[Any]
) -> dict[str, Column]:
    """Return a column for each value of a setting, with the value as its head.

    >>> list(columns("{speedup:.2f}×", pattern=("2:4", "8:16")))
    ['2:4', '8:16']
    """
    ((name, them),) = setting.items()
    return {str(value): Column(cell, {name: value}, values=values or {}) for value in them}


@dataclass(frozen=True)
class Table:
    """A table: each row has settings, each column a number of the runs with these settings.

    Attributes:
        section: of the page.
        chosen: called with settings, the runs that have them: a `Choice`, or a function.
        rows: values by setting, of which every combination has a row; or a function of the data
            that returns the settings of each row.
        columns: from left to right, by head: a `Column`, or its template alone. Heads are templates
            as well, which may name facts of the first row; where two heads are the same template,
            pairs of head and column.
        missing: text of a cell that has no run; without it, such a cell is an error.
    """

    section: str
    chosen: Callable[..., Chosen]
    rows: Mapping[str, Iterable[Any]] | Callable[[Data], Iterable[Keys]]
    columns: Mapping[str, str | Column] | Sequence[tuple[str, str | Column]]
    missing: str | None = None

    def text(self, data: Data) -> str:
        """Return the table in Markdown."""
        rows, columns = self.keys(data), self._columns()
        heads = [
            self._cell(replace(it, cell=head), rows[0], data) if "{" in head else head
            for head, it in columns
        ]
        return markdown_table(
            [
                dict(zip(heads, (self._cell(it, keys, data) for _, it in columns), strict=True))
                for keys in rows
            ]
        )

    def keys(self, data: Data) -> list[Keys]:
        """Return the settings of each row."""
        if callable(self.rows):
            return list(self.rows(data))
        return [dict(zip(self.rows, some, strict=True)) for some in product(*self.rows.values())]

    def _columns(self) -> list[tuple[str, Column]]:
        pairs = self.columns.items() if isinstance(self.columns, Mapping) else self.columns
        return [(head, Column(it) if isinstance(it, str) else it) for head, it in pairs]

    def _cell(self, column: Column, keys: Keys, data: Data) -> str:
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
class Numbers:
    """A CSV file of all runs of a group.

    Attributes:
        group: of the study.
        names: what the study calls things.
        extra: names of the facts that it has besides those of every run; default: all of `names`.
        file: its name without `.csv`; default: that of the group.
    """

    group: str
    names: Names = field(default_factory=dict)
    extra: Sequence[str] | None = None
    file: str = ""

    @property
    def name(self) -> str:
        """The name of the file without its ending."""
        return self.file or self.group

    def rows(self, data: Data) -> list[dict[str, Any]]:
        """Return a row a run."""
        return [{**row(run), **self._of(run)} for run in data.groups[self.group]]

    def _of(self, run: Run) -> dict[str, Any]:
        extra = self.names if self.extra is None else self.extra
        return {name: fact(run, name, self.names) for name in extra}
