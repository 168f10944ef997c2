"""Tables for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from accelsim.hardware.single import SingleBlock
from accelsim.results.breakdown import Breakdown
from accelsim.results.cost import AreaReport
from accelsim.results.result import LayerResult, Result
from accelsim.trace.statistics import InputStatistics

PJ_PER_UJ = 1e6
UM2_PER_MM2 = 1e6


def layer_table(result: Result, baseline: Result | None) -> Table:
    """Return cycles, throughput, bound and energy by layer kind and in total."""
    table = titled_table("Layers", ["kind", "n", "cycles", "TOPS", "util", "bound", "µJ"])
    if baseline is not None:
        table.add_column("speed-up", justify="right", no_wrap=True)
        table.add_column("energy", justify="right", no_wrap=True)
    if result.policy is not None:
        table.add_column("pattern", no_wrap=True)
    for label, layers in _by_kind(result):
        reference = None
        if baseline is not None:
            names = {layer.name for layer in layers}
            reference = [layer for layer in baseline.layers if layer.name in names]
        mhz = baseline.clock_mhz if baseline else result.clock_mhz
        cells = _layer_cells(label, layers, result, reference, mhz)
        if result.policy is not None:
            cells.append(_most(str(layer.method.pattern) for layer in layers))
        table.add_row(*cells, style="bold" if label == "total" else None)
    return table


def cycle_table(result: Result) -> Table:
    """Return where the cycles went, by layer kind: shares that add up to 100 %."""
    table = titled_table(
        "Cycles", ["kind", "ideal", "edge", "fill", "drain", "stall", "stalled by"]
    )
    table.columns[-1].justify = "left"
    for label, layers in _by_kind(result):
        parts = sum((layer.breakdown for layer in layers), Breakdown())
        total = parts.total_cycles
        stall = sum(parts.stall_cycles.values())
        table.add_row(
            label,
            percent(parts.ideal_cycles / total),
            percent(parts.edge_cycles / total),
            percent(parts.fill_cycles / total),
            percent(parts.drain_cycles / total),
            percent(stall / total),
            ", ".join(f"{name} {percent(c / total)}" for name, c in _largest(parts.stall_cycles)),
            style="bold" if label == "total" else None,
        )
    return table


def unit_table(result: Result) -> Table:
    """Return area, energy and the cycles of every unit by cause."""
    columns = ["unit", "mm²", "µJ", "busy", "starved", "blocked", "contend", "idle"]
    table = titled_table("Units", columns)
    for name, unit in result.units.items():
        ledger, cycles = unit.ledger, result.cycles
        table.add_row(
            name,
            f"{unit.area_um2 / UM2_PER_MM2:.3f}" if unit.area_um2 else "-",
            f"{unit.energy_pj / PJ_PER_UJ:.1f}" if unit.energy_pj else "-",
            percent(ledger.busy_cycles / cycles),
            percent(ledger.starved_cycles / cycles),
            percent(ledger.blocked_cycles / cycles),
            percent(ledger.contended_cycles / cycles),
            percent(ledger.idle_cycles / cycles),
        )
    table.add_row(
        "total",
        f"{result.area_um2 / UM2_PER_MM2:.3f}",
        f"{result.energy_pj / PJ_PER_UJ:.1f}",
        style="bold",
    )
    return table


def tiling_table(result: Result) -> Table:
    """Return the tile and loop order of each layer shape."""
    table = titled_table(
        "Tiling (tokens × reduction × columns)", ["layer", "T", "K", "O", "tile, order"]
    )
    table.columns[-1].justify = "left"
    shapes: dict[tuple[Any, ...], str] = {}
    for layer in result.layers:
        shape = (layer.kind, layer.tokens, layer.in_features, layer.out_features, layer.tiling)
        shapes.setdefault(shape, layer.name)
    for kind, tokens, in_features, out_features, tiling in shapes:
        table.add_row(kind, str(tokens), str(in_features), str(out_features), tiling)
    return table


def area_table(name: str, report: AreaReport) -> Table:
    """Return the area of each unit."""
    table = titled_table(f"Area of {name}", ["unit", "mm²", "share", "kGE"])
    for unit, area in report.area_um2.items():
        if not area:
            continue  # off chip
        table.add_row(
            unit,
            f"{area / UM2_PER_MM2:.4f}",
            percent(area / report.total_um2),
            f"{report.gate_equivalents[unit] / 1e3:.1f}",
        )
    table.add_row("total", f"{report.total_um2 / UM2_PER_MM2:.4f}", style="bold")
    return table


def block_table(found: SingleBlock) -> Table:
    """Return one block: its size and its speed."""
    table = titled_table(f"{found.block} {found.kind}", ["", ""])
    for label, value in (
        ("area", f"{found.area_um2:,.1f} µm²"),
        ("gate equivalents", f"{found.ge:,.0f}"),
        ("delay", f"{found.delay_ps:,.0f} ps (netlist mapped for {found.effort})"),
        ("register stages", str(found.stages)),
    ):
        table.add_row(label, value)
    table.columns[1].justify = "left"
    return table


def comparison_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return machines side by side; ratios are to the first."""
    columns = [
        "name",
        "cycles",
        "speed-up",
        "TOPS",
        "util",
        "energy",
        "area",
        "TOPS/mm²",
        "dropped",
    ]
    table = titled_table(f"Compared with {rows[0]['name']}", columns)
    for row in rows:
        table.add_row(
            row["name"],
            f"{row['cycles']:,}",
            f"{row['speedup']:.2f}×",
            f"{row['effective_tops']:.2f}",
            percent(row["mac_utilization_ratio"]),
            f"{row['energy_ratio']:.3f}×",
            f"{row['area_overhead_ratio']:+.1%}",
            f"{row['tops_per_mm2_ratio']:.2f}×",
            percent(row["dropped_energy_ratio"]),
        )
    return table


