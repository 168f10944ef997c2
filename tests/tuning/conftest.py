"""A tiny comparison at equal area: two patterns and two areas, at one bandwidth."""

import pytest
import yaml

from accelsim.trace import TraceWriter
from accelsim.tuning.area_plan import load_area_plan
from accelsim.tuning.area_run import Chain, tune_base
from tests.tuning.test_tune import MACHINE, SPARSE, TRACE

PLAN = {
    "schema": 1,
    "reference": "dense.yaml",
    "bases": {"dense": "dense.yaml", "4:8": "sparse.yaml"},
    "shares": [0.5, 1],
    "bandwidths_gb_per_s": [8],
    "tuned_at_gb_per_s": 8,
    "trials": 16,
    "seeds": 1,
    "works": {"prefill": {"trace": "trace.npz"}},
}


def write_plan(folder, **keys):
    """Write a plan with its machines and its trace; keys of the plan may be others."""
    with TraceWriter(folder / "trace.npz") as writer:
        for key in TRACE.meta.inputs:
            writer.add(key, TRACE.source.read(key))
        writer.finish(TRACE.meta)
    files = {"dense": MACHINE, "sparse": SPARSE, "plan": PLAN | keys}
    for name, contents in files.items():
        text = yaml.safe_dump(contents, sort_keys=False)
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder / "plan.yaml"


def rows_of(plan_file, folder, seed=0):
    """Search in this process, as `run_area_plan` does in others."""
    folder.mkdir(exist_ok=True)
    plan = load_area_plan(plan_file)
    chain = Chain(plan_file, folder, plan.trials, "prefill", seed)
    for pattern in plan.bases:
        tune_base(chain, pattern)
    return chain.rows()


@pytest.fixture(scope="session")
def searched(tmp_path_factory):
    """A plan, the folder of its journals, and what was found."""
    folder = tmp_path_factory.mktemp("searched")
    plan = write_plan(folder)
    return plan, folder / "out", rows_of(plan, folder / "out")
