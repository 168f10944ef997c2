"""A layer asks its machine once: for its method, and for its tile."""

import pytest

from accelsim import simulate
from accelsim.config import Architecture
from accelsim.planning import Planner
from accelsim.run.runner import Runner
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.policy import Method
from tests.helpers.small import load, trace_of


@pytest.fixture
def asked(monkeypatch):
    """What was asked of machines, in order."""
    calls = []

    def watch(kind, name):
        real = getattr(kind, name)

        def asking(self, *args, **options):
            calls.append(name)
            return real(self, *args, **options)

        monkeypatch.setattr(kind, name, asking)

    watch(Planner, "tile")
    watch(Architecture, "running")
    return calls


@pytest.mark.parametrize(("phase", "batch"), [("prefill", None), ("decode", 2)])
def test_a_layer_asks_once_for_its_tile_and_a_method_once_for_its_machine(asked, phase, batch):
    """Three layers in one way of pruning: three tiles, and the machine as that way sets it."""
    trace = trace_of([(64, 32), (64, 48), (32, 64)], lengths=(6,))
    simulate(load("nm816"), trace, phase=phase, batch=batch, layers="isolated")
    assert asked.count("tile") == 3
    assert asked.count("running") == 1


def test_machines_of_methods_are_kept_apart():
    runner = Runner(load("nm816"))
    dense, sparse = (runner.machine(Method(parse_pattern(p))) for p in ("dense", "8:16"))
    assert not dense.path.is_sparse
    assert sparse.path.is_sparse
    assert runner.machine(Method(parse_pattern("dense"))) is dense
