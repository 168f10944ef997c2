"""What LS, L-PTS and R-Sparse learn, against numpy on the full problem."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import pruning as naive

torch = pytest.importorskip("torch")

from accelsim.accuracy.pruning import LayerPruning, Pruner, RowLayout  # noqa: E402
from accelsim.capture.linears import find_linears  # noqa: E402
from accelsim.sparsity import parse_pattern  # noqa: E402
from accelsim.sparsity.mitigations import Sample, parse_mitigation  # noqa: E402
from accelsim.sparsity.policy import Method, Policy  # noqa: E402

TOKENS, WIDTH, OUTPUTS = 9, 6, 4
SEEDS = range(6)


def problem(seed, *, tokens=TOKENS, width=WIDTH, outputs=OUTPUTS):
    """Return activations `[T, K]` away from zero, with strong and weak channels, and weights."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((tokens, width)) * np.exp(rng.standard_normal(width))
    x += rng.standard_normal(width)
    return x, rng.standard_normal((outputs, width))


def by_magnitude(values):
    """Select 1:2 by loops, without rounding; takes lists or tensors."""
    rows = values.tolist() if isinstance(values, torch.Tensor) else values
    _, masks = naive.select(rows, "1:2", "float")
    return values, torch.tensor(masks) if isinstance(values, torch.Tensor) else masks


def fitted(mitigation, x, weight, select=by_magnitude, dtype=torch.float64):
    """Return the state that a mitigation learns."""
    inputs, matrix = (torch.tensor(array, dtype=dtype) for array in (x, weight))
    return parse_mitigation(mitigation).fit(Sample(inputs, matrix, select, torch.linalg))


@pytest.mark.parametrize("seed", SEEDS)
def test_ls_is_the_least_squares_solution_around_one(seed):
    x, weight = problem(seed)
    _, masks = by_magnitude(x.tolist())
    kept = naive.masked(x.tolist(), masks)
    # y = Σ kept_j s_j W_oj should be Σ x_j W_oj: with s = 1 + v, v brings kept to x - kept.
    change = naive.best_vector(kept, x - np.array(kept), weight)
    found = fitted("ls", x, weight)["scale"].numpy()
    np.testing.assert_allclose(found, 1 + change, rtol=1e-8)


@pytest.mark.parametrize("seed", SEEDS)
def test_ls_is_near_the_solution_without_a_ridge(seed):
    x, weight = problem(seed, tokens=40, outputs=12)
    _, masks = by_magnitude(x.tolist())
    kept = naive.masked(x.tolist(), masks)
    exact = naive.best_vector(kept, x, weight, ridge=0)
    found = fitted("ls", x, weight)["scale"].numpy()

    def error(scale):
        return naive.output_error(np.array(kept) * scale, x, weight)

    assert error(exact) <= error(found) <= 1.01 * error(exact)


def test_lpts_finds_mask_and_shift_in_turns_and_keeps_the_best():
    best = set()
    for seed in range(25):
        x, weight = problem(seed)
        shift, tried = [naive.lower_median(column) for column in x.T.tolist()], []
        for turn in range(4):
            _, masks = by_magnitude((x - np.array(shift)).tolist())
            entering = np.where(masks, x, np.array(shift))
            tried.append((naive.output_error(entering, x, weight), turn, list(shift)))
            dropped = (~np.array(masks)).astype(float)
            shift = naive.best_vector(dropped, x * dropped, weight).tolist()
        found = fitted("lpts", x, weight)["shift"].numpy()
        _, turn, expected = min(tried)
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-12)
        best.add(turn)
    assert {1, 2, 3} <= best  # each turn is worth its while somewhere


@st.composite
def hard_problems(draw):
    """Problems in float32 with outliers, dead channels and fewer tokens than channels."""
    tokens, width = draw(st.integers(1, 12)), draw(st.integers(1, 9))
    x, weight = problem(
        draw(st.integers(0, 999)), tokens=tokens, width=width, outputs=draw(st.integers(1, 5))
    )
    x[:, draw(st.integers(0, width - 1))] *= draw(st.sampled_from([0, 1, 1e4]))
    x[draw(st.integers(0, tokens - 1))] *= draw(st.sampled_from([0, 1, 300]))
    pattern = draw(st.sampled_from(["1:2", "2:4", "1:4", "topk:0.5"]))
    return x.astype(np.float32), weight.astype(np.float32), pattern


@pytest.mark.parametrize("precision", ["float", "int8"])
@pytest.mark.parametrize(("mitigation", "without"), [("ls", "none"), ("lpts", "spts")])
@given(case=hard_problems())
def test_learning_makes_the_output_no_worse_where_it_learned(mitigation, without, precision, case):
    x, weight, pattern = case

    def error(name):
        layer = LayerPruning(Method(parse_pattern(pattern), "act", name), precision)
        state = fitted(name, x, weight, layer.select, torch.float32)
        layer = LayerPruning(layer.method, precision, state)
        entering = layer.prune(torch.from_numpy(x), RowLayout()).inputs.numpy()
        return naive.output_error(entering, x, weight)

    # Sums of float32 numbers are off by some 1e-6 of the largest; squared, and of the output.
    slack = 1e-8 * np.square(naive.product(x, weight)).sum()
    assert error(mitigation) <= error(without) * (1 + 1e-3) + slack


def test_a_channel_that_is_never_kept_is_not_scaled():
    x, weight = problem(1)
    x[:, 2] = 0
    assert fitted("ls", x, weight)["scale"][2] == 1


def test_learning_from_nothing_dropped_changes_nothing():
    def everything(values):
        return values, torch.ones(values.shape, dtype=torch.bool)

    x, weight = problem(3)
    x = np.round(x)  # so that x - η + η is x
    medians = [naive.lower_median(column) for column in x.T.tolist()]
    assert fitted("ls", x, weight, everything)["scale"].tolist() == [1] * WIDTH
    assert fitted("lpts", x, weight, everything)["shift"].tolist() == medians


@pytest.mark.parametrize("rank", [1, 2, 4, 50])
def test_rsparse_keeps_the_largest_singular_values(rank):
    _, weight = problem(2)
    state = fitted(f"rsparse{rank}", [[0.0] * WIDTH], weight)
    assert state["in"].shape[0] == state["out"].shape[1] == min(rank, OUTPUTS)
    left, sizes, right = np.linalg.svd(weight)
    expected = sum(np.outer(left[:, i], right[i]) * sizes[i] for i in range(min(rank, OUTPUTS)))
    product = (state["out"] @ state["in"]).numpy()
    np.testing.assert_allclose(product, expected, atol=1e-12)
    # Eckart and Young: what is missing is the rest of the singular values.
    assert np.square(weight - product).sum() == pytest.approx(np.square(sizes[rank:]).sum())


def test_rsparse_of_full_rank_is_the_dense_layer():
    x, weight = problem(4, tokens=5, width=7, outputs=3)
    linear = torch.nn.Linear(7, 3)
    linear.weight.data = torch.tensor(weight, dtype=torch.float32)
    inputs = torch.tensor(x, dtype=torch.float32)
    method = Method(parse_pattern("1:4"), "act", "rsparse3")
    state = fitted("rsparse3", x, weight, dtype=torch.float32)
    with torch.no_grad():
        dense = linear(inputs)
        with Pruner(find_linears(linear), Policy(method), states={("Linear", str(method)): state}):
            again = linear(inputs)
    assert torch.allclose(again, dense, atol=1e-5)
    assert not torch.equal(again, dense)  # it went another way
