"""A sweep while it runs, and the points of it that nothing beats."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from accelsim.report.labels import plain
from accelsim.report.style import COLOURS, check_format, figure, save, styled
from accelsim.report.tables import titled_table
from accelsim.report.text import escaped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LARGE = 10_000  # numbers from here on are written as 10 k, 2 M
_WIDE = 20  # ratio of largest to smallest from which an axis is logarithmic
_UNITS = {"um2": "µm²", "pj": "pJ", "s": "s", "mw": "mW", "bytes": "bytes", "cycles": "cycles"}


class Board:
    """Counts what is finished; shows it as a table for a terminal or a line for a log."""

    def __init__(self, name: str, metric: str, *, is_less_better: bool) -> None:
        self.name = name
        self._metric, self._sign = metric, 1 if is_less_better else -1
        self._stage, self._total, self._done, self._started = "", 0, 0, time.monotonic()
        self._statuses: Counter[str] = Counter()
        self._best: Mapping[str, Any] | None = None

    def note(self, stage: str, points: int, row: Mapping[str, Any] | None) -> None:
        """Take in a new stage of so many points, or a finished row."""
        if row is None:
            self._stage, self._total, self._done = stage, points, 0
            self._started = time.monotonic()
            return
        self._done += 1
        self._statuses[row["status"]] += 1
        value = row.get(self._metric)
        if row["status"] == "ok" and value is not None:
            best = None if self._best is None else self._best[self._metric]
            if best is None or self._sign * value < self._sign * best:
                self._best = row

    def cells(self) -> dict[str, str]:
        """Return what is known so far."""
        elapsed = time.monotonic() - self._started
        rate = self._done / elapsed if elapsed > 0 else 0.0
        left = (self._total - self._done) / rate if rate else 0.0
        others = {name: n for name, n in sorted(self._statuses.items()) if name != "ok"}
        best = "" if self._best is None else f"{self._best[self._metric]:.6g}"
        point = "" if self._best is None else f" (point {self._best['point']})"
        return {
            "stage": self._stage,
            "done": f"{self._done:,} of {self._total:,}",
            "ok": f"{self._statuses['ok']:,}",
            "not": ", ".join(f"{n:,} {name}" for name, n in others.items()) or "0",
            "points/s": f"{rate:.1f}",
            "ETA": f"{left:.0f} s" if self._stage == "run" and self._done else "",
            f"best {self._metric}": best + point,
        }

    def table(self) -> Table:
        """Return the state as a table of one row."""
        table = titled_table(f"Sweep {self.name}", list(self.cells()))
        table.add_row(*self.cells().values())
        return table

    def line(self) -> str:
        """Return the state as a line."""
        return f"{self.name}: " + "; ".join(f"{k} {v}" for k, v in self.cells().items() if v)


def front_table(
    rows: Sequence[Mapping[str, Any]], keys: Sequence[str], metrics: Sequence[str], title: str
) -> tuple[Table | str, ...]:
    """Return rows as a table, and what all of them share as a line before it.

    Keys are called by their last part where that tells them apart.
    """
    shared = [key for key in keys if all(row.get(key) == rows[0].get(key) for row in rows)]
    told = [key for key in keys if key not in shared]
    last = Counter(key.rsplit(".", 1)[-1] for key in told)
    names = [short if last[short := key.rsplit(".", 1)[-1]] == 1 else key for key in told]
    table = titled_table(title, ["point", *names, *metrics])
    for row in rows:
        table.add_row(*(_shown(row.get(name)) for name in ("point", *told, *metrics)))
    if not shared:
        return (table,)
    return "all: " + ", ".join(f"{key} {_shown(rows[0].get(key))}" for key in shared), table


def _shown(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else "" if value is None else escaped(value)


def front_figure(  # noqa: PLR0913
    rows: Sequence[Mapping[str, Any]],
    front: Sequence[Mapping[str, Any]],
    *,
    x: str,
    y: str,
    color: str | None,
    path: Path,
) -> None:
    """Draw all points, and a line through those that nothing beats, and write the figure.

    Raises:
        InputError: the ending of the file is not known, or it cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    check_format(path)
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault("" if color is None else str(row.get(color)), []).append(row)
    drawn, (ax,) = figure(width_mm=140, height_mm=90)
    with styled():
        for place, (label, members) in enumerate(sorted(groups.items(), key=_in_order)):
            shade = COLOURS[place % len(COLOURS)]
            points: Any = {"s": 6, "alpha": 0.5, "color": shade, "linewidths": 0}
            ax.scatter(*_columns(members, x, y), label=plain(label) if label else None, **points)
        # From the first objective's best on: up to the next point, nothing does better than the
        # last.
        line: Any = {"color": "black", "marker": "o", "markersize": 3, "label": "front"}
        ax.plot(*_columns(front, x, y), drawstyle="steps-post", **line)
        _label_axes(ax, rows, x, y)
        ax.legend(
            title=None if color is None else plain(color),
            bbox_to_anchor=(1.02, 1),
            loc="upper left",
        )
        ax.grid(alpha=0.3)
    save(drawn, path)


def _columns(rows: Sequence[Mapping[str, Any]], x: str, y: str) -> tuple[list[Any], list[Any]]:
    return [row[x] for row in rows], [row[y] for row in rows]


def _label_axes(ax: Axes, rows: Sequence[Mapping[str, Any]], x: str, y: str) -> None:
    """Name the axes; stretch the first one, and shorten numbers, where they need it."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    ax.set_xlabel(axis_label(x))
    ax.set_ylabel(axis_label(y))
    if min(column := [row[x] for row in rows]) > 0 and max(column) > _WIDE * min(column):
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_minor_formatter(NullFormatter())
    for axis, metric in ((ax.xaxis, x), (ax.yaxis, y)):
        if max(abs(row[metric]) for row in rows) >= _LARGE:
            axis.set_major_formatter(EngFormatter())


def _in_order(group: tuple[str, Any]) -> tuple[bool, float, str]:
    """Sort numbers by value, before texts."""
    try:
        return False, float(group[0]), ""
    except ValueError:
        return True, 0.0, group[0]


def axis_label(metric: str) -> str:
    """Return a metric as it stands on an axis, its unit in brackets.

    >>> axis_label("area_um2"), axis_label("effective_tops")
    ('area (µm²)', 'effective TOPS')
    """
    name, _, unit = metric.rpartition("_")
    if name and unit in _UNITS:
        return f"{name.replace('_', ' ')} ({_UNITS[unit]})"
    return metric.replace("_", " ").replace("tops", "TOPS")
