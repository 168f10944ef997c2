"""`accelsim compare`: several architectures on one trace."""

from __future__ import annotations

from contextlib import ExitStack
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

EXAMPLE = (
    "accelsim compare arch_configs/dense.yaml arch_configs/nm24.yaml arch_configs/nm816.yaml "
    "--trace traces/llama.npz --out out/first"
)


def command(
    archs: Annotated[
        list[Path],
        typer.Argument(help="Architecture files; ratios are to the first.", show_default=False),
    ],
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
    from accelsim.config import load_arch
    from accelsim.report.tables import comparison_table, power_table
    from accelsim.results.comparison import comparison_rows
    from accelsim.results.export import csv_text, folder_files
    from accelsim.run.simulation import equip, simulate_all
    from accelsim.trace import load_trace
    from accelsim.trace.coverage import coverage_line

    check_run_flags(phase, batch, engine, layers)
    check_apart([csv], [*archs, trace, policy])
    machines = [load_arch(path, overrides or ()) for path in archs]
    names = [machine.name for machine in machines]
    if out is not None and len(set(names)) < len(names):
        raise InputError("--out: two architectures have the same 'name', which names their folder")
    workload = load_trace(trace)
    rules = [policy_of(policy, machine) for machine in machines]
    machines = [equip(arch, workload, rule) for arch, rule in zip(machines, rules, strict=True)]
    flags: Any = {
        "phase": phase,
        "batch": batch,
        "engine": engine,
        "layers": layers,
        "cache": selection_cache(cache),
        "policies": rules,
    }
    with progress("layer runs", len(machines) * len(workload.linears)) as advance:
        results = simulate_all(machines, workload, on_layer=advance, **flags)
    rows = comparison_rows(results)
    said = [_warnings(*pair) for pair in zip(machines, results, strict=True)]
    texts = {csv: csv_text(rows)} if csv is not None else {}
    with ExitStack() as outputs:
        for result, own in zip(results, said, strict=True) if out is not None else ():
            place = outputs.enter_context(folder(out / result.arch["name"]))
            texts |= folder_files(place, result.to_dict() | {"warnings": own}, result)
        if out is not None:
            texts[out / "comparison.csv"] = csv_text(rows)
        write_texts(texts)
    notes = list(dict.fromkeys(chain.from_iterable(said)))
    warn(*notes)
    if json_:
        about = {"trace": workload.describe(), "phase": phase, "warnings": notes}
        show_json({"schema": 1, **about, "rows": rows})
    else:
        line = coverage_line(workload.describe().get("coverage"))
        show(comparison_table(rows), power_table(rows), *filter(None, [line]))


def _warnings(machine: Architecture, result: Result) -> list[str]:
    """Return the warnings about a machine and its numbers, each with its name."""
    from accelsim.run.balance import run_notes

    power = (f"{machine.name}: {note}" for note in result.power_notes)
    return [*result.notes, *clock_warnings(machine), *run_notes(machine, result), *power]
