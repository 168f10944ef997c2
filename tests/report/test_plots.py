"""Every kind of plot: numbers that a reader can redo, and figures that say what they show."""

import json
from dataclasses import replace

import numpy as np
import pytest

from accelsim.base.errors import InputError
from accelsim.dataflows import DATAFLOWS
from accelsim.report.plots import PLOTS, draw
from accelsim.report.saved import load_runs
from accelsim.run.simulation import simulate_all
from tests.helpers.small import load

pytest.importorskip("matplotlib")
from accelsim.report import style

MAGIC = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
TOTALS = {
    **dict.fromkeys(("dram_bytes", "macs_dense", "macs_executed"), 1),
    **{"cycles": 100, "time_s": 1.0, "energy_pj": 10.0, "area_um2": 100.0, "edp_pj_s": 10.0},
    "tops_per_mm2": 1.0,
}


@pytest.fixture(scope="module")
def runs(small_trace):
    """Dense and two sparse machines in prefill."""
    machines = [load(name) for name in ("dense", "nm24", "nm816")]
    return [result.to_dict() for result in simulate_all(machines, small_trace)]


@pytest.fixture(scope="module")
def decoding(small_trace):
    """Dense and 8:16 at three batch sizes."""
    machines = [load(name) for name in ("dense", "nm816")]
    return [
        result.to_dict()
        for batch in (1, 2, 3)
        for result in simulate_all(machines, small_trace, phase="decode", batch=batch)
    ]


def accuracy_of(*rows):
    """What `accelsim accuracy --json` printed, shortened, when an increase was called a drop."""
    keys = ("pattern", "criterion", "mitigation", "relative_drop", "relative_drop_stderr")
    return {"rows": [dict(zip(keys, row, strict=True)) for row in rows]}


ACCURACY = accuracy_of(
    ("2:4", "act", "none", 0.8, 0.1),
    ("8:16", "act", "none", 0.4, 0.05),
    ("topk:0.5", "act", "none", 0.2, 0.02),
)


def inputs_of(kind, runs, decoding):
    """Runs and options that a kind can draw."""
    if kind == "decode":
        return decoding, {}
    if PLOTS[kind].is_of_one_run:
        return runs[2:], {}
    return runs, {"accuracy": ACCURACY} if kind == "front" else {}


@pytest.mark.parametrize("kind", sorted(PLOTS))
def test_every_kind_is_drawn_labelled_and_written(kind, runs, decoding, tmp_path):
    chosen, options = inputs_of(kind, runs, decoding)
    figure, (ax,) = style.figure()
    rows = draw(kind, chosen, ax, **options)
    assert rows
    json.dumps(rows)
    # A quantity with its unit, or a ratio, on one axis at least; names of machines on the other.
    labels = ax.get_xlabel() + ax.get_ylabel()
    labels += "".join(other.get_ylabel() for other in figure.axes)
    assert any(word in labels for word in ("(", "ratio", "over dense", "TOPS"))
    for ending, magic in MAGIC.items():
        path = tmp_path / f"figure.{ending}"
        style.save(figure, path)
        assert path.read_bytes().startswith(magic)
    legend = ax.get_legend()
    if legend is not None:  # above or beside the axes, where no data is
        box, axes = legend.get_window_extent(), ax.get_window_extent()
        assert box.y0 >= axes.y1 - 1 or box.x0 >= axes.x1 - 1


@pytest.mark.parametrize("kind", sorted(PLOTS))
def test_a_kind_says_what_it_is_and_takes_only_its_options(kind, runs):
    _, (ax,) = style.figure()
    assert PLOTS[kind].about
    with pytest.raises(InputError, match="has no option 'colour'"):
        draw(kind, runs, ax, colour="red")
    with pytest.raises(InputError, match="at least one run"):
        draw(kind, [], ax)
    if PLOTS[kind].is_of_one_run:
        with pytest.raises(InputError, match="one run an axes, not 3"):
            draw(kind, runs, ax)


def test_an_unknown_kind_is_refused(runs):
    with pytest.raises(InputError, match=r"unknown plot 'cots' \(did you mean 'cost'\?\)"):
        draw("cots", runs, None)


# Numbers by hand -------------------------------------------------------------------------------


def run_of(pattern, name="mine", **totals):
    """A run of round numbers."""
    return {
        "arch": {"pattern": pattern, "name": name, "criterion": "act", "mitigation": "none"},
        "trace": {"sha256": "x"},
        "phase": "prefill",
        "batch": None,
        "totals": TOTALS | totals,
    }


def test_cost_and_efficiency_by_hand():
    sparse = run_of(
        "8:16", time_s=0.5, energy_pj=7.0, area_um2=120.0, edp_pj_s=3.5, tops_per_mm2=1.5
    )
    both = [run_of("dense"), sparse]
    (cost,) = PLOTS["cost"].numbers(both)
    assert cost == {"run": "8:16", "speedup": 2.0, "energy_ratio": 0.7, "area_ratio": 1.2}
    (efficiency,) = PLOTS["efficiency"].numbers(both)
    assert efficiency == {"run": "8:16", "tops_per_mm2_ratio": 1.5, "edp_ratio": 0.35}


