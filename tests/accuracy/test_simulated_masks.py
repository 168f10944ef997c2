"""From a model to a mask by two ways: a captured trace that is simulated, and hooks that prune.

The model computes in bfloat16, so that a trace of that type holds exactly what the layers see.
"""

import numpy as np
import pytest

from tests.helpers.checkpoints import subject_of, tiny_llama
from tests.helpers.pruning import lower_median

torch = pytest.importorskip("torch")

from accelsim.accuracy.layer_errors import layer_errors  # noqa: E402
from accelsim.accuracy.pruning import Pruner, RowLayout  # noqa: E402
from accelsim.capture import capture  # noqa: E402
from accelsim.precision import PRECISIONS  # noqa: E402
from accelsim.selection.sparsify import select_input  # noqa: E402
from accelsim.sparsity import parse_pattern  # noqa: E402
from accelsim.sparsity.policy import Method, Policy  # noqa: E402

SEQUENCES, LENGTH = 3, 7
METHODS = [
    ("2:4", "act", "none"),
    ("8:16", "act", "none"),
    ("3:5", "act", "none"),
    ("8:16", "clact", "none"),
    ("3:5", "clact", "none"),
    ("8:16", "act", "dpts"),
    ("topk:0.5", "act", "none"),
    ("topk:0.5", "clact", "none"),
]
IDS = [" ".join(method) for method in METHODS]


@pytest.fixture(scope="module")
def subject():
    return subject_of(tiny_llama().bfloat16())


@pytest.fixture(scope="module")
def ids(ids):
    return ids[: SEQUENCES * LENGTH]


@pytest.fixture(scope="module")
def trace(subject, ids, tmp_path_factory):
    return capture(
        subject.model,
        [{"input_ids": ids.reshape(SEQUENCES, LENGTH)}],
        out=tmp_path_factory.mktemp("trace") / "t.npz",
        layers="model.*",
        dtype="bfloat16",
    )


def simulated(trace, layer, precision, texts):
    """Return the selection of a layer's input as `accelsim run` makes it."""
    pattern, criterion, mitigation = texts
    key = next(linear.input for linear in trace.linears if linear.name == layer)
    (selection,) = select_input(
        trace,
        key,
        precision,
        [parse_pattern(pattern)],
        with_masks=True,
        criterion=criterion,
        is_centred=mitigation == "dpts",
    )
    return selection, trace.values(key)


def method(texts):
    pattern, criterion, mitigation = texts
    return Method(parse_pattern(pattern), criterion, mitigation)


@pytest.mark.parametrize("precision", sorted(PRECISIONS))
@pytest.mark.parametrize("texts", METHODS, ids=IDS)
def test_what_enters_a_pruned_layer_has_the_mask_of_the_simulated_one(
    subject, trace, ids, precision, texts
):
    for name, linear in subject.linears.items():
        selection, x = simulated(trace, name, precision, texts)
        shift = np.zeros((len(x), 1), np.float32)
        if texts[-1] == "dpts":
            shift = np.array([[lower_median(row)] for row in x.tolist()], np.float32)
        kind = PRECISIONS[precision]
        held = kind.encode_tokens(x - shift) * kind.token_scales(x - shift)
        expected = torch.from_numpy(held * selection.kept_mask + shift).bfloat16()

        entered = []
        pruner = Pruner({name: linear}, Policy(method(texts)), precision=precision)
        with pruner, torch.no_grad():
            pruner.rows = RowLayout(SEQUENCES, LENGTH)
            # Hooks are called in the order of registration: this one sees what the pruner made.
            hook = linear.module.register_forward_pre_hook(lambda _, x, to=entered: to.append(x[0]))
            subject.model(input_ids=ids.reshape(SEQUENCES, LENGTH), use_cache=False)
            hook.remove()
        assert torch.equal(entered[0].reshape(expected.shape), expected), name
        assert 0 < selection.kept_mask.sum() < selection.kept_mask.size


@pytest.mark.parametrize("precision", sorted(PRECISIONS))
@pytest.mark.parametrize("texts", METHODS, ids=IDS)
def test_dropped_squared_magnitude_is_what_the_simulation_calls_dropped(
    subject, trace, ids, precision, texts
):
    policy = Policy(method(texts))
    report = layer_errors(subject, ids, [policy], precision=precision, states={}, seq_len=LENGTH)
    assert report.errors[0].keys() == subject.linears.keys()
    for name, error in report.errors[0].items():
        selection, _ = simulated(trace, name, precision, texts)
        assert error.dropped_squared_magnitude_ratio == pytest.approx(
            selection.dropped_squared_magnitude_ratio, rel=1e-6
        )
        assert error.dropped_squared_magnitude_ratio > 0
