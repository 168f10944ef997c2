"""Which dotted paths an architecture file may have, of any kind of unit."""

import pytest

from accelsim.config.keys import is_key


@pytest.mark.parametrize(
    "path",
    [
        "pattern",
        "schema",
        "mac_array.lanes",
        "buffers.weights.capacity_kib",
        "buffers.compressed.port_bytes",
        "crossbar.kind",
        "crossbar.pipeline_stages",
        "selector.instances",
        "selector",
        "technology.node_nm",
        "tiling.tokens",
        "tiling.objective",
        "epilogue.lanes",
        "dataflow",
        "units",
    ],
)
def test_keys(path):
    assert is_key(tuple(path.split(".")))


@pytest.mark.parametrize(
    "path",
    ["", "lanes", "mac_array.lane", "mac_array.lanes.x", "buffers.weights", "clock_mhz.x", "a.b.c"],
)
def test_other_paths(path):
    assert is_key(tuple(path.split("."))) is (path == "buffers.weights")