def test_roofline_by_hand():
    # 4 × 4 × 16 = 256 multipliers at 1 GHz: 0.512 TOPS, 1.024 with half left out. A layer of 1,000
    # MACs in 10 cycles that moves 100 bytes: 20 operations a byte, 2,000 in 10 ns = 0.2 TOPS.
    run = {
        "arch": {
            "pattern": "8:16",
            "clock_mhz": 1000,
            "mac_array": {"rows": 4, "columns": 4, "lanes": 16},
            "dram": {"bandwidth_gb_per_s": 64},
        },
        "layers": [{"name": "q", "kind": "q", "macs_dense": 1000, "cycles": 10, "dram_bytes": 100}],
    }
    (row,) = PLOTS["roofline"].numbers([run])
    assert row["operations_per_byte"] == 20
    assert row["effective_tops"] == pytest.approx(0.2)
    assert row["multiplier_tops"] == pytest.approx(0.512)
    assert row["effective_peak_tops"] == pytest.approx(1.024)
    assert row["dram_gb_per_s"] == 64
    run["arch"]["units"] = {"weight_dram": {"bandwidth_gb_per_s": 16}, "row_gather": {}}
    assert PLOTS["roofline"].numbers([run])[0]["dram_gb_per_s"] == 64 + 16  # of all channels


def test_causes_of_every_unit_add_up_to_the_run(runs):
    for row in PLOTS["causes"].numbers(runs[2:]):
        assert sum(value for key, value in row.items() if key != "unit") == pytest.approx(1)


def test_breakdown_leaves_out_what_is_nothing(runs):
    rows = PLOTS["breakdown"].numbers(runs, quantity="area_um2")
    assert [row["run"] for row in rows] == ["dense", "2:4", "8:16"]
    assert "dram" not in rows[0]  # it has energy, but no area of ours
    assert sum(v for k, v in rows[2].items() if k not in ("run", "quantity")) == pytest.approx(
        runs[2]["totals"]["area_um2"]
    )
    with pytest.raises(InputError, match="quantity 'mass': allowed: energy_pj, area_um2"):
        PLOTS["breakdown"].numbers(runs, quantity="mass")


def test_overhead_is_in_order_of_m_and_refuses_two_of_a_kind(runs):
    rows = PLOTS["overhead"].numbers([runs[2], runs[1], runs[0]])
    assert [row["m"] for row in rows] == [4, 16]
    with pytest.raises(InputError, match="same M, crossbar and selector"):
        PLOTS["overhead"].numbers([*runs, runs[1]])
    with pytest.raises(InputError, match="not dense"):
        PLOTS["overhead"].numbers(runs[:1])


