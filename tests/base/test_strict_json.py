"""JSON holds finite numbers only, in what is written and in what is read."""

import json
import math

import pytest

from accelsim.base.errors import InputError
from accelsim.base.strict_json import json_text, parse_json, read_json
from accelsim.cli import main
from accelsim.report.saved import load_run
from accelsim.run.simulation import simulate
from accelsim.trace import load_trace
from tests.helpers.small import ROOT, SHIPPED_TRACE, load


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_not_written_and_named(value):
    with pytest.raises(InputError, match=rf"^totals\.energy\.1 is {value}"):
        json_text({"totals": {"energy": [1.0, value]}})


@pytest.mark.parametrize(
    "text", ['{"a": NaN}', "[Infinity]", "[-Infinity]", "[1e999]", "[" * 10**5]
)
def test_what_is_not_finite_or_endless_is_not_read(tmp_path, text):
    with pytest.raises(ValueError, match=r"not a finite number|nested too deeply"):
        parse_json(text)
    path = tmp_path / "result.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="not JSON"):
        read_json(path)


def test_a_result_with_a_number_that_is_not_finite_is_refused(tmp_path, capsys):
    arguments = [
        "run",
        ROOT / "arch_configs" / "dense.yaml",
        "--trace",
        str(SHIPPED_TRACE),
        "--out",
        tmp_path,
    ]
    assert main([str(argument) for argument in arguments]) == 0
    path = tmp_path / "result.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["totals"]["time_s"] = math.nan
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(InputError, match=r"result\.json: not JSON: NaN is not a finite number"):
        load_run(tmp_path)
    capsys.readouterr()
    assert main(["plot", "cost", str(tmp_path), "--out", str(tmp_path / "a.svg")]) == 2
    assert "NaN" in capsys.readouterr().err


def test_numbers_stay_what_they_are():
    result = simulate(load("dense"), load_trace(SHIPPED_TRACE))
    assert parse_json(result.to_json()) == json.loads(json.dumps(result.to_dict()))
