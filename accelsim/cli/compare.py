"""`accelsim compare`: several architectures on one trace."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accelsim.cli.options import (
    BatchOption,
    CacheOption,
    CsvOption,
    EngineOption,
    JsonOption,
    LayersOption,
    OutOption,
    PhaseOption,
    PolicyOption,
    SetOption,
    TraceOption,
    check_run_flags,
    clock_warnings,
    policy_of,
    progress,
    selection_cache,
    show,
    show_json,
    warn,
)
from accelsim.run.following import DEFAULT_LAYERS

if TYPE_CHECKING:
    from accelsim.config import Architecture
    from accelsim.results.result import Result
    from accelsim.run.fleet import Fleet
    from accelsim.trace import Trace

SHIPPED = Path("arch_configs")

EXAMPLE = (
    "accelsim compare arch_configs/dense.yaml arch_configs/nm24.yaml arch_configs/nm816.yaml "
    "--trace traces/llama.npz --out out/first"
)


def command(
    archs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Architecture files; ratios are to the first. With --all: a folder of them.",
            show_default=False,
        ),
    ] = None,
    all_: Annotated[
        bool,
        typer.Option(
            "--all",
            help=f"Every machine of a folder, {SHIPPED} if none is given, that can run this: "
            "dense first, then the fastest; why others cannot stands below.",
        ),
    ] = False,
    *,
    trace: TraceOption,
    phase: PhaseOption = "prefill",
    batch: BatchOption = None,
    policy: PolicyOption = None,
    overrides: SetOption = None,
    engine: EngineOption = "recurrence",
    layers: LayersOption = DEFAULT_LAYERS,
    cache: CacheOption = True,
    json_: JsonOption = False,
    csv: CsvOption = None,
    out: OutOption = None,
) -> None:
    """Put architectures side by side on one trace, with ratios to the first."""
    from accelsim.base.errors import InputError
    from accelsim.base.files import check_apart, folder, write_texts
    from accelsim.results.comparison import comparison_rows
    from accelsim.results.export import csv_text, folder_files
    from accelsim.trace import load_trace

    check_run_flags(phase, batch, engine, layers)
    files = _files(archs or [], all_)
    check_apart([csv], [*files, trace, policy])
    workload = load_trace(trace)
    flags: Any = {
        "phase": phase,
        "batch": batch,
        "engine": engine,
        "layers": layers,
        "cache": selection_cache(cache),
    }
    simulated = _every if all_ else _each
    fleet = simulated(files, workload, overrides or (), policy, **flags)
    names = [machine.name for machine in fleet.machines]
    if out is not None and len(set(names)) < len(names):
        raise InputError("--out: two architectures have the same 'name', which names their folder")
    rows = comparison_rows(fleet.results)
    said = [_warnings(*pair) for pair in zip(fleet.machines, fleet.results, strict=True)]
    texts = {csv: csv_text(rows)} if csv is not None else {}
    with ExitStack() as outputs:
        for result, own in zip(fleet.results, said, strict=True) if out is not None else ():
            place = outputs.enter_context(folder(out / result.arch["name"]))
            texts |= folder_files(place, result.to_dict() | {"warnings": own}, result)
        if out is not None:
            texts[out / "comparison.csv"] = csv_text(rows)
        write_texts(texts)
    notes = list(dict.fromkeys(chain.from_iterable(said)))
    warn(*notes)
    if json_:
        about = {"trace": workload.describe(), "phase": phase, "warnings": notes}
        refused = {"refused": [asdict(it) for it in fleet.refusals]} if all_ else {}
        show_json({"schema": 1, **about, "rows": rows, **refused})
    else:
        _show(fleet, rows, workload)


def _files(archs: list[Path], is_all: bool) -> list[Path]:
    """Return the architecture files that are asked for, one by one or by their folder."""
    from accelsim.base.errors import InputError
    from accelsim.run.fleet import machine_files

    if not is_all:
        if not archs:
            raise InputError("no architecture: name files, or --all for those of a folder")
        return archs
    if len(archs) > 1:
        raise InputError(f"--all: takes one folder, not {len(archs)} paths; leave --all out")
    return machine_files(archs[0] if archs else SHIPPED)


def _each(
    files: list[Path], trace: Trace, overrides: Sequence[str], policy: Path | None, **flags: Any
) -> Fleet:
    """Run the trace on every machine, in one pass over its values; all of them must run it."""
    from accelsim.config import load_arch
    from accelsim.run.fleet import Fleet
    from accelsim.run.simulation import equip, simulate_all

    machines = [load_arch(path, overrides) for path in files]
    rules = [policy_of(policy, machine) for machine in machines]
    machines = [equip(arch, trace, rule) for arch, rule in zip(machines, rules, strict=True)]
    with progress("layer runs", len(machines) * len(trace.linears)) as advance:
        results = simulate_all(machines, trace, policies=rules, on_layer=advance, **flags)
    return Fleet(machines, results, ())


def _every(
    files: list[Path], trace: Trace, overrides: Sequence[str], policy: Path | None, **flags: Any
) -> Fleet:
    """Run the trace on those machines that can run it."""
    from accelsim.run.fleet import run_fleet

    rule_of = partial(policy_of, policy)
    with progress("layer runs", len(files) * len(trace.linears)) as advance:
        flags |= {"overrides": overrides, "policy_of": rule_of, "on_layer": advance}
        return run_fleet(files, trace, **flags)


def _show(fleet: Fleet, rows: list[dict[str, Any]], trace: Trace) -> None:
    """Print both tables, and why machines are not in them."""
    from accelsim.report.tables import comparison_table, power_table
    from accelsim.trace.coverage import coverage_line

    refused = [f"not run: {it.name}: {it.reason}" for it in fleet.refusals]
    line = coverage_line(trace.describe().get("coverage"))
    show(comparison_table(rows), power_table(rows), *refused, *filter(None, [line]))


def _warnings(machine: Architecture, result: Result) -> list[str]:
    """Return the warnings about a machine and its numbers, each with its name."""
    from accelsim.run.balance import run_notes

    power = (f"{machine.name}: {note}" for note in result.power_notes)
    return [*result.notes, *clock_warnings(machine), *run_notes(machine, result), *power]
