"""`compare --all`: every machine of a folder that can run a trace, and why the others cannot."""

import csv
import json
import shutil

import pytest


@pytest.fixture
def machines(tmp_path, arch):
    """A folder of three machines: the dense one is not the first by name."""
    folder = tmp_path / "machines"
    folder.mkdir()
    for name in ("dense", "nm24", "nm816"):
        shutil.copy(arch(name), folder / f"{name.replace('nm', 'a')}.yaml")
    return folder


@pytest.fixture
def compare_all(accepted, machines, trace):
    return lambda *flags: accepted("compare", "--all", machines, "--trace", trace, *flags)


def test_dense_comes_first_and_then_the_fastest(compare_all):
    rows = json.loads(compare_all("--json").out)["rows"]
    assert rows[0]["name"] == "dense"
    assert {row["name"] for row in rows} == {"dense", "nm24", "nm816"}
    order = [(row["time_s"], row["energy_pj"]) for row in rows[1:]]
    assert order == sorted(order)
    assert rows[0]["speedup"] == 1.0
    assert rows[1]["speedup"] == pytest.approx(rows[0]["time_s"] / rows[1]["time_s"])


def test_rows_are_those_of_machines_that_are_named(compare_all, accepted, arch, trace):
    every = {row["name"]: row for row in json.loads(compare_all("--json").out)["rows"]}
    named = accepted("compare", arch("dense"), arch("nm24"), "--trace", trace, "--json")
    for row in json.loads(named.out)["rows"]:
        assert every[row["name"]] == row


def test_a_file_that_is_no_machine_is_listed_with_the_reason(compare_all, machines):
    (machines / "broken.yaml").write_text("schema: 1\nname: [", encoding="utf-8")
    data = json.loads(compare_all("--json").out)
    assert {row["name"] for row in data["rows"]} == {"dense", "nm24", "nm816"}
    (refused,) = data["refused"]
    assert refused["name"] == "broken"
    assert "broken.yaml" in refused["reason"]
    lines = compare_all().out.splitlines()
    assert [line for line in lines if line.startswith("not run: broken: ")]


def test_shapes_without_values_decode_on_dense_machines_only(accepted, machines, tmp_path):
    shapes = tmp_path / "shapes.npz"
    flags = ("--tokens", 4, "--layers", 1, "--distribution", "none", "--out", shapes)
    accepted("synth", "--model", "llama-3-8b", *flags)
    decode = ("--phase", "decode", "--json")
    data = json.loads(accepted("compare", "--all", machines, "--trace", shapes, *decode).out)
    assert [row["name"] for row in data["rows"]] == ["dense"]
    assert all("depends on values" in entry["reason"] for entry in data["refused"])
    assert len(data["refused"]) == 2


def test_files_and_folders_are_written(compare_all, tmp_path):
    compare_all("--csv", tmp_path / "c.csv", "--out", tmp_path / "o")
    with (tmp_path / "c.csv").open(encoding="utf-8", newline="") as file:
        names = [row["name"] for row in csv.DictReader(file)]
    assert names[0] == "dense"
    assert {path.name for path in (tmp_path / "o").iterdir()} == {"comparison.csv", *names}


def test_every_shipped_machine_stands_in_a_table_of_100_columns(cli, arch, trace, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    outcome = cli(
        "compare", "--all", arch("dense").parent, "--trace", trace, "--set", "clock_mhz=100"
    )
    assert outcome.code == 0
    notes = ("prefill runs dense", "masks of", "drawn")  # of row gather, and of pruned weights
    assert all(any(note in line for note in notes) for line in outcome.err.splitlines())
    assert max(map(len, outcome.out.splitlines())) <= 100
    assert "…" not in outcome.out
    names = {path.stem for path in arch("dense").parent.glob("*.yaml")}
    assert names <= set(outcome.words.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no architecture: name files, or --all"),
        (("--all", "a.yaml", "b.yaml"), "--all: takes one folder, not 2 paths"),
        (("--all", "nowhere"), "nowhere: no such folder"),
        (("--all", "{empty}"), "holds no architecture files"),
        (("--all", "{machines}", "--phase", "decode", "--batch", "4096"), "batch 4096"),
        (("--all", "{machines}", "--set", "clock=1"), "no machine runs this: "),
        (("--all", "{machines}", "--phase", "training"), "--phase 'training'"),
    ],
)
def test_bad_input_is_refused(refused, machines, trace, arguments, message):
    empty = machines / "empty"
    empty.mkdir()
    places = {"machines": machines, "empty": empty}
    given = [argument.format(**places) for argument in arguments]
    assert message in refused("compare", *given, "--trace", trace)