def inspect_table(inputs: Iterable[InputStatistics], patterns: Sequence[str]) -> Table:
    """Return the statistics of each distinct layer input."""
    columns = ["input", "shape", "zeros", "p50", "p99", "max", *patterns]
    table = titled_table(
        "Layer inputs, and the share of squared magnitude that a pattern drops", columns
    )
    for entry in inputs:
        table.add_row(
            entry.label,
            f"{entry.tokens}×{entry.features}",
            percent(entry.zero_ratio),
            f"{entry.magnitudes[0]:.3g}",
            f"{entry.magnitudes[2]:.3g}",
            f"{entry.magnitudes[3]:.3g}",
            *(percent(entry.dropped_energy_ratio[p]) for p in patterns),
        )
    return table


def percent(ratio: float | None) -> str:
    """Return a ratio as a percentage with one decimal, 0 as `0`, an unknown one as `-`."""
    if ratio is None:
        return "-"
    return f"{100 * ratio:.1f}%" if ratio else "0"


def titled_table(title: str, columns: Sequence[str]) -> Table:
    """Return an empty table in the style of all."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    # Neither names nor numbers lose a letter: a terminal that is too narrow breaks lines instead.
    for position, column in enumerate(columns):
        table.add_column(
            Text(column), justify="right" if position else "left", no_wrap=True, min_width=4
        )
    return table


def _by_kind(result: Result) -> list[tuple[str, list[LayerResult]]]:
    """Return the layers of each kind in order of appearance, and all of them as `total`."""
    kinds: dict[str, list[LayerResult]] = {}
    for layer in result.layers:
        kinds.setdefault(layer.kind, []).append(layer)
    return [*kinds.items(), ("total", list(result.layers))]


def _layer_cells(
    label: str,
    layers: Sequence[LayerResult],
    result: Result,
    reference: Sequence[LayerResult] | None,
    baseline_mhz: float,
) -> list[str]:
    cycles = _sum(layers, lambda layer: layer.cycles)
    energy = _sum(layers, lambda layer: layer.energy_pj)
    dense = _sum(layers, lambda layer: layer.macs_dense)
    executed = _sum(layers, lambda layer: layer.macs_executed)
    cells = [
        label,
        str(len(layers)),
        f"{cycles:,.0f}",
        f"{2 * dense * result.clock_mhz * 1e6 / cycles / 1e12:.2f}",
        percent(executed / (cycles * result.macs_per_cycle)),
        _most(layer.bound for layer in layers),
        f"{energy / PJ_PER_UJ:.1f}",
    ]
    if reference is not None:
        clock = result.clock_mhz / baseline_mhz
        cells.append(f"{_sum(reference, lambda layer: layer.cycles) / cycles * clock:.2f}×")
        cells.append(f"{energy / _sum(reference, lambda layer: layer.energy_pj):.2f}×")
    return cells


def _most(names: Iterable[str]) -> str:
    """Return what holds for most of the layers; `+` says that something else does for others."""
    counts = Counter(names)
    return counts.most_common(1)[0][0] + ("+" if len(counts) > 1 else "")


def _sum(layers: Iterable[LayerResult], of: Callable[[LayerResult], float]) -> float:
    return sum(of(layer) for layer in layers)


def _largest(stalls: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(((n, c) for n, c in stalls.items() if c), key=lambda item: -item[1])[:3]
