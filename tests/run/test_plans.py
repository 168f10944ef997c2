"""What `--explain` tells of tiles is what ran."""

import pytest

from accelsim import simulate
from accelsim.mapping.tiling import describe
from accelsim.run.plans import layer_plans
from accelsim.run.runner import Runner
from accelsim.run.simulation import decode_steps
from accelsim.trace import load_trace
from tests.helpers.small import SHIPPED_TRACE, changed, load


@pytest.fixture(scope="module")
def trace():
    return load_trace(SHIPPED_TRACE)


def searched(name):
    return changed(load(name), {"tiling": "auto"})


@pytest.mark.parametrize("layers", ["chained", "isolated"])
@pytest.mark.parametrize(("phase", "batch"), [("prefill", None), ("decode", 8)])
def test_plans_are_of_the_products_that_run(trace, layers, phase, batch, monkeypatch):
    """Sizes and tiles of the products that the run itself asked for, no more and no fewer."""
    arch, ran = searched("dense"), set()
    real = Runner.run

    def run(self, work, *rest):
        if not self._is_brief:  # the others run layers one by one, to compare
            ran.add((work.layer or work.gemm, describe(work.tiling)))
        return real(self, work, *rest)

    monkeypatch.setattr(Runner, "run", run)
    simulate(arch, trace, phase=phase, batch=batch, layers=layers)
    plans = list(layer_plans(arch, trace, None, decode_steps(trace, phase, batch), layers))
    assert {plan.gemm for plan in plans} == {gemm for gemm, _ in ran}
    kinds = [plan.kind for plan in plans]
    assert ("q+k+v_proj" in kinds) == (layers == "chained")


def test_what_is_left_is_not_what_is_over_the_tiles_own_bound(trace):
    """The bound of the chosen tile has its own cause; what another one could save is another."""
    for plan in layer_plans(searched("nm816"), trace, None, None, "chained"):
        assert plan.over_bound >= 0
        assert 0 <= plan.left <= 0.01
        assert plan.bound_by
