"""The cycles of a layer under one tiling after the other, run exactly and told nothing else of."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.dataflows.pipeline import connected
from accelsim.dataflows.repetition import FEWEST, find_repetition, first_walk
from accelsim.engine import Network, Times
from accelsim.engine.recurrence import run
from accelsim.mapping import Gemm, Ints, Tiling, Work, tile_jobs
from accelsim.mapping.jobs import MAX_JOBS, place_of_jobs
from accelsim.mapping.tiling import ORDERS
from accelsim.planning.candidates import Candidates
from accelsim.planning.kinds import kinds_of_jobs, middle_of_outer_loop
from accelsim.planning.services import Services

_WALKED_JOBS = 1024  # a layer of so many is walked sooner than looked at for repetition


def jobs_to_walk(services: Services, gemm: Gemm, candidates: Candidates) -> Ints:
    """Return how many jobs of a layer are walked at least before it repeats itself, `[tilings]`.

    So many outer iterations that each buffer that is refilled has been filled once, and a few more;
    see `first_walk`. It is what a run costs.
    """
    jobs, outer = candidates.jobs(gemm), candidates.outer_tiles(gemm)
    is_between = np.array([middle_of_outer_loop(order) for order in ORDERS])[candidates.order]
    most = np.zeros(len(candidates), np.int64)
    for name, fills in services.fills.items():
        refills = (fills * is_between).sum(axis=1) // np.maximum(1, outer - 2)
        filled = np.where(refills > 0, -(-services.slots[name] // np.maximum(1, refills)), 0)
        most = np.maximum(most, filled)
    walked: Ints = np.minimum(jobs, jobs // outer * (FEWEST + most + 1))
    return walked


@dataclass(frozen=True, slots=True)
class Walk:
    """A network, and when its jobs took place."""

    network: Network
    times: Times


@dataclass(frozen=True, slots=True)
class ExactRuns:
    """Runs a layer on a machine, with the service times that its units gave for kinds of jobs.

    Attributes:
        machine: as the layer finds it.
        gemm: the layer.
        services: of many tilings.
        is_decode: whether it is a decode step.
    """

    machine: LayerMachine
    gemm: Gemm
    services: Services
    is_decode: bool

    def cycles(self, at: int, tiling: Tiling, *, most_jobs: int = MAX_JOBS) -> int | None:
        """Return the cycles of the layer with the tiling that has row `at` in the services.

        None: more jobs would have to be walked than `most_jobs`.

        Raises:
            DeadlockError: its loads and stores wait for each other.
        """
        outer_tiles = tiling.outer_tiles(self.gemm)

        def walk(iterations: int) -> Walk:
            network = self.network(at, tiling, iterations)
            return Walk(network, run(network))

        if outer_tiles <= 2 * FEWEST or prod(tiling.counts(self.gemm)) <= _WALKED_JOBS:
            return int(walk(outer_tiles).times.cycles)
        jobs = prod(tiling.counts(self.gemm))
        walked = first_walk(self._work(tiling, FEWEST), self.machine)
        most = max(1, most_jobs * outer_tiles // jobs)
        period = jobs // outer_tiles
        found = find_repetition(walk, outer_tiles, period, walked, most_walked=most)
        if found is None:
            return int(walk(outer_tiles).times.cycles) if jobs <= most_jobs else None
        shorter, more = found.split(outer_tiles)
        less = found.run if shorter == found.walked else walk(shorter)
        longer = walk(shorter + found.cycle)
        return int(less.times.cycles + more * (longer.times.cycles - less.times.cycles))

    def network(self, at: int, tiling: Tiling, outer_tiles: int) -> Network:
        """Return what is run: the layer made shorter, to so many outer iterations."""
        shorter = tiling.shortened(self.gemm, outer_tiles)
        kinds = kinds_of_jobs(*place_of_jobs(shorter, tiling))
        busy = {name: found[at][kinds] for name, found in self.services.busy.items()}
        work = self._work(tiling, outer_tiles)
        return connected(
            self.machine,
            work,
            self.services.stages,
            busy,
            self.services.latency,
            self.services.resource,
        )

    def _work(self, tiling: Tiling, outer_tiles: int) -> Work:
        """Return the jobs of the layer made shorter, for what does not depend on their times."""
        path, stores = self.machine.path, self.machine.stores
        jobs = tile_jobs(self.gemm, tiling, path, stores, outer_tiles)
        return Work(
            gemm=tiling.shortened(self.gemm, outer_tiles),
            path=path,
            tiling=tiling,
            jobs=jobs,
            weight_bytes=np.zeros(len(jobs), np.int64),
            kept=0,
            nonzero=0,
            is_decode=self.is_decode,
            layer=self.gemm,
        )
