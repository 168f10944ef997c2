"""The port of a buffer that faces away from the array limits the stage that fills or drains it."""

import pytest

from tests.helpers.small import changed, layer_runs, load, tile


def stage_cycles(name, changes, stage, shape=(8, 64, 64)):
    arch = changed(load(name), changes | {"tiling": tile(*shape)})
    ((_, run),) = layer_runs(arch, shape)
    times = run.times.stages[stage]
    return (times.finish - times.start).tolist()


def test_loading_activations_takes_as_long_as_the_slower_of_dram_and_port():
    # 8 × 64 bytes: 8 cycles of DRAM at 64 bytes, 64 through a port of 8.
    assert stage_cycles("dense", {}, "activation_dma") == [8]
    narrow = {"buffers.activations.port_bytes": 8}
    assert stage_cycles("dense", narrow, "activation_dma") == [64]


def test_loading_weights_takes_as_long_as_the_slower_of_dram_and_port():
    # 64 × 64 bytes: 64 cycles of DRAM, 512 through a port of 8.
    assert stage_cycles("dense", {}, "weight_dma") == [64]
    assert stage_cycles("dense", {"buffers.weights.port_bytes": 8}, "weight_dma") == [512]


def test_storing_outputs_takes_as_long_as_the_slower_of_dram_and_port():
    # 8 × 64 bytes: 8 cycles of DRAM, 64 through a port of 8.
    assert stage_cycles("dense", {}, "output_dma") == [8]
    assert stage_cycles("dense", {"buffers.outputs.port_bytes": 8}, "output_dma") == [64]


@pytest.mark.parametrize(
    ("metadata", "row_bytes"),
    [
        ("bitmask", 2 * (16 + 4)),  # two groups of 16 values and 32 bits
        ("index", 2 * (16 + 10)),  # and 16 × 5 bits
    ],
)
def test_selecting_takes_as_long_as_writing_values_and_metadata(metadata, row_bytes):
    # Eight rows through a port of 4, against 8 × 2 groups / 2 selectors = 8 cycles.
    changes = {"format": metadata, "buffers.compressed.port_bytes": 4}
    assert stage_cycles("nm1632", changes, "select") == [8 * row_bytes // 4]


def test_reading_activations_may_limit_the_selector():
    # 8 × 64 bytes through a port of 8, against 8 × 4 groups / 4 selectors = 8 cycles.
    assert stage_cycles("nm816", {}, "select") == [8]
    assert stage_cycles("nm816", {"buffers.activations.port_bytes": 8}, "select") == [64]
