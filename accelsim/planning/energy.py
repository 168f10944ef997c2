"""What a layer costs under a tiling, as far as tilings differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.dataflows.pipeline import actions_of
from accelsim.mapping import Gemm, Tiling, Work, tile_jobs
from accelsim.planning.traffic import Traffic
from accelsim.planning.weights import planned_packing, planned_weight_bytes

_PJ_PER_MW_S = 1e9
_SHORT = 3  # outer iterations from which counts grow evenly


@dataclass(frozen=True, slots=True)
class Energy:
    """Prices of a machine.

    Attributes:
        machine: as the layer finds it.
        action_pj: by unit and action.
        leakage_pj: of all units, a cycle.
    """

    machine: LayerMachine
    action_pj: Mapping[str, Mapping[str, float]]
    leakage_pj: float

    @classmethod
    def of(cls, machine: LayerMachine) -> Energy:
        """Ask every unit for its price list."""
        tech, path = machine.technology(), machine.path
        leakage_mw = sum(unit.leakage_mw(tech, path) for unit in machine.units.values())
        return cls(
            machine,
            {name: dict(unit.energy_pj(tech, path)) for name, unit in machine.units.items()},
            leakage_mw / (path.clock_mhz * 1e6) * _PJ_PER_MW_S,
        )

    def traffic_pj(self, traffic: Traffic) -> NDArray[np.float64]:
        """Return the energy of what moves over resources and the ports of buffers, `[tilings]`."""
        total: NDArray[np.float64] = np.sum(
            [
                size_bytes * self.action_pj[unit].get(action, 0.0)
                for (unit, action), size_bytes in traffic.items()
            ],
            axis=0,
        )
        return total

    def layer_pj(self, gemm: Gemm, tiling: Tiling, cycles: int, *, is_decode: bool) -> float:
        """Return the energy of a layer of so many cycles, as if every kept activation were zero.

        Counts grow by the same with each outer iteration, so a long layer is continued from two
        short ones.
        """
        outer_tiles = tiling.outer_tiles(gemm)
        leaked = cycles * self.leakage_pj
        if outer_tiles <= _SHORT + 1:
            return leaked + self._actions_pj(gemm, tiling, outer_tiles, is_decode=is_decode)
        less, more = (
            self._actions_pj(gemm, tiling, iterations, is_decode=is_decode)
            for iterations in (_SHORT, _SHORT + 1)
        )
        return leaked + less + (outer_tiles - _SHORT) * (more - less)

    def _actions_pj(
        self, gemm: Gemm, tiling: Tiling, outer_tiles: int, *, is_decode: bool
    ) -> float:
        machine = self.machine
        shorter = tiling.shortened(gemm, outer_tiles)
        jobs = tile_jobs(gemm, tiling, machine.path, machine.stores, outer_tiles)
        work = Work(
            gemm=shorter,
            path=machine.path,
            tiling=tiling,
            jobs=jobs,
            weight_bytes=planned_weight_bytes(jobs, machine, gemm, is_decode=is_decode),
            kept=shorter.tokens * machine.pattern.kept_count(gemm.in_features),
            nonzero=0,
            is_decode=is_decode,
            layer=gemm,
            found=planned_packing(jobs, machine, gemm, is_decode=is_decode),
        )
        return sum(
            number * self.action_pj[name][action]
            for name in machine.units
            for action, number in actions_of(machine, name, work).items()
        )
