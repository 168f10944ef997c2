"""Perplexity against a loop over windows with a reference cross entropy, and against decoding."""

import math
from dataclasses import replace
from inspect import signature

import numpy as np
import pytest

from tests.helpers.checkpoints import subject_of, tiny_gpt2
from tests.helpers.pruning import logit_losses

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from accelsim.accuracy import windows as windows_module  # noqa: E402
from accelsim.accuracy.perplexity import Losses, measure  # noqa: E402
from accelsim.accuracy.pruning import DENSE, Pruner, RowLayout  # noqa: E402
from accelsim.accuracy.windows import sliding_windows  # noqa: E402
from accelsim.sparsity import parse_pattern  # noqa: E402
from accelsim.sparsity.policy import Method, Policy  # noqa: E402


def method(pattern, criterion="act", mitigation="none"):
    return Method(parse_pattern(pattern), criterion, mitigation)


def pruner(subject, chosen=DENSE, precision="float"):
    return Pruner(subject.linears, Policy(chosen), precision=precision)


def first_reached(tokens, seq_len, stride):
    """Return the positions that each window predicts, {start: [position]}, by definition.

    A position belongs to the first window that reaches it, unless it is that window's first token.
    """
    found = {}
    for place in range(1, tokens):
        start = stride * max(0, math.ceil((place - seq_len + 1) / stride))
        if start < place:
            found.setdefault(start, []).append(place)
    return found


def reference(subject, ids, cut, chosen=DENSE, precision="float"):
    """Return the summed loss of each window, one window at a time."""
    seq_len, stride = cut
    sums = []
    for start, places in first_reached(len(ids), seq_len, stride).items():
        window = ids[start : start + seq_len]
        with pruner(subject, chosen, precision) as pruning, torch.no_grad():
            pruning.rows = RowLayout(1, len(window))
            logits = subject.model.eval()(input_ids=window[None], use_cache=False).logits[0]
        before = [place - 1 - start for place in places]
        sums.append(logit_losses(logits[before].numpy(), ids[places].numpy()).sum())
    return np.array(sums)


CUTS = [(16, 16), (16, 5), (20, 1), (64, 32), (128, 128)]


@pytest.mark.parametrize(("seq_len", "stride"), CUTS)
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_losses_equal_a_loop_over_windows(subject, ids, family, seq_len, stride):
    ids = ids[:70]
    if family == "gpt2":
        subject, seq_len, stride = subject_of(tiny_gpt2()), min(seq_len, 64), min(stride, 64)
    windows = sliding_windows(len(ids), seq_len, stride)
    losses = measure(subject.model, ids, windows, pruner(subject))
    np.testing.assert_allclose(losses.nats, reference(subject, ids, (seq_len, stride)), rtol=1e-5)
    expected = [len(places) for places in first_reached(len(ids), seq_len, stride).values()]
    assert losses.tokens.tolist() == expected
    assert losses.perplexity == pytest.approx(math.exp(losses.nats.sum() / sum(expected)))


@pytest.mark.parametrize(
    ("chosen", "precision"),
    [
        (method("2:4"), "float"),
        (method("8:16", "clact"), "float"),
        (method("4:8", "clact", "dpts"), "bf16"),
        (method("topk:0.5", "act", "var"), "int8"),
        (method("2:4", "wt"), "int8"),
        (DENSE, "int8"),
    ],
    ids=str,
)
def test_windows_in_a_batch_are_pruned_as_they_are_alone(subject, ids, chosen, precision):
    ids = ids[:90]
    windows = sliding_windows(len(ids), 24, 12)
    losses = measure(subject.model, ids, windows, pruner(subject, chosen, precision))
    alone = reference(subject, ids, (24, 12), chosen, precision)
    np.testing.assert_allclose(losses.nats, alone, rtol=1e-4)
    dense = reference(subject, ids, (24, 12))
    assert np.abs(alone - dense).max() > 1e-3 * dense.max()  # the method does something


def test_batches_however_small_give_the_same(subject, ids, monkeypatch):
    windows, told = sliding_windows(len(ids), 32, 16), []
    once = measure(subject.model, ids, windows, pruner(subject))
    monkeypatch.setattr(windows_module, "_BATCH_TOKENS", 1)
    one_by_one = measure(subject.model, ids, windows, pruner(subject), on_batch=told.append)
    np.testing.assert_allclose(one_by_one.nats, once.nats, rtol=1e-5)
    assert told == [1] * len(windows)


def test_a_dense_policy_changes_no_bit(subject, ids):
    windows = sliding_windows(len(ids), 64, 32)
    nobody = Pruner({}, Policy(DENSE))
    plain = measure(subject.model, ids, windows, nobody)
    dense = measure(subject.model, ids, windows, pruner(subject))
    everything = measure(subject.model, ids, windows, pruner(subject, method("topk:1")))
    for losses in (dense, everything):
        assert np.array_equal(losses.nats, plain.nats)


