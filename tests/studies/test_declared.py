"""Studies as data: choices, facts, quantities, sentences, tables, claims and panels, by hand."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim import studies
from accelsim.base.errors import InputError
from accelsim.studies.choice import NoRunError
from accelsim.studies.equal_area import Rivals, gain, gains, rivals
from accelsim.studies.verdict import Verdict
from accelsim.studies.words import points, times, word, written


def run(pattern="8:16", batch=1, *, cycles=100, area_um2=10.0, energy_pj=5.0, speedup=2.0):
    """A machine of 4 × 2 × 16 multipliers at 1 GHz, half of whose area is its crossbar."""
    array = {"rows": 4, "columns": 2, "lanes": 16}
    totals = {"cycles": cycles, "area_um2": area_um2, "energy_pj": energy_pj}
    totals |= {"effective_tops": 1 / cycles, "tops_per_w": 1.0, "macs_dense": 1000}
    crossbar = {"area_um2": area_um2 / 2, "energy_pj": 1.0}
    return {
        "arch": {"mac_array": array, "pattern": pattern, "clock_mhz": 1000.0},
        "point": {"batch": batch},
        "totals": totals,
        "units": {"crossbar": crossbar},
        "baseline": {"speedup": speedup, "totals": {"area_um2": 20.0, "energy_pj": 10.0}},
        "layers": [{"kind": "q", "dropped_squared_magnitude_ratio": 0.2}],
    }


GRID = studies.Data(
    {
        "runs": [
            run("2:4", 1, cycles=100, speedup=2.0),
            run("2:4", 4, cycles=300, speedup=1.5),
            run("8:16", 1, cycles=110, area_um2=12.0, speedup=1.9),
            run("8:16", 4, cycles=200, area_um2=12.0, speedup=1.8),
        ]
    }
)
AT = studies.Choice("runs", {"half": lambda some: some["totals"]["cycles"] / 2}, {"batch": 1})


def cycles(chosen):
    return [some["totals"]["cycles"] for some in chosen.of(GRID)]


def test_a_choice_refines_and_keeps_the_order_asked_for():
    assert cycles(AT(pattern="8:16")) == [110]
    assert cycles(AT(pattern=("8:16", "2:4"), batch=(4, 1))) == [200, 300, 110, 100]
    assert cycles(AT(pattern="8:16") + AT(pattern="2:4", batch=4)) == [110, 300]
    assert cycles(AT(batch=4).only(studies.least_of("cycles"))) == [200]
    assert cycles(AT.among("batch")(pattern="8:16", batch=4)) == [200, 300, 200]
    with pytest.raises(NoRunError, match=r"no run of 'runs' has \{'batch': 8\}"):
        AT(batch=8).of(GRID)
    with pytest.raises(NoRunError):  # one of several is missing
        AT(batch=(1, 8)).of(GRID)


def test_facts_come_from_the_study_the_point_totals_ratios_and_the_machine():
    some = GRID.groups["runs"][2]
    assert studies.fact(some, "half", AT.names) == 55
    asked = ("batch", "cycles", "speedup", "pattern", "columns", "multipliers", "ideal_speedup")
    assert [studies.fact(some, name) for name in asked] == [1, 110, 1.9, "8:16", 2, 128, 2]
    assert studies.fact(some, "crossbar_area_share") == 0.5
    assert studies.fact(some, "crossbar_area_of_dense") == 6 / 20
    assert studies.fact(some, "crossbar_fj_per_mac") == 1.0  # 1 pJ for 1,000 multiplications
    assert studies.fact(some, "clock_said") == "1 GHz"
    assert studies.fact({**some, "arch": {"clock_mhz": 500.0}}, "clock_said") == "500 MHz"
    with pytest.raises(InputError, match="a run has no 'colour'"):
        studies.fact(some, "colour")


def test_quantities_of_several_runs():
    runs = GRID.groups["runs"]
    assert studies.over("cycles")(runs) == 2
    assert studies.growth("cycles")(runs) == 1
    assert studies.gap("speedup")(runs) == pytest.approx(-0.2)
    assert studies.apart("speedup")(runs) == pytest.approx(0.2)
    assert (studies.largest("cycles")(runs), studies.smallest("cycles")(runs)) == (300, 100)
    assert studies.spread("cycles")(runs) == 3
    assert studies.first_over_next("cycles")(runs) == 100 / 110
    assert studies.over_least("cycles")(runs[1:]) == 300 / 110
    assert studies.of_picked(studies.most_of("speedup"), "cycles")(runs) == 100
    assert studies.ratio("cycles", "area_um2")(runs[0]) == 10
    # 2:4 spreads 3, 8:16 20 / 11; the second over the first, and the larger of both.
    spread = studies.spread("cycles")
    assert studies.across(max, spread, "pattern")(runs) == 3
    assert studies.across(studies.last_over_first, spread, "pattern")(runs) == 20 / 11 / 3


def test_numbers_are_written_as_the_pages_do():
    values = {"x": 0.138, "n": 4, "machine": studies.Choice("runs").of}
    assert written("{x:.1 %}, {x:.0p}, {x:+.1%}, {n:word}, {n:g}", values) == (
        "13.8 %, 14, +13.8%, four, 4"
    )
    assert [word(x) for x in (1.1 - 1, 1 - 0.9, 0.5, 0.75, 8, 9)] == [
        *("a tenth", "a tenth", "half", "three quarters", "eight", "9")
    ]
    assert (times(2), times(3), times(12)) == ("twice", "three times", "12 times")
    assert (points(0.01), points(0.1)) == ("a point", "10 points")


@given(st.floats(-1e6, 1e6), st.integers(0, 4))
def test_a_share_is_written_as_python_writes_it_but_for_the_space(x, digits):
    assert written(f"{{x:.{digits} %}}", {"x": x}) == f"{100 * x:.{digits}f} %"
    assert written(f"{{x:.{digits}f}}×", {"x": x}) == f"{x:.{digits}f}×"


def test_a_sentence_tells_of_runs_and_of_numbers():
    prose = studies.Prose(
        "answer",
        "{one.pattern} in {one.cycles}, {ends.low:g} to {ends.high:g}, {over:.1f}×, {limit}",
        {
            "one": AT(pattern="8:16"),
            "ends": studies.Ends("cycles", AT(batch=(1, 4))),
            "over": studies.Value(studies.over("cycles"), AT(batch=(1, 4), pattern="2:4")),
            "limit": 7,
        },
    )
    assert prose.text(GRID) == "8:16 in 110, 100 to 300, 3.0×, 7"


def test_a_table_is_rows_by_columns():
    slower = {"slower": studies.over("cycles")}
    table = studies.Table(
        "table",
        AT,
        {"pattern": ("2:4", "8:16")},
        {
            "pattern": "{pattern}",
            **studies.columns("{cycles}", batch=(1, 4)),
            "over": studies.Column("{slower:.1f}×", {"batch": (1, 4)}, values=slower),
            "of {multipliers}": studies.Column("{half:g}", chosen=AT),
        },
    )
    assert table.text(GRID).splitlines() == [
        "| pattern | 1 | 4 | over | of 128 |",
        "|---|---|---|---|---|",
        "| 2:4 | 100 | 300 | 3.0× | 50 |",
        "| 8:16 | 110 | 200 | 1.8× | 55 |",
    ]


def test_a_cell_without_a_run_is_an_error_or_a_sign():
    rows = {"pattern": ("2:4", "4:8")}
    with pytest.raises(NoRunError, match="4:8"):
        studies.Table("table", AT, rows, {"cycles": "{cycles}"}).text(GRID)
    table = studies.Table("table", AT, rows, {"cycles": "{cycles}"}, missing="–")
    assert table.text(GRID).endswith("| 100 |\n| – |")


def test_a_claim_says_its_bound_and_its_runs():
    fixed = {"is_priced": False}
    claims = studies.Claims(
        {
            "{pattern} is {bound:g} times as fast at {batch}": [
                studies.above(1.9, "speedup", AT(pattern=pattern), **fixed)
                for pattern in ("2:4", "8:16")
            ],
            "{last.batch} takes {more:.0 %} more, half of {share:word}, not {less:.1f}": (
                studies.below(2, studies.over("cycles"), AT(pattern="2:4", batch=(1, 4)), **fixed)
            ),
        }
    )
    lines = claims.text(GRID).splitlines()[2:]
    assert [line.split(" | ")[:3] for line in lines] == [
        ["| 2:4 is 1.9 times as fast at 1", "yes", "2.00×"],
        ["| 8:16 is 1.9 times as fast at 1", "**no**", "1.90×"],  # not above, but equal
        ["| 4 takes 100 % more, half of half, not -1.0", "**no**", "3.00×"],
    ]
    assert studies.Count(claims, "is_priced").of(GRID) == 0


def test_measured_records_stand_behind_the_runs_of_a_claim():
    record = {"point": {}, "totals": {"loss": 4.0}, "baseline": {}, "arch": {}}
    data = studies.Data({"runs": [run(area_um2=10.0)], "losses": [record]})
    chosen = studies.Choice("losses") + studies.Choice("runs")

    def area_times_loss(some):
        return some[0]["totals"]["area_um2"] * some[1]["totals"]["loss"]

    claim = studies.above(0, area_times_loss, chosen)
    tested = claim.on(data)
    assert len(tested.runs) == 1
    assert tested.value(tested.runs) == 40
    assert data.verdict(claim) is data.verdict(claim)


def test_extremes_count_from_their_base():
    claim = studies.below(2, "cycles", AT)
    tested = Verdict(lambda _: 1.25, [])
    data = studies.Data({}, {claim: tested})
    assert studies.Extremes(claim, 1).of(data) == (0.25, 0.25)


def test_equal_area_takes_the_fastest_that_fits():
    # The dense machine beside the first has 20 µm².
    machines = [
        run("dense", cycles=200, area_um2=15.0),
        run("dense", cycles=100, area_um2=25.0),
        run("8:16", cycles=80, area_um2=20.0),
        run("8:16", cycles=50, area_um2=30.0),
    ]
    data = studies.Data({"shipped": [run()], "sizes": machines})
    chosen = Rivals(studies.Choice("shipped"), studies.Choice("sizes"))("8:16", batch=1)
    runs = chosen.of(data)
    sparse, dense = rivals(runs)
    assert (sparse["totals"]["cycles"], dense["totals"]["cycles"]) == (80, 200)
    assert gain()(runs) == 200 / 80
    assert gain(share=1.5)(runs) == 100 / 50
    assert gain(share=0.5)(runs) == 0  # nothing fits
    assert gains((1.0, 1.5))(runs) == (2.0, 2.5)
    assert rivals([runs[0], *machines[:2]])[0] is machines[0]  # dense against dense


def test_perplexities_are_records_and_nothing_is_measured_unasked(tmp_path, monkeypatch):
    row = {"pattern": "8:16", "criterion": "act", "mitigation": "none"}
    row |= {"relative_drop": 0.5, "relative_drop_stderr": 0.02}  # as earlier versions wrote it
    other = {**row, "pattern": "2:4", "relative_drop": 1.2, "relative_drop_stderr": 0.05}
    one = {"settings": {"precision": "int8"}, "dense": {"perplexity": 17.0}, "rows": [row, other]}
    path = tmp_path / "accuracy.json"
    path.write_text(json.dumps(one))
    source = studies.Perplexities(path)
    records = source.records()
    assert [record["point"]["pattern"] for record in records] == ["8:16", "2:4"]
    assert studies.fact(records[0], "increase") == "+50% ± 2%"
    assert studies.fact(records[0], "increase_said") == "50 ± 2 %"
    assert studies.fact(records[0], "dense_perplexity") == 17.0
    assert studies.at_most(records) == pytest.approx(0.54)
    assert studies.loss_ratio(records) == pytest.approx(0.54 / 1.1)
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("measured"))
    source.measure()  # no patterns: another experiment measures this file
    (tmp_path / "several.json").write_text(json.dumps({"int8": one, "fp8": one}))
    both = studies.Perplexities(tmp_path / "several.json", others=[path])
    assert len(both.records()) == 6


def test_a_measurement_replaces_its_rows_and_keeps_the_others(tmp_path, monkeypatch):
    def row(pattern, drop):
        return {
            "pattern": pattern,
            "criterion": "act",
            "mitigation": "none",
            "perplexity_increase_ratio": drop,
        }

    head = {"accelsim": "1", "model": "m", "text": "t", "compute_type": "f", "dense": {}}
    head |= {"settings": {"precision": "int8"}}
    path = tmp_path / "accuracy.json"
    path.write_text(json.dumps({**head, "rows": [row("2:4", 1.0), row("8:16", 0.5)]}))
    source = studies.Perplexities(path, ["8:16"])
    fresh = {**head, "rows": [row("8:16", 0.4) | {"layers": []}]}
    monkeypatch.setattr(studies.Perplexities, "_measured", lambda *_: fresh)
    source.measure()
    assert source.read()["rows"] == [row("2:4", 1.0), row("8:16", 0.4)]
    monkeypatch.setattr(studies.Perplexities, "_measured", lambda *_: {**fresh, "text": "other"})
    with pytest.raises(InputError, match="rows that are kept are of another text"):
        source.measure()


def test_panels_draw_what_the_runs_say():
    pytest.importorskip("matplotlib")
    batches = AT(pattern="2:4", batch=(1, 4))
    pairs = {"2:4": ((batches, "cycles"), (batches, studies.over_least("cycles")))}
    look = studies.Look("batch of {pattern}", "cycles", xbase=2, legend=1)
    lines = studies.Lines.pairs(pairs, "batch", look, scale=10, ticks="{batch}!", rule=2)
    groups = {pattern: AT(pattern=pattern) for pattern in ("2:4", "8:16")}
    four = {"4": studies.Bar("speedup", {"batch": 4})}
    bars = studies.Bars(groups, four, studies.Look(ylim=(0, 3)))
    figure = studies.Figure([lines, bars]).drawn(GRID)
    left, right = figure.axes
    full, dashed, rule = (line.get_ydata() for line in left.lines)
    assert list(full) == [1000, 3000]
    assert list(dashed) == [10, 30]  # over the fewest of the line
    assert list(rule) == [20, 20]
    assert left.get_xlabel() == "batch of 2:4"
    assert [text.get_text() for text in left.get_xticklabels()] == ["1!", "4!"]
    assert [bar.get_height() for bar in right.patches] == [1.5, 1.8]
    assert right.get_ylim() == (0, 3)


def test_a_map_colours_tiles_by_kind():
    pytest.importorskip("matplotlib")
    kinds = (("red", 1.0, "fast"), ("blue", 0.5, "slow"))
    tiles = studies.Map(
        AT(pattern="2:4"),
        ("batch", (1, 4)),
        ("pattern", ("2:4", "8:16")),
        lambda runs: int(runs[0]["totals"]["cycles"] > 150),
        kinds,
        *("{cycles}", "B{batch}", "{pattern}"),
        studies.Look(),
    )
    (ax,) = studies.Figure([tiles]).drawn(GRID).axes
    assert [text.get_text() for text in ax.texts] == ["100", "300", "110", "200"]
    blue = [tile.get_alpha() == 0.5 for tile in ax.patches[:4]]
    assert blue == [False, True, False, True]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["B1", "B4"]


STUDY = """
from accelsim import studies as st

