"""A point comes to the same as `accelsim run` says; what cannot run is said, not fatal."""

import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import accelsim as acs
from accelsim.base.errors import InputError
from accelsim.cli import main
from accelsim.run import runner
from accelsim.sweeps import totals
from accelsim.sweeps.plan import load_plan
from accelsim.sweeps.task import Bench, Task
from tests.helpers.sweep_commands import ARCHS

METRICS = ("cycles", "energy_pj", "area_um2", "effective_tops", "dram_bytes", "edp_pj_s")


def run_json(capsys, *arguments):
    capsys.readouterr()
    assert main(["run", *map(str, arguments), "--baseline", "none", "--json"]) == 0
    return json.loads(capsys.readouterr().out)["totals"]


AXES = {
    "crossbar.kind": ["full", "window"],
    "mac_array.lanes": [8, 16],
    "technology.node_nm": [45, 7],
    "dram.bandwidth_gb_per_s": [4, 64],
}


@pytest.mark.parametrize(("phase", "batch"), [("prefill", None), ("decode", 1), ("decode", 3)])
@pytest.mark.parametrize("base", ["dense", "nm24", "nm816", "nm816_bf16"])
def test_every_number_is_that_of_a_run(  # noqa: PLR0917
    capsys, plan, trace, base, phase, batch
):
    axes = AXES if base != "dense" else {k: v for k, v in AXES.items() if "crossbar" not in k}
    batches = {} if batch is None else {"batches": batch}
    made = plan(base=str(ARCHS / f"{base}.yaml"), axes=axes, phases=phase, **batches)
    bench = Bench(made)
    flags = ["--phase", phase] + ([] if batch is None else ["--batch", batch])
    for point in (0, 1, len(made.grid) // 2, len(made.grid) - 1):
        row = bench.run(point)
        assert row["status"] == "ok"
        sets = [f"--set={key}={row[key]}" for key in axes]
        expected = run_json(capsys, ARCHS / f"{base}.yaml", "--trace", trace, *flags, *sets)
        assert {name: row[name] for name in expected} == expected


SECTION = {"x": "int8", "w": {"format": "int4", "group": 64}}


def test_formats_of_operands_are_an_axis_as_text_or_section(capsys, plan, trace):
    axes = {
        "precision": ["int8/int4:32", "bf16/int4", SECTION],
        "unpacker.lanes": [4, 256],
        "tiling": ["quick"],
    }
    bench = Bench(plan(base=str(ARCHS / "nm816.yaml"), axes=axes))
    assert len({bench.run(point)["dram_bytes"] for point in range(6)}) >= 3
    for point, precision in ((1, "int8/int4:32"), (4, "int8/int4:64")):
        row = bench.run(point)
        sets = ["--set=tiling=quick", f"--set=precision={precision}"]
        sets += [f"--set=unpacker.lanes={row['unpacker.lanes']}"]
        expected = run_json(capsys, ARCHS / "nm816.yaml", "--trace", trace, *sets)
        assert {name: row[name] for name in expected} == expected


@pytest.mark.parametrize("mitigation", ["var", "dpts", "rsparse8", "none"])
@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_methods_and_policies_come_to_the_same(  # noqa: PLR0917
    capsys, tmp_path, plan, trace, mitigation, phase
):
    rules = {"schema": 1, "mitigation": mitigation, "layers": {"*0*": "dense"}}
    names = [linear.name for linear in acs.load_trace(trace).linears]
    rules["layers"] = {names[0]: "dense"}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules), encoding="utf-8")
    made = plan(policies="rules.yaml", phases=phase, axes={"mac_array.lanes": [16, 32]})
    row = Bench(made).run(1)
    flags = ["--phase", phase, "--policy", tmp_path / "rules.yaml", "--set=mac_array.lanes=32"]
    expected = run_json(capsys, ARCHS / "nm816.yaml", "--trace", trace, *flags)
    assert {name: row[name] for name in expected} == expected


def test_a_policy_that_is_edited_between_two_sweeps_is_read_again(tmp_path, plan):
    cycles = []
    for pattern in ("8:16", "dense"):
        rules = {"schema": 1, "layers": {"*": pattern}}
        (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules), encoding="utf-8")
        cycles.append(Bench(plan(policies="rules.yaml")).run(0)["cycles"])
    assert cycles[0] < cycles[1]


