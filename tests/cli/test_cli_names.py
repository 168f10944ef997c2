"""Names from traces: layers of a kind stand together, and nothing in a name is obeyed."""

import csv
import json

import numpy as np
import pytest

from accelsim.results.export import csv_text, raw_cell
from accelsim.trace import InputInfo, Linear, TraceMeta, TraceWriter

BERT = ("attention.self.query", "attention.output.dense", "intermediate.dense", "output.dense")
EVIL = (
    "layer.0.\x1b[31mq[red]_proj",
    "layer.0.=cmd|' /C calc'!A1",
    "layer.0.two\nlines",
    "layer.0.$x$",
    "_first",
)
ESCAPES = ("\x1b", "\x07", "\x9b", "\r")


def written(path, names, *, model="m", lengths=(4, 4)):
    """Write a trace of layers of 16 inputs and outputs."""
    rng = np.random.default_rng(0)
    linears = tuple(Linear(name=n, input=n, in_features=16, out_features=16) for n in names)
    meta = TraceMeta(
        model=model,
        sequence_lengths=lengths,
        linears=linears,
        inputs={name: InputInfo(dtype="float16") for name in names},
    )
    with TraceWriter(path) as writer:
        for name in names:
            values = rng.standard_normal((sum(lengths), 16)).astype(np.float16)
            writer.add(name, values)
        writer.finish(meta)
    return path


@pytest.fixture
def bert(tmp_path):
    names = [f"encoder.layer.{i}.{name}" for i in range(3) for name in BERT] + ["pooler.dense"]
    return written(tmp_path / "bert.npz", names)


@pytest.fixture
def evil(tmp_path):
    return written(tmp_path / "evil.npz", EVIL, model="e\x1b]0;title\x07[bold]\nnext: line")


KINDS = ["query", "attention.output.dense", "intermediate.dense", "layer.output.dense"]


def test_ten_dense_layers_are_of_four_kinds(accepted, arch, bert):
    lines = accepted("run", arch("nm816"), "--trace", bert).out.splitlines()
    rows = [line.split() for line in lines]
    counts = {row[0]: row[1] for row in rows[5:] if row[:1] and row[0] in (*KINDS, "pooler.dense")}
    first = next(place for place, row in enumerate(rows) if row[:1] == ["query"])
    counts = {row[0]: row[1] for row in rows[first : first + 5]}
    assert counts == dict.fromkeys(KINDS, "3") | {"pooler.dense": "1"}


def test_json_csv_and_statistics_name_the_same_kinds(accepted, arch, bert, tmp_path):
    run = accepted("run", arch("nm816"), "--trace", bert, "--json", "--csv", tmp_path / "l.csv")
    layers = json.loads(run.out)["layers"]
    assert [layer["kind"] for layer in layers] == [*KINDS * 3, "pooler.dense"]
    with (tmp_path / "l.csv").open(encoding="utf-8", newline="") as file:
        assert [row["kind"] for row in csv.DictReader(file)] == [*KINDS * 3, "pooler.dense"]
    inputs = json.loads(accepted("inspect", bert, "--json").out)["inputs"]
    assert {reader for entry in inputs for reader in entry["readers"]} == {*KINDS, "pooler.dense"}
    assert len({entry["label"] for entry in inputs}) == len(inputs)


def test_the_heat_map_of_a_bert_is_no_staircase(accepted, arch, bert, tmp_path):
    pytest.importorskip("matplotlib")
    accepted("run", arch("nm816"), "--trace", bert, "--out", tmp_path / "o")
    # As an older version wrote it: kinds from the end of the name.
    path = tmp_path / "o" / "result.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    for layer in data["layers"]:
        layer["kind"] = layer["name"].rsplit(".", 1)[-1]
    path.write_text(json.dumps(data), encoding="utf-8")
    drawn = accepted("plot", "heatmap", tmp_path / "o", "--out", tmp_path / "h.png", "--json")
    (rows,) = json.loads(drawn.out)["panels"]
    places = [(row["block"], row["kind"]) for row in rows]
    assert places == [(str(i), kind) for i in range(3) for kind in KINDS] + [("-", "pooler.dense")]


@pytest.mark.parametrize("command", ["run", "compare", "inspect", "explain", "plot", "refusal"])
def test_no_name_reaches_the_terminal_raw(cli, arch, evil, tmp_path, command):
    machine = arch("nm816")
    outcome = {
        "run": lambda: cli("run", machine, "--trace", evil),
        "compare": lambda: cli("compare", machine, arch("dense"), "--trace", evil),
        "inspect": lambda: cli("inspect", evil),
        "explain": lambda: cli("run", machine, "--trace", evil, "--explain"),
        "plot": lambda: cli("plot", "cost", tmp_path / "\x1b[2J", "--out", tmp_path / "c.png"),
        "refusal": lambda: cli("run", machine, "--trace", evil, "--watch-layers", "x"),
    }[command]()
    assert outcome.code == (2 if command in ("plot", "refusal") else 0)
    text = outcome.out + outcome.err
    assert not [escape for escape in ESCAPES if escape in text]
    assert "\nnext:" not in text
    if command == "run":
        assert r"\x1b[31mq[red]_proj" in text  # brackets are no markup
        assert r"e\x1b]0;title\x07[bold]\nnext: line" in text


def test_figures_show_names_as_they_are(accepted, arch, evil, tmp_path):
    pytest.importorskip("matplotlib")
    accepted("run", arch("nm816"), "--trace", evil, "--out", tmp_path / "o")
    for kind in ("heatmap", "roofline"):
        path = tmp_path / f"{kind}.svg"
        flags = ("--title", r"$\nonsense$ [red]")
        accepted("plot", kind, tmp_path / "o", "--out", path, *flags)
        text = path.read_text(encoding="utf-8")
        for shown in (r"$x$", r"\x1b[31mq[red]_proj", r"two\nlines", "_first", "nonsense"):
            assert f"{shown}" in text, shown  # text is kept in comments of the SVG


# CSV --------------------------------------------------------------------------------------------


def test_formulas_are_text_and_numbers_stay_numbers():
    cells = ["=1+1", "+1-2", "-x", "@sum", "\tx", "-0.5", "1e5", "plain", "'=x", "＝1"]
    (row,) = csv.DictReader(
        csv_text([{f"c{i}": cell for i, cell in enumerate(cells)}]).splitlines()
    )
    assert list(row.values()) == [
        *("'=1+1", "'+1-2", "'-x", "'@sum", "'\tx"),
        *("-0.5", "1e5", "plain", "''=x", "'＝1"),
    ]
    assert [raw_cell(cell) for cell in row.values()] == cells


def test_numbers_and_odd_characters_are_written():
    text = csv_text([{"a": -1.5, "=b": "\ud800", "c": None, "d": True}])
    assert text.splitlines() == ["a,'=b,c,d", r"-1.5,\ud800,,True"]
    text.encode("utf-8")


def test_no_csv_of_a_run_begins_a_formula(accepted, arch, evil, tmp_path):
    out = tmp_path / "o"
    accepted("run", arch("nm816"), "--trace", evil, "--out", out, "--csv", tmp_path / "l.csv")
    for path in (*out.glob("*.csv"), tmp_path / "l.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t"))]


def test_a_machine_called_like_a_formula_is_found_again(accepted, renamed, evil, tmp_path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "o"
    machines = (renamed("=a", base="dense"), renamed("-b"))
    accepted("compare", *machines, "--trace", evil, "--out", out)
    assert "'=a" in (out / "comparison.csv").read_text(encoding="utf-8")
    accepted("plot", "cost", out, "--out", tmp_path / "c.png")
