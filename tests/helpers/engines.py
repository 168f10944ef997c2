"""Every way to run a network, which must all say the same."""

from contextlib import contextmanager
from unittest.mock import patch

import numpy as np

from accelsim.base import compiled
from accelsim.base.errors import DeadlockError
from accelsim.engine import recurrence, simpy_engine
from accelsim.sparsity.patterns import nm


@contextmanager
def loops(*, are_compiled):
    """Compile every loop of the package, or none; yield the mock that says so."""
    with (
        patch.object(compiled, "pays", return_value=are_compiled) as answer,
        patch.object(nm, "pays", answer),
    ):
        yield answer


def _recurrence(network, *, is_compiled):
    with loops(are_compiled=is_compiled):
        return recurrence.run(network)


def outcome(run, *args, **flags):
    """Return (times, None), or (None, message) of a deadlock."""
    try:
        return run(*args, **flags), None
    except DeadlockError as error:
        return None, str(error)


def run_everywhere(network):
    """Run on SimPy, and on the recurrence interpreted and compiled; return the times if all agree.

    Raises the deadlock that all report, if they do.
    """
    times, message = outcome(simpy_engine.run, network)
    for is_compiled in (False, True):
        found, complaint = outcome(_recurrence, network, is_compiled=is_compiled)
        assert complaint == message
        if times is not None:
            assert np.array_equal(found.cycles, times.cycles)
            assert np.array_equal(found.table, times.table)
            assert found.stages.keys() == times.stages.keys()
    if times is None:
        raise DeadlockError(message)
    return times
