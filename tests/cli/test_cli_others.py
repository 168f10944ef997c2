"""`compare`, `area`, `inspect` and `synth`: what they print and write."""

import csv
import json

import pytest

from accelsim.trace import load_trace

INT8 = ("dense", "nm24", "nm48", "nm816", "nm1632")

# --- compare -------------------------------------------------------------------------------------


@pytest.fixture
def compare(accepted, arch, trace):
    return lambda *flags, names=INT8: accepted(
        "compare", *(arch(name) for name in names), "--trace", trace, *flags
    )


def test_compare_puts_machines_side_by_side(compare):
    words = compare().words
    assert all(name in words for name in INT8)
    assert "Compared with dense" in words
    assert "1.00×" in words


def test_ratios_are_to_the_first(compare):
    rows = json.loads(compare("--json").out)["rows"]
    assert [row["name"] for row in rows] == list(INT8)
    assert (rows[0]["speedup"], rows[0]["energy_ratio"]) == (1.0, 1.0)
    assert rows[0]["area_overhead_ratio"] == 0.0
    for row in rows:
        assert row["speedup"] == pytest.approx(rows[0]["time_s"] / row["time_s"])
        assert row["energy_ratio"] == pytest.approx(row["energy_pj"] / rows[0]["energy_pj"])
        area = row["area_um2"] / rows[0]["area_um2"] - 1
        assert row["area_overhead_ratio"] == pytest.approx(area)
    swapped = json.loads(compare("--json", names=("nm816", "dense")).out)["rows"]
    assert swapped[1]["speedup"] == pytest.approx(1 / rows[3]["speedup"])


def test_compare_and_run_agree(compare, accepted, arch, trace):
    rows = json.loads(compare("--json").out)["rows"]
    for name, row in zip(INT8, rows, strict=True):
        run = json.loads(accepted("run", arch(name), "--trace", trace, "--json").out)
        assert row["cycles"] == run["totals"]["cycles"]
        assert row["energy_pj"] == run["totals"]["energy_pj"]


def test_compare_json_is_the_same_twice(compare):
    assert compare("--json").out == compare("--json").out


def test_one_machine_can_be_compared_with_itself(compare):
    rows = json.loads(compare("--json", names=("nm24",)).out)["rows"]
    assert [row["speedup"] for row in rows] == [1.0]


def test_compare_in_decode(compare):
    data = json.loads(compare("--phase", "decode", "--batch", "2", "--json").out)
    assert data["phase"] == "decode"


def test_overrides_hold_for_every_machine(compare):
    slow = json.loads(compare("--set", "clock_mhz=100", "--json").out)["rows"]
    assert all(row["time_s"] == pytest.approx(row["cycles"] / 100e6) for row in slow)


