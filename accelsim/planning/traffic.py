"""What tilings move: bytes over resources, and through the ports of buffers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.dataflows.pipeline import resource_named
from accelsim.hardware import Buffer
from accelsim.mapping import Ints
from accelsim.planning.services import Services

Traffic = Mapping[tuple[str, str], Ints]
"""By unit and action (`read_bytes`, `write_bytes`), `[tilings]`: bytes of a whole layer."""


def traffic_of(machine: LayerMachine, services: Services) -> Traffic:
    """Return what each tiling moves; what is loaded once before all tiles is left out."""
    number = services.kinds.number
    found: dict[tuple[str, str], Ints] = {}
    for unit, action, size_bytes in _moves(machine, services):
        total = (size_bytes.reshape(number.shape) * number).sum(axis=1)
        found[unit, action] = found.get((unit, action), np.int64(0)) + total
    return found


def off_chip_bytes(machine: LayerMachine, traffic: Traffic) -> Ints:
    """Return the bytes that go to memory chips and come from them, `[tilings]`."""
    return _sum_of(machine, traffic, is_off_chip=True)


def on_chip_bytes(machine: LayerMachine, traffic: Traffic) -> Ints:
    """Return the bytes that pass ports of buffers, `[tilings]`."""
    return _sum_of(machine, traffic, is_off_chip=False)


def _sum_of(machine: LayerMachine, traffic: Traffic, *, is_off_chip: bool) -> Ints:
    parts = [
        moved
        for (name, _), moved in traffic.items()
        if machine.units[name].is_off_chip == is_off_chip
    ]
    total: Ints = np.sum(parts, axis=0)
    return total


def _moves(machine: LayerMachine, services: Services) -> Iterator[tuple[str, str, Ints]]:
    """Yield unit, action, and the bytes of one job of each kind."""
    work = services.work
    for name, unit in machine.units.items():
        if isinstance(unit, Buffer):
            yield name, "read_bytes", unit.read_bytes(work)
            yield name, "write_bytes", unit.write_bytes(work)
    for stage in services.stages:
        part = stage.stream
        if part is not None and not stage.is_once:
            resource = resource_named(machine, part.resource)
            action = f"{part.direction.value}_bytes"
            yield part.resource, action, resource.moved_bytes(part.operand, work)
