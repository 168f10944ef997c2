"""How far chosen tiles are from the best of their grid, on random machines and layers.

    losses = [losses_of(*pair) for pair in pairs("arch_configs", 800)]

The reference is a search that ends once no tiling of the grid can be faster by more than 0.02 %, or
after 20 million jobs; `proven_gap` tells how far its best is above what it proved. `tests/planning`
holds a search without any limit against trying all tilings.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from accelsim.config import Architecture
from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.mapping import Gemm
from accelsim.mapping.mapper import choose_tiling
from accelsim.planning.candidates import Candidates
from accelsim.planning.exact import ExactRuns
from accelsim.planning.search import EXHAUSTIVE, Effort, Search
from accelsim.planning.services import Services

REFERENCE = Effort(slack=0.0002, most_jobs=20_000_000, patience=EXHAUSTIVE.patience)
"""Within 0.02 % of the best of the grid, unless that takes more than about 7 seconds."""


@dataclass(frozen=True, slots=True)
class Losses:
    """What a layer takes on a machine, in cycles, and how long the search for its tile took.

    Attributes:
        pattern: of the machine.
        searched_cycles: with the tile of `tiling: auto`.
        estimated_cycles: with that of `tiling: quick`.
        best_cycles: the fewest that the reference found.
        bound_cycles: what it proved.
        search_s: CPU seconds of the search.
    """

    pattern: str
    searched_cycles: int
    estimated_cycles: int
    best_cycles: int
    bound_cycles: int
    search_s: float

    @property
    def searched(self) -> float:
        """Loss of the search: 0.01 is one per cent."""
        return self.searched_cycles / self.best_cycles - 1

    @property
    def estimated(self) -> float:
        """Loss of the estimate."""
        return self.estimated_cycles / self.best_cycles - 1


def losses_of(arch: Architecture, gemm: Gemm, is_decode: bool) -> Losses:  # noqa: FBT001
    """Return the losses of one layer on one machine."""
    machine = arch.running()
    start = time.process_time()
    chosen = Search(machine, gemm, is_decode=is_decode).plan().best
    search_s = time.process_time() - start
    reference = Search(machine, gemm, is_decode=is_decode).plan(effort=REFERENCE)
    estimated = _estimated_cycles(machine, gemm, is_decode=is_decode)
    fewest = min(each.cycles for each in reference.found)
    return Losses(
        pattern=str(arch.pattern),
        searched_cycles=chosen.cycles,
        estimated_cycles=estimated,
        best_cycles=min(fewest, chosen.cycles, estimated),
        bound_cycles=reference.bound_cycles,
        search_s=search_s,
    )


def _estimated_cycles(machine: LayerMachine, gemm: Gemm, *, is_decode: bool) -> int:
    columns = machine.least_columns(is_decode=is_decode)
    tiling = choose_tiling(gemm, machine.path, machine.stores, least_columns=columns)
    one = Candidates.only(tiling)
    services = Services.of(machine, gemm, one, is_decode=is_decode)
    cycles = ExactRuns(machine, gemm, services, is_decode).cycles(0, tiling)
    assert cycles is not None
    return cycles
