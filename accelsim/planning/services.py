"""How long each stage serves each kind of job of many tilings, asked of the units themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from accelsim.mapping.tiling import TileBytes
from accelsim.planning.candidates import Candidates
from accelsim.planning.kinds import KINDS, JobKinds
from accelsim.planning.weights import planned_packing, planned_weight_bytes


@dataclass(frozen=True, slots=True)
class Services:
    """The stages of a machine at work on a layer, with their times under each of many tilings.

    Attributes:
        stages: that are present.
        busy: by stage, `[tilings, 27]`: cycles of a job of each kind.
        latency: by stage.
        resource: by stage, what it shares with others.
        fills: by buffer that is filled and that tilings know of, `[tilings, 27]`: how often jobs of
            each kind do that.
        slots: by such a buffer, `[tilings]`: tiles that it holds.
        kinds: the jobs.
        work: one job of each kind.
    """

    stages: list[Stage]
    busy: Mapping[str, Ints]
    latency: Mapping[str, int]
    resource: Mapping[str, str | None]
    fills: Mapping[str, Ints]
    slots: Mapping[str, Ints]
    kinds: JobKinds
    work: Work

    @property
    def spills(self) -> Flags:
        """Which tilings store partial sums after every job, `[tilings]`."""
        spills = np.reshape(self.work.jobs.spills, self.kinds.number.shape)
        flags: Flags = np.logical_or.reduce(spills, axis=1)
        return flags

    def filling(self) -> Iterator[tuple[Stage, str]]:
        """Yield the stages that fill buffers that tilings know of, and who reads each."""
        for stage in self.stages:
            if stage.fills in self.fills:
                yield stage, next(s.name for s in self.stages if stage.fills in s.reads)

    def held_up(self) -> Ints:
        """Return the cycles in which loads may be held up by a buffer of one slot, `[tilings]`.

        Such a buffer is filled again only after its tile has been used, and all that stands behind
        that load in program order waits as well.
        """
        cycles = np.zeros(len(self.kinds.number), np.int64)
        for stage, reader in self.filling():
            if stage.stream:
                used = (self.busy[reader] * self.kinds.number).sum(axis=1)
                cycles += used * (self.slots[stage.fills] == 1)
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
            found=planned_packing(kinds.jobs, machine, gemm, is_decode=is_decode),
        )
        stages = list(present_stages(machine, work))
        members = {stage.name: tuple(stage_members(machine, work, stage)) for stage in stages}
        shape = (len(candidates), KINDS)
        busy = {name: slowest(found).reshape(shape) for name, found in members.items()}
        for stage in stages:
            if stage.is_once:  # units charge the very first job; that is one of each tiling
                busy[stage.name][:, 0] = busy[stage.name][0, 0]
        known = slots_by_key(machine, gemm, candidates)
        fills, slots = {}, {}
        for stage in stages:
            buffer = machine.units.get(stage.fills)
            if isinstance(buffer, Buffer) and buffer.key in known:
                flags = buffer.fills(kinds.jobs).reshape(shape)
                fills[stage.fills], slots[stage.fills] = flags * kinds.number, known[buffer.key]
        latency = {name: latency_of(machine, work, found) for name, found in members.items()}
        resource = {name: resource_of(found) for name, found in members.items()}
        return cls(stages, busy, latency, resource, fills, slots, kinds, work)


def slots_by_key(machine: LayerMachine, gemm: Gemm, candidates: Candidates) -> dict[str, Ints]:
    """Return the tiles that each buffer holds, `[tilings]`, by the keys that tilings know."""
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
