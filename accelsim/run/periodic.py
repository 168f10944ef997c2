"""Layers whose time does not depend on values: walk until the run repeats itself, then continue it.

The counts of a run of n outer iterations follow exactly from those of two short ones, which end
with the same last iteration, once the run repeats itself (`accelsim.dataflows.repetition`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from accelsim.accounting.tally import LayerRun, Tally, combine
from accelsim.dataflows.pipeline import Drawn
from accelsim.dataflows.repetition import FEWEST, Repetition, find_repetition, first_walk
from accelsim.mapping import Work, ceil_div


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
    walked, period = FEWEST, 1
    if outer_tiles > 2 * walked:
        short = work_of(FEWEST)
        if not short.is_even:
            return run(work_of(outer_tiles)).tally
        walked, period = first_walk(short, machine), len(short.jobs) // FEWEST
    found = find_repetition(
        lambda iterations: run(work_of(iterations)), outer_tiles, period, walked
    )
    if found is None:
        return run(work_of(outer_tiles)).tally
    return _continued(work_of, outer_tiles, run, found)


def _continued(
    work_of: Callable[[int], Work],
    outer_tiles: int,
    run: Callable[[Work], LayerRun],
    found: Repetition[LayerRun],
) -> Tally:
    """Extrapolate from two runs, at least as long as the probe, that differ by one cycle."""
    shorter, more = found.split(outer_tiles)
    works = work_of(shorter), work_of(shorter + found.cycle)
    less = found.run if shorter == found.walked else run(works[0])
    tally = combine([(1 - more, less.tally), (more, run(works[1]).tally)])
    counts = [int(work.macs_executed) for work in works]
    executed = (1 - more) * counts[0] + more * counts[1]
    ideal = ceil_div(executed, works[0].path.macs_per_cycle)  # rounded up once, not twice
    return replace(tally, breakdown=tally.breakdown.with_ideal(ideal))
