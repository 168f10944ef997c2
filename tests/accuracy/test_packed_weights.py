"""Weights in four bits: what the model computes with, and what that costs apart from pruning."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from accelsim.accuracy import masks  # noqa: E402
from accelsim.accuracy.evaluate import Settings, evaluate  # noqa: E402
from accelsim.accuracy.layer_errors import layer_errors  # noqa: E402
from accelsim.accuracy.pruning import DENSE, Pruner  # noqa: E402
from accelsim.accuracy.texts import Text  # noqa: E402
from accelsim.base.errors import InputError  # noqa: E402
from accelsim.report.accuracy import accuracy_headline  # noqa: E402
from accelsim.sparsity import parse_pattern  # noqa: E402
from accelsim.sparsity.policy import Method, Policy  # noqa: E402
from tests.helpers import pruning as naive  # noqa: E402

TEXT = Text("text", "".join(chr(33 + (7 * i * i + i // 3) % 90) for i in range(160)))
OTHER = Text("other", "".join(chr(33 + (5 * i * i + i // 2) % 90) for i in range(160)))
SETTINGS = Settings(tokens=150, seq_len=32, stride=16, calibration_tokens=96, repeats=1)
PACKED = ("int8/int4:32", "bf16/int4:32", "fp16/int4:64", "fp8/int4:32", "bf16/int8:32")


def report_of(subject, precision, *policies):
    settings = replace(SETTINGS, precision=precision)
    return evaluate(subject, TEXT, policies, settings, calibration_text=OTHER)


@pytest.mark.parametrize("precision", PACKED)
@pytest.mark.parametrize("length", [16, 70])
def test_weights_are_those_of_a_loop(precision, length):
    weight = torch.from_numpy(
        np.random.default_rng(length).standard_normal((3, length), np.float32)
    )
    found = masks.round_weights(weight, precision)
    wide = precision.split("/")[0]
    for row, values in zip(weight.tolist(), found.tolist(), strict=True):
        held, reals = naive.held(row, wide)
        # What one hardware value stands for: of int8 and fp8, the scale of the output.
        scale = 1.0 if wide in ("bf16", "fp16") else max(np.abs(reals)) / max(np.abs(held))
        expected = [value * scale for value in naive.grouped(held, precision)]
        assert values == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("precision", PACKED)
def test_activations_are_as_without_packing(precision):
    values = torch.from_numpy(np.random.default_rng(1).standard_normal((4, 40), np.float32))
    wide = precision.split("/")[0]
    assert torch.equal(masks.held(values, precision), masks.held(values, wide))


def test_the_model_computes_with_them_and_gets_its_own_back(subject):
    name, linear = next(iter(subject.linears.items()))
    before = linear.module.weight.detach().clone()
    with Pruner(subject.linears, Policy(DENSE), precision="int8/int4:32"):
        held = linear.module.weight.detach().clone()
        assert torch.equal(held, masks.round_weights(before, "int8/int4:32")), name
    assert torch.equal(linear.module.weight, before)
    # 15 codes times one scale: no more values in a group of an output.
    assert len(held[0, :32].unique()) <= 15
    assert not torch.equal(held, masks.round_weights(before, "int8"))


def test_the_loss_of_rounding_is_told_apart_from_that_of_pruning(subject):
    pruned = Policy(Method(parse_pattern("2:4")))
    packed = report_of(subject, "int8/int4:32", Policy(DENSE), pruned).to_dict()
    plain = report_of(subject, "float", pruned).to_dict()
    dense, (same, row) = packed["dense"], packed["rows"]
    assert dense["unrounded"]["perplexity"] == plain["dense"]["perplexity"]
    assert dense["perplexity"] != plain["dense"]["perplexity"]
    loss = dense["perplexity"] / dense["unrounded"]["perplexity"] - 1
    assert dense["perplexity_increase_ratio"] == pytest.approx(loss)
    # Rows are held against the dense model with the same weights.
    assert same["perplexity"] == dense["perplexity"]
    assert same["perplexity_increase_ratio"] == 0
    assert row["perplexity_increase_ratio"] == pytest.approx(
        row["perplexity"] / dense["perplexity"] - 1
    )
    assert "over" in accuracy_headline(packed)
    assert "before weights were rounded" in accuracy_headline(packed)


@pytest.mark.parametrize("precision", ["float", "int8", "int4"])
def test_where_weights_are_as_activations_nothing_is_added(subject, precision):
    report = report_of(subject, precision, Policy(DENSE))
    assert report.unrounded is None
    assert set(report.to_dict()["dense"]) == {
        "perplexity", "perplexity_stderr", "perplexity_noise", "windows", "counted_tokens",
    }  # fmt: skip


def test_the_error_of_a_layer_is_against_the_same_weights(subject):
    ids = subject.tokens_of(TEXT, 64)
    policies = [Policy(DENSE), Policy(Method(parse_pattern("2:4")))]
    options = {"precision": "int8/int4:32", "states": {}, "seq_len": 32}
    dense, pruned = layer_errors(subject, ids, policies, **options).errors
    assert all(error.output_error == 0 for error in dense.values())
    assert all(error.output_error > 0 for error in pruned.values())


@pytest.mark.parametrize(
    ("precision", "message"),
    [
        ("int8/int4:60", "group 60: allowed: 32, 64, 128"),
        ("float/int4:64", "unknown precision 'float'"),
        ("int8/bf16", "W of format 'bf16' does not go with X"),
        ("int5", "unknown precision 'int5'; allowed: float.*or X/W such as int8/int4:64"),
    ],
)
def test_precisions_without_sense_are_refused(precision, message):
    with pytest.raises(InputError, match=message):
        replace(SETTINGS, precision=precision).check()
