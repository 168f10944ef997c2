"""`synth --distribution none`, and what commands make of a trace that has shapes only."""

import csv
import json

import pytest

SYNTH = ("synth", "--model", "llama-3.2-1b", "--layers", "1")


@pytest.fixture
def synth(accepted, tmp_path):
    """Make a trace; return its path."""

    def _synth(*flags, tokens=12, name="s.npz"):
        accepted(*SYNTH, "--tokens", tokens, "--out", tmp_path / name, *flags)
        return tmp_path / name

    return _synth


@pytest.fixture
def shapes(synth):
    return synth("--distribution", "none")


def test_synth_says_what_it_made(accepted, tmp_path):
    flags = ("--tokens", 10_000_000, "--distribution", "none", "--out", tmp_path / "s.npz")
    words = accepted(*SYNTH, *flags).words
    assert "llama-3.2-1b, 7 layers, 10,000,000 tokens in 1 sequence, none, seed 0" in words
    assert (tmp_path / "s.npz").stat().st_size < 2000


def test_run_knows_everything_but_what_is_dropped(accepted, arch, synth, shapes, tmp_path):
    def run(trace, *flags):
        return json.loads(accepted("run", arch("nm816"), "--trace", trace, "--json", *flags).out)

    data = run(shapes, "--csv", tmp_path / "r.csv")
    other = run(synth("--distribution", "laplace", name="l.npz"))
    assert [layer["dropped_squared_magnitude_ratio"] for layer in data["layers"]] == [None] * 7
    assert data["totals"]["cycles"] == other["totals"]["cycles"]
    assert data["totals"]["dram_bytes"] == other["totals"]["dram_bytes"]
    assert data["totals"]["macs_executed"] == other["totals"]["macs_executed"]
    with (tmp_path / "r.csv").open(encoding="utf-8", newline="") as file:
        assert {row["dropped_squared_magnitude_ratio"] for row in csv.DictReader(file)} == {""}


def test_run_prints_its_tables(accepted, arch, shapes, tmp_path):
    words = accepted(
        "run", arch("nm816"), "--trace", shapes, "--explain", "--timeline", tmp_path / "t.json"
    ).words
    assert "against dense:" in words
    assert "nan" not in words.lower()
    assert "None" not in words
    assert json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))["traceEvents"]


def test_compare_leaves_what_is_dropped_open(accepted, arch, synth, shapes):
    machines = (arch("dense"), arch("nm24"), arch("nm816"))
    rows = json.loads(accepted("compare", *machines, "--trace", shapes, "--json").out)["rows"]
    assert [row["dropped_squared_magnitude_ratio"] for row in rows] == [None] * 3
    last = [
        line.split()[-1]
        for line in accepted("compare", *machines, "--trace", shapes).out.splitlines()
        if line.split()[:1] in (["dense"], ["nm24"], ["nm816"])
    ]
    assert last[:3] == ["-", "-", "-"]  # the other three are of the table of powers
    known = accepted("compare", *machines, "--trace", synth(name="g.npz")).out.splitlines()
    assert sum(line.rstrip().endswith("%") for line in known) == 2  # and 0 of the dense machine


def test_a_dense_machine_decodes(accepted, arch, shapes):
    flags = ("--phase", "decode", "--batch", 3, "--json")
    data = json.loads(accepted("run", arch("dense"), "--trace", shapes, *flags).out)
    assert [layer["tokens"] for layer in data["layers"]] == [12] * 7
    assert data["layers"][0]["dropped_squared_magnitude_ratio"] is None


@pytest.mark.parametrize("name", ["nm24", "nm816", "nm816_bf16"])
def test_a_sparse_machine_does_not_decode(refused, arch, shapes, tmp_path, name):
    flags = ("--phase", "decode", "--set", "clock_mhz=100", "--out", tmp_path / "o")
    message = refused("run", arch(name), "--trace", shapes, *flags)
    assert message.startswith(f"error: {shapes}: has shapes only")
    assert "depends on values" in message
    assert "distribution" in message  # what to do about it
    assert not (tmp_path / "o").exists()
    assert "has shapes only" in refused(
        "compare", arch("dense"), arch(name), "--trace", shapes, "--phase", "decode"
    )


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_commands_that_need_values_say_so(refused, arch, shapes, command):
    arguments = {
        "inspect": ("inspect", shapes),
        "verify": ("run", arch("nm816"), "--trace", shapes, "--verify"),
    }[command]
    assert refused(*arguments).startswith(f"error: {shapes}: has shapes only, no values")


def test_too_many_tokens_are_refused(refused, tmp_path):
    flags = ("--tokens", 3 * 10**9, "--distribution", "none", "--out", tmp_path / "s.npz")
    assert "tokens" in refused(*SYNTH, *flags)


def test_a_machine_that_would_need_too_many_tiles_says_so(refused, arch, synth):
    path = synth("--distribution", "none", tokens=10_000_000)
    tiny = "tiling={tokens: 8, columns: 8, reduction: 16}"
    message = refused("run", arch("nm816"), "--trace", path, "--set", tiny)
    assert "nm816, layer 'model.layers.0." in message
    assert "tiles; at most" in message
