"""Every criterion and mitigation prunes a model's activations and keeps its promises."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from accelsim.accuracy.calibration import _fit  # noqa: E402
from accelsim.accuracy.pruning import LayerPruning, RowLayout  # noqa: E402
from accelsim.capture.linears import find_linears  # noqa: E402
from accelsim.precision import PRECISIONS  # noqa: E402
from accelsim.sparsity import PATTERNS, parse_pattern  # noqa: E402
from accelsim.sparsity.criteria import CRITERIA  # noqa: E402
from accelsim.sparsity.demands import Demands  # noqa: E402
from accelsim.sparsity.mitigations import MITIGATIONS, parse_mitigation  # noqa: E402
from accelsim.sparsity.policy import Method  # noqa: E402

MITIGATION_NAMES = sorted(f"{name}3" if name == "rsparse" else name for name in MITIGATIONS)
PRECISION_NAMES = ["float", *sorted(PRECISIONS)]
SHORTHANDS = ("dense", "3:5", "pairs-2:4", "1:2x2:4", "topk:0.4", "threshold:0.5", "nonzero")
TOKENS, WIDTH, OUTPUTS = 12, 17, 4


def test_every_family_of_patterns_is_tested_here():
    assert {type(parse_pattern(text)) for text in SHORTHANDS} == set(PATTERNS.values())


@pytest.fixture(scope="module")
def linear():
    torch.manual_seed(0)
    return find_linears(torch.nn.Linear(WIDTH, OUTPUTS))["Linear"]


@pytest.fixture(scope="module")
def inputs():
    """Return tokens with zeros, a constant, ties and strong channels."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((TOKENS, WIDTH)) * np.exp(rng.standard_normal(WIDTH))
    rows[0], rows[1], rows[2] = 0, -2, np.resize([1, -1], WIDTH)
    return torch.tensor(rows, dtype=torch.float32)


def pruned(linear, inputs, method, precision, watch=None):
    """Let a method learn from a layer and its inputs, and prune them."""
    state = _fit(linear, inputs, method, precision, None, TOKENS // 2)
    layer = LayerPruning(method, precision, state, watch)
    return layer.prune(inputs, RowLayout(2, TOKENS // 2))


@pytest.mark.parametrize("name", MITIGATION_NAMES)
def test_a_mitigation_declares_its_demands(name):
    assert isinstance(parse_mitigation(name).demands, Demands)


@pytest.mark.parametrize("name", sorted(CRITERIA))
def test_a_criterion_declares_its_demands_and_gives_what_it_declares(name):
    criterion, rng = CRITERIA[name], np.random.default_rng(1)
    matrix = rng.standard_normal((6, WIDTH)).astype(np.float32)
    for kind, factors in (
        ("fixed", criterion.layer_factors(matrix)),
        ("chunk", criterion.chunk_factors(matrix)),
    ):
        assert (factors is not None) == (criterion.demands.factors == kind)
        if factors is not None:
            assert factors.shape == (WIDTH,)
            assert (factors > 0).all()


@pytest.mark.parametrize("name", sorted(CRITERIA))
@pytest.mark.parametrize("mitigation", MITIGATION_NAMES)
def test_a_method_is_written_and_told_apart(name, mitigation):
    methods = {Method(parse_pattern("2:4"), c, m) for c in CRITERIA for m in MITIGATION_NAMES}
    text = str(Method(parse_pattern("2:4"), name, mitigation))
    assert [str(one) for one in methods].count(text) == 1


@pytest.mark.parametrize("precision", PRECISION_NAMES)
@pytest.mark.parametrize("pattern", SHORTHANDS)
@pytest.mark.parametrize("mitigation", MITIGATION_NAMES)
def test_pruning_keeps_shape_and_type_and_leaves_the_inputs_alone(
    linear, inputs, mitigation, pattern, precision
):
    for criterion in sorted(CRITERIA):
        before = inputs.clone()
        found = pruned(
            linear, inputs, Method(parse_pattern(pattern), criterion, mitigation), precision
        )
        assert (found.inputs.shape, found.inputs.dtype) == (inputs.shape, torch.float32)
        assert bool(found.inputs.isfinite().all())
        assert torch.equal(inputs, before)
        if found.dropped is not None:
            assert found.dropped.shape == inputs.shape


@pytest.mark.parametrize("precision", PRECISION_NAMES)
@pytest.mark.parametrize("criterion", sorted(CRITERIA))
@pytest.mark.parametrize("pattern", ["3:5", "topk:0.4"])
def test_without_mitigation_the_kept_values_are_kept(linear, inputs, criterion, pattern, precision):
    seen, parsed = [], parse_pattern(pattern)
    method = Method(parsed, criterion)
    found = pruned(linear, inputs, method, precision, lambda *what: seen.append(what))
    ((values, mask),) = seen
    assert torch.equal(values, inputs)
    assert mask.sum(dim=1).tolist() == [parsed.kept_count(WIDTH)] * TOKENS
    dense = pruned(linear, inputs, Method(parse_pattern("dense")), precision).inputs
    assert torch.equal(found.inputs[mask], dense[mask])
    assert not found.inputs[~mask].any()


@pytest.mark.parametrize("mitigation", MITIGATION_NAMES)
@pytest.mark.parametrize("precision", PRECISION_NAMES)
def test_a_dense_layer_is_only_rounded(linear, inputs, mitigation, precision):
    plain = pruned(linear, inputs, Method(parse_pattern("dense")), precision)
    found = pruned(linear, inputs, Method(parse_pattern("dense"), "act", mitigation), precision)
    assert torch.equal(found.inputs, plain.inputs)
    assert found.dropped is None
