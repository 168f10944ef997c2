"""Points drawn at random, and points that Optuna asks for: the same whoever runs them."""

import json
import random
import time

import pytest
from sweeps_common import command, finished, rows_written, tables

import accelsim as acs
from accelsim.errors import InputError
from accelsim.sweeps.plan import load_plan
from accelsim.sweeps.run import run_plan
from accelsim.sweeps.search import random_points

pytest.importorskip("optuna")

AXES = {
    "mac_array.rows": [1, 2, 4, 8, 16, 32],
    "mac_array.lanes": [8, 16, 32],
    "crossbar.kind": ["full", "window", "logshift"],
    "dram.bandwidth_gb_per_s": {"from": 4, "to": 256, "factor": 2},
    "buffers.weights.capacity_kib": {"from": 0.5, "to": 256, "factor": 2},  # some are too small
}
SEARCH = {
    "axes": AXES,
    "mode": "optuna",
    "objectives": ["area_um2", "effective_tops"],
    "points": 24,
    "search": {"population": 8},
}


def test_random_points_are_different_and_as_many_as_asked_for(plan):
    made = plan(mode="random", points=50, axes=AXES)
    points = random_points(made)
    assert len(set(points)) == 50
    assert points == sorted(points)
    assert 0 <= points[0] < points[-1] < len(made.grid)
    assert random_points(plan(mode="random", points=50, axes=AXES, seed=1)) != points


def test_a_random_sweep_runs_those_points(plan, tmp_path):
    made = plan(mode="random", points=12, axes=AXES)
    summary = run_plan(made, tmp_path / "out")
    assert [row["point"] for row in sorted_rows(tmp_path / "out")] == random_points(made)
    assert summary.points == 12


def sorted_rows(folder):
    return sorted(rows_written(folder), key=lambda row: row["point"])


@pytest.mark.parametrize("sampler", ["nsga2", "tpe"])
def test_a_search_depends_neither_on_workers_nor_on_a_stop(sweep_file, tmp_path, sampler):
    keys = SEARCH | {"search": {"population": 8, "sampler": sampler}}
    plan = load_plan(sweep_file(**keys))
    summary = run_plan(plan, tmp_path / "whole")
    assert summary.search["trials"] == 24
    assert 0 < summary.search["hypervolume_share"] <= 1
    run_plan(plan, tmp_path / "two", workers=2)
    assert tables(tmp_path / "two") == tables(tmp_path / "whole")


def test_a_search_that_was_killed_goes_on_as_if_nothing_had_happened(sweep_file, tmp_path):
    file, chance = sweep_file(**SEARCH), random.Random(0)
    finished(command(file, "--out", tmp_path / "whole", "--workers", 1))
    total = len(rows_written(tmp_path / "whole"))
    killed, seen = tmp_path / "killed", 0
    for _ in range(2):
        process = command(file, "--out", killed, "--resume", "--workers", 1)
        _wait_for_rows(killed, min(total - 1, seen + chance.randrange(1, 15)))
        process.kill()
        process.communicate()
        seen = len(rows_written(killed))
    finished(command(file, "--out", killed, "--resume", "--workers", 1))
    assert tables(killed) == tables(tmp_path / "whole")
    assert len(rows_written(killed)) == total
    reports = [json.loads((f / "search.json").read_text()) for f in (killed, tmp_path / "whole")]
    assert reports[0] == reports[1]


def _wait_for_rows(folder, count):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        path = folder / "points.jsonl"
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.005)
    raise AssertionError("too few rows in a minute")


def test_a_finished_search_asks_for_nothing(plan, tmp_path):
    made = plan(**SEARCH)
    run_plan(made, tmp_path / "out")
    before = tables(tmp_path / "out")
    assert run_plan(made, tmp_path / "out", resume=True).run == 0
    assert tables(tmp_path / "out") == before


def test_a_search_that_was_killed_before_its_first_row_is_forgotten(plan, tmp_path, monkeypatch):
    out = tmp_path / "out"

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("accelsim.sweeps.run._Sweeper.complete", killed)
        with pytest.raises(KeyboardInterrupt):
            run_plan(plan(**SEARCH), out)
        owner = (out / "search.id").read_text()
        with pytest.raises(KeyboardInterrupt):
            run_plan(plan(**SEARCH), out)
    assert (out / "search.id").read_text() == owner  # the same search goes on
    (out / "search.db-journal").touch()
    edited = plan(**SEARCH | {"axes": {"mac_array.lanes": [8, 16]}, "points": 4})
    assert run_plan(edited, out).search["trials"] == 4
    assert (out / "search.id").read_text() != owner


def test_the_same_budget_at_random_is_compared(plan, tmp_path):
    keys = SEARCH | {"search": {"population": 8, "against_random": True}}
    summary = run_plan(plan(**keys), tmp_path / "out")
    report = summary.search
    assert report == json.loads((tmp_path / "out" / "search.json").read_text())
    assert report["random_points"] == report["trials"] == 24
    assert report["points"] <= 24
    assert 0 < report["random_hypervolume_share"] < 1


def test_constraints_guide_a_search(plan, tmp_path):
    made = plan(**SEARCH, constraints="effective_tops >= 0.5")
    summary = run_plan(made, tmp_path / "out")
    assert summary.statuses["excluded"] > 0
    assert summary.statuses["ok"] > 0


def test_two_folders_share_a_database(plan, tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    made = plan(**SEARCH | {"points": 12, "search": {"population": 4, "storage": url}})
    for name in ("one", "two"):
        assert run_plan(made, tmp_path / name).search["trials"] == 12
    import optuna

    study = optuna.load_study(study_name="small", storage=url)
    assert len(study.trials) == 24
    assert len({trial.user_attrs["owner"] for trial in study.trials}) == 2


def test_a_database_that_cannot_be_used(plan, tmp_path):
    made = plan(**SEARCH | {"search": {"storage": f"sqlite:///{tmp_path}/no/such/folder.db"}})
    with pytest.raises(InputError, match=r"search\.storage .*: cannot be used"):
        run_plan(made, tmp_path / "out")


def test_the_library_returns_a_frame(sweep_file, tmp_path):
    frame = acs.sweep(sweep_file(), out=tmp_path / "out")
    assert list(frame["point"]) == [0, 1, 2, 3]
    assert set(frame["mac_array.lanes"]) == {8, 16}
    assert (frame["cycles"] > 0).all()
    again = acs.sweep(sweep_file(), out=tmp_path / "out", resume=True)
    assert again.equals(frame)
