"""Which port, selector or lane keeps the array waiting, and how wide it should be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil

from accelsim.base.note import Note, warning
from accelsim.base.yaml_source import dotted
from accelsim.config import Architecture
from accelsim.config.file import key_of
from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.dataflows.matches import round_pace
from accelsim.dataflows.pipeline import resource_cycles
from accelsim.hardware import Buffer, LaneUnit, Selector, Unit, Unpacker
from accelsim.hardware.unpacker import balanced_lanes
from accelsim.mapping import Gemm, Work, bytes_of, ceil_div
from accelsim.results.result import LayerResult, Result
from accelsim.run.layers import TiledProduct

_NOTICEABLE = 0.01  # share of a run's cycles; less is filling and the edges of tiles
_LONG_CYCLES = 10_000  # of a run that says something about selectors and tiles, not just filling
_OUTER_TILES = 4  # of a layer that selectors are tried on: the others are like these


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """A key with which a unit is too slow for the array.

    Attributes:
        key: of the architecture file, such as `selector.instances`.
        value: what it is.
        needed: the least value with which the unit keeps up.
    """

    key: str
    value: int
    needed: int


def balanced_ports(arch: Architecture) -> dict[str, int]:
    """Return by unit the port, or the lanes, that keep up with the array, whatever the layer.

    These are the formulas in the table of keys. What selectors, the ports behind them and outputs
    need depends on the tiles of a layer.
    """
    path = arch.path
    # Scales are read with the first step of their group; on average, a step has its share of them.
    positions = (path.w.group or 1) * path.positions_per_step
    weight_bits = path.w.tile_bits(positions, path.columns, path.w.scales(positions))
    weights = ceil_div(path.passes * weight_bits, 8 * path.steps(positions))
    scales = path.x.scales(path.positions_per_step)
    row_bytes = bytes_of(path.compressed_bits(path.positions_per_step, scales))
    source = next(n for n in ("compressed_buffer", "activation_buffer") if n in arch.units)
    rows = ceil_div(path.rows * row_bytes, path.steps(path.positions_per_step))
    lanes = {"unpacker": balanced_lanes(path)} if path.formats.unpacks else {}
    if path.is_matched:  # lanes wait for the slowest one of a round
        weights, rows = (ceil(width * round_pace(path)) for width in (weights, rows))
    return {"weight_buffer": weights, source: rows, **lanes}


def narrow_ports(arch: Architecture) -> Iterator[Bottleneck]:
    """Yield the keys of a machine with which its array can never run at full speed."""
    for unit, needed in balanced_ports(arch).items():
        key, value = _width(arch, unit)
        if value < needed and not _is_share(arch, unit):
            yield Bottleneck(key, value, _whole_macros(arch, unit, needed))


def bottlenecks(arch: Architecture, result: Result) -> list[Bottleneck]:
    """Return the keys of a machine that slow a run of it down by more than a hundredth.

    Where there is one, ports with which the array can never run at full speed are among them: they
    would be the next.

    Args:
        arch: the machine.
        result: of a run on it.
    """
    ports = balanced_ports(arch)
    judged = result.layers if result.cycles >= _LONG_CYCLES else ()
    found, waited = {}, {}
    for unit in (name for name, unit in arch.units.items() if _field(unit)):
        if _is_share(arch, unit):
            continue
        slowed = [layer for layer in judged if _excess(layer, unit) > 0]
        excess = sum(_excess(layer, unit) for layer in slowed)
        waited[unit] = max(result.breakdown.stall_cycles.get(unit, 0), excess)
        key, value = _width(arch, unit)
        enough = arch.rate(unit) if unit in arch.method_units else ports.get(unit, 0)
        needs = [_needed(arch, result, layer, unit, enough) for layer in _distinct(slowed)]
        needed = max([enough, *needs])
        if value < needed:
            found[unit] = Bottleneck(key, value, _whole_macros(arch, unit, needed))
    slow = {unit for unit in found if waited[unit] > _NOTICEABLE * result.cycles}
    return [found[unit] for unit in found if unit in slow or (slow and unit in ports)]


def area_notes(arch: Architecture) -> Iterator[Note]:
    """Yield a warning for each key with which the array can never run at full speed."""
    for found in narrow_ports(arch):
        share = found.value / found.needed
        yield warning(
            f"{found.key} {found.value} keeps the array at {share:.0%} of its speed at "
            f"most; write {found.needed}"
        )


def run_notes(arch: Architecture, result: Result) -> Iterator[str]:
    """Yield a warning for each key that slows a run down, with the number to write.

    Args:
        arch: the machine.
        result: of a run on it.
    """
    for found in bottlenecks(arch, result):
        yield (
            f"{arch.name}: {found.key} {found.value} keeps the array waiting; write {found.needed}"
        )


def _is_share(arch: Architecture, name: str) -> bool:
    """Whether a unit is a share of a memory, which is another one in each layer."""
    return arch.buffers.shared is not None and name in ("activation_buffer", "weight_buffer")


def _width(arch: Architecture, name: str) -> tuple[str, int]:
    """Return the key that sets how much a unit does in a cycle, and its value."""
    unit = arch.units[name]
    field = _field(unit)
    return dotted((*key_of(name), field)), getattr(unit, field) or 1


def _field(unit: Unit) -> str:
    """Return the name of that key without its section; empty if no single one does."""
    if isinstance(unit, Buffer):
        return "port_bytes"
    if isinstance(unit, Selector):
        return "instances"
    return "lanes" if isinstance(unit, LaneUnit | Unpacker) else ""


def _whole_macros(arch: Architecture, name: str, needed: int) -> int:
    """Return a width that the macros of a buffer can share."""
    macros = getattr(arch.units[name], "macros", 1)
    return ceil_div(needed, macros) * macros


def _pace(layer: LayerResult) -> int:
    """Return the cycles that array and DRAM take at least: nothing else has to be quicker."""
    channels = (name for name, unit in layer.units.items() if unit.is_off_chip)
    return max(1, *(layer.bound_cycles.get(name, 0) for name in (layer.leaders[0], *channels)))


def _excess(layer: LayerResult, unit: str) -> int:
    """Return the cycles that a unit needs for a layer beyond array and DRAM."""
    return layer.bound_cycles.get(unit, 0) - _pace(layer)


def _distinct(layers: Iterable[LayerResult]) -> Iterable[LayerResult]:
    """Return one layer of each method and size: the others need the same."""
    return {
        (layer.method, layer.tokens, layer.in_features, layer.out_features): layer
        for layer in layers
    }.values()


def _needed(arch: Architecture, result: Result, layer: LayerResult, name: str, enough: int) -> int:
    """Return the width with which a unit keeps up in a layer: in proportion, or a little more.

    Tiles hold few groups, so that a number of selectors that does not divide them idles in part. In
    proportion, what is rounded up at the present width counts as work: `enough` comes first, which
    is that of the table of keys, where that keeps up with the array.
    """
    machine, is_decode = arch.running(layer.method), result.batch is not None
    gemm = Gemm(result.batch or layer.tokens, layer.in_features, layer.out_features)
    tiled = TiledProduct.of(machine, gemm, is_decode=is_decode)
    work = tiled.work(min(_OUTER_TILES, tiled.outer_tiles))
    mac_cycles = int(machine.units[layer.leaders[0]].busy_cycles(work).sum())
    if enough and _busy_cycles(machine, name, enough, work) <= mac_cycles:
        return enough
    _, value = _width(arch, name)
    least = ceil_div(value * layer.bound_cycles[name], _pace(layer))
    unit = machine.units[name]
    if not isinstance(unit, Selector):
        return least
    channels = machine.diagram.resources
    pace = max(mac_cycles, *(int(resource_cycles(machine, c, work).sum()) for c in channels))
    most = max(least, int(unit.model_copy(update={"instances": 1}).busy_cycles(work).max()))
    for number in range(least, most, max(1, least // 64)):
        if _busy_cycles(machine, name, number, work) <= pace:
            return number
    return most


def _busy_cycles(machine: LayerMachine, name: str, width: int, work: Work) -> int:
    """Return the cycles that a unit of another width takes."""
    unit = machine.units[name]
    return int(unit.model_copy(update={_field(unit): width}).busy_cycles(work).sum())
