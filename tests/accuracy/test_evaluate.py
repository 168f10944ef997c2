"""From policies to rows: what is combined, calibrated, measured and written down."""

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from accelsim.accuracy import calibration as calibration_module  # noqa: E402
from accelsim.accuracy.calibration import load_calibration  # noqa: E402
from accelsim.accuracy.evaluate import Settings, combine, evaluate  # noqa: E402
from accelsim.accuracy.layer_errors import layer_errors  # noqa: E402
from accelsim.accuracy.perplexity import measure  # noqa: E402
from accelsim.accuracy.pruning import DENSE, Pruner  # noqa: E402
from accelsim.accuracy.texts import Text  # noqa: E402
from accelsim.accuracy.windows import sliding_windows  # noqa: E402
from accelsim.base.errors import InputError  # noqa: E402
from accelsim.sparsity import parse_pattern  # noqa: E402
from accelsim.sparsity.policy import Method, Policy  # noqa: E402
from tests.helpers.checkpoints import subject_of, tiny_llama  # noqa: E402

TEXT = Text("text", "".join(chr(33 + (7 * i * i + i // 3) % 90) for i in range(160)))
OTHER = Text("other", "".join(chr(33 + (5 * i * i + i // 2) % 90) for i in range(160)))
SETTINGS = Settings(tokens=150, seq_len=32, stride=16, calibration_tokens=96, repeats=1)


def method(pattern, criterion="act", mitigation="none"):
    return Method(parse_pattern(pattern), criterion, mitigation)


def report_of(subject, *policies, text=TEXT, settings=SETTINGS, **options):
    options = {"calibration_text": OTHER} | options
    return evaluate(subject, text, policies, settings, **options)


def names(methods):
    return [str(one) for one in methods]


# Combinations ------------------------------------------------------------------------------------


def combined(patterns, criteria, mitigations):
    return combine([parse_pattern(p) for p in patterns], criteria, mitigations)


def test_everything_is_combined_in_order():
    methods, left_out = combined(["2:4", "topk:0.5"], ["act", "clact"], ["none", "var"])
    assert names(methods) == [
        "2:4", "2:4 var", "2:4 clact", "2:4 clact var",
        "topk:0.5", "topk:0.5 var", "topk:0.5 clact", "topk:0.5 clact var",
    ]  # fmt: skip
    assert left_out == []


def test_what_makes_no_sense_is_left_out_and_said():
    methods, left_out = combined(["2:4", "threshold:0.5"], ["act", "wt", "amber"], ["none", "ls"])
    assert names(methods) == [
        "2:4", "2:4 ls", "2:4 wt", "2:4 amber", "2:4 amber ls", "threshold:0.5", "threshold:0.5 ls"
    ]  # fmt: skip
    every = "; ".join(left_out)
    for part in ("2:4 wt ls", "threshold:0.5 wt none", "threshold:0.5 wt ls",
                 "threshold:0.5 amber none", "threshold:0.5 amber ls"):  # fmt: skip
        assert part in every
    assert "weights are pruned to N:M or top-K, without mitigation" in every
    assert "a threshold is a level of |x|" in every


def test_where_nothing_is_dropped_there_is_one_row():
    methods, _ = combined(["dense", "2:4"], ["act", "amber"], ["none", "var"])
    assert methods[0] == DENSE
    assert names(methods).count("dense") == 1
    assert len(methods) == 5


def test_nothing_sensible_is_refused_with_the_reason():
    with pytest.raises(InputError, match=r"nothing to evaluate: .*2:4 wt var"):
        combined(["2:4"], ["wt"], ["var"])


# Measuring ---------------------------------------------------------------------------------------


def test_rows_hold_what_its_parts_measure(subject):
    policies = [
        Policy(method("2:4")),
        Policy(method("8:16", "clact"), (("*.up_proj", DENSE),), "p.yaml"),
    ]
    report = report_of(subject, *policies)
    ids = subject.tokens_of(TEXT, 150)
    windows = sliding_windows(150, 32, 16)
    dense = measure(subject.model, ids, windows, Pruner(subject.linears, Policy(DENSE)))
    assert np.array_equal(report.dense.nats, dense.nats)
    errors = layer_errors(subject, ids, policies, precision="float", states={}, seq_len=32).errors
    for policy, row, layers in zip(policies, report.rows, errors, strict=True):
        losses = measure(subject.model, ids, windows, Pruner(subject.linears, policy))
        assert np.array_equal(row.losses.nats, losses.nats)
        assert row.layers == layers
        ratios = [layer.dropped_squared_magnitude_ratio for layer in layers.values()]
        assert row.dropped_squared_magnitude_ratio == pytest.approx(np.mean(ratios))
        ratios = [layer.output_error_ratio for layer in layers.values()]
        assert row.output_error_ratio == pytest.approx(np.mean(ratios))
        assert row.policy is policy


def test_pruned_weights_beside_whatever_prunes_activations(subject):
    both = report_of(
        subject, Policy(DENSE), Policy(method("8:16")), settings=replace(SETTINGS, weights="2:4")
    )
    plain = report_of(subject, Policy(method("2:4", "wt")), Policy(method("8:16")))
    assert np.array_equal(both.dense.nats, plain.dense.nats)  # what rows are compared with
    assert np.array_equal(both.rows[0].losses.nats, plain.rows[0].losses.nats)
    assert both.rows[0].layers == plain.rows[0].layers
    assert not np.array_equal(both.rows[1].losses.nats, plain.rows[1].losses.nats)
    subject = subject_of(tiny_llama())  # one that may change
    with torch.no_grad():
        for linear in subject.linears.values():
            blocks = linear.module.weight.view(-1, 4)
            least = blocks.abs().topk(2, largest=False).indices
            blocks.scatter_(1, least, 0.0)
    by_hand = report_of(subject, Policy(method("8:16")))
    assert np.allclose(both.rows[1].losses.nats, by_hand.rows[0].losses.nats)


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        ("threshold:0.5", "weights are pruned to N:M or top-K"),
        ("2:4", "2:4 wt: prunes weights, which are pruned to 2:4 already"),
    ],
)
def test_weights_that_cannot_be_pruned_beside(subject, weights, reason):
    with pytest.raises(InputError, match=reason):
        report_of(subject, Policy(method("2:4", "wt")), settings=replace(SETTINGS, weights=weights))


def test_the_json_object_says_what_was_done(subject):
    policy = Policy(method("8:16", "clact", "var"), (("*.up_proj", DENSE),), "p.yaml")
    report = report_of(subject, Policy(method("2:4", "act", "rsparse2")), policy)
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert data["schema"] == 1
    assert data["model"] == {"model_id": "tiny"}
    assert data["text"] == {"name": "text", "sha256": TEXT.sha256, "tokens": 150}
    assert data["settings"]["stride"] == 16
    assert data["compute_type"] == "float32"
    # Windows 0-31, 16-47, … 128-149 (cut short): 9 of them, and every token but the first.
    assert (data["dense"]["windows"], data["dense"]["counted_tokens"]) == (9, 149)
    low_rank, mixed = data["rows"]
    assert low_rank["demands"] == ["rank 2"]
    assert low_rank["policy"] is None
    assert low_rank["policy_name"] is None
    assert (mixed["pattern"], mixed["criterion"], mixed["mitigation"]) == ("8:16", "clact", "var")
    assert mixed["demands"] == ["statistics", "pre_scaler", "moments", "epilogue"]
    assert mixed["policy"]["layers"]["*.up_proj"]["pattern"] == "dense"
    assert mixed["policy_name"] == "p.yaml"
    assert mixed["layers"]["model.layers.0.mlp.up_proj"] == {
        "block": "0",
        "kind": "up_proj",
        "lost_energy_ratio": 0,  # the old name of the next one
        "dropped_squared_magnitude_ratio": 0,
        "output_error_ratio": 0,
    }
    for row in data["rows"]:
        expected = row["perplexity"] / data["dense"]["perplexity"] - 1
        assert row["perplexity_increase_ratio"] == pytest.approx(expected)
        assert 0 < row["perplexity_noise"] < row["perplexity_stderr"]
        assert row["perplexity_increase_ratio_noise"] > 0
        assert row["layers"].keys() == data["outliers"].keys() == subject.linears.keys()


@pytest.mark.parametrize("precision", ["float", "bf16", "int8"])
def test_a_dense_row_has_no_drop_at_any_precision(subject, precision):
    report = report_of(subject, Policy(DENSE), settings=replace(SETTINGS, precision=precision))
    assert report.rows[0].losses.increase_over(report.dense) == (0, 0)
    assert report.rows[0].output_error_ratio == 0


def test_progress_ends_where_it_said_it_would(subject):
    told = {}
    report_of(
        subject,
        Policy(method("2:4", "act", "spts")),
        progress=lambda stage, done, total: told.setdefault(stage, []).append((done, total)),
    )
    layers = len(subject.linears)
    assert told["calibration"] == [(n + 1, layers) for n in range(layers)]
    assert told["layers"] == [(n + 1, layers) for n in range(layers)]
    assert told["perplexity"][-1] == (18, 18)  # 9 windows, dense and pruned


# Calibration -------------------------------------------------------------------------------------


def test_states_of_a_file_are_used_instead_of_learned(subject, tmp_path, monkeypatch):
    path = tmp_path / "c.npz"
    policies = [Policy(method("2:4", "act", "lpts")), Policy(method("threshold:0.5"))]
    first = report_of(subject, *policies, save_to=path)
    facts = load_calibration(path, {}, "cpu").facts
    assert facts == {
        "model": {"model_id": "tiny"},
        "precision": "float",
        "text": OTHER.describe(),
        "tokens": 96,
        "seq_len": 32,
    }
    monkeypatch.setattr(calibration_module, "_read", None)
    for options in ({}, {"calibration_text": TEXT}):  # which nobody has to read any more
        again = report_of(subject, *policies, calibration_file=path, **options)
        for row, other in zip(first.rows, again.rows, strict=True):
            assert np.array_equal(row.losses.nats, other.losses.nats)


def test_a_file_is_completed_if_the_settings_are_the_same(subject, tmp_path):
    path, both = tmp_path / "c.npz", tmp_path / "both.npz"
    spts, ls = (Policy(method("2:4", "act", name)) for name in ("spts", "ls"))
    report_of(subject, spts, save_to=path)
    report_of(subject, spts, ls, calibration_file=path, save_to=both)
    found = {name for _, name in load_calibration(both, {}, "cpu").states}
    assert found == {"2:4 spts", "2:4 ls"}


@pytest.mark.parametrize(
    "change",
    [
        {"calibration_text": Text("third", OTHER.content + "!")},
        {"settings": replace(SETTINGS, calibration_tokens=64)},
        {"settings": replace(SETTINGS, seq_len=24)},
    ],
    ids=["text", "tokens", "seq_len"],
)
def test_a_file_of_other_settings_is_not_completed(subject, tmp_path, change):
    path = tmp_path / "c.npz"
    report_of(subject, Policy(method("2:4", "act", "spts")), save_to=path)
    with pytest.raises(
        InputError, match=r"has no state for 2:4 ls in layer 'model\.layers\.0.*oth"
    ):
        report_of(subject, Policy(method("2:4", "act", "ls")), calibration_file=path, **change)
    # What needs no text does not depend on one.
    report_of(subject, Policy(method("2:4", "amber")), calibration_file=path, **change)


@pytest.mark.parametrize(
    ("precision", "identity", "message"),
    [
        ("bf16", {"model_id": "tiny"}, "calibrated for precision 'float', this is 'bf16'"),
        ("float", {"model_id": "big"}, "calibrated for model {'model_id': 'tiny'}, this is"),
    ],
)
def test_a_file_of_another_model_or_precision_is_refused(
    subject, tmp_path, precision, identity, message
):
    path, policy = tmp_path / "c.npz", Policy(method("2:4", "act", "spts"))
    report_of(subject, policy, save_to=path)
    other = replace(subject, source=replace(subject.source, identity=identity))
    with pytest.raises(InputError, match=message):
        report_of(
            other, policy, calibration_file=path, settings=replace(SETTINGS, precision=precision)
        )


def test_a_text_does_not_calibrate_itself(subject):
    spts = Policy(method("2:4", "act", "spts"))
    with pytest.raises(InputError, match="text: is evaluated and calibrates; name another"):
        report_of(subject, spts, calibration_text=Text("again", TEXT.content))
    report_of(subject, Policy(method("2:4", "amber")), calibration_text=TEXT)  # reads none


# Refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"precision": "fp6"}, "unknown precision 'fp6'"),
        ({"phase": "train"}, "unknown phase 'train'; allowed: prefill, decode"),
        ({"tokens": 1}, "tokens is 1; at least 2 are needed"),
        ({"stride": 33}, "stride 33: must be 1 to seq_len 32"),
    ],
)
def test_wrong_settings_are_refused(subject, change, message):
    with pytest.raises(InputError, match=message):
        report_of(subject, Policy(DENSE), settings=replace(SETTINGS, **change))


def test_a_policy_that_names_no_layer_is_refused(subject):
    policy = Policy(method("2:4"), (("*.upproj", DENSE),), "p.yaml")
    with pytest.raises(InputError, match=r"p\.yaml: no layer matches '\*\.upproj'"):
        report_of(subject, policy)


def test_too_short_a_text_is_refused(subject):
    with pytest.raises(InputError, match="the text has 1 tokens"):
        report_of(subject, Policy(DENSE), text=Text("t", "a"))


def test_one_window_has_no_standard_error_and_is_valid_json(subject):
    settings = replace(SETTINGS, tokens=20)
    report = report_of(subject, Policy(method("2:4")), settings=settings)
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert data["dense"]["windows"] == 1
    assert data["dense"]["perplexity_stderr"] is None
    assert data["rows"][0]["perplexity_stderr"] is None
    assert data["rows"][0]["perplexity_increase_ratio_stderr"] is None


@pytest.mark.parametrize(
    "texts",
    [
        ("2:4", "wt", "var"),
        ("threshold:0.5", "amber"),
        ("greedy-threshold:0.5", "act", "dpts"),
        ("threshold:0.5", "act", "lpts"),
    ],
    ids=str,
)
def test_a_policy_of_what_makes_no_sense_is_refused(subject, texts):
    """A level of |x| says nothing of |x - shift|: of inputs around 10 it may drop all."""
    for policy in (Policy(method(*texts)), Policy(DENSE, (("*.up_proj", method(*texts)),))):
        with pytest.raises(InputError, match=f"{method(*texts)}: (weights are|a threshold is)"):
            report_of(subject, policy)
    with pytest.raises(InputError, match="nothing to evaluate: "):
        combined([texts[0]], [texts[1]], [method(*texts).mitigation])
    report_of(
        subject, Policy(DENSE, (("*.up_proj", method("dense", *texts[1:])),))
    )  # drops nothing
