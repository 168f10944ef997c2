"""The block diagram that `run --explain` prints is the network that runs."""

import re

import pytest

from accelsim.report.diagram import drawing
from tests.helpers.small import layer_runs, load

MACHINES = ["dense", "nm24", "nm816", "nm816_bf16"]


def drawn(arch):
    """The stages of the drawing with what they always wait for, and on a condition."""
    text = drawing(arch.diagram, arch.units, arch.streams)
    stages, name = {}, ""
    for line in text.splitlines()[1:]:
        if re.match(r"  \S", line):
            name = line.strip().split(",")[0]
            stages[name] = (set(), set())
        elif line.startswith("    after "):
            for wait in line.removeprefix("    after ").split(", "):
                stage, _, condition = wait.partition(" where ")
                stages[name][bool(condition)].add(stage)
    return stages


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("batch", [None, 1])
def test_the_drawing_waits_as_the_network_does(name, batch):
    arch = load(name)
    stages = drawn(arch)
    ((_, run),) = layer_runs(arch, (8, 64, 32), batch=batch)[:1]
    waits = {stage.name: set(stage.inputs) for stage in run.pipeline.network.stages}
    assert set(stages) == set(waits)
    for stage, (always, sometimes) in stages.items():
        assert always <= waits[stage] <= always | sometimes, stage
    gathers = batch is not None and not arch.pattern.is_dense
    assert waits["weight_dma"] == ({"select"} if gathers else set())


def test_the_drawing_names_every_unit_once_and_where_it_stands():
    arch = load("nm816")
    text = drawing(arch.diagram, arch.units, arch.streams)
    for unit in arch.units:
        assert len(re.findall(rf"\b{unit}\b", text)) >= 1, unit
    assert "[compressed_buffer] + [weight_buffer] → crossbar → mac_array" in text
