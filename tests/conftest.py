"""Common to all tests: reproducible Hypothesis, and a small trace with every awkward size."""

import os
import tempfile

import pytest
from hypothesis import settings

from tests.helpers.small import trace_of

# Examples are the same in every run, so that a red build is red for everyone; look for new ones
# with `pytest --hypothesis-profile=explore`.
settings.register_profile("accelsim", deadline=None, derandomize=True, max_examples=40)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("accelsim")


def pytest_sessionstart(session):
    """Temporary files and selections of all processes go where pytest cleans up.

    This is before the first import of torch; workers of xdist inherit it. Workers share the cores,
    so the processes that they start compute with one thread: those of OpenMP wait for each other
    by spinning, which took three times the CPU time of the whole command.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    patch = pytest.MonkeyPatch()
    session.config.add_cleanup(patch.undo)
    folders = session.config._tmp_path_factory
    patch.setenv("TMPDIR", str(folders.mktemp("tmp")))
    patch.setattr(tempfile, "tempdir", None)  # read again from the environment
    patch.setenv("ACCELSIM_CACHE_DIR", str(folders.mktemp("cache")))
    if session.config.getoption("numprocesses", None):
        patch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))


def pytest_xdist_auto_num_workers():
    """One process more than cores: many tests wait for others, or for the disk."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items):
    """Start files with slow tests first, so that no process is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def small_trace():
    """Three sequences, 21 tokens; layers that divide evenly, and layers that divide nowhere."""
    return trace_of([(64, 32), (100, 24), (37, 9), (256, 130)], lengths=(8, 6, 7))
