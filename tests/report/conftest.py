"""Machines for reports, and runs of the small trace on them."""

from pathlib import Path

import pytest

from accelsim.config import load_arch
from accelsim.run.simulation import simulate

FOLDER = Path(__file__).parents[2] / "arch_configs"


@pytest.fixture(scope="session")
def arch():
    """Load a shipped machine with keys replaced."""
    return lambda name, *overrides: load_arch(FOLDER / f"{name}.yaml", overrides)


@pytest.fixture(scope="session")
def observed(small_trace):
    """Simulate the small trace while a reporter looks on; return the result."""

    def _observed(machine, reporter, **flags):
        return simulate(machine, small_trace, observer=reporter.add, **flags)

    return _observed
