"""`accelsim tune`: the smallest buffers, ports and selectors around an array."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accelsim.cli.options import (
    ArchArgument,
    CacheOption,
    JsonOption,
    PolicyOption,
    SetOption,
    TraceOption,
    check_choice,
    policy_of,
    selection_cache,
    show,
    show_json,
    stages,
    warn,
)
from accelsim.cli.streams import tell

if TYPE_CHECKING:
    from accelsim.base.yaml_source import YamlSource
    from accelsim.tuning.bench import Duty
    from accelsim.tuning.descent import Note

EXAMPLE = "accelsim tune arch_configs/nm816.yaml --trace traces/llama.npz --keep buffers.outputs"
_LINE_S = 10  # between lines in a log
ALWAYS_KEPT = "pattern,mac_array,dram"

KeepOption = Annotated[
    str,
    typer.Option(
        "--keep",
        help="Parts and keys that stay as the file has them, e.g. selector,buffers.outputs; "
        "pattern, mac_array, dram and all that has no size stay anyway.",
        metavar="KEY,…",
    ),
]
LossOption = Annotated[
    float,
    typer.Option("--loss", help="Share of the cycles that may be lost against generous parts."),
]
PhasesOption = Annotated[
    str,
    typer.Option("--phase", help="prefill, decode, or prefill,decode: then neither loses more."),
]
BatchesOption = Annotated[
    str | None,
    typer.Option(
        "--batch",
        help="Sequences of a decode step, or several such: 1,8 (decode only; 1 if not given).",
    ),
]
MachineOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="Architecture file to write; default: NAME_tuned.yaml here.",
        metavar="FILE",
        show_default=False,
    ),
]


def command(
    arch: ArchArgument,
    trace: TraceOption,
    keep: KeepOption = ALWAYS_KEPT,
    loss: LossOption = 0.01,
    phase: PhasesOption = "prefill",
    batch: BatchesOption = None,
    policy: PolicyOption = None,
    overrides: SetOption = None,
    out: MachineOption = None,
    cache: CacheOption = True,
    json_: JsonOption = False,
) -> None:
    """Find the smallest buffers, ports and selectors that lose next to no cycles; write a machine.

    Cycles are lost against the same array with generous parts, which are doubled until no cycle
    falls away. Every machine on the way is simulated.
    """
    from accelsim.base.files import check_apart, check_folders, write_texts
    from accelsim.config.loader import arch_of
    from accelsim.sweeps.totals import Workload
    from accelsim.trace import load_trace
    from accelsim.tuning.bench import Workbench
    from accelsim.tuning.descent import tune
    from accelsim.tuning.record import file_text, record, tuned_name

    _check_loss(loss)
    duties, kept = _duties(phase, batch), _kept(keep)
    source = _source(arch, overrides or ())
    machine = arch_of(source)
    target = out or Path(f"{tuned_name(machine.name)}.yaml")
    check_folders(target)
    check_apart([target], [arch, trace, policy])
    workload = Workload(load_trace(trace), selection_cache(cache))
    bench = Workbench(source, workload, duties, policy_of(policy, machine), kept)
    with _progress() as note:
        tuned = tune(bench, loss, note)
    data = record(tuned, bench, loss)
    write_texts({target: file_text(tuned, bench, loss)})
    _show(data, target, json_=json_)


def _source(arch: Path, overrides: Sequence[str]) -> YamlSource:
    """Return an architecture file with other values at some keys."""
    from accelsim.base.yaml_source import read_yaml

    source = read_yaml(arch)
    for text in overrides:
        source.override(text)
    return source


def _show(data: Mapping[str, Any], target: Path, *, json_: bool) -> None:
    """Print what tuning came to, and warn of what is wrong with the machine."""
    from accelsim.report.tuning import tuning_tables

    warn(*data["warnings"])
    if json_:
        show_json(data)
        return
    show(*tuning_tables(data), f"{data['simulations']} machines simulated; wrote {target}")


def _check_loss(loss: float) -> None:
    from accelsim.base.errors import InputError

    if not 0 <= loss <= 1:
        raise InputError(f"--loss {loss:g}: must be from 0 to 1; 0.01 is one per cent")


def _duties(phase: str, batch: str | None) -> list[Duty]:
    """Return what the machine has to do, in the order in which it was named."""
    from accelsim.base.errors import InputError
    from accelsim.tuning.bench import Duty

    phases = list(dict.fromkeys(part.strip() for part in phase.split(",")))
    for name in phases:
        check_choice("--phase", name, ("prefill", "decode"))
    if batch is not None and "decode" not in phases:
        raise InputError("--batch: is for phase decode; prefill takes all tokens at once")
    duties: list[Duty] = []
    for name in phases:
        duties += [Duty()] if name == "prefill" else map(Duty, _batches(batch or "1"))
    return duties


def _batches(text: str) -> list[int]:
    from accelsim.base.errors import InputError

    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() and int(part) > 0 for part in parts):
        raise InputError(f"--batch '{text}': write whole numbers from 1 on, e.g. 1,8")
    return list(dict.fromkeys(map(int, parts)))


def _kept(keep: str) -> list[str]:
    """Return the keys that stay; raise InputError for what is none."""
    from accelsim.base.errors import InputError, shown
    from accelsim.base.registry import did_you_mean
    from accelsim.config.keys import is_key, keys_below

    kept = [part.strip() for part in keep.split(",") if part.strip()]
    for part in kept:
        path = tuple(part.split("."))
        if not is_key(path):
            above = path[:-1] if len(path) > 1 and is_key(path[:-1]) else ()
            known = [".".join((*above, key)) for key in keys_below(above)]
            near = did_you_mean(part, known)
            raise InputError(
                f"--keep '{shown(part)}': no such part{near}; allowed: {', '.join(sorted(known))}"
            )
    return list(dict.fromkeys(kept))


@contextmanager
def _progress() -> Iterator[Note]:
    """Yield a function that keeps bars on a terminal, and prints a line now and then elsewhere."""
    if sys.stderr.isatty():
        with stages() as note:
            yield note
        return
    printed_s = time.monotonic()

    def listen(stage: str, done: int, total: int | None) -> None:
        nonlocal printed_s
        if time.monotonic() - printed_s > _LINE_S:
            printed_s = time.monotonic()
            tell(f"tune: {stage}, {done}{' steps' if total is None else f' of {total}'}")

    yield listen
