"""Machines that were tuned and are kept: which are tuned, where they go, and how they compare."""

import shutil

import pytest

from accelsim import studies
from accelsim.studies.tuned import TunedMachines, tuned_table
from tests.tuning.conftest import write_plan

SWEEP = """\
schema: 1
name: tuned
base: [tuned/dense.yaml, tuned/sparse.yaml]
traces: ../../traces/trace.npz
"""


@pytest.fixture(scope="module")
def machines(tmp_path_factory):
    """A project with two machines and a trace, and an experiment that tunes them."""
    root = tmp_path_factory.mktemp("project")
    for name in ("arch_configs", "traces", "experiments/one/tuned"):
        (root / name).mkdir(parents=True)
    beside = write_plan(root).parent
    for name in ("dense", "sparse"):
        text = (beside / f"{name}.yaml").read_text("utf-8").replace("name: roomy", f"name: {name}")
        (root / "arch_configs" / f"{name}.yaml").write_text(text, encoding="utf-8")
    shutil.move(beside / "trace.npz", root / "traces" / "trace.npz")
    sweep = root / "experiments" / "one" / "tuned.yaml"
    sweep.write_text(SWEEP, encoding="utf-8")
    tuned = TunedMachines(sweep)
    tuned.measure()
    return tuned


def test_the_machines_of_the_sweep_are_tuned(machines):
    files = sorted(path.name for path in (machines.sweep.parent / "tuned").iterdir())
    assert files == ["dense.yaml", "sparse.yaml"]
    names = [run["arch"]["name"] for run in machines.records()]
    assert names == ["dense_tuned", "sparse_tuned"]
    for run in machines.records():
        assert run["arch"]["buffers"]["weights"]["capacity_kib"] < 64  # of the file


def test_the_table_compares_with_the_tuned_dense_machine(machines):
    data = studies.Data({"tuned": machines.records()})
    dense, sparse = (run["totals"] for run in machines.records())
    _, _, first, second = tuned_table("tuned", ["4:8"]).text(data).splitlines()
    assert first.endswith("| 1.00× | 1.00× | +0.0% | 1.00× |")
    speed, area = (sparse[key] / dense[key] for key in ("cycles", "area_um2"))
    cells = [cell.strip() for cell in second.strip("|").split("|")]
    assert cells[0] == "4:8"
    assert cells[2] == f"{1 / speed:.2f}×"
    assert cells[4] == f"{area - 1:+.1%}"
    assert cells[5] == f"{1 / speed / area:.2f}×"
