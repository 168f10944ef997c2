"""A point of a sweep file is what `accelsim run --json` says of that machine, dense machine too."""

import json

import pytest

from accelsim.cli import main
from accelsim.studies import runs_of
from tests.helpers.small import ROOT, SHIPPED_TRACE

SWEEP = "schema: 1\nname: one\nbase: {base}\ntraces: {trace}\naxes: {{pattern: ['8:16']}}\n"


def test_a_point_is_what_the_command_prints(tmp_path, capsys):
    machine = ROOT / "arch_configs/nm816.yaml"
    path = tmp_path / "one.yaml"
    path.write_text(SWEEP.format(base=machine, trace=SHIPPED_TRACE))
    (run,) = runs_of(path)
    capsys.readouterr()
    assert main(["run", str(machine), "--trace", str(SHIPPED_TRACE), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert run["totals"] == printed["totals"]
    ratios = {key: value for key, value in printed["baseline"].items() if isinstance(value, float)}
    assert len(ratios) == 5
    assert {key: run["baseline"][key] for key in ratios} == pytest.approx(ratios)


def test_every_point_runs_in_each_of_the_works(tmp_path):
    path = tmp_path / "one.yaml"
    path.write_text(SWEEP.format(base=ROOT / "arch_configs/dense.yaml", trace=SHIPPED_TRACE))
    path.write_text(path.read_text().replace("['8:16']", "[dense]"))
    works = [{"phase": "decode", "batch": 8}, {"phase": "prefill", "batch": None}]
    decode, prefill = runs_of(path, works=works)
    assert [(run["phase"], run["batch"]) for run in (decode, prefill)] == [
        ("decode", 8),
        ("prefill", None),
    ]
    (own,) = runs_of(path)
    assert prefill["totals"] == own["totals"]
    path.write_text(path.read_text() + "phases: decode\nbatches: 8\n")
    (own,) = runs_of(path)
    assert decode["totals"] == own["totals"]
