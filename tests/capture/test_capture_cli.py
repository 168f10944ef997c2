"""The `capture` command, as it is typed."""

import json
import shlex

import pytest
import typer
from typer.testing import CliRunner

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from accelsim.base.errors import InputError  # noqa: E402
from accelsim.cli import capture  # noqa: E402


@pytest.fixture
def invoke():
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(capture.command)

    def run(*arguments):
        return CliRunner().invoke(app, [str(part) for part in arguments])

    return run


@pytest.fixture
def bert(save):
    config = transformers.BertConfig(
        vocab_size=16, hidden_size=8, intermediate_size=12, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=16,
    )  # fmt: skip
    return save(transformers.BertModel(config))


def test_summary(invoke, bert, text, out):
    done = invoke(
        "--model", bert, "--text", text, "--tokens", 10, "--seq-len", 5, "--out", out
    )  # fmt: skip
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "captured 7 linear layers with 5 distinct inputs of tiny"
    assert lines[1] == "10 tokens in 2 sequences, float16"
    assert lines[2] == f"wrote {out} (0.0 MB)"
    assert lines[3] == "covers 100.0% of the model's multiplications"
    assert lines[4].endswith("multiplications of activations by each other (attention), beside "
                             "the 4,608 by weights, are in no trace")  # fmt: skip
    assert done.stderr == ""


def test_json(invoke, bert, text, out):
    done = invoke(
        "--model", bert, "--text", text, "--tokens", 10, "--out", out,
        "--seq-len", 10, "--layers", "*.query", "--dtype", "int8", "--json",
    )  # fmt: skip
    record = json.loads(done.stdout)
    assert record["schema"] == 1
    assert (record["linears"], record["inputs"], record["tokens"]) == (1, 1, 10)
    assert (record["sequences"], record["dtype"], record["skipped"]) == (1, "int8", {})
    assert record["path"] == str(out)
    assert record["size_bytes"] == out.stat().st_size


def test_a_long_list_of_layers_that_were_left_out_is_cut(invoke, bert, text, out, monkeypatch):
    monkeypatch.setattr(capture, "_SHOWN", 1)
    done = invoke(
        "--model", bert, "--text", text, "--tokens", 5, "--seq-len", 5, "--out", out,
        "--layers", "*.query",
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines[4].endswith("of the parameters): left out by --layers")
    assert lines[5] == "left out 5 more; all are in the trace, with reasons"


def test_bad_input_is_left_to_the_entry_point(invoke, bert, text, out):
    done = invoke("--model", bert, "--text", text, "--tokens", 0, "--out", out)
    assert isinstance(done.exception, InputError)


def test_the_example_parses():
    program, name, *arguments = shlex.split(capture.EXAMPLE)
    assert (program, name) == ("accelsim", "capture")
    app = typer.Typer()
    app.command()(capture.command)
    command = typer.main.get_command(app)
    parsed = command.make_context("capture", list(arguments)).params
    assert (parsed["tokens"], parsed["seq_len"], parsed["layers"]) == (256, 32, "*.layers.*")