def test_decode_has_the_share_by_chance_beside_the_real_one(decoding):
    rows = PLOTS["decode"].numbers(decoding)
    assert [row["batch"] for row in rows] == [1, 2, 3]
    for row in rows:
        # One sequence needs what it keeps; the padding of ragged layers keeps a little more.
        assert 0.5 <= row["needed_rows_ratio"] <= 1
    assert rows[0]["needed_rows_ratio"] == pytest.approx(rows[0]["independent_rows_ratio"])
    widths = [64, 100, 37, 256]
    kept = [(8 * (k // 16) + min(8, k % 16)) / k for k in widths]
    by_chance = np.average([1 - (1 - d) ** 3 for d in kept], weights=widths)
    assert rows[2]["independent_rows_ratio"] == pytest.approx(by_chance)


def test_decode_refuses_prefill_and_two_machines(runs, decoding):
    with pytest.raises(InputError, match="phase decode"):
        PLOTS["decode"].numbers(runs)
    with pytest.raises(InputError, match="two have the same batch"):
        PLOTS["decode"].numbers([*decoding, decoding[1]])


def test_front_marks_what_nothing_beats():
    # Energy of dense 10; increases 0.4, 0.8, 0.9: 7, 5, 6. The last is beaten by the second.
    patterns = {"2:4": (0.8, 5.0), "8:16": (0.4, 7.0), "4:8": (0.9, 6.0)}
    some = [run_of("dense"), *(run_of(p, p, energy_pj=pj) for p, (_, pj) in patterns.items())]
    measured = [(p, "act", "none", drop, 0.1) for p, (drop, _) in patterns.items()]
    measured.append(("topk:0.5", "act", "none", 0.3, 0.1))
    rows = PLOTS["front"].numbers(some, accuracy=accuracy_of(*measured))
    assert {row["pattern"]: row["is_best"] for row in rows} == {
        **{"2:4": True, "8:16": True, "4:8": False, "topk:0.5": False}
    }
    assert rows[3]["value"] is None
    with pytest.raises(InputError, match="cost 'money'"):
        PLOTS["front"].numbers(some, accuracy=accuracy_of(*measured), cost="money")
    with pytest.raises(InputError, match="two runs have the same pattern"):
        PLOTS["front"].numbers([*some, some[1]], accuracy=accuracy_of(*measured))
    with pytest.raises(InputError, match="needs what `accelsim accuracy"):
        PLOTS["front"].numbers(some)


def test_heatmap_has_a_number_a_layer_and_wants_something_dropped(runs):
    rows = PLOTS["heatmap"].numbers(runs[2:])
    assert [row["layer"] for row in rows] == [layer["name"] for layer in runs[2]["layers"]]
    with pytest.raises(InputError, match="not a dense one"):
        PLOTS["heatmap"].numbers(runs[:1])


def test_utilization_by_layer_adds_up_to_the_run(runs):
    rows = PLOTS["utilization"].numbers(runs[2:])
    busy = sum((row["end_us"] - row["start_us"]) * row["mac_array_ratio"] for row in rows)
    worked = runs[2]["units"]["mac_array"]["busy_cycles"] / runs[2]["arch"]["clock_mhz"]
    assert busy == pytest.approx(worked)


def test_utilization_shows_every_channel_of_a_dataflow(runs, monkeypatch):
    plain = DATAFLOWS["output_stationary"]
    split = replace(plain.with_stream_on("weight_dma", "weight_dram"), name="split")
    monkeypatch.setitem(DATAFLOWS._known, "split", split)
    run = {**runs[2], "arch": runs[2]["arch"] | {"dataflow": "split"}, "layers": []}
    for layer in runs[2]["layers"]:
        busy = layer["unit_busy_cycles"] | {"weight_dram": layer["cycles"] // 2}
        run["layers"].append({**layer, "unit_busy_cycles": busy})
    rows = PLOTS["utilization"].numbers([run])
    shown = ["mac_array_ratio", "dram_ratio", "weight_dram_ratio", "selector_ratio"]
    assert [key for key in rows[0] if key.endswith("_ratio")] == shown
    assert rows[0]["weight_dram_ratio"] == pytest.approx(0.5, rel=1e-2)


def timeline(folder, *slices):
    """Write a timeline of one unit: (start, duration) of its tiles, in µs."""
    events = [{"name": "thread_name", "ph": "M", "tid": 1, "args": {"name": "mac_array"}}]
    events += [
        {"name": f"tile {n}", "ph": "X", "tid": 1, "ts": start, "dur": span}
        for n, (start, span) in enumerate(slices)
    ]
    (folder / "timeline.json").write_text(json.dumps({"traceEvents": events}))
    busy = sum(span for _, span in slices)
    return {
        "folder": str(folder),
        "arch": {"clock_mhz": 1.0},
        "units": {"mac_array": {"busy_cycles": busy}},
    }


def test_utilization_of_a_timeline_by_hand(tmp_path):
    # 0 … 4 and 6 … 10 µs of 10, in two spans of 5: 4 of 5, and 4 of 5 (from 6 on).
    run = timeline(tmp_path, (0, 4), (6, 4))
    rows = PLOTS["utilization"].numbers([run], bins=2)
    assert [row["mac_array_ratio"] for row in rows] == [0.8, 0.8]


def test_a_timeline_of_a_part_is_refused(tmp_path):
    run = timeline(tmp_path, (0, 4), (6, 4))
    run["units"]["mac_array"]["busy_cycles"] = 80
    with pytest.raises(InputError, match=r"timeline.json: shows 8 µs .* the run has 80"):
        PLOTS["utilization"].numbers([run])
    (tmp_path / "timeline.json").write_text("{}")
    with pytest.raises(InputError, match="not a timeline"):
        PLOTS["utilization"].numbers([run])


# Saved runs ------------------------------------------------------------------------------------


def test_ratios_are_to_a_machine_that_differs_in_sparsity_only(runs):
    other = json.loads(json.dumps(runs[0]))
    other["arch"]["dram"]["bandwidth_gb_per_s"] = 1
    with pytest.raises(InputError, match="differs in dram"):
        PLOTS["cost"].numbers([other, runs[2]])
    with pytest.raises(InputError, match="nothing to compare with"):
        PLOTS["cost"].numbers([runs[2]])
    baseline = {"name": "dense", "speedup": 3.0, "energy_ratio": 1.0, "area_overhead_ratio": 0.5}
    (row,) = PLOTS["cost"].numbers([other, runs[2] | {"baseline": baseline}])
    assert row["speedup"] == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not a result of schema 1"),
        ('{"schema": 2}', "not a result of schema 1"),
        ('{"schema": 1, "arch": {}}', "key 'trace' is missing"),
    ],
)
def test_a_folder_that_holds_something_else_is_refused(tmp_path, text, message):
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(InputError, match=f"result.json: {message}"):
        load_runs([tmp_path])


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"result.json: No such file .* run … --out DIR"):
        load_runs([tmp_path])
