"""`accelsim pareto`: the points of a sweep that nothing beats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from accelsim.cli.options import JsonOption, show, show_json, warn

EXAMPLE = "accelsim pareto out/sweep --x area_um2 --y effective_tops --color pattern"


def command(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Results of a sweep.", show_default=False)
    ],
    x: Annotated[str, typer.Option("--x", help="Metric across.")] = "area_um2",
    y: Annotated[str, typer.Option("--y", help="Metric upwards.")] = "effective_tops",
    color: Annotated[
        str | None, typer.Option("--color", help="Column that colours the points.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(help="Only rows with this value, e.g. phase=decode.", metavar="COLUMN=VALUE"),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Figure; default: DIR/pareto.png.", metavar="FILE", show_default=False),
    ] = None,
    no_plot: Annotated[bool, typer.Option("--no-plot", help="Only the table.")] = False,
    json_: JsonOption = False,
) -> None:
    """Show and draw the non-dominated points of a sweep for two metrics."""
    from accelsim.base.errors import InputError
    from accelsim.report.sweep import front_figure, front_table
    from accelsim.sweeps.folder import read_rows
    from accelsim.sweeps.metrics import METRICS
    from accelsim.sweeps.pareto import best_rows, usable

    _check_metrics(x, y)
    path = _figure_path(folder, plot, no_plot)
    header, rows = read_rows(folder, warn)
    columns = _columns(rows)
    rows = _only(rows, columns, where or ())
    if color is not None and color not in columns:
        raise InputError(f"--color {color}: no such column; allowed: {', '.join(columns)}")
    points = usable(rows, (x, y))
    if not points:
        raise InputError(f"{folder}: no point has run and knows both {x} and {y}")
    work = [name for name in ("trace", "phase", "batch") if _varies(points, name)]
    if work:
        warn(f"points that differ in {', '.join(work)} do different work; --where chooses")
    best = best_rows(points, (x, y))
    if path is not None:
        front_figure(points, best, x=x, y=y, color=color, path=path)
    if json_:
        goals = {name: METRICS[name] for name in (x, y)}
        show_json({"schema": 1, "points": len(points), "goals": goals, "rows": best})
        return
    varied = [name for name in columns if name not in METRICS and _varies(rows, name)]
    count = sum(1 + len(row["tied"]) for row in best)
    title = f"{header['sweep']['name']}: {count} of {len(points):,} points are non-dominated"
    show(*front_table(best, varied, [x, y], title))
    show(", ".join(f"{METRICS[name]} {name}" for name in (x, y)))
    if path is not None:
        show(f"drawn in {path}")


def _only(
    rows: list[dict[str, Any]], columns: list[str], conditions: Iterable[str]
) -> list[dict[str, Any]]:
    """Return the rows that meet `column=value` conditions."""
    from accelsim.base.errors import InputError

    for condition in conditions:
        name, separator, value = condition.partition("=")
        if not separator or name not in columns:
            raise InputError(
                f"--where {condition}: write COLUMN=VALUE; columns: {', '.join(columns)}"
            )
        rows = [row for row in rows if str(row[name]) == value]
    return rows


def _check_metrics(x: str, y: str) -> None:
    from accelsim.base.errors import InputError
    from accelsim.sweeps.metrics import check_metric

    for flag, metric in (("--x", x), ("--y", y)):
        try:
            check_metric(metric)
        except InputError as error:
            raise InputError(f"{flag}: {error}") from error
    if x == y:
        raise InputError(f"--x, --y: both are {x}")


def _figure_path(folder: Path, plot: Path | None, no_plot: bool) -> Path | None:
    """Return where the figure goes, if there will be one; refuse what cannot be written."""
    from accelsim.base.errors import InputError
    from accelsim.report.style import check_format

    if no_plot:
        if plot is not None:
            raise InputError("--plot, --no-plot: choose one")
        return None
    path = plot or folder / "pareto.png"
    check_format(path)
    return path


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    """Return the columns that say something of a point."""
    about = ("point", "task", "status", "reason")
    return [name for name in (rows[0] if rows else ()) if name not in about]


def _varies(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    return any(row.get(name) != rows[0].get(name) for row in rows)
