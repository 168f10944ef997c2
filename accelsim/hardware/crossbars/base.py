"""What every operand crossbar has in common: it feeds each multiplier the weight it needs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field
from typing_extensions import override

from accelsim.hardware.gates import Cost, mux, prefix_count, register
from accelsim.hardware.unit import Unit
from accelsim.registry import Registry
from accelsim.tech.technology import Technology
from accelsim.workload import Datapath, Ints, Work


class Crossbar(Unit):
    """Routes, for every row, column and lane, the weight of the kept activation to its multiplier.

    Timing:
        Keeps up with the array: busy = blocks × steps, latency = `pipeline_stages`.

    Actions:
        route: one weight moved to one multiplier through its pipeline registers, padding of a
        last group included.
        decode: one group's metadata turned into multiplexer controls, shared by all columns.
    """

    action_names: ClassVar[frozenset[str]] = frozenset({"route", "decode"})
    is_routing: ClassVar[bool] = True

    kind: str
    pipeline_stages: Annotated[int, Field(strict=True, ge=0, le=64)] = 1

    @abstractmethod
    def legs(self, path: Datapath) -> int:
        """Return the inputs of the multiplexer in front of one multiplier."""

    @override
    def busy_cycles(self, work: Work) -> Ints:
        return work.jobs.blocks(work.path) * work.path.steps(work.jobs.reduction)

    @override
    def latency_cycles(self, path: Datapath) -> int:
        return self.pipeline_stages

    @override
    def actions(self, work: Work) -> Mapping[str, int]:
        jobs, path = work.jobs, work.path
        routes = jobs.tokens * jobs.columns * path.slots(jobs.reduction)
        decodes = jobs.tokens * path.groups(jobs.reduction) * jobs.column_blocks(path)
        return {"route": int(routes.sum()), "decode": int(decodes.sum())}

    @override
    def energy_pj(self, tech: Technology, path: Datapath) -> Mapping[str, float]:
        return {
            "route": self._route(tech, path).energy_pj,
            "decode": self._decode(tech, path).energy_pj,
        }

    @override
    def area_um2(self, tech: Technology, path: Datapath) -> float:
        decoders = path.rows * path.groups_per_step
        routes = path.macs_per_cycle * self._route(tech, path).area_um2
        return routes + decoders * self._decode(tech, path).area_um2

    def _route(self, tech: Technology, path: Datapath) -> Cost:
        """Return one multiplexer, and the registers behind it if it is pipelined."""
        stages = self.pipeline_stages * register(tech, path.value_bits)
        return mux(tech, self.legs(path), path.value_bits) + stages

    def _decode(self, tech: Technology, path: Datapath) -> Cost:
        """Return a running count over the group: positions from a bitmask.

        An index format would need none; it is charged all the same, an upper bound.
        """
        return prefix_count(tech, path.group_size, path.kept_per_group)


CROSSBARS: Registry[Crossbar] = Registry("crossbar.kind")
