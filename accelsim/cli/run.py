"""`accelsim run`: one architecture on one trace."""

from __future__ import annotations

from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accelsim.cli.options import (
    ArchArgument,
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
from accelsim.run.following import DEFAULT_LAYERS, Layers

if TYPE_CHECKING:
    from accelsim.base.cache import DiskCache
    from accelsim.config import Architecture
    from accelsim.report.window import Window
    from accelsim.results.result import Result
    from accelsim.run.runner import Observer
    from accelsim.sparsity.policy import Policy
    from accelsim.trace import Trace

_MANY_TILES = 100_000
_BYTES_PER_TILE = 1800  # of a timeline, all units together
EXAMPLE = "accelsim run arch_configs/nm816.yaml --trace traces/llama.npz"


def command(
    arch: ArchArgument,
    trace: TraceOption,
    phase: PhaseOption = "prefill",
    batch: BatchOption = None,
    policy: PolicyOption = None,
    baseline: Annotated[
        str,
        typer.Option(help="dense: the same array without sparsity; none; or an architecture file."),
    ] = "dense",
    overrides: SetOption = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show block diagram, tiles and loop orders.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Also send the values through the modelled machine.")
    ] = False,
    timeline: Annotated[
        Path | None, typer.Option(help="Write a timeline for ui.perfetto.dev.", metavar="FILE")
    ] = None,
    vcd: Annotated[
        Path | None, typer.Option(help="Write a waveform (needs pyvcd).", metavar="FILE")
    ] = None,
    watch_layers: Annotated[
        str, typer.Option(help="Layers of --timeline and --vcd: comma-separated globs.")
    ] = "*",
    watch_tiles: Annotated[
        str,
        typer.Option(help="Tiles of each layer that they show.", metavar="FIRST:END"),
    ] = ":",
    engine: EngineOption = "recurrence",
    layers: LayersOption = DEFAULT_LAYERS,
    cache: CacheOption = True,
    json_: JsonOption = False,
    csv: CsvOption = None,
    out: OutOption = None,
) -> None:
    """Simulate a trace on an architecture: cycles, throughput, energy and area."""
    from accelsim.base.files import check_apart, folder, write_texts
    from accelsim.config import load_arch
    from accelsim.results.comparison import Ratios
    from accelsim.results.export import csv_text, folder_files, layer_rows
    from accelsim.run.balance import run_notes
    from accelsim.run.simulation import equip
    from accelsim.trace import load_trace

    check_run_flags(phase, batch, engine, layers)
    check_apart([csv, timeline, vcd], [arch, trace, policy, Path(baseline)])
    machine, workload = load_arch(arch, overrides or ()), load_trace(trace)
    reference = _baseline(baseline, machine)
    rules = _policy(policy, machine)
    machine = equip(machine, workload, rules)
    window = _window(workload, watch_layers, watch_tiles, is_used=bool(timeline or vcd))
    late = clock_warnings(machine)
    warn(*late)
    if timeline or vcd:
        _warn_of_size(machine, workload, window, (batch or 1) if phase == "decode" else None)
    with ExitStack() as outputs:  # nothing is left behind if any output fails
        # The folder first, since a timeline may lie in it.
        outputs.enter_context(nullcontext() if out is None else folder(out))
        observers = _observers(outputs, machine, timeline, vcd, window)
        machines = [machine] if reference is None else [machine, reference]
        kept = selection_cache(cache)
        flags = {
            "phase": phase,
            "batch": batch,
            "engine": engine,
            "layers": layers,
            "cache": kept,
            "policies": [rules, None][: len(machines)],
            "watches": window.shows,
        }
        result, against = _simulate(machines, workload, observers, **flags)
        notes = [*run_notes(machine, result)]
        data = result.to_dict() | {"warnings": [*late, *result.warnings, *notes]}
        if against is not None:
            ratios = Ratios.of(result, against).to_dict()
            data["baseline"] = {"name": against.arch["name"], "totals": against.totals(), **ratios}
        if verify:
            data["verify"] = _verify(machine, workload, rules)
        texts = {csv: csv_text(layer_rows(result))} if csv is not None else {}
        if out is not None:
            texts |= folder_files(out, data, result)
        write_texts(texts)
    warn(*result.warnings, *notes)
    if json_:
        show_json(data)
    else:
        explained = _explained(machine, workload, rules, result, kept) if explain else []
        _print(result, against, explained=explained, checked=data.get("verify"))


def _baseline(choice: str, machine: Architecture) -> Architecture | None:
    """Return the machine to compare with, or None."""
    from accelsim.base.errors import InputError
    from accelsim.config import load_arch

    if choice == "none":
        return None
    if choice == "dense":
        return machine.dense()
    try:
        return load_arch(choice)
    except InputError as error:
        raise InputError(f"--baseline: {error} (allowed: dense, none, or a file)") from error


def _policy(file: Path | None, machine: Architecture) -> Policy | None:
    """Return the policy of a file; a dense machine has no use for one."""
    from accelsim.base.errors import InputError

    if file is not None and machine.pattern.is_dense:
        raise InputError("--policy: is for machines that are not dense")
    return policy_of(file, machine)


