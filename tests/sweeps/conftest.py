"""A small trace and machine, and sweeps of a few points over them."""

import pytest

from accelsim.sweeps.plan import load_plan
from accelsim.trace import TraceWriter
from tests.helpers.sweep_commands import write_sweep


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
        return write_sweep(tmp_path / name, trace, **keys)

    return _sweep_file


@pytest.fixture
def plan(sweep_file):
    """Write a sweep file and read it with all that it names."""
    return lambda **keys: load_plan(sweep_file(**keys))
