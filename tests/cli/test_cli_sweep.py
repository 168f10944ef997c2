"""`accelsim sweep` and `accelsim pareto`: what they print, write and refuse."""

import json
import signal
import sys

import pytest
import yaml


@pytest.fixture
def sweep_file(tmp_path, arch, trace):
    """Write a sweep of six points, two of which are no machines."""

    def _sweep_file(**keys):
        plain = {
            "schema": 1,
            "name": "six",
            "base": str(arch("nm816")),
            "traces": str(trace),
            "axes": {"mac_array.lanes": [8, 16, 0], "crossbar.kind": ["full", "window"]},
            "objectives": ["area_um2", "effective_tops"],
        }
        path = tmp_path / "six.yaml"
        path.write_text(yaml.safe_dump(plain | keys), encoding="utf-8")
        return path

    return _sweep_file


@pytest.fixture
def swept(cli, sweep_file, tmp_path):
    """The folder of a finished sweep, and what the command said."""
    folder = tmp_path / "out"
    outcome = cli("sweep", sweep_file(), "--out", folder, "--workers", 1)
    assert outcome.code == 0, outcome.err
    return folder, outcome


def test_a_sweep_says_what_it_has_done(swept):
    folder, outcome = swept
    assert "six: 6 of 6 points: 2 invalid, 4 ok" in outcome.out
    assert f"4 of them were run now; the results are in {folder}" in outcome.out
    assert "axis mac_array.lanes=0" in outcome.out
    assert "--set" not in outcome.out
    assert "Non-dominated" in outcome.out
    assert {path.name for path in folder.iterdir()} == {
        *("sweep.json", "points.jsonl", "results.csv", "results.parquet")
    }


def test_a_log_gets_lines(swept):
    lines = swept[1].err.splitlines()
    assert [line.split("; ")[:2] for line in lines] == [
        ["six: stage check", "done 0 of 6"],
        ["six: stage select", "done 2 of 6"],
        ["six: stage run", "done 2 of 6"],
        ["six: stage write", "done 6 of 6"],
    ]
    assert "points/s" in lines[-1]
    assert "ok 4" in lines[-1]
    assert "2 invalid" in lines[-1]
    assert "best effective_tops" in lines[-1]


def test_json(cli, sweep_file, tmp_path):
    outcome = cli("sweep", sweep_file(), "--out", tmp_path / "out", "--workers", 1, "--json")
    data = json.loads(outcome.out)
    assert (data["schema"], data["space"], data["points"], data["run"]) == (1, 6, 6, 4)
    assert data["statuses"] == {"invalid": 2, "ok": 4}


def test_resume(cli, refused, swept, sweep_file):
    folder, _ = swept
    message = refused("sweep", sweep_file(), "--out", folder)
    assert "--resume completes it" in message
    outcome = cli("sweep", sweep_file(), "--out", folder, "--resume", "--json", "--workers", 1)
    assert json.loads(outcome.out)["run"] == 0


def test_a_trace_may_be_given(cli, sweep_file, trace, tmp_path):
    file = sweep_file(traces=[])
    flags = ("--trace", trace, "--out", tmp_path / "out", "--workers", 1, "--no-cache")
    assert cli("sweep", file, *flags).code == 0


def test_a_search_is_reported(cli, sweep_file, tmp_path):
    pytest.importorskip("optuna")
    file = sweep_file(mode="optuna", points=4, search={"population": 2, "against_random": True})
    outcome = cli("sweep", file, "--out", tmp_path / "out", "--workers", 1)
    assert outcome.code == 0
    assert "search: 4 trials" in outcome.out
    assert "4 random points: " in outcome.out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--workers", "0"), "workers 0: must be from 1"),
        (("--trace", "no.npz"), "no.npz"),
        (("--scheduler", "nonsense://x"), "--scheduler nonsense://x: cannot connect"),
    ],
)
def test_bad_flags(refused, sweep_file, tmp_path, flags, message):
    assert message in refused("sweep", sweep_file(), "--out", tmp_path / "out", *flags)
    assert not (tmp_path / "out").exists()


