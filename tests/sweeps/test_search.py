"""Points drawn at random, and points that Optuna asks for: the same whoever runs them."""

import json
import random
import sqlite3
import time
from contextlib import contextmanager

import pytest

import accelsim as acs
from accelsim.base.errors import InputError
from accelsim.sweeps.folder import ResultsFolder
from accelsim.sweeps.plan import load_plan
from accelsim.sweeps.run import run_plan
from accelsim.sweeps.search import random_points
from tests.helpers.sweep_commands import ROOT, command, rows_written, tables

pytest.importorskip("optuna")

pytestmark = pytest.mark.slow

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


@pytest.fixture(autouse=True, scope="module")
def _nobody_waits_for_the_disk():
    """A power cut may take the databases of these tests."""
    from sqlalchemy import Engine, event

    def hurry(connection, _):
        connection.execute("PRAGMA synchronous=OFF")

    event.listen(Engine, "connect", hurry)
    yield
    event.remove(Engine, "connect", hurry)


@contextmanager
def stored_at(url):
    """Open a database as Optuna's own tools do."""
    import optuna

    storage = optuna.storages.RDBStorage(url)
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


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
    keys = SEARCH | {"points": 16, "search": {"population": 8, "sampler": sampler}}
    plan = load_plan(sweep_file(**keys))
    summary = run_plan(plan, tmp_path / "whole")
    assert summary.search["trials"] == 16
    assert 0 < summary.search["hypervolume_share"] <= 1
    run_plan(plan, tmp_path / "two", workers=2)
    assert tables(tmp_path / "two") == tables(tmp_path / "whole")


LIMITS = {"constraints": ["effective_tops >= 0.5", "dram_bytes <= 60000"]}  # which runs tell


def test_a_search_that_was_killed_goes_on_as_if_nothing_had_happened(sweep_file, tmp_path):
    file, chance = sweep_file(**SEARCH, **LIMITS), random.Random(0)
    run_plan(load_plan(file), tmp_path / "whole")
    total = len(rows_written(tmp_path / "whole"))
    killed, seen = tmp_path / "killed", 0
    for _ in range(2):
        process = command(file, "--out", killed, "--resume", "--workers", 1)
        _wait_for_rows(killed, min(total - 1, seen + chance.randrange(1, 15)))
        process.kill()
        process.communicate()
        seen = len(rows_written(killed))
    run_plan(load_plan(file), killed, resume=True)
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


def at_call(number, patch, owner, name):
    """Press Ctrl-C when a method is called for the so-manieth time."""
    real, calls = getattr(owner, name), []

    def counted(self, *arguments, **options):
        calls.append(1)
        if len(calls) == number:
            raise KeyboardInterrupt
        return real(self, *arguments, **options)

    patch.setattr(owner, name, counted)


def interrupted(monkeypatch, made, out, moments):
    """Run a search that is interrupted at some moments, and resume it until it is finished."""
    for owner, name, number in moments:
        with monkeypatch.context() as patch:
            at_call(number, patch, owner, name)
            with pytest.raises(KeyboardInterrupt):
                run_plan(made, out, resume=True)
    return run_plan(made, out, resume=True, tell=pytest.fail)


def outcome(folder):
    return tables(folder) | {"search.json": (folder / "search.json").read_bytes()}


@pytest.mark.parametrize("sampler", ["nsga2", "tpe"])
def test_a_search_within_limits_can_be_interrupted_anywhere(plan, tmp_path, monkeypatch, sampler):
    keys = {"points": 15, "search": {"population": 5, "sampler": sampler}}
    made = plan(**SEARCH | LIMITS | keys)
    assert run_plan(made, tmp_path / "whole").statuses["excluded"] > 2
    total = len(rows_written(tmp_path / "whole"))
    for moments in [(1, 2, 4), (total - 3, 2)]:
        out = tmp_path / f"after {moments}"
        interrupted(
            monkeypatch, made, out, [(ResultsFolder, "append", number) for number in moments]
        )
        assert outcome(out) == outcome(tmp_path / "whole")
        assert len(rows_written(out)) == total


