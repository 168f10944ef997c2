"""`accelsim plot` on what `run` and `compare` wrote, and what it refuses."""

import json

import pytest

from accelsim.report.plots import PLOTS
from tests.helpers.small import ROOT

pytest.importorskip("matplotlib")
MACHINES = [ROOT / f"arch_configs/{name}.yaml" for name in ("dense", "nm24", "nm816")]


@pytest.fixture
def prefill(accepted, trace, tmp_path):
    """A folder of `compare`."""
    accepted("compare", *MACHINES, "--trace", trace, "--out", tmp_path / "prefill")
    return tmp_path / "prefill"


@pytest.fixture
def decoding(accepted, trace, tmp_path):
    """Folders of `run`, each with its dense baseline."""
    folders = [tmp_path / f"decode{batch}" for batch in (1, 2)]
    for batch, folder in enumerate(folders, 1):
        flags = ("--phase", "decode", "--batch", batch, "--out", folder)
        accepted("run", MACHINES[2], "--trace", trace, *flags)
    return folders


@pytest.fixture
def accuracy(tmp_path):
    path = tmp_path / "accuracy.json"
    row = {
        "pattern": "8:16",
        "criterion": "act",
        "mitigation": "none",
        "perplexity_increase_ratio": 0.4,
    }
    path.write_text(json.dumps({"rows": [row]}))
    return path


def test_every_kind_is_drawn_from_saved_runs(accepted, prefill, decoding, accuracy, tmp_path):
    for kind in PLOTS:
        folders = decoding if kind == "decode" else [prefill]
        folders = [prefill / "nm816"] if kind == "heatmap" else folders
        flags = ["--accuracy", accuracy] if kind == "front" else []
        out = tmp_path / f"{kind}.png"
        said = accepted("plot", kind, *folders, "--out", out, *flags)
        assert f"{kind}.png" in said.words
        assert out.read_bytes().startswith(b"\x89PNG")


def test_json_prints_what_is_drawn(accepted, prefill, tmp_path):
    said = accepted("plot", "cost", prefill, "--out", tmp_path / "c.pdf", "--json")
    data = json.loads(said.out)
    assert (data["kind"], [row["run"] for row in data["panels"][0]]) == ("cost", ["2:4", "8:16"])


def test_one_panel_a_run_where_a_kind_shows_one(accepted, prefill, tmp_path):
    said = accepted("plot", "causes", prefill, "--out", tmp_path / "c.svg", "--json")
    assert len(json.loads(said.out)["panels"]) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cots", "PREFILL", "--out", "c.png"), "unknown plot 'cots' (did you mean 'cost'?)"),
        (("cost", "nowhere", "--out", "c.png"), "nowhere/result.json: No such file"),
        (("cost", "PREFILL", "--out", "c.gif"), "c.gif: figures are written as .png, .pdf, .svg"),
        (("cost", "PREFILL", "--out", "no/c.png"), "no/c.png: cannot write"),
        (("cost", "PREFILL", "--out", "c.png", "--bins", "3"), "has no option 'bins'"),
        (("decode", "PREFILL", "--out", "c.png"), "needs sparse runs of phase decode"),
        (("front", "PREFILL", "--out", "c.png"), "needs what `accelsim accuracy --json`"),
        (("front", "PREFILL", "--out", "c.png", "--accuracy", "x.json"), "x.json: No such file"),
    ],
)
def test_bad_input_is_one_message(cli, prefill, tmp_path, monkeypatch, arguments, message):  # noqa: PLR0917
    monkeypatch.chdir(tmp_path)
    outcome = cli("plot", *(prefill if part == "PREFILL" else part for part in arguments))
    assert outcome.code == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert not list(tmp_path.glob("c.*"))


def test_accuracy_must_be_what_the_command_prints(cli, prefill, tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"rows": [{"pattern": "8:16"}]}')
    flags = ("--out", tmp_path / "c.png", "--accuracy", path)
    outcome = cli("plot", "front", prefill, *flags)
    assert outcome.code == 2
    assert "no 'rows' with criterion, mitigation, pattern, perplexity_increase_ratio" in outcome.err
