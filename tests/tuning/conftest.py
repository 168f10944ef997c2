"""A tiny comparison at equal area: two patterns and two areas, at one bandwidth."""

from concurrent.futures import Future
from contextlib import contextmanager

import pytest
import yaml

from accelsim.testing.traces import trace_of
from accelsim.trace import TraceWriter
from accelsim.tuning import area_climb, area_run
from tests.tuning.test_tune import MACHINE, SPARSE

AREA_TRACE = trace_of([(32, 64)], lengths=(16, 8))

PLAN = {
    "schema": 1,
    "reference": "dense.yaml",
    "bases": {"dense": "dense.yaml", "4:8": "sparse.yaml"},
    "shares": [0.5, 1],
    "bandwidths_gb_per_s": [8, 16],
    "tuned_at_gb_per_s": 8,
    "trials": 6,
    "seeds": 1,
    "works": {"prefill": {"trace": "trace.npz"}},
}


def write_plan(folder, **keys):
    """Write a plan with its machines and its trace; keys of the plan may be others."""
    with TraceWriter(folder / "trace.npz") as writer:
        for key in AREA_TRACE.meta.inputs:
            writer.add(key, AREA_TRACE.source.read(key))
        writer.finish(AREA_TRACE.meta)
    files = {"dense": MACHINE, "sparse": SPARSE, "plan": PLAN | keys}
    for name, contents in files.items():
        text = yaml.safe_dump(contents, sort_keys=False)
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder / "plan.yaml"


@contextmanager
def here(_):
    """Yield a function that runs each call in this process, at once."""

    def submit(job, *arguments):
        done = Future()
        done.set_result(job(*arguments))
        return done

    yield submit


def rows_of(plan, folder, **options):
    """Search in this process; what it remembers of other folders is forgotten."""
    for remembered in (area_climb._journal, area_climb._workload):
        remembered.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(area_run, "processes", here)
        return area_run.run_area_plan(plan, folder, note=str, **options)


@pytest.fixture(scope="session")
def searched(tmp_path_factory):
    """A plan, the folder of its journal, and what was found."""
    folder = tmp_path_factory.mktemp("searched")
    plan = write_plan(folder)
    return plan, folder / "out", rows_of(plan, folder / "out")