def test_memory_of_like_machines_changes_nothing(plan):
    made = plan(axes=AXES)
    together = Bench(made)
    for point in range(len(made.grid)):
        assert together.run(point) == Bench(made).run(point)


@given(order=st.permutations(range(8)))
@settings(max_examples=5)
def test_the_order_of_points_changes_nothing(order, benches):
    expected, bench = benches
    assert {point: bench.run(point) for point in order} == expected


@pytest.fixture(scope="module")
def benches(tmp_path_factory, trace):
    path = tmp_path_factory.mktemp("order") / "s.yaml"
    axes = {"mac_array.lanes": [8, 16], "pattern": ["2:4", "8:16"], "dram.latency_ns": [1, 100]}
    base = str(ARCHS / "nm816.yaml")
    data = {"schema": 1, "name": "x", "base": base, "traces": str(trace), "axes": axes}
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    made = load_plan(path)
    first = Bench(made)
    return {point: first.run(point) for point in range(8)}, Bench(made)


def test_runs_are_shared_by_machines_that_differ_in_cost_only(plan, monkeypatch):
    runs = []
    real = runner.Runner.run
    monkeypatch.setattr(runner.Runner, "run", lambda *a: runs.append(1) or real(*a))
    bench = Bench(plan(axes={"technology.node_nm": [45, 32, 22], "mac_array.lanes": [8, 16]}))
    bench.run(0)
    once = len(runs)
    bench.run(2)  # another node
    assert len(runs) == once > 0
    bench.run(1)  # other lanes
    assert len(runs) > once


def test_a_point_that_is_no_machine_says_why(plan):
    made = plan(axes={"mac_array.lanes": [16, 0]})
    bench = Bench(made)
    assert bench.check(0).row is None
    for row in (bench.check(1).row, bench.run(1)):
        assert row["status"] == "invalid"
        assert row["reason"].endswith(
            "nm816.yaml: axis mac_array.lanes=0: key 'mac_array.lanes': Input should be greater "
            "than 0, got 0"
        )
        assert row["cycles"] is row["task"] is None


@pytest.mark.parametrize(
    ("axes", "reason"),
    [
        ({"pattern": ["dense"]}, "drops nothing and has no use for 'selector'"),
        ({"crossbar.kind": ["banked"]}, "unknown crossbar.kind 'banked'"),
        ({"selector.instances": [4], "selector": [None]}, "'selector' is no section"),
        (
            {"buffers.weights.capacity_kib": [0.25], "mac_array.columns": [64]},
            "must fit in buffers.",
        ),
        ({"technology.node_nm": [3]}, "technology.node_nm"),
        ({"pattern": ["8:15:2"]}, "unknown pattern '8:15:2'"),
    ],
)
def test_reasons(plan, axes, reason):
    # The later axis of the two is set last.
    made = plan(axes=dict(reversed(axes.items())))
    assert reason in Bench(made).check(0).row["reason"]


def test_a_batch_larger_than_the_trace_is_invalid(plan):
    made = plan(axes=None, phases="decode", batches=[1, 1000])
    bench = Bench(made)
    assert bench.check(0).row is None
    assert "1000" in bench.check(1).row["reason"]


def test_an_area_out_of_limits_is_known_before_the_run(plan):
    made = plan(axes={"mac_array.lanes": [8, 64]}, constraints="area_um2 <= 4e6")
    bench = Bench(made)
    assert bench.check(0).row is None
    row = bench.check(1).row
    assert row["status"] == "excluded"
    assert row["reason"].endswith("is not <= 4e+06")
    assert row["area_um2"] > 4e6
    assert bench.runs == 0


def test_other_limits_are_known_after_it(plan):
    bench = Bench(plan(axes={"mac_array.lanes": [16]}, constraints="cycles < 10"))
    assert bench.check(0).row is None
    row = bench.run(0)
    assert row["status"] == "excluded"
    assert row["cycles"] >= 10