@pytest.mark.parametrize("sampler", ["nsga2", "tpe"])
def test_a_search_in_a_database_can_be_interrupted_within_a_generation(
    plan, tmp_path, monkeypatch, sampler
):
    import optuna

    def made(name):
        options = {"population": 4, "sampler": sampler, "storage": f"sqlite:///{tmp_path}/{name}"}
        return plan(**SEARCH | LIMITS | {"points": 12, "search": options})

    run_plan(made("one.db"), tmp_path / "whole")
    study, out = optuna.Study, tmp_path / "interrupted"
    # Between questions, between answers; a trial that was asked for in vain gets no answer.
    moments = [(study, "tell", 2), (study, "ask", 3), (study, "tell", 6)]
    interrupted(monkeypatch, made("two.db"), out, moments)
    assert outcome(out) == outcome(tmp_path / "whole")
    with stored_at(f"sqlite:///{tmp_path}/two.db") as storage:
        found = optuna.load_study(study_name="small", storage=storage)
        told = [trial for trial in found.trials if trial.state.name == "COMPLETE"]
    assert all("constraints" in trial.system_attrs for trial in told)


JUNK = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "not text": lambda path: path.write_bytes(b"\xff\xfe\0" * 20),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-7]),
    "changed": lambda path: path.write_bytes(bytes(b ^ 1 for b in path.read_bytes())),
    "other": lambda path: path.write_bytes(b"0123456789abcdef" * 2),
}


def test_what_a_search_has_left_is_not_believed(plan, tmp_path, monkeypatch):
    made = plan(**SEARCH | {"points": 8, "search": {"population": 4}})
    run_plan(made, tmp_path / "whole")
    for number, junk in enumerate(JUNK.values()):
        out = tmp_path / f"damaged {number}"
        with monkeypatch.context() as patch:
            at_call(6, patch, ResultsFolder, "append")
            with pytest.raises(KeyboardInterrupt):
                run_plan(made, out)
        junk(out / "search.id")
        junk(out / "search.db")
        (out / "search.json").write_text("junk", encoding="ascii")
        run_plan(made, out, resume=True)
        assert outcome(out) == outcome(tmp_path / "whole")


def test_a_shared_database_knows_whose_trials_are_whose(plan, tmp_path, monkeypatch):
    import optuna

    url = f"sqlite:///{tmp_path / 'shared.db'}"
    made = plan(**SEARCH | {"points": 4, "search": {"population": 2, "storage": url}})
    one, two, said = tmp_path / "one", tmp_path / "two", []
    with monkeypatch.context() as patch:
        at_call(3, patch, ResultsFolder, "append")
        with pytest.raises(KeyboardInterrupt):
            run_plan(made, one)
    path, owner = one / "search.id", (one / "search.id").read_bytes()
    for junk in JUNK.values():
        junk(path)
        one.rename(two)  # where the database knows nobody
        with pytest.raises(InputError, match=r"search\.id: is missing or damaged, so nobody knows"):
            run_plan(made, two, resume=True)
        two.rename(one)
        assert run_plan(made, one, resume=True, tell=said.append).search["trials"] == 4
        assert path.read_bytes() == owner
    remark = "was missing or damaged; the database knows it, written anew"
    assert said == [f"{path}: {remark}"] * len(JUNK)
    with stored_at(url) as storage:
        assert len(optuna.load_study(study_name="small", storage=storage).trials) == 4


