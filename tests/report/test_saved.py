"""Folders of results: which runs they hold, in which order, and which dense run is taken."""

import json

import pytest

from accelsim.base.errors import InputError
from accelsim.report.saved import labels, load_run, load_runs, ratios
from accelsim.run.simulation import simulate
from tests.helpers.small import load


@pytest.fixture(scope="module")
def dense(small_trace):
    return simulate(load("dense"), small_trace).to_dict()


@pytest.fixture(scope="module")
def sparse(small_trace):
    return simulate(load("nm816"), small_trace).to_dict()


def saved(folder, run):
    """Write a run as `run --out` does; return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps(run), encoding="utf-8")
    return folder


def copied(run, **arch):
    """A run on a machine with keys replaced."""
    return run | {"arch": run["arch"] | arch}


def test_a_run_is_read_back_and_knows_its_folder(tmp_path, sparse):
    folder = saved(tmp_path / "a", sparse)
    assert load_run(folder) == json.loads(json.dumps(sparse)) | {"folder": str(folder)}


def test_a_run_of_an_earlier_version_has_the_new_names(tmp_path, sparse):
    new = "dropped_squared_magnitude_ratio"
    layers = [{key: value for key, value in one.items() if key != new} for one in sparse["layers"]]
    read = load_run(saved(tmp_path / "a", sparse | {"layers": layers}))["layers"]
    assert [one[new] for one in read] == [one["dropped_energy_ratio"] for one in layers]


def test_a_comparison_is_read_in_the_order_of_its_table(tmp_path, dense, sparse):
    for name in ("a", "z"):
        saved(tmp_path / "both" / name, copied(sparse, name=name))
    (tmp_path / "both" / "comparison.csv").write_text("name,cycles\nz,1\na,2\n")
    alone = saved(tmp_path / "alone", dense)
    runs = load_runs([tmp_path / "both", alone])
    assert [run["arch"]["name"] for run in runs] == ["z", "a", "dense"]


@pytest.mark.parametrize("text", ["", "name,cycles\n", "cycles\n1\n"])
def test_a_table_without_names_is_no_comparison(tmp_path, text):
    (tmp_path / "comparison.csv").write_text(text)
    with pytest.raises(InputError, match=r"comparison\.csv: not a comparison: no column 'name'"):
        load_runs([tmp_path])


def test_a_table_that_is_no_text_is_no_comparison(tmp_path):
    (tmp_path / "comparison.csv").write_bytes(b"name\n\xff\n")
    with pytest.raises(InputError, match=r"comparison\.csv: not a comparison: .*utf-8"):
        load_runs([tmp_path])


def test_a_machine_missing_from_a_comparison_is_named(tmp_path, sparse):
    saved(tmp_path / "a", sparse)
    (tmp_path / "comparison.csv").write_text("name\na\ngone\n")
    with pytest.raises(InputError, match=r"gone/result\.json: No such file"):
        load_runs([tmp_path])


@pytest.mark.parametrize("key", ["arch", "trace", "phase", "totals", "units", "layers"])
def test_a_missing_key_is_named(tmp_path, sparse, key):
    saved(tmp_path, {name: part for name, part in sparse.items() if name != key})
    with pytest.raises(InputError, match=rf"result\.json: key '{key}"):
        load_run(tmp_path)


@pytest.mark.parametrize("key", ["totals.time_s", "layers.needed_rows_ratio"])
def test_a_missing_key_inside_is_named(tmp_path, sparse, key):
    run = json.loads(json.dumps(sparse))
    part, name = key.split(".")
    del (run[part][0] if part == "layers" else run[part])[name]
    with pytest.raises(InputError, match=rf"key '{key}' is missing; run it again"):
        load_run(saved(tmp_path, run))


@pytest.mark.parametrize(
    ("change", "value"),
    [("layers", []), ("layers", None), ("layers", [1]), ("totals", None), ("totals", 3)],
)
def test_parts_of_another_type_are_refused(tmp_path, sparse, change, value):
    with pytest.raises(InputError, match=r"result\.json"):
        load_run(saved(tmp_path, sparse | {change: value}))


# Which dense run is the reference --------------------------------------------------------------


def test_the_dense_run_of_the_same_machine_is_the_reference(dense, sparse):
    # An energy of a quarter, whatever the machines are; a slower clock is another machine.
    ours = sparse | {"totals": dense["totals"] | {"energy_pj": dense["totals"]["energy_pj"] / 4}}
    other = copied(dense, clock_mhz=1) | {"totals": sparse["totals"]}
    assert ratios(ours, [other, dense, ours])["energy_ratio"] == 0.25


def test_buffers_and_names_may_differ(dense, sparse):
    other = copied(dense, name="bigger", buffers={})
    assert ratios(sparse, [other]) == ratios(sparse, [dense])


@pytest.mark.parametrize("key", ["mac_array", "clock_mhz", "precision", "dram", "technology"])
def test_a_dense_run_of_another_machine_is_refused(dense, sparse, key):
    with pytest.raises(InputError, match=f"nm816: the dense run differs in {key}, not only in"):
        ratios(sparse, [copied(dense, **{key: "other"})])


@pytest.mark.parametrize(
    "change", [{"phase": "decode"}, {"batch": 2}, {"trace": {"sha256": "other"}}], ids=str
)
def test_a_dense_run_of_other_work_is_no_reference(dense, sparse, change):
    with pytest.raises(InputError, match="nm816: nothing to compare with"):
        ratios(sparse, [dense | change])


def test_a_dense_run_goes_before_the_baseline_of_the_run(dense, sparse):
    baseline = {"name": "dense", "speedup": 99.0}
    ours = sparse | {"baseline": baseline}
    assert ratios(ours, []) == {"speedup": 99.0}
    assert ratios(ours, [dense]) == ratios(sparse, [dense])


def test_labels_tell_runs_apart(sparse):
    same = copied(sparse, name="b")
    assert labels([sparse, copied(sparse, pattern="2:4")]) == ["8:16", "2:4"]
    assert labels([sparse, same]) == ["nm816", "b"]
    assert labels([sparse, same, same]) == ["nm816 1", "b 1", "b 2"]
