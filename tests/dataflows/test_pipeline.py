"""The network of a piece of work: stages, rooms and orders follow from the diagram."""

import numpy as np
import pytest

from accelsim.accounting.breakdown import busy_totals
from accelsim.dataflows import DATAFLOWS
from accelsim.dataflows.diagram import Role
from accelsim.dataflows.pipeline import (
    actions_of,
    build_pipeline,
    present_stages,
    resource_cycles,
)
from accelsim.testing.machines import DRAM, MACHINES, machine_of
from tests.helpers.small import trace_of, works_of

PLAIN = DATAFLOWS["output_stationary"]
SPLIT = PLAIN.with_stream_on("weight_dma", "weight_dram")


def built(diagram, keys, batch=None):
    """Return the machine as a layer finds it, a piece of work, and its pipeline."""
    with machine_of(diagram, keys) as arch:
        work = works_of(arch, trace_of([(40, 24)], lengths=(7, 4)), batch=batch)[0]
        machine = arch.running()
        return machine, work, build_pipeline(machine, work)


@pytest.mark.parametrize("batch", [None, 2])
def test_a_dense_machine_has_neither_selection_nor_prologue(batch):
    machine, work, pipeline = built(PLAIN, MACHINES["dense"], batch)
    stages = {stage.name: stage for stage in pipeline.network.stages}
    assert list(stages) == ["activation_dma", "weight_dma", "compute", "output_dma"]
    assert stages["weight_dma"].inputs == ()
    assert stages["compute"].inputs == ("activation_dma", "weight_dma")
    assert [room.buffer for room in stages["activation_dma"].rooms] == ["activations"]
    assert [room.consumer for room in stages["activation_dma"].rooms] == ["compute"]
    assert [s.name for s in present_stages(machine, work)] == list(stages)


def test_a_sparse_one_has_both_and_gathers_at_decode_only():
    _, _, prefill = built(PLAIN, MACHINES["2:4"])
    _, _, decode = built(PLAIN, MACHINES["2:4"], batch=2)
    inputs = [
        {stage.name: stage.inputs for stage in pipeline.network.stages}
        for pipeline in (prefill, decode)
    ]
    assert prefill.once == decode.once == "prologue"
    assert inputs[0]["select"] == ("prologue", "activation_dma")
    assert inputs[0]["weight_dma"] == ()
    assert inputs[1]["weight_dma"] == ("select",)


def test_members_have_roles_and_the_slowest_sets_the_pace():
    _, _, pipeline = built(PLAIN, MACHINES["2:4"])
    for stage in pipeline.network.stages:
        members = pipeline.members[stage.name]
        slowest = np.maximum.reduce([np.broadcast_to(m.busy, stage.busy.shape) for m in members])
        assert np.array_equal(stage.busy, slowest)
        streams = [member for member in members if member.role is Role.STREAM]
        assert [member.resource for member in streams] == [stage.resource] * len(streams)
    name, array = pipeline.array
    assert (name, array.unit, array.role) == ("compute", "mac_array", Role.COMPUTE)
    assert pipeline.stage_of["output_buffer"] == "compute"  # the port towards the array


def test_two_resources_have_an_order_and_a_bound_each():
    machine, work, pipeline = built(SPLIT, MACHINES["dense"])
    jobs = work.jobs
    orders = pipeline.network.order
    loads = np.flatnonzero(jobs.loads_weights).tolist()
    assert list(orders["weight_dram"]) == [("weight_dma", job) for job in loads]
    assert {name for name, _ in orders["dram"]} == {"activation_dma", "output_dma"}
    totals = busy_totals(pipeline)
    for name, streams in {"dram": ("x", "y"), "weight_dram": ("w",)}.items():
        channel = machine.units[name]
        cycles = sum(
            int(channel.transfer_cycles(channel.moved_bytes(s, work), clock_mhz=1000).sum())
            for s in streams
        )
        assert totals[name] == int(resource_cycles(machine, name, work).sum()) == cycles
    assert actions_of(machine, "weight_dram", work)["write_bytes"] == 0
    assert actions_of(machine, "dram", work)["write_bytes"] > 0
    whole = {"read_bytes": 0, "write_bytes": 0}
    for name in ("dram", "weight_dram"):
        whole = {k: n + actions_of(machine, name, work)[k] for k, n in whole.items()}
    one = actions_of(built(PLAIN, MACHINES["dense"])[0], "dram", work)
    assert whole == one


def test_a_faster_channel_of_its_own_is_faster():
    slow, fast = (
        {**MACHINES["dense"], "units": {"weight_dram": {"kind": "dram", **DRAM, **rate}}}
        for rate in ({}, {"bandwidth_gb_per_s": 16})
    )
    busy = [busy_totals(built(SPLIT, keys)[2])["weight_dram"] for keys in (slow, fast)]
    assert busy[1] < busy[0] <= 2 * busy[1]


def test_a_buffer_is_charged_on_the_side_of_the_array():
    _, _, pipeline = built(PLAIN, MACHINES["dense"])
    charged = {m.unit: stage for stage, ms in pipeline.members.items() for m in ms if m.is_charged}
    assert charged["activation_buffer"] == charged["output_buffer"] == "compute"
    ports = [m for m in pipeline.members["activation_dma"] if m.role is Role.PORT]
    assert [port.is_charged for port in ports] == [False]
