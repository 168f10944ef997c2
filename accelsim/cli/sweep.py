"""`accelsim sweep`: many machines, traces and methods, run by as many workers as there are."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accelsim.cli.interrupts import ended_by_interrupt
from accelsim.cli.options import CacheOption, JsonOption, show, show_json, warn, warn_of_batches
from accelsim.cli.streams import tell

if TYPE_CHECKING:
    from accelsim.report.sweep import Board
    from accelsim.sweeps.plan import Plan
    from accelsim.sweeps.run import Listener, Summary

EXAMPLE = "accelsim sweep experiments/sweeps/pattern_crossbar.yaml --out out/sweep --workers 2"
_LINE_S = 10  # between lines in a log
_FRAMES_PER_S = 2  # on a terminal
_SHOWN_REASONS = 5
_SHOWN_POINTS = 20


def command(
    sweep: Annotated[Path, typer.Argument(help="Sweep file (YAML).", show_default=False)],
    out: Annotated[
        Path,
        typer.Option("--out", help="Folder of the results.", metavar="DIR", show_default=False),
    ],
    trace: Annotated[
        Path | None, typer.Option("--trace", help="Trace file instead of those of the sweep.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Worker processes; default: one a core.", show_default=False),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Dask scheduler whose workers run the points (tcp://…), or local.",
            metavar="ADDRESS",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Complete the results in the folder.")
    ] = False,
    cache: CacheOption = True,
    json_: JsonOption = False,
) -> None:
    """Run every point of a design space, or search it; results go into a folder."""
    with ended_by_interrupt("the same command with --resume completes the sweep"):
        from accelsim.sweeps.plan import load_plan
        from accelsim.sweeps.run import run_plan, usable_cores

        plan = load_plan(sweep, trace, keeps_selections=cache)
        if "decode" in plan.file.phases:
            for file in plan.traces.values():
                warn_of_batches(file.load(), plan.file.batches)
        flags: dict[str, Any] = {"scheduler": scheduler, "resume": resume, "tell": warn}
        with _progress(plan) as listener:
            count = usable_cores() if workers is None else workers
            summary = run_plan(plan, out, workers=count, listener=listener, **flags)
        if json_:
            show_json(_data(plan, summary))
        else:
            _print(plan, out, summary)


@contextmanager
def _progress(plan: Plan) -> Iterator[Listener]:
    """Yield a listener that keeps a table on a terminal, or prints a line now and then."""
    from accelsim.report.sweep import Board
    from accelsim.sweeps.metrics import METRICS, MINIMIZE

    metric = (plan.file.objectives or plan.file.metrics)[-1 if plan.file.objectives else 0]
    trials = (plan.file.points or 0) if plan.file.mode == "optuna" else 0
    is_less = METRICS[metric] == MINIMIZE
    board = Board(plan.file.name, metric, is_less_better=is_less, trials=trials)
    if not sys.stderr.isatty():
        yield _lines(board)
        return
    from rich.live import Live

    from accelsim.report.console import PlainConsole

    console = PlainConsole(stderr=True)
    live = Live(
        get_renderable=board.table,
        console=console,
        refresh_per_second=_FRAMES_PER_S,
        transient=True,
    )
    with live:
        yield board.note


def _lines(board: Board) -> Listener:
    """Return a listener that prints a line when a stage first begins, and every few seconds."""
    printed_s = time.monotonic()
    seen = {"kept", "trials"}  # which are no stages

    def listen(stage: str, points: int, row: Any) -> None:
        nonlocal printed_s
        board.note(stage, points, row)
        if stage not in seen or time.monotonic() - printed_s > _LINE_S:
            printed_s = time.monotonic()
            tell(board.line())
        seen.add(stage)

    return listen


def _data(plan: Plan, summary: Summary) -> dict[str, Any]:
    return {
        "schema": 1,
        "sweep": plan.file.name,
        "space": plan.grid.size,
        "points": summary.points,
        "run": summary.run,
        "statuses": dict(sorted(summary.statuses.items())),
        "reasons": _reasons(summary),
        "search": summary.search,
    }


def _print(plan: Plan, out: Path, summary: Summary) -> None:
    from accelsim.report.sweep import front_table
    from accelsim.report.text import escaped
    from accelsim.sweeps.folder import read_rows
    from accelsim.sweeps.pareto import best_rows, usable

    counts = ", ".join(f"{n:,} {name}" for name, n in sorted(summary.statuses.items()))
    show(f"{escaped(plan.file.name)}: {summary.points:,} of {plan.grid.size:,} points: {counts}")
    show(f"{summary.run:,} of them were run now; the results are in {out}")
    reasons = _reasons(summary)
    for reason, count in list(reasons.items())[:_SHOWN_REASONS]:
        show(f"  {count:,} × {escaped(reason)}")
    if not summary.statuses["ok"]:
        warn("no point ran and meets all constraints")
    if summary.statuses["failed"]:
        warn("points failed; --resume tries them again")
    hidden = len(reasons) - _SHOWN_REASONS
    if hidden > 0:
        show(f"  … and {hidden:,} other reasons, in results.csv")
    if plan.file.objectives and summary.statuses["ok"]:
        rows = usable(read_rows(out, warn)[1], plan.file.objectives)
        best = best_rows(rows, plan.file.objectives)
        varied = [key for axis in plan.grid.axes if len(axis.settings) > 1 for key in axis.keys]
        title = f"Non-dominated: {len(best)}" + (", the first" if len(best) > _SHOWN_POINTS else "")
        show(*front_table(best[:_SHOWN_POINTS], varied, plan.file.objectives, title))
    if summary.search is not None:
        show(_search_line(summary.search))


def _reasons(summary: Summary) -> dict[str, int]:
    """Return why points did not run, broken ones first; those of a constraint are one reason."""
    counts: Counter[str] = Counter()
    for reason, count in summary.reasons.items():
        counts[re.sub(r"(\w+) \S+ is not ([<>])", r"\1 is not \2", reason)] += count
    last = {reason for reason in counts if re.match(r"\w+ is not [<>]", reason)}
    return dict(sorted(counts.items(), key=lambda entry: (entry[0] in last, -entry[1])))


def _search_line(search: dict[str, Any]) -> str:
    line = (
        f"search: {search['trials']} trials, {search['points']} different points, "
        f"hypervolume share {search['hypervolume_share']:.4f}"
    )
    if "random_points" in search:
        line += (
            f"; {search['random_points']} random points: {search['random_hypervolume_share']:.4f}"
        )
    return line
