"""A small trace and machine, and sweeps of a few points over them."""

import pytest
import yaml

from accelsim.sweeps.plan import load_plan
from accelsim.trace import TraceWriter
from tests.helpers.sweep_commands import ARCHS


@pytest.fixture(scope="session")
def trace(small_trace, tmp_path_factory):
    """The small trace as a file: 3 sequences of 8, 6 and 7 tokens, 4 layers."""
    path = tmp_path_factory.mktemp("sweeps") / "t.npz"
    with TraceWriter(path) as writer:
        for key in small_trace.meta.inputs:
            writer.add(key, small_trace.source.read(key))
        writer.finish(small_trace.meta)
    return path


@pytest.fixture
def sweep_file(tmp_path, trace):
    """Write a sweep file; keys given replace those of a plain one, None removes a key."""

    def _sweep_file(name="sweep.yaml", **keys):
        plain = {
            "schema": 1,
            "name": "small",
            "base": str(ARCHS / "nm816.yaml"),
            "traces": str(trace),
            "axes": {"mac_array.lanes": [8, 16], "dram.bandwidth_gb_per_s": [16, 64]},
        }
        data = {key: value for key, value in (plain | keys).items() if value is not None}
        path = tmp_path / name
        path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
        return path

    return _sweep_file


@pytest.fixture
def plan(sweep_file):
    """Write a sweep file and read it with all that it names."""
    return lambda **keys: load_plan(sweep_file(**keys))
