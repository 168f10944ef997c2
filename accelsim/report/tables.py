"""Tables for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from typing_extensions import override

from accelsim.accounting.breakdown import Breakdown
from accelsim.hardware.block_report import SingleBlock
from accelsim.mapping.tiling import Tiling, describe
from accelsim.report.quantity import (
    Scale,
    area_scale,
    change,
    digits,
    efficiency_scale,
    percent,
    scale_of,
    times,
)
from accelsim.report.text import escaped
from accelsim.results.result import LayerResult, Result
from accelsim.run.area import AreaReport
from accelsim.run.plans import LayerPlan
from accelsim.trace.statistics import InputStatistics

_SEEN = 10  # three digits, one of them behind the point
J_PER_PJ, W_PER_MW, OPS_PER_TOPS = 1e-12, 1e-3, 1e12


def layer_table(result: Result, baseline: Result | None) -> Table:
    """Return cycles, throughput, bound and energy by layer kind and in total."""
    groups = _by_kind(result)
    energy = scale_of([J_PER_PJ * _energy_pj(layers) for _, layers in groups], "J")
    rate = scale_of([_ops(layers, result) for _, layers in groups], "OPS")
    columns = ["kind", "n", "cycles", rate.unit, "util", "bound", energy.unit]
    table = titled_table("Layers", columns)
    if baseline is not None:
        table.add_column("speed-up", justify="right", no_wrap=True)
        table.add_column("energy", justify="right", no_wrap=True)
    if result.policy is not None:
        table.add_column("pattern", no_wrap=True)
    for label, layers in groups:
        reference = None
        if baseline is not None:
            names = {layer.name for layer in layers}
            reference = [layer for layer in baseline.layers if layer.name in names]
        mhz = baseline.clock_mhz if baseline else result.clock_mhz
        cells = _layer_cells(label, layers, result, rate, energy)
        if reference is not None:
            cells += _ratio_cells(layers, reference, result.clock_mhz / mhz)
        if result.policy is not None:
            cells.append(_most(str(layer.method.pattern) for layer in layers))
        table.add_row(*cells, style="bold" if label == "total" else None)
    return table


def cycle_table(result: Result) -> Table:
    """Return the shares of cycles by cause, for each layer kind; they add up to 100 %."""
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
    area = area_scale(unit.area_um2 for unit in result.units.values())
    energy = scale_of([J_PER_PJ * unit.energy_pj for unit in result.units.values()], "J")
    columns = ["unit", area.unit, energy.unit, "busy", "starved", "blocked", "contend", "idle"]
    table = titled_table("Units", columns)
    for name, unit in result.units.items():
        ledger, cycles = unit.ledger, result.cycles
        table.add_row(
            name,
            area.show(unit.area_um2) if unit.area_um2 else "-",
            energy.show(J_PER_PJ * unit.energy_pj) if unit.energy_pj else "-",
            percent(ledger.busy_cycles / cycles),
            percent(ledger.starved_cycles / cycles),
            percent(ledger.blocked_cycles / cycles),
            percent(ledger.contended_cycles / cycles),
            percent(ledger.idle_cycles / cycles),
        )
    table.add_row(
        "total",
        area.show(result.area_um2),
        energy.show(J_PER_PJ * result.energy_pj),
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


def plan_table(plans: Iterable[LayerPlan]) -> Table:
    """Return what the search for tiles found: how close to the bound, and what came second."""
    table = titled_table(
        "Search for tiles",
        ["layers", "over bound", "left", "once", "stays", "runner-up, outer", "slower"],
    )
    for column in (1, 3, 4, 5):
        table.columns[column].justify = "left"
    for each in plans:
        second = _short(each.runner_up) if each.runner_up else "-"
        table.add_row(
            each.kind,
            f"{percent(each.over_bound)} {each.bound_by}",
            percent(each.left),
            each.stays,
            each.on_chip or "-",
            second,
            percent(each.slower) if each.runner_up else "-",
        )
    return table


def _short(tiling: Tiling) -> str:
    """Return `48×128×96 tokens`: tokens × reduction × columns, and the outermost loop."""
    text = describe(tiling).replace(" × ", "×").replace(",", "")
    return text.removesuffix("_outer")


def area_table(name: str, report: AreaReport) -> Table:
    """Return the area of each unit."""
    scale, gates = area_scale(report.area_um2.values()), report.gate_equivalents
    equivalents = scale_of(gates.values(), "GE")
    table = titled_table(f"Area of {name}", ["unit", scale.unit, "share", equivalents.unit])
    for unit, area in report.area_um2.items():
        if not area:
            continue  # off chip
        table.add_row(
            unit,
            scale.show(area),
            percent(area / report.total_um2),
            equivalents.show(gates[unit]),
        )
    table.add_row("total", scale.show(report.total_um2), style="bold")
    return table


def block_table(found: SingleBlock) -> Table:
    """Return one block: its size and its speed."""
    table = titled_table(f"{found.block} {found.kind}", ["", ""])
    for label, value in (
        ("area", f"{_tenths(found.area_um2)} µm²"),
        ("gate equivalents", digits(found.ge)),
        ("delay", f"{digits(found.delay_ps)} ps (netlist mapped for {found.effort})"),
        ("register stages", str(found.stages)),
    ):
        table.add_row(label, value)
    table.columns[1].justify = "left"
    return table


def _tenths(value: float) -> str:
    """Return a number with one decimal, if three digits of it are seen then."""
    return digits(value) if value < _SEEN else f"{value:,.1f}"


def comparison_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return machines side by side; ratios are to the first.

    Speed-up is by time, which stands beside the clocks in the table of power.
    """
    rate = scale_of([OPS_PER_TOPS * row["effective_tops"] for row in rows], "OPS")
    columns = ["name", "cycles", "speed-up", rate.unit]
    columns += ["util", "energy", "area", "TOPS/mm²", "dropped"]
    table = titled_table(f"Compared with {rows[0]['name']}", columns)
    for row in rows:
        table.add_row(
            row["name"],
            f"{row['cycles']:,}",
            times(row["speedup"]),
            rate.show(OPS_PER_TOPS * row["effective_tops"]),
            percent(row["mac_utilization_ratio"]),
            times(row["energy_ratio"]),
            change(row["area_overhead_ratio"]),
            times(row["tops_per_mm2_ratio"]),
            percent(row["dropped_squared_magnitude_ratio"]),
        )
    return table