def _window(workload: Trace, layers: str, tiles: str, *, is_used: bool) -> Window:
    """Return the part of the run that is shown."""
    from accelsim.base.errors import InputError
    from accelsim.report.window import Window

    window = Window.parse(layers, tiles)
    window.check(workload)
    if window != Window() and not is_used:
        raise InputError("--watch-layers, --watch-tiles: say what --timeline or --vcd show")
    return window


def _warn_of_size(
    machine: Architecture, workload: Trace, window: Window, batch: int | None
) -> None:
    """Say on stderr how much a timeline will draw if it is very much."""
    from math import prod

    from accelsim.mapping import Gemm
    from accelsim.planning import Planner
    from accelsim.run.simulation import decode_steps, layer_runs

    steps = None if batch is None else decode_steps(workload, "decode", batch)
    tiles = 0
    for linear in filter(window.shows, workload.linears):
        for times, tokens in layer_runs(workload, linear, steps):
            gemm = Gemm(tokens, linear.in_features, linear.out_features)
            tiling = Planner().tile(machine.running(), gemm, is_decode=batch is not None)
            tiles += times * len(range(prod(tiling.counts(gemm)))[window.first : window.end])
    if tiles > _MANY_TILES:
        size_gb = tiles * _BYTES_PER_TILE / 1e9
        many = f"{tiles:,} tiles will be drawn, some {size_gb:.1f} GB for --timeline"
        warn(f"{many}; --watch-layers and --watch-tiles choose fewer")


def _observers(
    outputs: ExitStack,
    machine: Architecture,
    timeline: Path | None,
    vcd: Path | None,
    window: Window,
) -> list[Observer]:
    """Open the files that watch the run."""
    observers: list[Observer] = []
    if timeline is not None:
        from accelsim.report.timeline import Timeline

        observers.append(outputs.enter_context(Timeline(timeline, machine.clock_mhz, window)).add)
    if vcd is not None:
        from accelsim.report.waveform import Waveform

        units = [*machine.units, *machine.streams]
        observers.append(outputs.enter_context(Waveform(vcd, units, window)).add)
    return observers


def _simulate(
    machines: list[Architecture], workload: Trace, observers: list[Observer], **flags: Any
) -> tuple[Result, Result | None]:
    """Run the machine, observed, and the reference if there is one."""
    from accelsim.run.simulation import simulate_all

    def observe(*event: Any) -> None:
        for observer in observers:
            observer(*event)

    with progress("layer runs", len(workload.linears) * len(machines)) as advance:
        observed = observe if observers else None
        results = simulate_all(machines, workload, on_layer=advance, observer=observed, **flags)
    return results[0], (results[1] if len(results) > 1 else None)


def _verify(machine: Architecture, workload: Trace, rules: Policy | None) -> dict[str, Any]:
    """Run the functional check on every layer; raise if a layer computes something else."""
    from accelsim.run.verify import verify

    with progress("verify", len(workload.linears)) as advance:
        checks = []
        for check in verify(machine, workload, rules):
            checks.append(check)
            advance()
    failed = [check for check in checks if not check.passed]
    if failed:
        raise AssertionError(
            f"{failed[0].layer}: wrong by {failed[0].error} (a defect of accelsim)"
        )
    return {
        "layers": len(checks),
        "outputs": sum(check.outputs for check in checks),
        "bit_exact": all(check.is_exact for check in checks),
        "max_error": max(check.error for check in checks),
    }


def _explained(
    machine: Architecture,
    workload: Trace,
    rules: Policy | None,
    result: Result,
    cache: DiskCache | None,
) -> list[Any]:
    """Return the block diagram, the tiles, and how they were found."""
    from accelsim.report.diagram import drawing
    from accelsim.report.tables import plan_table, tiling_table
    from accelsim.run.plans import layer_plans
    from accelsim.run.simulation import decode_steps, equip

    steps = decode_steps(workload, result.phase, result.batch)
    layers: Layers = "isolated" if result.isolated_cycles is None else "chained"
    machine = equip(machine, workload, rules)
    plans = list(layer_plans(machine, workload, rules, steps, layers, cache))
    drawn = drawing(machine.diagram, machine.units, machine.streams)
    searched = [plan_table(plans)] if plans else []
    return [drawn, "", tiling_table(result), *searched]


def _print(
    result: Result, against: Result | None, *, explained: list[Any], checked: dict[str, Any] | None
) -> None:
    from accelsim.report.summary import headline, one_by_one_line, speedup_line
    from accelsim.report.tables import cycle_table, layer_table, unit_table
    from accelsim.trace.coverage import coverage_line

    show(headline(result), *one_by_one_line(result), "", *explained)
    show(layer_table(result, against), cycle_table(result), unit_table(result))
    if against is not None:
        show(*speedup_line(result, against))
    show(*filter(None, [coverage_line(result.trace.get("coverage"))]))
    if checked is not None:
        exact = "bit-exact" if checked["bit_exact"] else f"max error {checked['max_error']:.3g}"
        show(f"verified: {checked['layers']} layers, {checked['outputs']:,} outputs, {exact}")
