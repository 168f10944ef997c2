"""How long each stage serves each kind of job of many tilings, asked of the units themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.dataflows.pipeline import (
    latency_of,
    present_stages,
    resource_of,
    slowest,
    stage_members,
)
from accelsim.dataflows.stages import Stage
from accelsim.hardware import Buffer
from accelsim.mapping import Gemm, Ints, Work
from accelsim.mapping.jobs import Flags
from accelsim.planning.candidates import Candidates
from accelsim.planning.kinds import KINDS, JobKinds
from accelsim.planning.weights import planned_weight_bytes


@dataclass(frozen=True, slots=True)
class Services:
    """The stages of a machine at work on a layer, with their times under each of many tilings.

    Attributes:
        stages: that are present.
        busy: by stage, `[tilings, 27]`: cycles of a job of each kind.
        latency: by stage.
        resource: by stage, what it shares with others.
        fills: by buffer that is filled, `[tilings, 27]`: how often jobs of each kind do that.
        keys: by buffer, its key in `buffers`.
        kinds: the jobs.
        work: one job of each kind.
    """

    stages: list[Stage]
    busy: Mapping[str, Ints]
    latency: Mapping[str, int]
    resource: Mapping[str, str | None]
    fills: Mapping[str, Ints]
    keys: Mapping[str, str]
    kinds: JobKinds
    work: Work

    @property
    def spills(self) -> Flags:
        """Which tilings store partial sums after every job, `[tilings]`."""
        spills = np.reshape(self.work.jobs.spills, self.kinds.number.shape)
        flags: Flags = np.logical_or.reduce(spills, axis=1)
        return flags

    def held_up(self, slots: Mapping[str, Ints]) -> Ints:
        """Return the cycles in which loads may be held up by a buffer of one slot, `[tilings]`.

        Such a buffer is filled again only after its tile has been used, and all that stands behind
        that load in program order waits as well.

        Args:
            slots: by the key of a buffer, `[tilings]`.
        """
        cycles = np.zeros(len(self.kinds.number), np.int64)
        for stage in (stage for stage in self.stages if stage.stream and stage.fills in self.fills):
            reader = next(other.name for other in self.stages if stage.fills in other.reads)
            used = (self.busy[reader] * self.kinds.number).sum(axis=1)
            cycles += used * (slots[self.keys[stage.fills]] == 1)
        return cycles

    @classmethod
    def of(
        cls, machine: LayerMachine, gemm: Gemm, candidates: Candidates, *, is_decode: bool
    ) -> Services:
        """Ask the units of a machine.

        Args:
            machine: as the layer finds it.
            gemm: the layer.
            candidates: its tilings.
            is_decode: whether it is a decode step; the rows of W that it fetches are then those
                that it is expected to keep, see `planned_weight_bytes`.
        """
        kinds = JobKinds.of(candidates, gemm, machine.path, machine.stores)
        work = Work(
            gemm=gemm,
            path=machine.path,
            tiling=candidates.tiling(0),
            jobs=kinds.jobs,
            weight_bytes=planned_weight_bytes(kinds.jobs, machine, gemm, is_decode=is_decode),
            kept=0,
            nonzero=0,
            is_decode=is_decode,
        )
        stages = list(present_stages(machine, work))
        members = {stage.name: tuple(stage_members(machine, work, stage)) for stage in stages}
        shape = (len(candidates), KINDS)
        busy = {name: slowest(found).reshape(shape) for name, found in members.items()}
        for stage in stages:
            if stage.is_once:  # units charge the very first job; that is one of each tiling
                busy[stage.name][:, 0] = busy[stage.name][0, 0]
        fills, keys = {}, {}
        for stage in stages:
            buffer = machine.units.get(stage.fills)
            if isinstance(buffer, Buffer):
                flags = buffer.fills(kinds.jobs).reshape(shape)
                fills[stage.fills], keys[stage.fills] = flags * kinds.number, buffer.key
        latency = {name: latency_of(machine, work, found) for name, found in members.items()}
        resource = {name: resource_of(found) for name, found in members.items()}
        return cls(stages, busy, latency, resource, fills, keys, kinds, work)
