"""Layers whose time does not depend on values: walk until the run repeats itself, then continue it.

Every outer iteration of such a layer, the first and the last apart, has the same jobs. Once the
times of one iteration are those of the one before, shifted, each further iteration adds the same
cycles to every count (`accelsim.engine.steady`). So the counts of a run of n iterations follow
exactly from those of two short ones, which end with the same last iteration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from accelsim.accounting.tally import LayerRun, Tally, combine
from accelsim.dataflows.pipeline import Drawn
from accelsim.engine.steady import reach, repeats
from accelsim.hardware import Buffer
from accelsim.mapping import Work, ceil_div

_FEWEST = 5  # outer iterations: the first, one to repeat, one that repeats it, one spare, the last
_CYCLES = (1, 2, 3, 4)  # iterations after which a run may repeat itself


def periodic_tally(
    work_of: Callable[[int], Work],
    outer_tiles: int,
    machine: Drawn,
    run: Callable[[Work], LayerRun],
) -> Tally:
    """Return what a layer adds up to, without walking all of its outer iterations if possible.

    It is walked whole where tiles of the same sizes may differ in time (`Work.is_even`): what the
    first iterations do then says nothing about those in the middle.

    Args:
        work_of: the layer made shorter, to so many outer iterations (`Tiling.shortened`).
        outer_tiles: how many it has.
        machine: as the layer finds it.
        run: runs a layer.
    """
    walked = _FEWEST
    if outer_tiles > 2 * walked:
        short = work_of(_FEWEST)
        if not short.is_even:
            return run(work_of(outer_tiles)).tally
        walked += _fills(short, machine)
    while 2 * walked < outer_tiles:
        work = work_of(walked)
        probe, period = run(work), len(work.jobs) // walked
        # The last iteration may differ, and what comes shortly before may wait for it.
        end = (walked - 1 - ceil_div(reach(probe.pipeline.network), period)) * period
        for cycle in _CYCLES:
            if repeats(probe.pipeline.network, probe.times, cycle * period, end):
                return _continued(work_of, walked, outer_tiles, cycle, run, probe)
        walked *= 2
    return run(work_of(outer_tiles)).tally


def _continued(  # noqa: PLR0913, PLR0917
    work_of: Callable[[int], Work],
    walked: int,
    outer_tiles: int,
    cycle: int,
    run: Callable[[Work], LayerRun],
    probe: LayerRun,
) -> Tally:
    """Extrapolate from two runs, at least as long as the probe, that differ by one cycle."""
    shorter = walked + (outer_tiles - walked) % cycle
    works = work_of(shorter), work_of(shorter + cycle)
    more = (outer_tiles - shorter) // cycle
    less = probe if shorter == walked else run(works[0])
    tally = combine([(1 - more, less.tally), (more, run(works[1]).tally)])
    executed = (1 - more) * works[0].macs_executed + more * works[1].macs_executed
    ideal = ceil_div(executed, works[0].path.macs_per_cycle)  # rounded up once, not twice
    return replace(tally, breakdown=tally.breakdown.with_ideal(ideal))


def _fills(work: Work, machine: Drawn) -> int:
    """Return the outer iterations until every buffer that is refilled has been filled once.

    Before that, nothing waits for room, and a run may look periodic too early.
    """
    period = len(work.jobs) // _FEWEST
    most = 0
    for unit in machine.units.values():
        if isinstance(unit, Buffer):
            filled = np.count_nonzero(unit.fills(work.jobs)[period : 2 * period])
            slots = unit.store.slots(unit.tile_bytes(work))
            most = max(most, ceil_div(slots, int(filled)) if filled else 0)
    return most
