"""The shipped traces: what their README says, and what follows from the models' weights."""

import hashlib
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from accelsim.trace import load_trace

ROOT = Path(__file__).parents[2]
TRACES = ROOT / "traces"
MODELS = {"llama": "llama-docs-16m", "llama_relu": "llama-docs-16m-relu"}
ACTIVATIONS = {"llama": lambda x: x / (1 + np.exp(-x)), "llama_relu": lambda x: np.maximum(x, 0)}


def weights(name):
    """Read the bfloat16 tensors of a model as float32, without torch."""
    content = (TRACES / "models" / MODELS[name] / "model.safetensors").read_bytes()
    header_bytes = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + header_bytes])

    def tensor(key):
        begin, end = (8 + header_bytes + offset for offset in header[key]["data_offsets"])
        bits = np.frombuffer(content[begin:end], np.uint16).astype(np.uint32) << 16
        return bits.view(np.float32).reshape(header[key]["shape"])

    return tensor


def documented_command(name):
    """Return the arguments of the capture command in `traces/README.md` that makes a trace."""
    readme = (TRACES / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    commands = re.findall(r"^accelsim capture .*$", readme, re.MULTILINE)
    return next(shlex.split(line)[2:] for line in commands if f"--out traces/{name}.npz" in line)


def test_checksums_of_the_readme():
    readme = (TRACES / "README.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"`([\w./-]+)` \|.*\| `([0-9a-f]{64})`", readme))
    assert {f"{name}.npz" for name in MODELS} < set(listed)
    for path, digest in listed.items():
        assert hashlib.sha256((TRACES / path).read_bytes()).hexdigest() == digest, path


@pytest.mark.parametrize("name", MODELS)
def test_the_table(name):
    trace = load_trace(TRACES / f"{name}.npz")
    assert trace.meta.model == MODELS[name]
    assert trace.meta.sequence_lengths == (32,) * 8
    shapes = {
        "q_proj": (384, 384), "k_proj": (384, 128), "v_proj": (384, 128), "o_proj": (384, 384),
        "gate_proj": (384, 1024), "up_proj": (384, 1024), "down_proj": (1024, 384),
    }  # fmt: skip
    for index in range(8):
        layer = trace.linears[index * 7 : index * 7 + 7]
        assert {line.kind: (line.in_features, line.out_features) for line in layer} == shapes
        shared = {line.kind: line.input.rsplit(".", 1)[-1] for line in layer}
        assert shared == {
            "q_proj": "q_proj", "k_proj": "q_proj", "v_proj": "q_proj", "o_proj": "o_proj",
            "gate_proj": "gate_proj", "up_proj": "gate_proj", "down_proj": "down_proj",
        }  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("index", [0, 4, 7])
def test_the_down_projection_reads_what_gate_and_up_compute(name, index):
    """An oracle in numpy: down's input is act(x Wg) · (x Wu), from gate's captured input x."""
    trace, tensor = load_trace(TRACES / f"{name}.npz"), weights(name)
    mlp = f"model.layers.{index}.mlp"
    x = trace.values(f"{mlp}.gate_proj")
    gate, up = (x @ tensor(f"{mlp}.{kind}_proj.weight").T for kind in ("gate", "up"))
    expected = ACTIVATIONS[name](gate) * up
    captured = trace.values(f"{mlp}.down_proj")
    # x itself was rounded to float16, so products of 384 terms differ by a little more than that.
    assert np.linalg.norm(captured - expected) < 2e-3 * np.linalg.norm(expected)


@pytest.mark.parametrize("index", range(8))
def test_the_relu_sibling_is_sparse_where_it_should_be(index):
    dense, relu = (load_trace(TRACES / f"{name}.npz") for name in MODELS)
    layer = f"model.layers.{index}"
    assert (dense.values(f"{layer}.mlp.down_proj") == 0).mean() < 0.001
    assert (relu.values(f"{layer}.mlp.down_proj") == 0).mean() > 0.95
    assert (relu.values(f"{layer}.mlp.gate_proj") == 0).mean() < 0.001


@pytest.mark.parametrize("name", MODELS)
def test_the_documented_command_makes_the_trace_again(name, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from accelsim.capture import capture_pretrained

    monkeypatch.chdir(ROOT)
    arguments = documented_command(name)
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    again = capture_pretrained(
        options["--model"],
        options["--text"],
        tokens=int(options["--tokens"]),
        seq_len=int(options["--seq-len"]),
        layers=options["--layers"],
        out=tmp_path / "again.npz",
    )
    shipped = load_trace(options["--out"])
    facts, shipped_facts = (dict(one.meta.provenance) for one in (again, shipped))
    for one in (facts, shipped_facts):
        del one["versions"]  # those of this machine are its own business
        one.pop("bos", None)  # none is added; older traces do not say so
    assert facts == shipped_facts
    empty = {"provenance": {}, "coverage": None}
    assert again.meta.model_copy(update=empty) == shipped.meta.model_copy(update=empty)
    for key in shipped.meta.inputs:
        # Another BLAS adds in another order; float16 keeps 11 bits of what comes out.
        ours, theirs = again.values(key), shipped.values(key)
        tolerance = 2**-9 * np.abs(theirs).max(axis=1, keepdims=True)
        assert (np.abs(ours - theirs) <= tolerance).all(), key