def test_a_sweep_that_cannot_begin_leaves_nothing(refused, sweep_file, tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("accelsim.sweeps.cluster._CONNECT_S", 0.2)
    address = ("--scheduler", "tcp://127.0.0.1:9")
    message = refused("sweep", sweep_file(), "--out", tmp_path / "made" / "out", *address)
    assert "cannot connect" in message
    assert not (tmp_path / "made").exists()
    (tmp_path / "there").mkdir()
    refused("sweep", sweep_file(), "--out", tmp_path / "there", *address)
    assert not list((tmp_path / "there").iterdir())


def test_what_is_damaged_is_said(cli, swept, sweep_file):
    folder, _ = swept
    path = folder / "points.jsonl"
    path.write_bytes(path.read_bytes() + b"\n")
    said = f"{path}: 1 damaged or repeated line"
    assert f"warning: {said} left out" in cli("pareto", folder, "--no-plot").err
    again = ("sweep", sweep_file(), "--out", folder, "--workers", 1, "--resume")
    outcome = cli(*again, "--json")
    assert f"warning: {said} dropped" in outcome.err
    assert json.loads(outcome.out)["run"] == 0
    (folder / "sweep.json").write_text("{}", encoding="ascii")
    assert "sweep --resume mends it" in cli("pareto", folder, "--no-plot").err
    assert "sweep.json: was missing or damaged; written anew" in cli(*again).err
    assert cli("pareto", folder, "--no-plot").err == ""


def test_ctrl_c_is_one_line(cli, sweep_file, tmp_path, monkeypatch):
    def pressed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # put back in the end
    before = signal.getsignal(signal.SIGINT)
    try:
        with monkeypatch.context() as patch:
            patch.setattr("accelsim.sweeps.folder.ResultsFolder.append", pressed)
            outcome = cli("sweep", sweep_file(), "--out", tmp_path / "out", "--workers", 1)
    finally:
        signal.signal(signal.SIGINT, before)
    assert outcome.code == 130
    *_, last = outcome.err.splitlines()
    assert last == "interrupted; the same command with --resume completes the sweep"
    assert "Traceback" not in outcome.err
    again = cli("sweep", sweep_file(), "--out", tmp_path / "out", "--workers", 1, "--resume")
    assert (again.code, "4 ok" in again.out) == (0, True)


def test_bad_files(refused, sweep_file, tmp_path):
    message = refused("sweep", sweep_file(axes={"lanes": [8]}), "--out", tmp_path / "out")
    assert "six.yaml:2: axes.lanes: no machine has the key 'lanes'" in message
    assert "no-such.yaml" in refused("sweep", "no-such.yaml", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("module", ["pyarrow", "pandas"])
def test_a_missing_library_is_said_before_the_work(
    refused, sweep_file, tmp_path, monkeypatch, module
):
    monkeypatch.setitem(sys.modules, module, None)
    message = refused("sweep", sweep_file(), "--out", tmp_path / "out", "--workers", 1)
    assert f"'{module}'" in message
    assert "accelsim[sweep]" in message


# --- pareto --------------------------------------------------------------------------------------


def test_a_table_and_a_figure(accepted, swept):
    folder, _ = swept
    outcome = accepted("pareto", folder, "--color", "crossbar.kind")
    assert "of 4 points are non-dominated" in outcome.out
    assert "minimize area_um2, maximize effective_tops" in outcome.out
    assert f"drawn in {folder / 'pareto.png'}" in outcome.out
    assert (folder / "pareto.png").read_bytes().startswith(b"\x89PNG")


def test_the_table_is_the_front(accepted, swept):
    folder, _ = swept
    rows = json.loads(accepted("pareto", folder, "--no-plot", "--json").out)["rows"]
    everything = [json.loads(line) for line in (folder / "points.jsonl").read_text().splitlines()]
    ran = [row for row in everything if row["status"] == "ok"]

    def cost(row):
        return row["area_um2"], -row["effective_tops"]

    def beaten(row):
        return any(
            cost(o) != cost(row) and all(a <= b for a, b in zip(cost(o), cost(row), strict=True))
            for o in ran
        )

    expected = sorted(row["point"] for row in ran if not beaten(row))
    assert sorted(row["point"] for row in rows) == expected
    assert not (folder / "pareto.png").exists()


def test_points_that_tie_stand_in_the_table_once(cli, sweep_file, tmp_path):
    # Latency changes neither area nor work. Of the axes, it changes slowest.
    axes = {"mac_array.lanes": [8, 16], "dram.latency_ns": [1, 2, 3]}
    folder = tmp_path / "out"
    flags = ("--x", "area_um2", "--y", "macs_dense")
    assert cli("sweep", sweep_file(axes=axes), "--out", folder, "--workers", 1).code == 0
    (best,) = json.loads(cli("pareto", folder, "--no-plot", "--json", *flags).out)["rows"]
    assert (best["point"], best["tied"]) == (0, [2, 4])
    shown = cli("pareto", folder, "--no-plot", *flags).out
    assert "3 of 6 points are non-dominated" in shown
    assert "+2" in shown


def test_other_metrics_and_files(accepted, swept, tmp_path):
    folder, _ = swept
    figure = tmp_path / "figure.svg"
    flags = ("--x", "energy_pj", "--y", "cycles", "--plot", figure)
    assert "minimize energy_pj, minimize cycles" in accepted("pareto", folder, *flags).out
    assert "<svg" in figure.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--x", "area"), "--x: unknown metric 'area'"),
        (("--y", "topps"), "--y: unknown metric 'topps'"),
        (("--x", "cycles", "--y", "cycles"), "--x, --y: both are cycles"),
        (("--color", "kind"), "--color kind: no such column; allowed: base"),
        (("--plot", "x.gif"), "figures are written as"),
        (("--plot", "x.png", "--no-plot"), "--plot, --no-plot: choose one"),
    ],
)
def test_bad_flags_of_pareto(refused, swept, flags, message):
    assert message in refused("pareto", swept[0], *flags)


