"""What the shipped model must show: the more freedom a pattern has, the less it hurts."""

from itertools import pairwise
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from accelsim.accuracy.evaluate import Settings, evaluate  # noqa: E402
from accelsim.accuracy.subject import load_subject  # noqa: E402
from accelsim.accuracy.texts import load_text  # noqa: E402
from accelsim.policy import Method, same_for_all  # noqa: E402
from accelsim.sparsity import parse_pattern  # noqa: E402

MODEL = Path(__file__).parents[2] / "traces" / "models" / "llama-docs-16m"
LADDER = ("topk:0.5", "16:32", "8:16", "4:8", "2:4")
TOKENS = 2048


@pytest.fixture(scope="module")
def report():
    torch.set_num_threads(2)
    policies = [same_for_all(Method(parse_pattern(text))) for text in LADDER]
    found = evaluate(
        load_subject(str(MODEL), device="cpu", seq_len=512),
        load_text("python-topics"),
        policies,
        Settings(tokens=TOKENS, seq_len=512, stride=512),
        calibration_text=load_text("python-topics-calibration"),
    )
    torch.set_num_threads(1)
    return found


def test_perplexity_grows_as_groups_shrink(report):
    perplexities = [report.dense.perplexity, *(row.losses.perplexity for row in report.rows)]
    assert all(less < more for less, more in pairwise(perplexities))
    # A model that knows the language of this text, and still does when half is pruned.
    assert 3 < perplexities[0] < perplexities[-1] < 100


def test_so_do_lost_energy_and_output_error(report):
    for name in ("lost_energy_ratio", "output_error_ratio"):
        ratios = [getattr(row, name) for row in report.rows]
        assert all(0 < less < more < 0.5 for less, more in pairwise(ratios))


def test_the_difference_to_dense_is_beyond_chance(report):
    increase, error = report.rows[-1].losses.increase_over(report.dense)
    assert increase > 3 * error > 0


def test_every_layer_but_the_head_is_looked_at(report):
    assert len(report.outliers) == 8 * 7
    assert all(found.peak > 1 and found.channel_peak >= 1 for found in report.outliers.values())
