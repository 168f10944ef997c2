"""The block diagram: which units move in lockstep, and how stages are joined.

    dram ─► prologue ─────────────────────────────┐
    dram ─► activation_dma ─► [activations] ─► select ─► [compressed] ─► compute ─► [outputs]
    dram ─► weight_dma ─────► [weights] ───────────────────────────────────┘           │
    dram ◄─────────────────────────────────────────────────────────── output_dma ◄─────┘

Units of a stage stream into each other word by word, so they share one start and one end a tile and
the slowest sets the pace. Brackets are buffers: they hold a few tiles and join the stages. The
prologue has one job: what a pruning method must know before the first tile is selected.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accelsim.config import Architecture
from accelsim.engine import Network, Room, Stage, check_cycles, program_order
from accelsim.hardware.buffer import Buffer
from accelsim.mapping import Datapath, Ints, Work, slot_releases
from accelsim.mapping.datapath import stacked
from accelsim.mapping.tiling import TileBytes, store_lag


@dataclass(frozen=True, slots=True)
class Member:
    """A unit in a stage. `is_charged` is false for the far port of a buffer: it only limits."""

    unit: str
    busy: Ints
    is_charged: bool = True

    @property
    def is_stream(self) -> bool:
        """Whether this is a stream of the DRAM channel."""
        return self.unit.endswith("_dma")


@dataclass(frozen=True, slots=True)
class Machine:
    """A network, and the units behind each of its stages in the order of the data flow."""

    network: Network
    members: dict[str, tuple[Member, ...]]

    @property
    def units(self) -> tuple[str, ...]:
        """Every unit that has a ledger: the channel, and the charged units in order of the flow."""
        return ("dram", *self.stage_of)

    @property
    def stage_of(self) -> dict[str, str]:
        """The stage in which each unit is charged."""
        return {
            member.unit: stage
            for stage, members in self.members.items()
            for member in members
            if member.is_charged
        }


def build_machine(arch: Architecture, work: Work) -> Machine:
    """Return the network of `arch` with the service times of one layer.

    Raises:
        InputError: its runs may take more cycles than are counted.
    """
    members = _members(arch, work)
    rooms = _rooms(arch, work)
    inputs = _inputs(arch, work, has_prologue="prologue" in members)
    stages = {
        name: Stage(
            name,
            busy=stacked([member.busy for member in group]).max(axis=-2),
            inputs=inputs.get(name, ()),
            rooms=rooms.get(name, ()),
            latency=_latency(arch, work.path, name, group),
            resource="dram" if any(member.is_stream for member in group) else None,
        )
        for name, group in members.items()
    }
    # Weights that depend on a selection follow the next tile's activations, so that the selection
    # of the next tile overlaps the fetch for this one. Stores lag behind both.
    store_delay = store_lag(work.tiling, work.gemm, work.path, arch.stores)
    weight_lag = 1 if "select" in inputs.get("weight_dma", ()) else 0
    first = [(stages["prologue"], 0)] if "prologue" in stages else []
    order = program_order(
        [
            *first,
            (stages["activation_dma"], 0),
            (stages["weight_dma"], weight_lag),
            (stages["output_dma"], store_delay + weight_lag),
        ]
    )
    network = Network(tuple(stages.values()), {"dram": order})
    check_cycles(float(np.sum(network.bound_cycles * work.repeats)))
    return Machine(network, members)


def _members(arch: Architecture, work: Work) -> dict[str, tuple[Member, ...]]:
    """Return the units of each stage; stages in topological order."""
    buffers, dram, clock = arch.buffers, arch.dram, work.path.clock_mhz

    def stream(name: str, size_bytes: Ints) -> Member:
        return Member(name, dram.transfer_cycles(size_bytes, clock_mhz=clock))

    def near(name: str, unit: Buffer) -> Member:
        return Member(name, unit.busy_cycles(work))

    def far(name: str, cycles: Ints) -> Member:
        return Member(name, cycles, is_charged=False)

    helping = {
        name: (Member(name, unit.busy_cycles(work)),)
        for name, unit in arch.method_units.items()
        if unit.asked(work.path.demands)
    }

    def helper(name: str) -> tuple[Member, ...]:
        return helping.get(name, ())

    activations = near("activation_buffer", buffers.activations)
    prologue: dict[str, tuple[Member, ...]] = {}
    select: dict[str, tuple[Member, ...]] = {}
    source = activations
    if dram.prologue_bytes(work).any():
        loading = stream("prologue_dma", dram.prologue_bytes(work))
        prologue = {"prologue": (loading, *helper("statistics"))}
    if arch.selector is not None and buffers.compressed is not None:
        selector = Member("selector", arch.selector.busy_cycles(work))
        filling = far("compressed_buffer", buffers.compressed.write_cycles(work))
        before = (*helper("pre_shifter"), *helper("pre_scaler"))
        select = {"select": (activations, *before, selector, *helper("moments"), filling)}
        source = near("compressed_buffer", buffers.compressed)
    routing = arch.crossbar.is_routing
    crossbar = (Member("crossbar", arch.crossbar.busy_cycles(work)),) if routing else ()
    return {
        **prologue,
        "activation_dma": (
            stream("activation_dma", dram.activation_bytes(work)),
            far("activation_buffer", buffers.activations.write_cycles(work)),
        ),
        **select,
        "weight_dma": (
            stream("weight_dma", dram.weight_bytes(work)),
            far("weight_buffer", buffers.weights.write_cycles(work)),
        ),
        "compute": (
            source,
            near("weight_buffer", buffers.weights),
            *crossbar,
            Member("mac_array", arch.mac_array.busy_cycles(work)),
            *helper("epilogue"),
            near("output_buffer", buffers.outputs),
        ),
        "output_dma": (
            far("output_buffer", buffers.outputs.drain_cycles(work)),
            stream("output_dma", dram.output_bytes(work)),
        ),
    }


def _inputs(arch: Architecture, work: Work, *, has_prologue: bool) -> dict[str, tuple[str, ...]]:
    """Return what each stage waits for."""
    if arch.selector is None:
        return {"compute": ("activation_dma", "weight_dma"), "output_dma": ("compute",)}
    inputs: dict[str, tuple[str, ...]] = {
        "select": ("prologue", "activation_dma") if has_prologue else ("activation_dma",),
        "compute": ("select", "weight_dma"),
        "output_dma": ("compute",),
    }
    if work.is_decode:  # which weight rows to fetch is known once the tile is selected
        inputs["weight_dma"] = ("select",)
    return inputs


def _latency(arch: Architecture, path: Datapath, stage: str, members: tuple[Member, ...]) -> int:
    """Return the pipeline depth of a stage: the sum over its units. Nobody waits for a store."""
    if stage == "output_dma":
        return 0
    units = arch.units
    charged = [member for member in members if member.is_charged]
    parts = [arch.dram if member.is_stream else units[member.unit] for member in charged]
    return sum(unit.latency_cycles(path) for unit in parts)


def _rooms(arch: Architecture, work: Work) -> dict[str, tuple[Room, ...]]:
    """Return the buffer slots that each stage must find free."""
    jobs, stores = work.jobs, arch.stores
    size = TileBytes.of(work.tiling, work.gemm, work.path)
    reader, reads = ("compute", None) if arch.selector is None else ("select", jobs.selects)
    activations = slot_releases(
        jobs.loads_activations,
        jobs.activation_tile,
        slots=stores.activations.slots(size.activations),
        uses=reads,
    )
    weights = slot_releases(
        jobs.loads_weights, jobs.weight_tile, slots=stores.weights.slots(size.weights)
    )
    outputs = slot_releases(
        jobs.first_reduction, jobs.output_tile, slots=stores.outputs.slots(size.outputs)
    )
    rooms: dict[str, tuple[Room, ...]] = {
        "activation_dma": (Room(reader, activations, "activations"),),
        "weight_dma": (Room("compute", weights, "weights"),),
        "compute": (Room("output_dma", outputs, "outputs"),),
    }
    if stores.compressed is not None:
        slots = stores.compressed.slots(size.compressed)
        compressed = slot_releases(jobs.selects, jobs.activation_tile, slots=slots)
        rooms["select"] = (Room("compute", compressed, "compressed"),)
    return rooms
