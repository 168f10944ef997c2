"""Where the run of a layer begins to repeat itself, one outer iteration after the other.

Every outer iteration of a layer whose time does not depend on values, the first and the last apart,
has the same jobs. Once the times of one iteration are those of the one before, shifted, each
further iteration adds the same cycles (`accelsim.engine.steady`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from accelsim.dataflows.pipeline import Drawn
from accelsim.engine import Network, Times
from accelsim.engine.steady import reach, repeats
from accelsim.hardware import Buffer
from accelsim.mapping import Work, ceil_div

FEWEST = 5  # outer iterations: the first, one to repeat, one that repeats it, one spare, the last
_CYCLES = (1, 2, 3, 4)  # iterations after which a run may repeat itself


class Walked(Protocol):
    """A run of a layer made shorter."""

    @property
    def network(self) -> Network:
        """What ran."""

    @property
    def times(self) -> Times:
        """When."""


Run = TypeVar("Run", bound=Walked)


@dataclass(frozen=True, slots=True)
class Repetition(Generic[Run]):
    """What a layer of many outer iterations is continued from.

    Attributes:
        walked: outer iterations of `run`.
        cycle: after so many iterations the run repeats itself.
        run: the run in which that was seen.
    """

    walked: int
    cycle: int
    run: Run

    def split(self, outer_tiles: int) -> tuple[int, int]:
        """Return iterations to run, at least as many as were walked, and cycles that follow."""
        shorter = self.walked + (outer_tiles - self.walked) % self.cycle
        return shorter, (outer_tiles - shorter) // self.cycle


def find_repetition(
    run_of: Callable[[int], Run],
    outer_tiles: int,
    period: int,
    walked: int,
    *,
    most_walked: int | None = None,
) -> Repetition[Run] | None:
    """Walk more and more outer iterations until they repeat; None: it does not pay to look.

    Args:
        run_of: runs the layer made shorter, to so many iterations (`Tiling.shortened`).
        outer_tiles: how many it has.
        period: jobs of one iteration.
        walked: how many to begin with, see `first_walk`.
        most_walked: do not look at more iterations than that.
    """
    while 2 * walked < outer_tiles and (most_walked is None or walked <= most_walked):
        run = run_of(walked)
        # The last iteration may differ, and what comes shortly before may wait for it.
        end = (walked - 1 - ceil_div(reach(run.network), period)) * period
        for cycle in _CYCLES:
            if repeats(run.network, run.times, cycle * period, end):
                return Repetition(walked, cycle, run)
        walked *= 2
    return None


def first_walk(short: Work, machine: Drawn) -> int:
    """Return how many outer iterations to walk before looking for repetition.

    So many that every buffer that is refilled has been filled once. Before that, nothing waits for
    room, and a run may look periodic too early.

    Args:
        short: the layer made shorter, to `FEWEST` iterations.
        machine: as the layer finds it.
    """
    period = len(short.jobs) // FEWEST
    most = 0
    for unit in machine.units.values():
        if isinstance(unit, Buffer):
            filled = np.count_nonzero(unit.fills(short.jobs)[period : 2 * period])
            slots = unit.store.slots(unit.tile_bytes(short))
            most = max(most, ceil_div(slots, int(filled)) if filled else 0)
    return FEWEST + most
