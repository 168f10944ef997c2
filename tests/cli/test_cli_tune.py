"""`accelsim tune`: the machine it writes, what it prints, and what it refuses."""

import json

import pytest

from accelsim.config import load_arch

SMALL = (
    *("--set", "mac_array.rows=2", "--set", "mac_array.lanes=4", "--set", "tiling=auto"),
    *("--set", "buffers.weights.capacity_kib=8", "--set", "buffers.weights.macros=1"),
)
KEYS = {
    *("schema", "machine", "keep", "allowed_loss_ratio", "loss_ratio", "doublings", "simulations"),
    *("area_um2", "duties", "units", "arch", "warnings"),
}
MACHINES = {"before", "generous", "after"}


@pytest.fixture
def tuned(cli, arch, trace, tmp_path):
    """Tune a shipped machine, made small, in a folder of its own."""

    def _tuned(name, *flags):
        out = tmp_path / "tuned.yaml"
        outcome = cli("tune", arch(name), "--trace", trace, "--out", out, *SMALL, *flags)
        assert outcome.code == 0, outcome.err
        return outcome, out

    return _tuned


@pytest.mark.parametrize("name", ["dense", "nm816"])
def test_the_file_written_is_the_machine_told_of(tuned, cli, trace, name):
    outcome, out = tuned(name, "--json", "--phase", "prefill,decode", "--batch", "1,2")
    data = json.loads(outcome.out)
    assert set(data) == KEYS
    assert set(data["area_um2"]) == MACHINES
    assert [(it["phase"], it["batch"]) for it in data["duties"]] == [
        ("prefill", None),
        ("decode", 1),
        ("decode", 2),
    ]
    assert all(duty["loss_ratio"] <= 0.01 for duty in data["duties"])
    assert load_arch(out).name == f"{name}_tuned"
    area = json.loads(cli("area", out, "--json").out)["totals"]["area_um2"]
    assert area == pytest.approx(data["area_um2"]["after"])
    for duty in data["duties"]:
        batch = [] if duty["batch"] is None else ["--batch", duty["batch"]]
        flags = ("--trace", trace, "--baseline", "none", "--phase", duty["phase"], *batch)
        run = json.loads(cli("run", out, *flags, "--json").out)  # it may warn of a narrow port
        assert run["totals"]["cycles"] == duty["cycles"]["after"]


def test_tables_show_before_and_after(tuned):
    outcome, out = tuned("nm816")
    for part in ("capacity_kib", "port_bytes", "selector", "total", "prefill", "generous"):
        assert part in outcome.out
    assert f"wrote {out}" in outcome.words


def test_by_default_the_file_is_named_after_the_machine(cli, arch, trace, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = cli("tune", arch("dense"), "--trace", trace, *SMALL, "--loss", "0.5")
    assert outcome.code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["dense_tuned.yaml"]


def test_it_warns_of_a_machine_that_could_not_be_cooled(cli, arch, trace, tmp_path, monkeypatch):
    """A limit that every machine exceeds, as in `run` of the same machine, in the same words."""
    monkeypatch.setattr("accelsim.results.result.MAX_DENSITY_W_PER_MM2", 1e-3)
    out = tmp_path / "tuned.yaml"
    flags = ("--trace", trace, *SMALL, "--loss", "0.5", "--out", out)
    outcome = cli("tune", arch("dense"), *flags, "--json")
    (warning,) = json.loads(outcome.out)["warnings"]
    assert f"warning: {warning}" in outcome.err
    run = json.loads(cli("run", out, "--trace", trace, "--baseline", "none", "--json").out)
    said = warning.removeprefix("dense_tuned: prefill: ")
    assert said.startswith("power: ")
    assert said in run["warnings"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--keep", "selektor"), "--keep 'selektor': no such part (did you mean 'selector'?)"),
        (("--keep", "buffers.weight"), "(did you mean 'buffers.weights'?); allowed: buffers.act"),
        (("--keep", "dram,nothing.at.all"), "--keep 'nothing.at.all': no such part; allowed: "),
        (("--loss", "2"), "--loss 2: must be from 0 to 1"),
        (("--loss", "nan"), "--loss nan: must be from 0 to 1"),
        (("--phase", "decod"), "--phase 'decod' (did you mean 'decode'?)"),
        (("--batch", "2"), "--batch: is for phase decode"),
        (("--phase", "decode", "--batch", "1,x"), "--batch '1,x': write whole numbers"),
        (("--phase", "decode", "--batch", "0"), "--batch '0': write whole numbers"),
        (("--phase", "decode", "--batch", "99"), "99"),
        (("--set", "crossbar.pipeline_stages=0", "--set", "clock_mhz=3000"), "too few for the clo"),
        (("--set", "selector.instances=0"), "selector.instances"),
    ],
)
def test_bad_input_is_one_message(refused, nm816, out, flags, message):
    assert message in refused("tune", *nm816, "--out", out, *flags)
    assert not out.exists()


@pytest.fixture
def nm816(arch, trace):
    return arch("nm816"), "--trace", trace


@pytest.fixture
def out(tmp_path):
    return tmp_path / "t.yaml"


def test_the_file_that_is_tuned_is_not_overwritten(refused, renamed, trace):
    own = renamed("mine")
    text = own.read_text(encoding="utf-8")
    assert "is read by this command" in refused("tune", own, "--trace", trace, "--out", own)
    assert own.read_text(encoding="utf-8") == text