class Own:
    def paint(self, ax, data):
        ax.plot([run["totals"]["cycles"] for run in data.groups["runs"]])


AT = st.Choice("runs")
STUDY = st.Study(
    "What?",
    __file__,
    groups={"runs": lambda flags: [RUN] * flags.count},
    parts=[st.Prose("answer", "{one.cycles} cycles", {"one": AT})],
    figure=st.Figure([Own()]),
    numbers=[st.Numbers("runs", {"twice": lambda run: 2 * run["totals"]["cycles"]})],
    flags={"count": {"type": int, "default": 1}},
)
"""


def test_a_study_writes_its_page_and_checks_it(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    page = tmp_path / "README.md"
    page.write_text("# What?\n\n<!-- answer -->\n<!-- / -->\n")
    names = {"__file__": str(tmp_path / "run.py"), "RUN": run()}
    exec(STUDY, names)
    study = names["STUDY"]
    monkeypatch.setattr("sys.argv", ["run.py", "--count", "2"])
    study.main()
    assert "100 cycles" in page.read_text()
    table = (tmp_path / "runs.csv").read_text().splitlines()
    assert (table[0].split(",")[-1], [line.split(",")[-1] for line in table[1:]]) == (
        "twice",
        ["200", "200"],
    )
    monkeypatch.setattr("sys.argv", ["run.py", "--check", "--count", "2"])
    study.main()
    monkeypatch.setattr("sys.argv", ["run.py", "--check", "--count", "3"])
    with pytest.raises(SystemExit, match=r"runs\.csv"):
        study.main()
    page.unlink()
    with pytest.raises(SystemExit) as ended:
        study.main()
    assert ended.value.code == 2
