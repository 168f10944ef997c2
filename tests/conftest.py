"""Common to all tests: reproducible Hypothesis, and a small trace with every awkward size."""

import pytest
from hypothesis import settings
from oracle.small import trace_of

# Examples are the same in every run, so that a red build is red for everyone; look for new ones
# with `pytest --hypothesis-profile=explore`.
settings.register_profile("accelsim", deadline=None, derandomize=True, max_examples=40)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("accelsim")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Keep selections out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELSIM_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def small_trace():
    """Three sequences, 21 tokens; layers that divide evenly, and layers that divide nowhere."""
    return trace_of([(64, 32), (100, 24), (37, 9), (256, 130)], lengths=(8, 6, 7))