def test_rows_of_a_shared_search_that_are_lost_run_again(plan, tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    made, out = plan(**SEARCH | {"points": 4, "search": {"storage": url}}), tmp_path / "out"
    run_plan(made, out)
    before = outcome(out)
    lines = (out / "points.jsonl").read_bytes().splitlines(keepends=True)
    (out / "points.jsonl").write_bytes(b"".join(lines[1:-1]) + b"\n")
    run_plan(made, out, resume=True, tell=[].append)
    assert outcome(out) == before


NAMES = ["r?1", "r?2", "a%20b", "a b", "h#1", "{x}", "é 漢", "50%", "a&b=c;d'", "x:y@z"]


def test_every_folder_has_a_database_of_its_own(plan, tmp_path):
    made = plan(**SEARCH | {"points": 2, "search": {"population": 2}})
    (tmp_path / "all").mkdir()
    for name in NAMES:
        out = tmp_path / "all" / name
        run_plan(made, out)
        with sqlite3.connect(out / "search.db") as database:
            assert database.execute("SELECT count(*) FROM trials").fetchone() == (2,)
        database.close()
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == sorted(NAMES)
    assert not list(tmp_path.glob("*.db"))


OTHERS = {
    "objectives": {"objectives": ["effective_tops", "area_um2"]},
    "axes": {"axes": AXES | {"mac_array.lanes": [8, 16, 33]}},
    "constraints": {"constraints": "area_um2 <= 1e9"},
    "bases": {"base": "nm24.yaml"},
    "policies": {"policies": "rules.yaml"},
    "iso_area": {"iso_area": {"reference": "dense", "scale": "columns"}},
    "accelsim": {},
}


def test_a_study_of_another_search_is_refused(plan, tmp_path, monkeypatch):
    options = {"population": 2, "storage": f"sqlite:///{tmp_path / 'shared.db'}"}
    keys = SEARCH | {"points": 2, "search": options}
    text = (ROOT / "arch_configs" / "nm24.yaml").read_text(encoding="utf-8")
    (tmp_path / "nm24.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "rules.yaml").write_text("schema: 1\nlayers: {'*': dense}\n", encoding="utf-8")
    run_plan(plan(**keys), tmp_path / "one")
    same = {"seed": 3, "points": 3, "metrics": ["area_um2", "effective_tops"]}
    run_plan(plan(**keys | same), tmp_path / "same")
    for part, other in OTHERS.items():
        if part == "accelsim":
            monkeypatch.setattr("accelsim.sweeps.plan.__version__", "0.0.1")
        with pytest.raises(InputError) as error:
            run_plan(plan(**keys | other), tmp_path / "two")
        assert "the study 'small' is of another search: its " in str(error.value)
        assert part in str(error.value)
        assert not (tmp_path / "two").exists()


def test_a_study_of_somebody_else_is_refused(plan, tmp_path):
    import optuna

    url = f"sqlite:///{tmp_path / 'shared.db'}"
    made = plan(**SEARCH | {"points": 2, "search": {"storage": url}})
    with stored_at(url) as storage:
        optuna.create_study(study_name="small", storage=storage, directions=["maximize"] * 2)
    with pytest.raises(InputError, match="does not say what it searches; name another one"):
        run_plan(made, tmp_path / "out")
    with stored_at(url) as storage:
        optuna.delete_study(study_name="small", storage=storage)
        ways = ["minimize", "maximize"]
        optuna.create_study(study_name="small", storage=storage, directions=ways).ask()
    with pytest.raises(InputError, match="does not say what it searches"):
        run_plan(made, tmp_path / "out")


@pytest.mark.parametrize("key", ["linked", "axes"])
def test_long_axes_without_an_order_are_not_listed_in_every_trial(plan, tmp_path, key):
    words = [f"word{number}" for number in range(3000)]
    long = {"crossbar.kind": words} if key == "axes" else {"mac_array.lanes": [8, 16]}
    linked = [
        {"dram.latency_ns": list(range(1, 3001)), "dram.bandwidth_gb_per_s": list(range(1, 3001))}
    ]
    keys = {"axes": long} | ({"linked": linked} if key == "linked" else {})
    run_plan(plan(**SEARCH | keys | {"points": 4, "search": {"population": 2}}), tmp_path / "out")
    assert (tmp_path / "out" / "search.db").stat().st_size < 500_000


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

    with stored_at(url) as storage:
        trials = optuna.load_study(study_name="small", storage=storage).trials
    assert len(trials) == 24
    assert len({trial.user_attrs["owner"] for trial in trials}) == 2


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
