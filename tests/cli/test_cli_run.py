"""`accelsim run`: what it prints, what it writes, and that both say the same."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import accelsim as acs
from accelsim.hardware import CROSSBARS
from accelsim.sparsity import FORMATS, stored_formats
from accelsim.trace import InputInfo, Linear, TraceMeta, TraceWriter

TOTALS = {
    "cycles",
    "time_s",
    "macs_dense",
    "macs_executed",
    "effective_tops",
    "mac_utilization_ratio",
    "energy_pj",
    "energy_pj_per_dense_mac",
    "power_mw",
    "area_um2",
    "tops_per_w",
    "tops_per_mm2",
    "edp_pj_s",
    "dram_bytes",
}
UNIT = {
    "area_um2",
    "energy_pj",
    "busy_cycles",
    "starved_cycles",
    "blocked_cycles",
    "contended_cycles",
    "idle_cycles",
    "actions",
}
LAYER = {
    "name",
    "tokens",
    "in_features",
    "out_features",
    "cycles",
    "macs_dense",
    "macs_executed",
    "density",
    "energy_pj",
    "dram_bytes",
    "bound",
}


SLOW = ("--set", "clock_mhz=100")  # a clock that every block meets: no warnings


@pytest.fixture
def run(accepted, arch, trace):
    """Run a machine on the small trace."""
    return lambda *flags, name="nm816": accepted("run", arch(name), "--trace", trace, *flags)


@pytest.fixture
def run_json(run):
    return lambda *flags, name="nm816": json.loads(run("--json", *flags, name=name).out)


# --- JSON ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dense", "nm24", "nm1632", "nm816_bf16"])
def test_json_keeps_the_contract(run_json, trace, name):
    data = run_json(*SLOW, name=name)
    assert data["schema"] == 1
    assert data["accelsim"] == acs.__version__
    assert (data["phase"], data["engine"]) == ("prefill", "recurrence")
    assert {"path", "sha256", "model"} <= set(data["trace"])
    assert data["trace"]["path"] == str(trace)
    assert set(data["totals"]) >= TOTALS
    assert all(set(unit) >= UNIT for unit in data["units"].values())
    assert len(data["layers"]) == 4
    assert all(set(layer) >= LAYER for layer in data["layers"])
    assert {layer["bound"] for layer in data["layers"]} <= {
        "compute",
        "dram",
        "selector",
        "crossbar",
        *data["units"],
    }


def test_the_printed_machine_can_be_run_again(run_json, accepted, trace, tmp_path):
    data = run_json("--set", "clock_mhz=700")
    (tmp_path / "again.yaml").write_text(json.dumps(data["arch"]), encoding="utf-8")  # JSON is YAML
    again = accepted("run", tmp_path / "again.yaml", "--trace", trace, "--json").out
    assert json.loads(again)["totals"] == data["totals"]


@pytest.mark.parametrize("flags", [(), ("--phase", "decode", "--batch", "2")])
def test_json_is_the_same_twice(run, flags):
    assert run("--json", *flags).out == run("--json", *flags).out


def test_json_is_the_same_in_another_process(run, arch, trace):
    command = [sys.executable, "-m", "accelsim", "run", arch("nm816"), "--trace", trace, "--json"]
    outputs = {
        subprocess.run(
            command,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert outputs == {run("--json").out}


def test_the_library_gives_the_same_numbers(run_json, arch, trace):
    result = acs.simulate(acs.load_arch(arch("nm816")), acs.load_trace(trace))
    expected = json.loads(result.to_json())
    data = run_json()
    del data["baseline"]
    assert data == expected


def test_a_frame_has_a_row_a_layer(arch, trace):
    pytest.importorskip("pandas")
    result = acs.simulate(acs.load_arch(arch("nm816")), acs.load_trace(trace))
    frame = result.to_frame()
    assert frame["cycles"].tolist() == [layer.cycles for layer in result.layers]
    assert set(frame.columns) >= LAYER


def test_parts_add_up_to_totals(run_json):
    data = run_json()
    totals = data["totals"]
    for key in ("cycles", "macs_dense", "macs_executed", "dram_bytes"):
        assert sum(layer[key] for layer in data["layers"]) == totals[key]
    energy = sum(unit["energy_pj"] for unit in data["units"].values())
    assert energy == pytest.approx(totals["energy_pj"])
    assert sum(layer["energy_pj"] for layer in data["layers"]) == pytest.approx(energy)
    assert sum(u["area_um2"] for u in data["units"].values()) == pytest.approx(totals["area_um2"])
    for unit in data["units"].values():
        spent = sum(value for key, value in unit.items() if key.endswith("_cycles"))
        assert spent == totals["cycles"]
    assert 0 < totals["mac_utilization_ratio"] <= 1


# --- tables --------------------------------------------------------------------------------------


def test_tables_say_what_was_run_and_what_it_costs(run, trace):
    words = run().words
    for part in (
        "nm816: 8:16 int8",
        "8×8×16 MACs at 1000 MHz",
        str(trace),
        "21 tokens",
        "4 layers",
    ):
        assert part in words
    for title in ("Layers", "Cycles", "Units", "stalled by", "against dense:", "speed-up = "):
        assert title in words
    for unit in ("dram", "selector", "crossbar", "mac_array", "weight_buffer", "total"):
        assert unit in words


def test_explain_shows_tile_and_order(run):
    assert "Tiling" not in run().words
    words = run("--explain").words
    assert "Tiling" in words
    assert "_outer" in words


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_narrow_terminal_loses_no_digits(run, run_json, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    assert f"{run_json()['totals']['cycles']:,}" in run().out.replace("\n", " ")


MARKUP = ("a[/b]c", "a[bold]c", "x[/]", ":smile:", "[red]")


@pytest.mark.parametrize("name", MARKUP)
def test_a_name_is_refused_or_printed_as_it_is(cli, renamed, trace, name):
    path = renamed(name)
    for arguments in (
        ("run", path, "--trace", trace),
        ("area", path),
        ("compare", path, path, "--trace", trace),
    ):
        outcome = cli(*arguments)
        assert outcome.code in {0, 2}
        assert name in (outcome.words if outcome.code == 0 else outcome.err)


@pytest.mark.parametrize("name", MARKUP)
def test_layers_and_models_are_printed_as_they_are(accepted, arch, tmp_path, name):
    with TraceWriter(tmp_path / "t.npz") as writer:
        writer.add(name, np.ones((4, 16), np.int8))
        linear = Linear(name=name, input=name, in_features=16, out_features=8)
        writer.finish(
            TraceMeta(
                model=f"model {name}",
                sequence_lengths=(4,),
                linears=(linear,),
                inputs={name: InputInfo(dtype="int8")},
            )
        )
    for words in (
        accepted("run", arch("nm24"), "--trace", tmp_path / "t.npz", "--explain").words,
        accepted("inspect", tmp_path / "t.npz").words,
    ):
        assert f"model {name}" in words
        assert words.count(name) >= 2


def test_a_path_is_printed_as_it_is(accepted, arch, trace, tmp_path):
    path = tmp_path / "old[bold]" / "t.npz"
    path.parent.mkdir()
    path.write_bytes(trace.read_bytes())
    assert "old[bold]/t.npz" in accepted("run", arch("dense"), "--trace", path).words
    assert "old[bold]/t.npz" in accepted("inspect", path).words


# --- flags ---------------------------------------------------------------------------------------


def test_set_changes_the_machine(run_json):
    data = run_json("--set", "clock_mhz=500", "--set", "dram.bandwidth_gb_per_s=8")
    assert data["arch"]["clock_mhz"] == 500
    assert data["arch"]["dram"]["bandwidth_gb_per_s"] == 8
    assert data["totals"]["time_s"] == pytest.approx(data["totals"]["cycles"] / 500e6)


def test_decode_runs_whole_batches(run_json):
    data = run_json("--phase", "decode", "--batch", "2")
    assert (data["phase"], data["batch"]) == ("decode", 2)
    assert [layer["tokens"] for layer in data["layers"]] == [20] * 4  # 21 tokens: ten steps of 2


def test_decode_without_a_batch_takes_one_sequence(run_json):
    data = run_json("--phase", "decode")
    assert data["batch"] == 1
    assert data["layers"][0]["tokens"] == 21


def test_layers_follow_each_other_if_asked(run_json):
    chained, alone = (run_json("--layers", layers) for layers in ("chained", "isolated"))
    assert chained["isolated_cycles"] == alone["totals"]["cycles"]
    assert chained["totals"]["cycles"] < alone["totals"]["cycles"]


def test_decode_of_one_sequence_fetches_half_of_the_weights(run_json):
    flags = ("--phase", "decode", "--set", "dram.burst_bytes=1")
    sparse, dense = (run_json(*flags, name=name)["layers"][0] for name in ("nm816", "dense"))
    # 64 × 32 weights; X and Y are 64 and 32 bytes a token.
    assert dense["dram_bytes"] == 21 * (64 * 32 + 64 + 32)
    assert sparse["dram_bytes"] == 21 * (64 * 32 // 2 + 64 + 32)


def test_the_baseline_is_the_dense_machine(run_json):
    data, dense = run_json(), run_json(name="dense")
    assert data["baseline"]["name"] == "dense"
    assert data["baseline"]["totals"] == dense["totals"]
    ratio = dense["totals"]["time_s"] / data["totals"]["time_s"]
    assert data["baseline"]["speedup"] == pytest.approx(ratio)
    energy = data["totals"]["energy_pj"] / dense["totals"]["energy_pj"]
    assert data["baseline"]["energy_ratio"] == pytest.approx(energy)


def test_dense_against_dense_is_even(run_json):
    baseline = run_json(name="dense")["baseline"]
    assert (baseline["speedup"], baseline["energy_ratio"]) == (1.0, 1.0)
    assert baseline["area_overhead_ratio"] == 0.0


def test_another_baseline(run_json, arch):
    data = run_json("--baseline", arch("nm24"))
    assert data["baseline"]["name"] == "nm24"


def test_no_baseline(run_json, run):
    assert "baseline" not in run_json("--baseline", "none")
    assert "against" not in run("--baseline", "none").words


# --- the functional check ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dense", "nm24", "nm48", "nm816", "nm1632"])
def test_int8_machines_compute_bit_exactly(run_json, name):
    verify = run_json("--verify", name=name)["verify"]
    # 21 tokens × (32 + 24 + 9 + 130) outputs.
    assert verify == {"layers": 4, "outputs": 21 * 195, "bit_exact": True, "max_error": 0.0}


@pytest.mark.parametrize("crossbar", sorted(set(CROSSBARS) - {"none"}))
@pytest.mark.parametrize("format_", stored_formats())
def test_every_way_to_route_and_store_computes_the_same(run_json, crossbar, format_):
    keys = {"crossbar.kind": crossbar, "format": format_}
    if format_ == "index":  # takes more bits a value; a narrower port gets a warning
        keys["buffers.compressed.port_bytes"] = 192
    flags = [part for key, value in keys.items() for part in ("--set", f"{key}={value}")]
    assert run_json("--verify", *flags)["verify"]["bit_exact"]


def test_bf16_computes_within_the_bound_of_fp32(run_json, run):
    verify = run_json("--verify", *SLOW, name="nm816_bf16")["verify"]
    assert verify["layers"] == 4
    assert verify["max_error"] < 1e-2
    assert "verified: 4 layers" in run("--verify", *SLOW, name="nm816_bf16").words


def test_the_check_is_told(run):
    assert "verified: 4 layers, 4,095 outputs, bit-exact" in run("--verify").words


def broken(cli, arch, trace, tmp_path, *flags):
    """Verify a machine that was tampered with: an internal error, and no results."""
    out = tmp_path / "o"
    outcome = cli(
        "run", arch("nm816"), "--trace", trace, "--verify", "--json", "--out", out, *flags
    )
    assert outcome.code != 0
    assert outcome.out == ""
    assert list(tmp_path.iterdir()) == []
    return outcome


def test_a_crossbar_that_misroutes_is_caught(cli, arch, trace, tmp_path, monkeypatch):
    decode = FORMATS["bitmask"].decode

    def rotated(bits, n, m):
        return np.roll(decode(bits, n, m), 1, axis=1)

    monkeypatch.setattr(FORMATS["bitmask"], "decode", staticmethod(rotated))
    outcome = broken(cli, arch, trace, tmp_path)
    assert "wrong by" in outcome.err


def test_a_selector_that_loses_a_value_is_caught(cli, arch, trace, tmp_path, monkeypatch):
    import accelsim.run.verify as module

    compress = module.compress

    def lossy(machine, *operands):
        stored = compress(machine, *operands)
        stored.values[stored.values == np.abs(stored.values).max()] = 0
        return stored

    monkeypatch.setattr(module, "compress", lossy)
    assert "wrong by" in broken(cli, arch, trace, tmp_path).err


def test_values_out_of_index_order_are_caught_where_the_crossbar_relies_on_it(
    cli, arch, trace, tmp_path, monkeypatch
):
    decode = FORMATS["bitmask"].decode

    def backwards(bits, n, m):  # the last kept value cannot stand at a position below 7
        return decode(bits, n, m)[:, ::-1]

    monkeypatch.setattr(FORMATS["bitmask"], "decode", staticmethod(backwards))
    for kind in ("window", "logshift", "hierarchical"):
        outcome = broken(cli, arch, trace, tmp_path, "--set", f"crossbar.kind={kind}")
        assert f"crossbar.kind '{kind}' cannot route pattern 8:16" in outcome.err


def test_a_tile_that_is_left_out_is_caught(cli, arch, trace, tmp_path, monkeypatch):
    import accelsim.run.verify as module

    steps = module.steps  # the order in which the lanes are fed
    monkeypatch.setattr(module, "steps", lambda *a: list(steps(*a))[:-1])
    assert "wrong by" in broken(cli, arch, trace, tmp_path).err


# --- files ---------------------------------------------------------------------------------------


def test_csv_has_a_row_a_layer(run, run_json, tmp_path):
    out = run("--csv", tmp_path / "r.csv").out
    assert "Layers" in out
    with (tmp_path / "r.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    layers = run_json()["layers"]
    assert [row["name"] for row in rows] == [layer["name"] for layer in layers]
    assert [int(row["cycles"]) for row in rows] == [layer["cycles"] for layer in layers]
    assert [float(row["energy_pj"]) for row in rows] == [layer["energy_pj"] for layer in layers]
    assert set(rows[0]) >= LAYER
    assert [path.name for path in tmp_path.iterdir()] == ["r.csv"]


def test_out_holds_all_results_and_nothing_else(run, tmp_path):
    printed = run("--json", "--out", tmp_path / "deep" / "out").out
    folder = tmp_path / "deep" / "out"
    assert {path.name for path in folder.iterdir()} == {"result.json", "layers.csv", "units.csv"}
    assert (folder / "result.json").read_text(encoding="utf-8") == printed
    with (folder / "units.csv").open(encoding="utf-8", newline="") as file:
        units = {row["unit"]: int(row["busy_cycles"]) for row in csv.DictReader(file)}
    data = json.loads(printed)
    assert units == {name: unit["busy_cycles"] for name, unit in data["units"].items()}


def test_out_replaces_older_results(run, tmp_path):
    run("--out", tmp_path)
    first = (tmp_path / "result.json").read_text(encoding="utf-8")
    run("--out", tmp_path, "--set", "clock_mhz=500")
    assert (tmp_path / "result.json").read_text(encoding="utf-8") != first
    assert len(list(tmp_path.iterdir())) == 3


def test_results_are_readable_by_others(run, tmp_path):
    run("--csv", tmp_path / "r.csv")
    assert (tmp_path / "r.csv").stat().st_mode & 0o444 == 0o444


def test_timeline_and_waveform(run, run_json, tmp_path):
    pytest.importorskip("vcd")
    run("--timeline", tmp_path / "t.json", "--vcd", tmp_path / "w.vcd")
    events = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))["traceEvents"]
    data = run_json()
    end = max(event["ts"] + event["dur"] for event in events if event["ph"] == "X")
    assert round(end * 1000) == data["totals"]["cycles"]
    names = {event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert names == {"layer", *data["units"]}
    assert (tmp_path / "w.vcd").read_text(encoding="utf-8").startswith("$comment")
    assert {path.name for path in tmp_path.iterdir()} == {"t.json", "w.vcd"}


def test_observing_changes_no_number(run, tmp_path):
    assert run("--json", "--timeline", tmp_path / "t.json").out == run("--json").out


def test_the_console_script_works(arch, trace):
    script = Path(sys.executable).with_name("accelsim")
    done = subprocess.run(
        [script, "run", arch("nm24"), "--trace", trace], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "nm24: 2:4 int8" in done.stdout


def test_a_reader_that_stops_early_is_no_error(arch, trace):
    process = subprocess.Popen(
        [sys.executable, "-m", "accelsim", "run", arch("nm24"), "--trace", trace, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    with process:
        assert process.stderr.read() == ""
    assert process.returncode == 0
