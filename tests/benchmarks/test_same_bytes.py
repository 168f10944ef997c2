"""`benchmarks/same_bytes`: what counts as the same, and what is recorded again."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks/same_bytes"


def loaded(name):
    """A module of the script; it is no package, and its names are everybody's."""
    spec = importlib.util.spec_from_file_location(f"same_bytes_{name}", FOLDER / f"{name}.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


compare, record = loaded("compare"), loaded("record")


@pytest.fixture
def verdict(tmp_path, capsys):
    """Return exit code and what is said about two records of one run `one`, from file to text."""

    def compared(before, after):
        for name, files in (("before", before), ("after", after)):
            (tmp_path / name).mkdir()
            for file, text in files.items():
                path = tmp_path / name / "one" / file
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
        code = compare.report(tmp_path / "before", tmp_path / "after", "*")
        return code, capsys.readouterr().out

    return compared


OLD = {"accelsim": "1", "totals": {"cycles": 10, "time_s": 0.5}, "layers": [{"n": 1}, {"n": 2}]}


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({}, 0, "same bytes"),
        ({"accelsim": "2"}, 0, "same apart from ignored accelsim\n"),
        ({"flow": "os"}, 0, "same apart from added 1.out.flow\n"),
        (
            {"layers": [{"n": 1, "m": 0}, {"n": 2, "m": 0}]},
            0,
            "same apart from added 1.out.layers[].m\n",
        ),
        ({"totals": {"cycles": 11, "time_s": 0.5}}, 1, "1.out.totals.cycles: 10 → 11"),
        ({"totals": {"cycles": 10.0, "time_s": 0.5}}, 1, "1.out.totals.cycles: 10 → 10.0"),
        ({"totals": {"cycles": "10", "time_s": 0.5}}, 1, '1.out.totals.cycles: 10 → "10"'),
        ({"totals": {"time_s": 0.5}}, 1, "1.out.totals.cycles: 10 → gone"),
        ({"totals": {"time_s": 0.5, "cycles": 10}}, 1, "1.out.totals: keys in another order"),
        ({"layers": [{"n": 1}]}, 1, "1.out.layers: 2 entries → 1"),
        ({"layers": [{"n": 1}, {"n": 3}]}, 1, "1.out.layers[1].n: 2 → 3"),
        ({"new": 1, "layers": []}, 1, "DIFFERENT in 1 places"),
    ],
)
def test_each_difference_of_json_is_named(verdict, changes, code, said):
    outcome = verdict({"1.out": json.dumps(OLD)}, {"1.out": json.dumps(OLD | changes)})
    assert outcome[0] == code
    assert said in outcome[1]


@pytest.mark.parametrize(
    ("before", "after", "code", "said"),
    [
        ({"a.csv": "p,task\n1,x\n"}, {"a.csv": "p,task,q\n1,y,2\n"}, 0, "a.csv[].q; ignored task"),
        ({"a.csv": "p,q\n1,2\n"}, {"a.csv": "p,q\n1,3\n"}, 1, 'a.csv[0].q: "2" → "3"'),
        ({"1.out": "a\nb\n"}, {"1.out": "a\nc\n"}, 1, '1.out[1]: "b" → "c"'),
        ({"1.out": '{"a": 1}'}, {"1.out": '{"a":1}'}, 1, "same values in another layout"),
        ({"1.out": "a", "2.out": "b"}, {"1.out": "a"}, 1, "2.out: file is gone"),
        ({"1.out": "a"}, {"1.out": "a", "2.out": "b"}, 0, "same apart from added file 2.out"),
        ({"1.out": "a"}, {}, 1, "MISSING"),
        ({}, {"1.out": "a"}, 1, "new, compared with nothing"),  # nothing proves nothing
    ],
)
def test_each_difference_of_files_is_named(verdict, before, after, code, said):
    outcome = verdict(before, after)
    assert outcome[0] == code
    assert said in outcome[1]


def test_a_renamed_key_is_the_same_only_with_the_same_value(monkeypatch):
    monkeypatch.setitem(compare.RENAMED, "dma", "stream")
    same, other, beside = compare.Findings(), compare.Findings(), compare.Findings()
    compare.compare_values({"dma": 1}, {"stream": 1}, "", same)
    compare.compare_values({"dma": 1}, {"stream": 2}, "", other)
    compare.compare_values({"dma": 1}, {"dma": 1, "stream": 1}, "", beside)
    assert same.verdict() == "same apart from renamed dma → stream"
    assert other.different == [".dma: 1 → 2"]
    assert beside.verdict() == "same apart from added .stream"


@pytest.fixture
def recorded(tmp_path, capsys):
    """Record one command of the interpreter; return exit code and what is said."""
    (tmp_path / "tree/accelsim").mkdir(parents=True)

    def recorded_again(code):
        cases = {"one": record.Case((f'python -c "{code}"',), {"in.txt": "{tree}"})}
        result = record.record(cases, tmp_path / "tree", tmp_path / "out", 1, "*")
        return result, capsys.readouterr().out

    return recorded_again


def test_paths_are_masked_and_a_record_is_made_again_after_an_edit(recorded, tmp_path):
    code = "import os; print(os.getcwd(), '{out}/x')"
    assert "is there" not in recorded(code)[1]
    kept = tmp_path / "out/one"
    assert (kept / "1.out").read_text() == "<tree> <out>/x\n"
    assert (kept / "in.txt").read_text() == "<tree>"
    assert "is there" in recorded(code)[1]
    (tmp_path / "tree/accelsim/new.py").touch()
    assert "is there" not in recorded(code)[1]
    assert "is there" not in recorded("print()")[1]  # another command under this name


def test_a_run_that_fails_is_said_and_leaves_no_record(recorded, tmp_path):
    recorded("print(1)")
    code, said = recorded("raise SystemExit('no such key')")
    assert code == 1
    assert "FAILED with 1" in said
    assert "no such key" in said
    assert not (tmp_path / "out/one").exists()
