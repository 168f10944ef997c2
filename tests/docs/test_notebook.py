"""The tour runs from its first cell to its last, and is kept without what it prints."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOUR = ROOT / "experiments" / "tour.ipynb"


@pytest.fixture
def notebook():
    nbformat = pytest.importorskip("nbformat")
    return nbformat.read(TOUR, as_version=4)


def test_the_tour_has_no_outputs(notebook):
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells
    assert not any(cell.outputs or cell.execution_count for cell in cells)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the kernel's own machinery
def test_the_tour_runs_and_draws(notebook, monkeypatch, tmp_path):
    client = pytest.importorskip("nbclient")
    monkeypatch.setenv("ACCELSIM_CACHE_DIR", str(tmp_path))
    resources = {"metadata": {"path": str(TOUR.parent)}}
    client.NotebookClient(notebook, timeout=300, resources=resources).execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    assert sum("image/png" in out.get("data", {}) for out in outputs) >= 2
