"""However a sweep is run, killed and resumed: the same bytes, and nothing twice."""

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from accelsim.base.errors import InputError
from accelsim.sweeps import local, run
from accelsim.sweeps.folder import open_results, read_rows
from accelsim.sweeps.local import Processes, chunks
from accelsim.sweeps.plan import load_plan
from accelsim.sweeps.run import run_plan
from accelsim.sweeps.task import Bench
from tests.helpers.sweep_commands import command, rows_written, tables

AXES = {
    "mac_array.lanes": [8, 16, 0],  # one is no machine
    "dram.bandwidth_gb_per_s": {"from": 4, "to": 64, "factor": 2},
    "crossbar.kind": ["full", "window"],
    "technology.node_nm": [45, 22],
}
POINTS = 3 * 5 * 2 * 2


@pytest.fixture
def made(plan):
    return plan(axes=AXES, objectives=["area_um2", "effective_tops"])


@pytest.fixture
def undisturbed(made, tmp_path):
    """The tables of a sweep in one process."""
    run_plan(made, tmp_path / "undisturbed")
    return tables(tmp_path / "undisturbed")


def test_one_process_and_two_write_the_same_bytes(made, tmp_path, undisturbed):
    summary = run_plan(made, tmp_path / "two", workers=2)
    assert tables(tmp_path / "two") == undisturbed
    assert summary.statuses == {"ok": 40, "invalid": 20}
    assert summary.run == 40


def test_the_header_says_what_was_swept(made, tmp_path, undisturbed):  # noqa: ARG001
    header, rows = read_rows(tmp_path / "undisturbed")
    assert header["points_in_space"] == len(rows) == POINTS
    assert header["bases"]["nm816"]["pattern"] == "8:16"
    assert [row["point"] for row in rows] == list(range(POINTS))


def test_tables_read_back(tmp_path, undisturbed):  # noqa: ARG001
    import pandas as pd

    folder = tmp_path / "undisturbed"
    parquet, text = pd.read_parquet(folder / "results.parquet"), pd.read_csv(folder / "results.csv")
    assert len(parquet) == len(text) == POINTS
    assert list(parquet.columns) == list(text.columns)
    done = parquet[parquet["status"] == "ok"]
    assert done["cycles"].dtype.kind in "if"
    # Older versions of pandas read the last digit of a text differently.
    read = text[text["status"] == "ok"]["energy_pj"].tolist()
    assert read == pytest.approx(done["energy_pj"].tolist(), rel=1e-15)


@pytest.fixture
def counted(monkeypatch):
    """Count the points that are simulated in this process."""
    points = []
    real = Bench.run
    monkeypatch.setattr(Bench, "run", lambda self, point: points.append(point) or real(self, point))
    return points


def test_a_finished_sweep_runs_nothing_again(made, tmp_path, counted, undisturbed):
    assert len(counted) == 40
    summary = run_plan(made, tmp_path / "undisturbed", resume=True)
    assert (len(counted), summary.run) == (40, 0)
    assert tables(tmp_path / "undisturbed") == undisturbed


