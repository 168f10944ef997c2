"""What the tests of mapping share."""

import pytest

from tests.helpers.tiled_layers import path_of


@pytest.fixture(scope="session")
def path():
    """Make a datapath by pattern: 2 × 2 × 4, int8, unless told otherwise."""
    return path_of
