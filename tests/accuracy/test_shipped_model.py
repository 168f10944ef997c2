"""What the shipped model must show: the more freedom a pattern has, the less it hurts."""

import os
from itertools import pairwise
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from accelsim.accuracy.layer_errors import layer_errors  # noqa: E402
from accelsim.accuracy.perplexity import measure  # noqa: E402
from accelsim.accuracy.pruning import DENSE, Pruner  # noqa: E402
from accelsim.accuracy.subject import load_subject  # noqa: E402
from accelsim.accuracy.texts import load_text  # noqa: E402
from accelsim.accuracy.windows import sliding_windows  # noqa: E402
from accelsim.sparsity import parse_pattern  # noqa: E402
from accelsim.sparsity.policy import Method, Policy  # noqa: E402

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "text"
needs_shared = pytest.mark.skipif(
    not SHARED.exists() and not os.environ.get("CI"), reason="needs ../shared"
)
MODEL = ROOT / "traces" / "models" / "llama-docs-16m"
POLICIES = [
    Policy(Method(parse_pattern(text))) for text in ("topk:0.5", "16:32", "8:16", "4:8", "2:4")
]
TOKENS, SEQ_LEN = 3072, 384


@pytest.fixture(scope="module")
def shipped():
    return load_subject(str(MODEL), device="cpu", seq_len=SEQ_LEN)


@pytest.fixture(
    scope="module",
    params=[
        "python-topics",
        pytest.param("docs_heldout.txt", marks=[needs_shared, pytest.mark.shared]),
    ],
)
def ids(shipped, request):
    """Python's help topics; and where it is, held-out text of the training domain."""
    held_out = SHARED / request.param
    text = str(held_out) if request.param.endswith(".txt") else request.param
    return shipped.tokens_of(load_text(text), TOKENS)


@pytest.fixture(scope="module")
def losses(shipped, ids):
    """Return the losses of the dense model and under each policy."""
    windows = sliding_windows(TOKENS, SEQ_LEN, SEQ_LEN)
    return [
        measure(shipped.model, ids, windows, Pruner(shipped.linears, policy))
        for policy in (Policy(DENSE), *POLICIES)
    ]


def test_perplexity_grows_as_groups_shrink(losses):
    perplexities = [found.perplexity for found in losses]
    assert all(less < more for less, more in pairwise(perplexities))
    # A model that knows the language of this text, and still does when half is pruned.
    assert 3 < perplexities[0] < perplexities[-1] < 100


def test_the_difference_to_dense_is_beyond_chance(losses):
    increase, error = losses[-1].increase_over(losses[0])
    assert increase > 3 * error > 0


def test_dropped_squared_magnitude_and_output_error_grow_as_groups_shrink(shipped, ids):
    report = layer_errors(shipped, ids[:256], POLICIES, precision="float", states={}, seq_len=128)
    for name in ("dropped_squared_magnitude_ratio", "output_error_ratio"):
        ratios = [sum(getattr(e, name) for e in one.values()) / len(one) for one in report.errors]
        assert all(0 < less < more < 0.5 for less, more in pairwise(ratios))
    assert len(report.outliers) == 8 * 7
    assert all(found.peak > 1 and found.channel_peak >= 1 for found in report.outliers.values())