def test_a_folder_without_a_sweep(refused, tmp_path):
    assert "holds no sweep" in refused("pareto", tmp_path)


def test_a_sweep_in_which_nothing_ran(cli, refused, sweep_file, tmp_path):
    file = sweep_file(axes={"mac_array.lanes": [0]})
    assert cli("sweep", file, "--out", tmp_path / "out", "--workers", 1).code == 0
    assert "no point has run" in refused("pareto", tmp_path / "out")


def test_reasons_of_a_constraint_are_one(cli, sweep_file, tmp_path):
    file = sweep_file(constraints=["area_um2 <= 1"])
    outcome = cli("sweep", file, "--out", tmp_path / "out", "--workers", 1, "--json")
    # Four machines of different areas, and two that are none; these come first.
    *broken, missed = json.loads(outcome.out)["reasons"].items()
    assert missed == ("area_um2 is not <= 1", 4)
    assert sum(count for _, count in broken) == 2
    again = cli("sweep", file, "--out", tmp_path / "out", "--workers", 1, "--resume")
    assert "no point ran and meets all constraints" in again.err
    assert "Non-dominated" not in again.out


def test_where_chooses_rows(cli, refused, swept):
    folder, _ = swept
    pareto = ("pareto", folder, "--no-plot", "--json", "--where")
    rows = json.loads(cli(*pareto, "crossbar.kind=window").out)["rows"]
    assert {row["crossbar.kind"] for row in rows} == {"window"}
    assert "write COLUMN=VALUE" in refused(*pareto, "crossbar")


def test_different_work_is_not_compared_in_silence(cli, sweep_file, tmp_path):
    file = sweep_file(phases=["prefill", "decode"])
    folder = tmp_path / "out"
    assert cli("sweep", file, "--out", folder, "--workers", 1).code == 0
    outcome = cli("pareto", folder, "--no-plot")
    assert "points that differ in phase, batch do different work" in outcome.err
    assert cli("pareto", folder, "--no-plot", "--where", "phase=prefill").err == ""