def test_resuming_runs_what_is_missing(made, tmp_path, counted, undisturbed):
    folder = tmp_path / "undisturbed"
    lines = (folder / "points.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "points.jsonl").write_bytes(b"".join(lines[:30]) + lines[30][:20])  # torn
    kept = [json.loads(line)["point"] for line in lines[:30]]
    counted.clear()
    run_plan(made, folder, resume=True)
    assert not set(counted) & set(kept)
    assert tables(folder) == undisturbed
    assert len(rows_written(folder)) == POINTS


def test_what_failed_is_tried_again(made, tmp_path, monkeypatch, undisturbed):
    with monkeypatch.context() as patch:
        patch.setattr("accelsim.sweeps.task.totals_of", lambda *_: 1 / 0)
        summary = run_plan(made, tmp_path / "again")
        assert summary.statuses == {"failed": 40, "invalid": 20}
    assert tables(tmp_path / "again") != undisturbed
    run_plan(made, tmp_path / "again", resume=True)
    assert tables(tmp_path / "again") == undisturbed


def test_a_folder_with_results_needs_resume(made, tmp_path, undisturbed):  # noqa: ARG001
    with pytest.raises(InputError, match="--resume completes it"):
        run_plan(made, tmp_path / "undisturbed")


def test_a_folder_of_another_sweep_is_refused(plan, tmp_path, undisturbed):  # noqa: ARG001
    with pytest.raises(InputError, match="is of another sweep"):
        run_plan(plan(), tmp_path / "undisturbed", resume=True)


def test_a_folder_of_something_else_is_refused(made, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(InputError, match="is not empty and holds no sweep"):
        run_plan(made, tmp_path / "full", resume=True)


def test_a_sweep_that_never_began_needs_no_resume(plan, made, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("accelsim.sweeps.cluster._CONNECT_S", 0.5)
    with pytest.raises(InputError, match="cannot connect"):
        run_plan(plan(), tmp_path / "out", scheduler="tcp://127.0.0.1:9")
    assert not (tmp_path / "out").exists()
    assert run_plan(made, tmp_path / "out").points == POINTS
    assert read_rows(tmp_path / "out")[0]["digest"] == made.digest


def test_two_processes_cannot_write_to_one_folder(made, tmp_path):
    with (
        open_results(made, tmp_path / "one", resume=False),
        pytest.raises(InputError, match="another process is writing"),
        open_results(made, tmp_path / "one", resume=True),
    ):
        pass


def test_selections_are_made_once_for_all_processes(made, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELSIM_CACHE_DIR", str(tmp_path / "cache"))
    asked = []
    real = run.selections_of
    monkeypatch.setattr(run, "selections_of", lambda *a: asked.append(a[1]) or real(*a))
    run_plan(made, tmp_path / "out", workers=2)
    inputs = len(set(asked))
    assert len(asked) == inputs
    # A pattern, one precision: one entry an input. Workers found them and made no others. Entries
    # of tiles, a few numbers each, are beside them.
    entries = (path.stat().st_size for path in (tmp_path / "cache").glob("*.bin"))
    assert sum(size > 200 for size in entries) == inputs


# --- workers that die ----------------------------------------------------------------------------


def test_a_dead_worker_is_replaced_and_nothing_is_lost(made, undisturbed, tmp_path):
    crew = Processes(made, 2)
    try:
        points = sorted(row["point"] for row in _killing(crew, range(20)))
        assert points == list(range(20))
        rows = {row["point"]: row for row in crew.run(range(20))}
    finally:
        crew.close()
    expected = read_rows(tmp_path / "undisturbed")[1]
    assert rows == {row["point"]: row for row in expected[:20]}
    assert undisturbed


def _killing(crew, points):
    """Run points; kill a worker that has some when the third is done."""
    for count, row in enumerate(crew.run(points)):
        if count == 2:
            victim = next(worker for worker in crew._workers if worker.points)
            os.kill(victim._process.pid, signal.SIGKILL)
        yield row


def test_a_point_that_kills_its_workers_is_given_up(made, monkeypatch):
    monkeypatch.setattr(local, "_serve", _deadly)
    crew = Processes(made, 2)
    try:
        rows = {row["point"]: row for row in crew.run([0, 1, 5, 6])}
    finally:
        crew.close()
    assert [rows[point]["status"] for point in (0, 1, 5, 6)] == ["ok", "ok", "failed", "ok"]
    assert rows[5]["reason"] == "the worker process died, twice"


def _deadly(connection, plan):
    """Serve like a worker, but die of point 5."""
    real = Bench.run
    Bench.run = lambda self, point: os._exit(9) if point == 5 else real(self, point)
    import accelsim.sweeps.local as module

    module._serve(connection, plan)


def test_workers_end_with_the_process_that_feeds_them(sweep_file, tmp_path):
    process = command(sweep_file(axes=_many()), "--out", tmp_path / "out", "--workers", 2)
    _wait_for_rows(tmp_path / "out", 3)
    children = _children(process.pid)
    assert len(children) >= 2
    process.kill()
    process.communicate()
    assert _have_ended(children)


def test_ctrl_c_ends_all_with_one_line(sweep_file, tmp_path):
    process = command(sweep_file(axes=_many()), "--out", tmp_path / "out", "--workers", 2)
    _wait_for_rows(tmp_path / "out", 3)
    children = _children(process.pid)
    for pid in (*children, process.pid):  # as a terminal does: all of them hear it
        os.kill(pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    lines = [line for line in err.splitlines() if not line.startswith("small: stage ")]
    assert lines == ["interrupted; the same command with --resume completes the sweep"]
    assert _have_ended(children)


def _have_ended(children):
    """Wait for processes to end, also for the one that tracks what they share."""
    deadline = time.monotonic() + 20
    while any(map(_is_alive, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(_is_alive, children))


def _children(pid):
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(word) for word in text.split()]


def _is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").split()[2] != "Z"
    except OSError:
        return False


def test_an_error_of_a_worker_is_an_error_of_the_sweep(tmp_path, plan, trace):
    copy = tmp_path / "c.npz"
    copy.write_bytes(trace.read_bytes())
    made = plan(traces=str(copy))
    copy.unlink()
    crew = Processes(made, 2)
    try:
        with pytest.raises(InputError, match=r"c\.npz"):
            list(crew.run(range(4)))
    finally:
        crew.close()


@pytest.mark.parametrize(("points", "workers"), [(1, 1), (7, 2), (1000, 3), (5000, 2)])
def test_chunks_are_all_points_and_enough_for_all(points, workers):
    pieces = list(chunks(range(points), workers))
    assert [point for piece in pieces for point in piece] == list(range(points))
    assert len(pieces) >= min(points, 4 * workers)
    assert max(map(len, pieces)) <= local.POINTS_AT_ONCE


# --- sweeps that are killed ----------------------------------------------------------------------


def _many():
    """Some hundred points: a second or two of work."""
    return AXES | {"dram.latency_ns": [1, 10, 50, 100]}


def _wait_for_rows(folder, count):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        path = folder / "points.jsonl"
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.005)
    raise AssertionError(f"{folder}: no {count} rows in a minute")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_sigkill_at_random_moments_loses_only_what_is_in_flight(sweep_file, tmp_path, workers):
    file, chance = sweep_file(axes=_many()), random.Random(workers)
    run_plan(load_plan(file), tmp_path / "whole")
    total = len(rows_written(tmp_path / "whole"))
    killed, seen = tmp_path / "killed", set()
    for _ in range(3):
        flags = ["--resume", "--workers", workers]
        process = command(file, "--out", killed, *flags)
        _wait_for_rows(killed, min(total - 1, len(seen) + chance.randrange(1, 70)))
        process.kill()
        process.communicate()
        rows = rows_written(killed)
        points = [row["point"] for row in rows]
        assert len(set(points)) == len(points)  # nothing was computed twice
        assert seen <= set(points)  # nothing was lost
        seen = set(points)
    run_plan(load_plan(file), killed, workers=workers, resume=True)
    assert len(rows_written(killed)) == total
    assert tables(killed) == tables(tmp_path / "whole")