@pytest.mark.parametrize("scale", ["rows", "columns"])
@pytest.mark.parametrize("reference", ["nm1632.yaml", "dense.yaml"])
def test_arrays_fill_the_area_of_a_reference(plan, scale, reference):
    iso = {"reference": str(ARCHS / reference), "scale": scale}
    axes = {"mac_array.lanes": [8, 16], "technology.node_nm": [45, 22]}
    made = plan(iso_area=iso, axes=axes)
    bench = Bench(made)
    for point in range(4):
        row = bench.run(point)
        node = f"technology.node_nm={row['technology.node_nm']}"
        sets = [f"mac_array.lanes={row['mac_array.lanes']}", node]
        limit = area_of(ARCHS / reference, node)
        size = row[f"mac_array.{scale}"]
        areas = [
            area_of(ARCHS / "nm816.yaml", *sets, f"mac_array.{scale}={n}") for n in (size, size + 1)
        ]
        assert areas[0] == row["area_um2"] <= limit < areas[1]


def area_of(path, *sets):
    from accelsim.run.area import AreaReport

    return AreaReport.of(acs.load_arch(path, sets)).total_um2


def test_a_dense_reference_is_the_point_itself_without_sparsity(plan):
    made = plan(iso_area={"reference": "dense"}, axes={"mac_array.lanes": [32]})
    row = Bench(made).run(0)
    assert row["mac_array.rows"] < 8
    assert row["area_um2"] <= area_of(ARCHS / "dense.yaml", "mac_array.lanes=32")


def test_an_area_too_small_for_one_row_is_invalid(plan):
    axes = {"buffers.weights.capacity_kib": [8192], "buffers.activations.capacity_kib": [8192]}
    made = plan(iso_area={"reference": str(ARCHS / "dense.yaml")}, axes=axes)
    assert "not even one of mac_array.rows fits into" in Bench(made).run(0)["reason"]


def test_a_defect_is_the_row_of_its_point(plan, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("of a\ndefect")

    monkeypatch.setattr("accelsim.sweeps.task.totals_of", broken)
    bench = Bench(plan())
    row = bench.run(0)
    assert (row["status"], row["reason"]) == ("failed", "ZeroDivisionError: of a defect")
    monkeypatch.setattr("accelsim.sweeps.task.equip", broken)
    assert bench.check(0).row == row


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_comes_to_no_number_is_no_result(plan, monkeypatch, value):
    real = totals.Totals.totals
    monkeypatch.setattr(totals.Totals, "totals", lambda self: real(self) | {"power_mw": value})
    row = Bench(plan()).run(0)
    assert row["status"] == "invalid"
    assert f"power_mw is {value}: too large or too small" in row["reason"]
    assert row["power_mw"] is row["cycles"] is None


def test_a_trace_that_has_changed_stops_the_sweep(tmp_path, plan, trace):
    copy = tmp_path / "c.npz"
    copy.write_bytes(trace.read_bytes())
    made = plan(traces=str(copy))
    copy.unlink()
    with pytest.raises(InputError, match=r"c\.npz"):
        Bench(made).run(0)
    copy.write_bytes(trace.read_bytes() + b"\0")
    with pytest.raises(InputError, match="has changed since the sweep began"):
        Bench(made).run(0)


def test_a_policy_that_has_changed_stops_the_sweep(tmp_path, plan):
    path = tmp_path / "rules.yaml"
    path.write_text("schema: 1\nlayers: {'*': dense}\n", encoding="utf-8")
    made = plan(policies="rules.yaml")
    path.write_text("schema: 1\nmitigation: var\nlayers: {'*': dense}\n", encoding="utf-8")
    with pytest.raises(InputError, match="has changed since the sweep began"):
        Bench(made).check(0)


def test_a_task_is_its_contents():
    one = Task("{}", "abc", "decode", 4, "")
    assert one.id == Task("{}", "abc", "decode", 4, "").id
    others = [Task("{}", "abc", "decode", 5, ""), Task("{}", "abd", "decode", 4, "")]
    assert len({one.id, *(other.id for other in others)}) == 3
    assert len(one.id) == 16


def test_each_layer_input_is_selected_once_for_like_points(plan):
    made = plan(axes={"mac_array.lanes": [8, 16], "pattern": ["2:4", "8:16"]})
    bench = Bench(made)
    for point in range(4):
        bench.run(point)
    workload = bench.workload("t")
    inputs = len({linear.input for linear in workload.trace.linears})
    assert workload.selections == 2 * inputs