@pytest.mark.parametrize("chosen", [method("2:4"), method("8:16", "clact", "dpts")], ids=str)
@pytest.mark.parametrize("precision", ["float", "int8"])
def test_decode_is_what_a_model_with_a_cache_does_token_by_token(subject, ids, chosen, precision):
    """The prompt is read dense; each later token passes the pruned model by itself."""
    ids, seq_len, stride = ids[:41], 16, 8
    windows = sliding_windows(len(ids), seq_len, stride)
    losses = measure(
        subject.model, ids, windows, pruner(subject, chosen, precision), phase="decode"
    )
    names = signature(subject.model.forward).parameters
    keyword = "cache" if "cache" in names else "past_key_values"  # as transformers has it
    sums = []
    for start, places in first_reached(len(ids), seq_len, stride).items():
        prompt, logits = ids[start : places[0]], []
        cache = {keyword: transformers.DynamicCache()}  # the model writes into it
        with torch.no_grad():
            with pruner(subject, DENSE, precision):
                output = subject.model.eval()(input_ids=prompt[None], use_cache=True, **cache)
            logits.append(output.logits[0, -1])
            with pruner(subject, chosen, precision) as pruning:
                pruning.rows = RowLayout(1, 1)
                for place in places[:-1]:
                    token = ids[None, place : place + 1]
                    output = subject.model(input_ids=token, use_cache=True, **cache)
                    logits.append(output.logits[0, -1])
        sums.append(logit_losses(torch.stack(logits).numpy(), ids[places].numpy()).sum())
    # Sums in another order may move a value over the border of a code, and then a mask: rare, and
    # which one depends on the processor.
    np.testing.assert_allclose(losses.nats, sums, rtol=2e-4 if precision == "float" else 2e-2)
    prefill = measure(subject.model, ids, windows, pruner(subject, chosen, precision))
    assert not np.allclose(prefill.nats, losses.nats, rtol=1e-3)


def test_context_is_dense_in_decode_and_later_tokens_keep_their_largest():
    # One layer that passes on what it gets; 1:2 of two sequences of 3 tokens, 2 of them context.
    linear = torch.nn.Linear(2, 2, bias=False)
    linear.weight.data = torch.eye(2)
    subject = {"only": _as_linear(linear)}
    x = torch.tensor([[[1.0, 2], [5, 4], [3, 6]], [[0, 1], [1, 0], [-8, 7]]])
    with Pruner(subject, Policy(method("1:2", "clact"))) as pruning, torch.no_grad():
        pruning.rows = RowLayout(2, 3, context=2, alone=True)
        assert linear(x).tolist() == [[[1, 2], [5, 4], [0, 6]], [[0, 1], [1, 0], [-8, 0]]]
        # At once, CLACT ranks by the norms of each sequence, sqrt(35) and sqrt(56), sqrt(65) and
        # sqrt(50): of (5, 4), 4 × 7.5 is above 5 × 5.9.
        pruning.rows = RowLayout(2, 3)
        assert linear(x).tolist() == [[[0, 2], [0, 4], [0, 6]], [[0, 1], [1, 0], [-8, 0]]]


def _as_linear(module):
    from accelsim.capture.linears import find_linears

    return find_linears(module)["Linear"]


# Numbers -----------------------------------------------------------------------------------------


def losses(nats, tokens):
    return Losses(np.array(nats, np.float64), np.array(tokens))


def test_the_standard_error_by_hand():
    # Nine windows of one token, losses 1 2 3: mean 2, squares 6, error sqrt(6 / 8 / 9).
    found = losses([1, 2, 3] * 3, [1] * 9)
    assert found.mean == 2
    assert found.perplexity == pytest.approx(math.e**2)
    assert found.perplexity_error == pytest.approx(math.e**2 * math.sqrt(6 / 8 / 9))


def test_the_standard_error_of_equal_windows_is_numpys():
    nats = np.random.default_rng(0).uniform(30, 60, 12)
    found = losses(nats, [10] * 12)
    error = np.std(nats / 10, ddof=1) / math.sqrt(12)
    assert found.perplexity_error == pytest.approx(found.perplexity * error)


def test_windows_count_by_their_tokens():
    # Loss 2 a token in all windows: no spread, though the sums differ.
    assert losses([20, 2] * 4, [10, 1] * 4).perplexity_error == pytest.approx(0)
    # Mean 48/16 = 3, residuals 7 - 3 × 3 = -2 and 5 - 3 = 2: sqrt(32 × 8 / 7) / 16.
    error = math.exp(3) * math.sqrt(32 * 8 / 7) / 16
    assert losses([7, 5] * 4, [3, 1] * 4).perplexity_error == pytest.approx(error)


def test_paired_windows_cancel_what_makes_the_text_hard():
    dense = losses([10, 50, 90] * 3, [10] * 9)
    # Every window loses 1 nat more: 0.1 a token, exactly.
    increase, error = losses([11, 51, 91] * 3, [10] * 9).increase_over(dense)
    assert increase == pytest.approx(math.exp(0.1) - 1)
    assert error == pytest.approx(0, abs=1e-9)
    # Differences 0 1 2: squares around 1 are 6, of 90 tokens sqrt(6 × 9 / 8) / 90.
    increase, error = losses([10, 51, 92] * 3, [10] * 9).increase_over(dense)
    assert increase == pytest.approx(math.exp(0.1) - 1)
    assert error == pytest.approx(math.exp(0.1) * math.sqrt(6 * 9 / 8) / 90)


def test_noise_by_hand():
    # 0.04 nats² a token over 100 tokens: 0.02 of the mean loss; ln 10 has perplexity 10.
    pruned, dense = (
        Losses(np.array([100 * math.log(ppl)]), np.array([100]), noise)
        for ppl, noise in ((10, 0.04), (5, 0.0))
    )
    assert pruned.perplexity_noise == pytest.approx(10 * 0.02)
    assert pruned.noise_of_increase(dense) == pytest.approx(2 * 0.02)
    assert pruned.noise_of_increase(replace(dense, noise=0.05)) == pytest.approx(2 * 0.03)
    assert math.isnan(pruned.noise_of_increase(replace(dense, noise=math.nan)))


def test_seven_windows_have_no_error_and_a_hopeless_model_infinite_perplexity():
    assert math.isnan(losses([1, 2, 3, 4, 5, 6, 7], [1] * 7).perplexity_error)
    assert losses([8000], [10]).perplexity == math.inf
