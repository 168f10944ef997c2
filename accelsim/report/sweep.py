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
_LONG, _HUGE = 1e5, 1e15  # between them numbers are written out, not as 2.1e+05
_WIDE = 20  # ratio of largest to smallest from which an axis is logarithmic
_UNITS = {"um2": "µm²", "pj": "pJ", "s": "s", "mw": "mW", "bytes": "bytes", "cycles": "cycles"}


class Board:
    """Counts what is finished; shows it as a table for a terminal or a line for a log.

    Args:
        name: of the sweep.
        metric: of which the best is shown.
        is_less_better: which way that is.
        trials: of a search, in all; 0 if there is none.
    """

    def __init__(self, name: str, metric: str, *, is_less_better: bool, trials: int = 0) -> None:
        self.name = name
        self._metric, self._sign = metric, 1 if is_less_better else -1
        self._stage, self._total, self._done, self._kept = "", 0, 0, 0
        self._run, self._run_s = 0, 0.0  # points simulated, and how long that took so far
        self._trials, self._told, self._told_before = trials, 0, -1
        self._began_s = self._stage_s = time.monotonic()
        self._statuses: Counter[str] = Counter()
        self._best: Mapping[str, Any] | None = None

    def note(self, stage: str, points: int, row: Mapping[str, Any] | None) -> None:
        """Take in a new stage of so many points, or a finished row."""
        if row is not None:
            self._note_row(stage, row)
        elif stage == "kept":
            self._kept = points
        elif stage == "trials":
            self._told_before = points if self._told_before < 0 else self._told_before
            self._told = points
        else:
            self._note_stage(stage, points)

    def _note_stage(self, stage: str, points: int) -> None:
        now_s = time.monotonic()
        if self._stage == "run":
            self._run_s += now_s - self._stage_s
        self._stage, self._stage_s = stage, now_s
        if stage != "write":  # its points are all that there are, and none of them is done anew
            self._total = self._done + points

    def _note_row(self, stage: str, row: Mapping[str, Any]) -> None:
        self._done += 1
        self._run += stage == "run"
        self._statuses[row["status"]] += 1
        value = row.get(self._metric)
        if row["status"] == "ok" and value is not None:
            best = None if self._best is None else self._best[self._metric]
            if best is None or self._sign * value < self._sign * best:
                self._best = row

    def _rate(self) -> float:
        """Return the points simulated a second, while that was what went on."""
        now_s = time.monotonic()
        run_s = self._run_s + (now_s - self._stage_s if self._stage == "run" else 0.0)
        return self._run / run_s if run_s > 0 else 0.0

    def _left_s(self) -> float | None:
        """Return the seconds to go; None if nobody can tell yet."""
        if self._trials:
            told = self._told - self._told_before
            if self._told_before < 0 or not told:
                return None
            return (time.monotonic() - self._began_s) / told * (self._trials - self._told)
        rate = self._rate()
        return (self._total - self._done) / rate if rate and self._stage == "run" else None

    def cells(self) -> dict[str, str]:
        """Return the state by heading; an empty text where nothing is known yet."""
        others = {name: n for name, n in sorted(self._statuses.items()) if name != "ok"}
        best = "" if self._best is None else f"{self._best[self._metric]:.6g}"
        point = "" if self._best is None else f" (point {self._best['point']})"
        rate, left_s = self._rate(), self._left_s()
        return {
            "stage": self._stage,
            "trials": f"{self._told:,} of {self._trials:,}" if self._trials else "",
            "kept": f"{self._kept:,}" if self._kept else "",
            "done": f"{self._done:,} of {self._total:,}",
            "ok": f"{self._statuses['ok']:,}",
            "not ok": ", ".join(f"{n:,} {name}" for name, n in others.items()) or "0",
            "points/s": f"{rate:.1f}" if rate else "",
            "ETA": "" if left_s is None else f"{left_s:.0f} s",
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

    Keys are called by their last part where that tells them apart. Rows that tie with others, as
    their key `tied` says, have a column for it.
    """
    shared = [key for key in keys if all(row.get(key) == rows[0].get(key) for row in rows)]
    told = [key for key in keys if key not in shared]
    last = Counter(key.rsplit(".", 1)[-1] for key in told)
    names = [short if last[short := key.rsplit(".", 1)[-1]] == 1 else key for key in told]
    ties = ["tied"] if any(row.get("tied") for row in rows) else []
    table = titled_table(title, ["point", *names, *metrics, *ties])
    for row in rows:
        cells = [_shown(row.get(name)) for name in ("point", *told, *metrics)]
        table.add_row(*cells, *(f"+{len(row['tied'])}" if row["tied"] else "" for _ in ties))
    if not shared:
        return (table,)
    return "all: " + ", ".join(f"{key} {_shown(rows[0].get(key))}" for key in shared), table


def _shown(value: object) -> str:
    if not isinstance(value, float):
        return "" if value is None else escaped(value)
    if _LONG <= abs(value) < _HUGE:
        return f"{float(f'{value:.5g}'):,.0f}"
    return f"{value:.5g}"


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
