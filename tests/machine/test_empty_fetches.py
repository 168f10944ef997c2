"""Decode steps in which a tile of weights is not fetched at all, next to steps in which it is."""

from dataclasses import dataclass

import numpy as np
import pytest

from accelsim import simulate
from accelsim.engine import Network, Stage
from accelsim.sparsity.patterns.nm import NM
from tests.helpers.small import changed, load, tile, trace_of


@dataclass(frozen=True)
class Alive(NM):
    """2:4, but zeros are never kept: groups of zeros need no weights."""

    def keep(self, values):
        return super().keep(values) & (values != 0)


@pytest.mark.parametrize("engine", ["recurrence", "simpy"])
@pytest.mark.parametrize("batch", [1, 2])
def test_steps_together_are_steps_one_by_one(engine, batch):
    """The first 64 of 128 values of every third token are zero: its first tile fetches nothing."""
    values = np.random.default_rng(0).integers(1, 127, (12, 128)).astype(np.int8)
    values[::3, :64] = 0
    trace = trace_of([(128, 48)], lengths=(12,), arrays={"layers.0.x": values})
    changes = {"pattern": Alive(2, 4), "tiling": tile(1, 64, 24), "selector.instances": 16}
    arch = changed(load("nm816"), changes)
    flags = {"phase": "decode", "batch": batch, "engine": engine}
    seen = []
    watched = simulate(arch, trace, observer=lambda _, work, __: seen.append(work), **flags)
    together = simulate(arch, trace, **flags)
    assert together.to_dict() == watched.to_dict()
    if batch == 1:
        fetches = {tuple((work.weight_bytes > 0).tolist()) for work in seen}
        assert len(fetches) == 2


def test_a_network_refuses_runs_of_different_work():
    with pytest.raises(ValueError, match="stage a: a job has work in some runs only"):
        Network((Stage("a", np.array([[1, 2], [1, 0]])),))