def power_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return the same machines in absolute numbers: energy, power, area and efficiencies.

    Where clocks differ, cycles say little: then there is a column of times.
    """
    time = scale_of([row["time_s"] for row in rows], "s")
    shows_time = len({row["clock_mhz"] for row in rows}) > 1
    energy = scale_of([J_PER_PJ * row["energy_pj"] for row in rows], "J")
    power = scale_of([W_PER_MW * row["power_mw"] for row in rows], "W")
    area = area_scale(row["area_um2"] for row in rows)
    rate = efficiency_scale(row["tops_per_w"] for row in rows)
    columns = ["name", "MHz", *([time.unit] if shows_time else []), energy.unit, power.unit]
    columns += [f"chip {power.unit}", rate.unit, area.unit, "chip W/mm²"]
    table = titled_table("Power", columns)
    for row in rows:
        table.add_row(
            row["name"],
            f"{row['clock_mhz']:g}",
            *([time.show(row["time_s"])] if shows_time else []),
            energy.show(J_PER_PJ * row["energy_pj"]),
            power.show(W_PER_MW * row["power_mw"]),
            power.show(W_PER_MW * row["chip_power_mw"]),
            rate.show(row["tops_per_w"]),
            area.show(row["area_um2"]),
            digits(row["power_density_w_per_mm2"]),
        )
    table.caption = "chip: without DRAM, which is not on it"
    table.caption_justify = "left"
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
            *(percent(entry.dropped_squared_magnitude_ratio[p]) for p in patterns),
        )
    return table


class NamesTable(Table):
    """A table whose cells may hold names from anywhere: each stays on its line."""

    @override
    def add_row(self, *cells: Any, **options: Any) -> None:
        """Add a row of texts."""
        super().add_row(*map(escaped, cells), **options)


def titled_table(title: str, columns: Sequence[str]) -> Table:
    """Return an empty table in the style of all."""
    look: Any = {"title_justify": "left", "box": box.SIMPLE_HEAD, "padding": (0, 1, 0, 0)}
    table = NamesTable(title=escaped(title), **look)
    # Neither names nor numbers lose a letter: a terminal that is too narrow breaks lines instead.
    for position, column in enumerate(columns):
        table.add_column(
            escaped(column), justify="right" if position else "left", no_wrap=True, min_width=4
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
    rate: Scale,
    energy: Scale,
) -> list[str]:
    cycles = _cycles(layers)
    executed = _sum(layers, lambda layer: layer.macs_executed)
    return [
        label,
        str(len(layers)),
        f"{cycles:,.0f}",
        rate.show(_ops(layers, result)),
        percent(executed / (cycles * result.macs_per_cycle)),
        _most(layer.bound for layer in layers),
        energy.show(J_PER_PJ * _energy_pj(layers)),
    ]


def _ratio_cells(
    layers: Sequence[LayerResult], reference: Sequence[LayerResult], clock: float
) -> list[str]:
    """Return speed-up, by time, and energy against a reference; `clock` is ours over its."""
    speedup = _cycles(reference) / _cycles(layers) * clock
    return [times(speedup), times(_energy_pj(layers) / _energy_pj(reference))]


def _cycles(layers: Sequence[LayerResult]) -> float:
    return _sum(layers, lambda layer: layer.cycles)


def _energy_pj(layers: Sequence[LayerResult]) -> float:
    return _sum(layers, lambda layer: layer.energy_pj)


def _ops(layers: Sequence[LayerResult], result: Result) -> float:
    """Return dense-equivalent operations a second."""
    time_s = _cycles(layers) / (result.clock_mhz * 1e6)
    return 2 * _sum(layers, lambda layer: layer.macs_dense) / time_s


def _most(names: Iterable[str]) -> str:
    """Return what holds for most of the layers; `+` says that something else does for others."""
    counts = Counter(names)
    return counts.most_common(1)[0][0] + ("+" if len(counts) > 1 else "")


def _sum(layers: Iterable[LayerResult], of: Callable[[LayerResult], float]) -> float:
    return sum(of(layer) for layer in layers)


def _largest(stalls: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(((n, c) for n, c in stalls.items() if c), key=lambda item: -item[1])[:3]
