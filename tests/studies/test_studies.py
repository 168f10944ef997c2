"""Prices multiplied after the run, claims held against them, pages written by scripts."""

import json

import pytest

import accelsim as acs
from accelsim.base.errors import InputError
from accelsim.studies import (
    CONSTANTS,
    Choice,
    Data,
    Page,
    Verdict,
    claims_table,
    row,
    runs_of,
    scaled,
)
from accelsim.studies.constants import corners, sides
from tests.helpers.small import ROOT

SWEEP = """
schema: 1
name: two
base: {base}
traces: {trace}
linked:
  - pattern: ["2:4", "8:16"]
    selector.instances: [16, 4]
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    path = tmp_path_factory.mktemp("sweep") / "two.yaml"
    places = {"base": ROOT / "arch_configs/nm816.yaml", "trace": ROOT / "traces/llama.npz"}
    path.write_text(SWEEP.format(**places))
    return runs_of(path)


def unit(area_um2, pj, leakage_pj=0.0):
    return {"area_um2": area_um2, "action_pj": {"act": pj}, "leakage_pj": leakage_pj}


def toy(crossbar_pj=2.0):
    """A machine of 10 µm² and 10 pJ: crossbar 2, buffer 3, DRAM 5 pJ; dense without the first."""
    counts = {"cycles": 100, "macs_dense": 100, "macs_executed": 50, "dram_bytes": 8}
    ours = {
        "crossbar": unit(2.0, crossbar_pj),
        "weight_buffer": unit(8.0, 3.0),
        "dram": unit(0.0, 5.0),
    }
    theirs = {name: ours[name] for name in ("weight_buffer", "dram")}
    array = {"rows": 1, "columns": 1, "lanes": 1}
    return {
        "arch": {"mac_array": array, "clock_mhz": 1.0},
        "point": {"pattern": "8:16"},
        "totals": counts,
        "units": ours,
        "baseline": {"name": "dense", "totals": counts | {"cycles": 200}, "units": theirs},
    }


def test_a_run_is_what_the_command_says(runs):
    (one,) = Choice("runs")(pattern="8:16").of(Data({"runs": runs}))
    machine = acs.load_arch(ROOT / "arch_configs/nm816.yaml")
    trace = acs.load_trace(ROOT / "traces/llama.npz")
    assert one["totals"] == acs.simulate(machine, trace).totals()
    assert one["baseline"]["totals"] == acs.simulate(machine.dense(), trace).totals()
    assert row(one)["speedup"] == one["baseline"]["speedup"]


def test_without_factors_scaling_changes_nothing(runs):
    for run in runs:
        again = scaled(run, {})
        for name, value in run["totals"].items():
            assert again["totals"][name] == pytest.approx(value), name
        assert again["baseline"]["speedup"] == pytest.approx(run["baseline"]["speedup"])


def test_a_factor_scales_the_units_that_it_prices():
    # Crossbar 2 µm² and 2 pJ, half as much again: 11 µm² and 11 pJ; dense has none: 8 and 8.
    run = scaled(toy(), {"crossbar wiring": 1.5})
    assert (run["totals"]["area_um2"], run["totals"]["energy_pj"]) == (11, 11)
    assert run["baseline"]["energy_ratio"] == 11 / 8
    # SRAM energy is no area, DRAM energy is both sides'.
    run = scaled(toy(), {"SRAM energy": 2, "DRAM energy": 2})
    assert (run["totals"]["area_um2"], run["totals"]["energy_pj"]) == (10, 18)
    assert run["baseline"]["totals"]["energy_pj"] == 16
    # SRAM area scales leakage, not accesses.
    leaky = toy()
    leaky["units"]["weight_buffer"]["leakage_pj"] = 1.0
    run = scaled(leaky, {"SRAM area": 2})
    assert (run["totals"]["area_um2"], run["totals"]["energy_pj"]) == (18, 12)


def test_a_unit_that_nobody_listed_is_logic_and_a_second_channel_is_dram():
    run = toy()
    run["units"]["row_gather"] = run["units"]["weight_dram"] = run["units"]["crossbar"]  # 2 pJ

    def energies(name):
        units = scaled(run, {name: 2})["units"]
        return [units[unit]["energy_pj"] for unit in ("row_gather", "weight_dram")]

    assert energies("activity factors") == [4, 2]
    assert energies("DRAM energy") == [2, 4]


def test_there_are_as_many_corners_as_combinations():
    assert len(list(corners())) == 2 ** len(CONSTANTS)
    assert len(list(sides())) == 2 * len(CONSTANTS)
    assert all(set(corner.values()) <= {0.7, 1.3} for corner in corners())


def energy_ratio(some):
    return some[0]["baseline"]["energy_ratio"]


def test_a_claim_flips_where_arithmetic_says():
    # (2 f + 8) / 8 < 1.5 until f = 2.
    claim = Verdict(energy_ratio, [toy()], below=1.5)
    assert claim.nominal == 10 / 8
    flips = claim.flips()
    assert flips["crossbar wiring"] == pytest.approx(2, rel=1e-3)
    assert flips["activity factors"] == pytest.approx(2, rel=1e-3)  # the crossbar is logic, too
    # Wiring and activity at 1.3 both, memories at 0.7: (2 × 1.69 + 5.6) / 5.6 = 1.604.
    assert claim.extremes[1] == pytest.approx((2 * 1.69 + 5.6) / 5.6)
    assert not claim.is_robust


def test_a_false_claim_stays_false():
    claim = Verdict(energy_ratio, [toy()], above=3)
    assert not claim.holds(claim.nominal)
    assert claim.is_robust
    (cells,) = claims_table([("more than three times", claim)])
    assert (cells["true"], cells["survives"], cells["number"]) == ("**no**", "yes", "1.25×")
    (alone,) = claims_table([("no price", Verdict(lambda _: 1.0, [], above=0))])
    assert alone["survives"] == "–"


PAGE = "# A\n\n<!-- answer -->\nold\n<!-- / -->\nkept\n<!-- table -->\n<!-- / -->\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "README.md").write_text(PAGE)
    return tmp_path


def test_a_page_keeps_what_is_not_its_sections(folder, capsys):
    page = Page(folder)
    page.write("answer", "new")
    page.write("table", "| a |")
    page.table("numbers", [{"a": 1.5}])
    page.finish()
    text = (folder / "README.md").read_text()
    assert text == PAGE.replace("old", "new").replace("table -->\n", "table -->\n| a |\n")
    assert (folder / "numbers.csv").read_text() == "a\n1.5\n"
    assert "numbers.csv" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    ["# A\n", PAGE + PAGE, PAGE.replace("old\n<!-- / -->", "old")],
    ids=["no", "two", "open"],
)
def test_a_section_must_be_there_once(tmp_path, text):
    (tmp_path / "README.md").write_text(text)
    with pytest.raises(InputError, match="needs '<!-- answer -->' once"):
        Page(tmp_path).write("answer", "new")


def checked(folder, answer="old", number=1.5):
    page = Page(folder, is_check=True)
    page.write("answer", answer)
    page.table("numbers", [{"a": number}])
    page.finish()


def test_a_check_finds_what_is_stale_and_writes_nothing(folder):
    (folder / "numbers.csv").write_text("a\n1.5\n")
    checked(folder)
    checked(folder, number=1.5 * (1 + 1e-8))  # another order of summation
    for changes, name in (({"answer": "new"}, "README.md"), ({"number": 1.6}, "numbers.csv")):
        with pytest.raises(SystemExit, match=name):
            checked(folder, **changes)
    assert (folder / "README.md").read_text() == PAGE
    (folder / "numbers.csv").unlink()
    with pytest.raises(SystemExit, match=r"numbers\.csv"):
        checked(folder)


def test_a_check_wants_figures_to_be_there(folder):
    pytest.importorskip("matplotlib")
    from accelsim.report import style

    page = Page(folder, is_check=True)
    page.figure("figure", style.figure()[0])
    with pytest.raises(SystemExit, match=r"figure.png.*figure.pdf"):
        page.finish()


def test_runs_can_be_written_as_json(runs):
    assert json.loads(json.dumps(runs[0]))["point"]["pattern"] == "2:4"