def test_compare_writes_a_table_and_a_folder_a_machine(compare, tmp_path):
    compare("--csv", tmp_path / "c.csv", "--out", tmp_path / "o")
    with (tmp_path / "c.csv").open(encoding="utf-8", newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == list(INT8)
    assert (tmp_path / "o/comparison.csv").read_bytes() == (tmp_path / "c.csv").read_bytes()
    assert {path.name for path in (tmp_path / "o").iterdir()} == {"comparison.csv", *INT8}
    for name in INT8:
        files = {path.name for path in (tmp_path / "o" / name).iterdir()}
        assert files == {"result.json", "layers.csv", "units.csv"}
        result = json.loads((tmp_path / "o" / name / "result.json").read_text(encoding="utf-8"))
        assert result["arch"]["name"] == name


# --- area ----------------------------------------------------------------------------------------


@pytest.fixture
def area(accepted, arch):
    return lambda name, *flags: json.loads(accepted("area", arch(name), "--json", *flags).out)


@pytest.mark.parametrize("name", ["nm24", "nm816", "nm1632", "nm816_bf16"])
def test_area_keeps_the_contract(area, name):
    data = area(name)
    assert set(data) >= {"totals", "units", "overhead_vs_dense_ratio"}
    assert set(data["units"]) == {"selector", "crossbar", "mac_array", "buffers"}
    assert all(unit["area_um2"] > 0 and unit["ge"] > 0 for unit in data["units"].values())
    total = sum(unit["area_um2"] for unit in data["units"].values())
    assert data["totals"]["area_um2"] == pytest.approx(total)
    assert data["overhead_vs_dense_ratio"] > 0


def test_a_gate_equivalent_is_one_nand2(area):
    for unit in area("nm816")["units"].values():
        assert unit["area_um2"] / unit["ge"] == pytest.approx(0.798)


def test_buffers_add_up_their_parts(area):
    buffers = area("nm816")["units"]["buffers"]
    assert set(buffers["parts"]) == {
        "activation_buffer",
        "weight_buffer",
        "output_buffer",
        "compressed_buffer",
    }
    total = sum(part["area_um2"] for part in buffers["parts"].values())
    assert buffers["area_um2"] == pytest.approx(total)


def test_a_dense_machine_has_no_overhead_and_no_sparse_parts(area):
    data = area("dense")
    assert data["overhead_vs_dense_ratio"] == 0.0
    assert set(data["units"]) == {"selector", "crossbar", "mac_array", "buffers"}
    assert data["units"]["selector"] == data["units"]["crossbar"] == {"area_um2": 0, "ge": 0}


def test_overhead_is_against_the_dense_machine(area):
    sparse, dense = area("nm816")["totals"]["area_um2"], area("dense")["totals"]["area_um2"]
    assert area("nm816")["overhead_vs_dense_ratio"] == pytest.approx(sparse / dense - 1)


def test_a_finer_node_is_smaller(area):
    totals = [area("nm816", "--set", f"technology.node_nm={n}")["totals"] for n in (45, 28, 16, 7)]
    areas = [total["area_um2"] for total in totals]
    assert areas == sorted(areas, reverse=True)


def test_run_and_area_agree(area, accepted, arch, trace):
    run = json.loads(accepted("run", arch("nm816"), "--trace", trace, "--json").out)
    assert run["totals"]["area_um2"] == area("nm816")["totals"]["area_um2"]


def test_the_area_table_says_it_in_words(accepted, arch):
    words = accepted("area", arch("nm816")).words
    assert "Area of nm816" in words
    assert "overhead over the dense machine: +" in words


# --- inspect -------------------------------------------------------------------------------------


def test_inspect_shows_layers_and_dropped_squared_magnitude(accepted, trace):
    words = accepted("inspect", trace).words
    assert f"{trace}: drawn, 21 tokens in 3 sequences, 4 linear layers" in words
    assert "21×256" in words
    assert "share of squared magnitude that a pattern drops" in words
    assert all(pattern in words for pattern in ("2:4", "4:8", "8:16", "16:32"))


def test_inspect_json(accepted, trace):
    data = json.loads(accepted("inspect", trace, "--patterns", "1:4, 3:4", "--json").out)
    assert data["schema"] == 1
    assert data["trace"]["tokens"] == 21
    assert [layer["in_features"] for layer in data["layers"]] == [64, 100, 37, 256]
    for entry in data["inputs"]:
        assert set(entry["dropped_squared_magnitude_ratio"]) == {"1:4", "3:4"}
        assert (
            entry["dropped_squared_magnitude_ratio"]["1:4"]
            > entry["dropped_squared_magnitude_ratio"]["3:4"]
        )
        assert 0.1 < entry["zero_ratio"] < 0.3  # every fifth is zero


# --- synth ---------------------------------------------------------------------------------------

SYNTH = ("synth", "--model", "llama-3.2-1b", "--tokens", "12", "--layers", "1")


def test_synth_writes_a_trace_that_runs(accepted, arch, tmp_path):
    path = tmp_path / "s.npz"
    words = accepted(*SYNTH, "--out", path, "--seq-len", "4", "--seed", "3").words
    assert "llama-3.2-1b, 7 layers, 12 tokens in 3 sequences, gaussian, seed 3" in words
    assert [file.name for file in tmp_path.iterdir()] == ["s.npz"]
    result = json.loads(accepted("run", arch("nm816"), "--trace", path, "--json").out)
    assert result["trace"]["synthetic"] is True
    assert len(result["layers"]) == 7


def test_synth_json(accepted, tmp_path):
    data = json.loads(accepted(*SYNTH, "--out", tmp_path / "s.npz", "--json").out)
    assert data["schema"] == 1
    assert (data["model"], data["tokens"], data["linears"]) == ("llama-3.2-1b", 12, 7)


@pytest.mark.parametrize("distribution", ["gaussian", "laplace", "uniform", "relu"])
def test_synth_distributions(accepted, tmp_path, distribution):
    accepted(*SYNTH, "--out", tmp_path / "s.npz", "--distribution", distribution)
    meta = load_trace(tmp_path / "s.npz").meta
    assert meta.synthetic["distribution"] == distribution


def test_synth_replaces_an_older_file(accepted, tmp_path):
    path = tmp_path / "s.npz"
    path.write_text("old")
    accepted(*SYNTH, "--out", path)
    assert load_trace(path).tokens == 12
