"""Lower bounds of the cycles of tilings: what no order of events can beat, proven stage by stage.

Each stage serves one job after the other. So a run takes at least

    a stage:    when its first job can be there + all of its service + what follows its last job
    a resource: all that it moves, and what follows its last load
    a buffer:   of S slots, each in turn filled, visible, used: the service of who fills and who
                reads, and the latency of each fill, spread over S slots

A run also takes at least as long as the largest of these. `tests/planning` holds them against runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.dataflows.stages import Stage
from accelsim.hardware import READ, Buffer
from accelsim.mapping import Gemm, Ints
from accelsim.mapping.tiling import TileBytes
from accelsim.planning.candidates import Candidates
from accelsim.planning.services import Services


def lower_bounds(
    services: Services, machine: LayerMachine, gemm: Gemm, candidates: Candidates
) -> dict[str, Ints]:
    """Return by what bounds it the fewest cycles of each tiling, `[tilings]`.

    Keys are stages, resources and buffers.
    """
    number = services.kinds.number
    total = {name: (busy * number).sum(axis=1) for name, busy in services.busy.items()}
    heads, tails = _heads(services), _tails(services)
    bounds = {name: heads[name] + total[name] + tails[name] for name in total}
    lag = machine.stores.store_lag_tiles
    bounds |= dict(_of_resources(services, total, tails, lag))
    slots = _slots(machine, gemm, candidates)
    bounds |= dict(_of_buffers(services, machine, slots, total, heads))
    return bounds


def _of_resources(
    services: Services, total: Mapping[str, Ints], tails: Mapping[str, Ints], lag: int
) -> Iterator[tuple[str, Ints]]:
    """Yield of each shared resource all that it moves until its last load, and what follows.

    At most `lag` stores stand behind the last load.
    """
    streams = [stage for stage in services.stages if stage.stream]
    for resource in dict.fromkeys(stage.stream.resource for stage in streams if stage.stream):
        moved: Ints = np.zeros(len(services.kinds.number), np.int64)
        before, after = moved, np.full(len(moved), np.iinfo(np.int64).max // 4)
        for stage in streams:
            assert stage.stream is not None
            if stage.stream.resource != resource:
                continue
            amount, busy = total[stage.name], services.busy[stage.name]
            moved = moved + amount
            if stage.stream.direction is READ:
                before = before + amount
                after = np.where(amount > 0, np.minimum(after, tails[stage.name]), after)
            else:
                before = before + np.maximum(0, amount - lag * busy.max(axis=1))
        after = np.where(after < np.iinfo(np.int64).max // 4, after, 0)
        yield resource, np.maximum(moved, before + after)


def _of_buffers(
    services: Services,
    machine: LayerMachine,
    slots: Mapping[str, Ints],
    total: Mapping[str, Ints],
    heads: Mapping[str, Ints],
) -> Iterator[tuple[str, Ints]]:
    """Yield of each buffer the time in which its slots are filled, visible and used in turn."""
    for stage in services.stages:
        buffer = machine.units.get(stage.fills)
        if not isinstance(buffer, Buffer) or buffer.key not in slots:
            continue
        reader = next(s.name for s in services.stages if stage.fills in s.reads)
        visible = services.fills[stage.fills] * services.latency[stage.name]
        in_turn = total[stage.name] + total[reader] + visible
        yield stage.fills, heads[stage.name] + in_turn // np.maximum(1, slots[buffer.key])


def _slots(machine: LayerMachine, gemm: Gemm, candidates: Candidates) -> dict[str, Ints]:
    """Return the slots of each buffer for the tiles of each tiling, by the buffer's key."""
    stores = machine.stores
    found = {
        name: np.zeros(len(candidates), np.int64)
        for name in ("activations", "weights", "outputs", "compressed")
    }
    for which, tiling in candidates.by_order():
        size = TileBytes.of(tiling, gemm, machine.path)
        for name, values in found.items():
            store = getattr(stores, name)
            if store is not None:
                values[which] = store.slots(getattr(size, name))
    return found


def _heads(services: Services) -> dict[str, Ints]:
    """Return when the first job of each stage can be there at best, `[tilings]`.

    Loads of the first job share their resource: those that wait for nothing go first.
    """
    heads: dict[str, Ints] = {}
    done: dict[str, Ints] = {}
    free: dict[tuple[str, bool], Ints] = {}
    for stage in services.stages:
        busy = services.busy[stage.name][:, 0]
        start = np.zeros_like(busy)
        for wait in stage.after:
            latency = services.latency[wait.stage] * (services.busy[wait.stage][:, 0] > 0)
            start = np.maximum(start, done[wait.stage] + latency)
        heads[stage.name] = start
        if stage.stream and stage.stream.direction is READ:
            queue = stage.stream.resource, bool(stage.after)
            start = np.maximum(start, free.get(queue, 0))
            free[queue] = start + busy
        done[stage.name] = start + busy
    return heads


def _tails(services: Services) -> dict[str, Ints]:
    """Return what follows the end of the last job of each stage at least, `[tilings]`."""
    rows = np.arange(len(services.kinds.last))
    last = {name: busy[rows, services.kinds.last] for name, busy in services.busy.items()}
    tails: dict[str, Ints] = {}
    for stage in reversed(services.stages):
        visible = services.latency[stage.name] * (last[stage.name] > 0)
        tails[stage.name] = visible
        for reader in _waiting_for(stage, services.stages):
            after = visible + last[reader] + tails[reader]
            tails[stage.name] = np.maximum(tails[stage.name], after)
    return tails


def _waiting_for(stage: Stage, stages: list[Stage]) -> Iterator[str]:
    """Yield the stages that start a job after this one has finished it."""
    for other in stages:
        if any(wait.stage == stage.name for wait in other.after):
            yield other.name
