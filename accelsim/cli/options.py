"""What several commands share: flags, progress, and where output goes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from accelsim.cli.streams import tell
from accelsim.run.following import DEFAULT_LAYERS, LAYERS

if TYPE_CHECKING:
    from rich.console import RenderableType

    from accelsim.base.cache import DiskCache
    from accelsim.config import Architecture
    from accelsim.sparsity.policy import Policy
    from accelsim.trace import Trace

_WIDEST = 1000  # characters of a table

ArchArgument = Annotated[Path, typer.Argument(help="Architecture file (YAML).", show_default=False)]
TraceOption = Annotated[
    Path, typer.Option("--trace", help="Trace file (.npz).", show_default=False)
]
PhaseOption = Annotated[str, typer.Option("--phase", help="prefill or decode.")]
BatchOption = Annotated[
    int | None,
    typer.Option("--batch", help="Sequences of a decode step (decode only; 1 if not given)."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Override a key, e.g. dram.bandwidth_gb_per_s=32. Repeatable.",
        metavar="KEY=VALUE",
    ),
]
PolicyOption = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        help="Pattern, criterion and mitigation layer by layer (YAML); not for dense machines.",
        metavar="FILE",
    ),
]
EngineOption = Annotated[
    str, typer.Option("--engine", help="recurrence (fast), or simpy (the reference); same answer.")
]
LayersOption = Annotated[
    str,
    typer.Option(
        "--layers",
        help="chained: weights of the next layer load while this one computes, layers that read "
        "one input load it once, outputs that fit stay on chip; isolated: one by one.",
    ),
]
CacheOption = Annotated[
    bool,
    typer.Option(
        " /--no-cache",
        help="Select again instead of using what earlier runs kept on disk.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
CsvOption = Annotated[
    Path | None, typer.Option("--csv", help="Also write a CSV file.", metavar="FILE")
]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="Also write all results into a folder.", metavar="DIR")
]


def show(*renderables: RenderableType) -> None:
    """Print tables and lines to standard output; the terminal breaks long lines, not we."""
    from rich.table import Table

    from accelsim.report.console import PlainConsole

    console = PlainConsole()
    for renderable in renderables:
        chosen = console
        if isinstance(renderable, Table):
            # As wide as its numbers: a narrower terminal breaks lines, but no number is cut.
            width = PlainConsole(width=_WIDEST).measure(renderable).maximum
            chosen = PlainConsole(width=max(width, console.width))
        chosen.print(renderable, soft_wrap=isinstance(renderable, str))


def warn(*warnings: str) -> None:
    """Print warnings to standard error."""
    for warning in warnings:
        tell(f"warning: {warning}")


def show_json(data: Any) -> None:
    """Print one JSON object."""
    from accelsim.base.strict_json import json_text

    sys.stdout.write(json_text(data, indent=1) + "\n")


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[..., None]]:
    """Yield a function that advances a bar on a terminal's stderr, and does nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from accelsim.report.console import PlainConsole

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=PlainConsole(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda *_: bar.advance(task)


class StageProgress(Protocol):
    """Called with a stage of long work, and how much of it is done."""

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Note that `done` of `total` are finished; None: nobody knows."""


@contextmanager
def stages() -> Iterator[StageProgress]:
    """Yield a function of (stage, done, total) that keeps a bar for each stage on a terminal."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from accelsim.report.console import PlainConsole

    names = TextColumn("{task.description}", markup=False)
    columns = (names, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console, is_shown = PlainConsole(stderr=True), sys.stderr.isatty()
    with Progress(*columns, console=console, transient=True, disable=not is_shown) as bar:
        tasks: dict[str, Any] = {}

        def advance(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage)
            bar.update(tasks[stage], completed=done, total=total)

        yield advance


def warn_of_batches(trace: Trace, batches: Iterable[int]) -> None:
    """Warn of decode batches in which tokens of one sequence stand for those of several."""
    from accelsim.selection.decode import decode_batches, decode_notes

    lengths = trace.meta.sequence_lengths
    for batch in batches:
        if batch <= trace.tokens:
            notes = decode_notes(lengths, decode_batches(lengths, batch))
            warn(*(f"{trace.path.name}: {note}" for note in notes))


def clock_warnings(machine: Architecture) -> list[str]:
    """Return warnings about the units of a machine that miss its clock."""
    from accelsim.run.area import clock_notes

    notes = clock_notes(machine, machine.load_technology())
    return [f"{machine.name}: {note.text}" for note in notes if note.is_warning]


def selection_cache(wanted: bool) -> DiskCache | None:
    """Return the user's cache of selections, or None with `--no-cache`."""
    from accelsim.base.cache import DiskCache

    return DiskCache.of_user() if wanted else None


def policy_of(file: Path | None, machine: Architecture) -> Policy | None:
    """Return the policy of a file for a machine; None without a file, or for a dense machine."""
    from accelsim.sparsity.policy import load_policy

    if file is None or machine.pattern.is_dense:
        return None
    return load_policy(file, machine.method)


def check_choice(flag: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise InputError unless a flag has one of the allowed values."""
    from accelsim.base.errors import InputError
    from accelsim.base.registry import did_you_mean

    if value not in allowed:
        near = did_you_mean(value, allowed)
        raise InputError(f"{flag} '{value}'{near}: allowed: {', '.join(allowed)}")


def check_run_flags(
    phase: str, batch: int | None, engine: str, layers: str = DEFAULT_LAYERS
) -> None:
    """Check the flags of commands that simulate."""
    from accelsim.base.errors import InputError
    from accelsim.engine import ENGINES

    check_choice("--phase", phase, ("prefill", "decode"))
    check_choice("--engine", engine, ENGINES)
    check_choice("--layers", layers, LAYERS)
    if batch is not None and batch < 1:
        raise InputError(f"--batch {batch}: must be at least 1")
