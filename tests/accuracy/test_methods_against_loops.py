"""Every criterion and mitigation against plain Python, on awkward random inputs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.helpers import pruning as naive

torch = pytest.importorskip("torch")

from accelsim.accuracy.masks import round_tokens, round_weights, scale_scores  # noqa: E402
from accelsim.accuracy.pruning import FACTORS, LEVEL, LayerPruning, RowLayout  # noqa: E402
from accelsim.sparsity import parse_pattern  # noqa: E402
from accelsim.sparsity.criteria import CRITERIA  # noqa: E402
from accelsim.sparsity.policy import Method  # noqa: E402

PRECISIONS = ("float", "int8", "bf16", "fp16")
MITIGATIONS = ("none", "dpts", "spts", "lpts", "var", "l2", "ls", "rsparse3")
PATTERNS = ("2:4", "8:16", "3:5", "topk:0.4")
TOKENS, WIDTH = 6, 21  # odd, and no multiple of any group


def awkward(seed):
    """Return tokens `[6, 21]`: zeros, a constant, ties, strong channels, tiny ones."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((TOKENS, WIDTH)) * np.exp(2 * rng.standard_normal(WIDTH))
    rows[0] = 0
    rows[1] = 0.75
    rows[2] = rng.choice([-1.0, 1.0], WIDTH)
    rows[3] = np.round(rows[3])
    rows[4] *= 1e-3
    return rows.astype(np.float32)


def state_of(rng, weight):
    """Return one state that has what any method could ask for."""
    draws = rng.standard_normal((2, WIDTH)).astype(np.float32)
    return {
        "shift": torch.from_numpy(draws[0]),
        "scale": torch.from_numpy(1 + draws[1]),
        FACTORS: np.array(naive.amber_norms(weight.tolist())),
    }


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("criterion", ["act", "clact", "amber"])
@pytest.mark.parametrize("mitigation", MITIGATIONS)
def test_a_layer_is_pruned_as_by_loops(precision, criterion, mitigation):
    for place, pattern in enumerate(PATTERNS):
        rng = np.random.default_rng(place)
        rows = awkward(place)
        state = state_of(rng, rng.standard_normal((4, WIDTH)))
        if criterion != "amber":
            del state[FACTORS]
        factors = None if FACTORS not in state else state[FACTORS].tolist()
        sequences = 2 if criterion == "clact" else None

        def chosen(values, pattern=pattern, factors=factors, sequences=sequences):
            return naive.select(values, pattern, precision, factors=factors, sequences=sequences)

        plain = {name: value.tolist() for name, value in state.items()}
        expected, masks, dropped = naive.prune(rows.tolist(), mitigation, chosen, plain)

        seen = []
        method = Method(parse_pattern(pattern), criterion, mitigation)
        layer = LayerPruning(method, precision, state, lambda _, mask, to=seen: to.append(mask))
        found = layer.prune(torch.from_numpy(rows), RowLayout(2, TOKENS // 2))

        assert seen[0].tolist() == masks
        assert found.inputs.dtype == torch.float32
        if mitigation in ("var", "l2"):
            np.testing.assert_allclose(found.inputs.numpy(), np.array(expected), rtol=2e-5)
        else:
            assert np.array_equal(found.inputs.numpy(), np.array(expected, np.float32))
        if mitigation.startswith("rsparse"):
            assert np.array_equal(found.dropped.numpy(), np.array(dropped, np.float32))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_threshold_is_compared_with_real_values(precision):
    for seed in range(3):
        rows = awkward(seed)
        level = float(np.quantile(np.abs(rows), 0.6))
        layer = LayerPruning(Method(parse_pattern("threshold:0.6")), precision, {LEVEL: level})
        reals, mask = layer.select(torch.from_numpy(rows))
        expected = [naive.held(row, precision)[1] for row in rows.tolist()]
        assert reals.tolist() == expected
        above = [[abs(value) > naive.f32(level) for value in row] for row in expected]
        assert mask.tolist() == above


@given(
    weight=arrays(
        np.float32,
        st.tuples(st.integers(2, 6), st.integers(2, 9)),
        elements=st.floats(-4, 4, width=16),
    )
)
def test_amber_factors_equal_a_loop_over_the_weights(weight):
    expected = naive.amber_norms(weight.tolist())
    np.testing.assert_allclose(CRITERIA["amber"].layer_factors(weight), expected, rtol=1e-9)


def test_amber_leaves_the_outermost_percent_out_of_mean_and_deviation():
    # 2000 weights are ±1 in turn, one is 1000: within the quantiles, mean 0 and deviation 1.
    weight = np.resize([1.0, -1.0], (500, 4))
    weight[0, 2] = 1000
    factors = CRITERIA["amber"].layer_factors(weight)
    assert factors[[0, 1, 3]] == pytest.approx(np.sqrt(500), rel=1e-3)
    assert factors[2] == pytest.approx(np.sqrt(499 + 1e6), rel=1e-3)


@given(rows=arrays(np.float32, (4, 5), elements=st.floats(-99, 99, width=16)))
def test_clact_factors_equal_a_loop_over_the_tokens(rows):
    expected = naive.column_norms(rows.tolist())
    np.testing.assert_allclose(CRITERIA["clact"].chunk_factors(rows), expected, rtol=1e-12)


finite = st.floats(-60000, 60000, width=32, allow_subnormal=False)


@pytest.mark.parametrize("precision", PRECISIONS)
@given(rows=arrays(np.float32, (3, 5), elements=finite))
def test_tokens_are_rounded_as_by_loops(precision, rows):
    operands, reals = round_tokens(torch.from_numpy(rows), precision)
    expected = [naive.held(row, precision) for row in rows.tolist()]
    assert operands.tolist() == [codes for codes, _ in expected]
    assert reals.tolist() == [values for _, values in expected]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_weights_have_a_scale_an_output(precision):
    weight = awkward(5)
    expected = [naive.held(row, precision)[1] for row in weight.tolist()]
    assert round_weights(torch.from_numpy(weight), precision).tolist() == expected


@pytest.mark.parametrize("precision", PRECISIONS)
@given(
    rows=arrays(np.float32, (2, 6), elements=st.floats(-100, 100, width=16)),
    factors=arrays(np.float64, 6, elements=st.floats(0.01, 50)),
)
def test_scores_equal_a_loop_over_the_values(precision, rows, factors):
    operands, _ = round_tokens(torch.from_numpy(rows), precision)
    expected = [naive.scores(row, factors.tolist(), precision) for row in operands.tolist()]
    assert scale_scores(operands, factors, precision).tolist() == expected
