"""What a search knows of tilings: bounds and estimates of many, exact runs of some."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.mapping import Gemm, Ints, Tiling
from accelsim.mapping.jobs import Flags
from accelsim.planning.bounds import lower_bounds
from accelsim.planning.candidates import Candidates
from accelsim.planning.exact import ExactRuns, jobs_to_walk
from accelsim.planning.services import Services
from accelsim.planning.traffic import Traffic, off_chip_bytes, on_chip_bytes, traffic_of

_CLOSENESS, _CLOSENESS_OF_SPILLS = 0.05, 0.25
_EXPOSED = 1 / 16


@dataclass(frozen=True, slots=True)
class Found:
    """A tiling that has been run.

    Attributes:
        tiling: the tiling.
        cycles: of the layer with it.
        bound_cycles: what was proven of it before.
        bound_by: a stage, a resource or a buffer that the bound comes from.
        off_chip_bytes: that it moves to memory chips and from them.
        on_chip_bytes: that pass the ports of its buffers.
        energy_pj: of the layer, zero activations apart; None where nobody asked.
    """

    tiling: Tiling
    cycles: int
    bound_cycles: int
    bound_by: str
    off_chip_bytes: int
    on_chip_bytes: int
    energy_pj: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a search found.

    Attributes:
        found: the tilings that were run, the chosen one first; at least one.
        bound_cycles: no tiling of the grid has fewer.
        candidates: tilings of the grid that fit the buffers.
    """

    found: tuple[Found, ...]
    bound_cycles: int
    candidates: int

    @property
    def best(self) -> Found:
        """The chosen tiling."""
        return self.found[0]


@dataclass(frozen=True)
class Part:
    """Tilings whose times were asked for together, all values `[tilings]`.

    Attributes:
        candidates: the tilings.
        runs: runs them.
        bound_cycles: what is proven of them.
        expected_cycles: an estimate, for the order in which they are run.
        bound_by: which of the causes the bound comes from.
        walked_jobs: what a run costs.
        causes: stages, resources and buffers.
    """

    candidates: Candidates
    runs: ExactRuns
    bound_cycles: Ints
    expected_cycles: Ints
    bound_by: Ints
    walked_jobs: Ints
    causes: tuple[str, ...]

    @classmethod
    def of(
        cls, machine: LayerMachine, gemm: Gemm, candidates: Candidates, *, is_decode: bool
    ) -> Part:
        """Ask the units of a machine for the times of tilings of a layer, and bound them."""
        services = Services.of(machine, gemm, candidates, is_decode=is_decode)
        by_cause = lower_bounds(services, candidates, machine.stores.store_lag_tiles)
        table = np.stack(list(by_cause.values()))
        serving = np.max([by_cause[stage.name] for stage in services.stages], axis=0)
        moving = np.max([by_cause[name] for name in by_cause if name not in services.busy], axis=0)
        latencies = candidates.jobs(gemm) * max(services.latency.values())
        return cls(
            candidates,
            ExactRuns(machine, gemm, services, is_decode),
            bound_cycles=table.max(axis=0),
            expected_cycles=_expected(
                serving, moving + services.held_up(), latencies, services.spills
            ),
            bound_by=table.argmax(axis=0),
            walked_jobs=jobs_to_walk(services, gemm, candidates),
            causes=tuple(by_cause),
        )

    @cached_property
    def traffic(self) -> Traffic:
        """What the tilings move."""
        return traffic_of(self.runs.machine, self.runs.services)

    @cached_property
    def off_chip_bytes(self) -> Ints:
        """What they move to memory chips and from them."""
        return off_chip_bytes(self.runs.machine, self.traffic)

    @cached_property
    def on_chip_bytes(self) -> Ints:
        """What passes the ports of buffers."""
        return on_chip_bytes(self.runs.machine, self.traffic)

    def run(self, at: int, most_jobs: int) -> Found | None:
        """Run one of them; None if that takes too long.

        Raises:
            DeadlockError: its loads and stores wait for each other.
        """
        tiling = self.candidates.tiling(at)
        cycles = self.runs.cycles(at, tiling, most_jobs=most_jobs)
        if cycles is None:
            return None
        bound, cause = int(self.bound_cycles[at]), self.causes[self.bound_by[at]]
        moved = int(self.off_chip_bytes[at]), int(self.on_chip_bytes[at])
        return Found(tiling, cycles, bound, cause, *moved)


def _expected(serving: Ints, moving: Ints, latencies: Ints, spills: Flags) -> Ints:
    """Return an estimate of the cycles of tilings, for the order in which they are run.

    Stages and resources that are both busy nearly all the time wait for each other now and then:
    up to a twentieth is added, the more the closer they are, and a quarter where every job stores
    partial sums, for which later loads wait. So is a part of the latency of every job, of which
    most is hidden.

    Args:
        serving: what bounds stages, `[tilings]` as all others.
        moving: what bounds resources and buffers, and what holds resources up.
        latencies: of all jobs, one after the other.
        spills: whether partial sums go to DRAM.
    """
    both = np.minimum(serving, moving) / np.maximum(serving, moving)
    waits = np.where(spills, _CLOSENESS_OF_SPILLS * both, _CLOSENESS * both**4)
    estimate = np.maximum(serving, moving) * (1 + waits) + _EXPOSED * latencies
    expected: Ints = estimate.astype(np.int64)
    return expected
