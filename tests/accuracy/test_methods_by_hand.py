"""Each mitigation and criterion on numbers that fit in the head."""

import math

import pytest

torch = pytest.importorskip("torch")

from accelsim.accuracy.pruning import LayerPruning, RowLayout  # noqa: E402
from accelsim.sparsity import parse_pattern  # noqa: E402
from accelsim.sparsity.criteria import CRITERIA  # noqa: E402
from accelsim.sparsity.mitigations import Sample, parse_mitigation  # noqa: E402
from accelsim.sparsity.policy import Method  # noqa: E402


def prune(rows, *, pattern="2:4", criterion="act", mitigation="none", sequences=1, **state):
    """Prune float rows; return (what enters the product, mask)."""
    seen = []
    layer = LayerPruning(
        Method(parse_pattern(pattern), criterion, mitigation),
        state=state,
        watch=lambda _, mask: seen.append(mask),
    )
    inputs = torch.tensor(rows, dtype=torch.float32)
    pruned = layer.prune(inputs, RowLayout(sequences, len(rows) // sequences))
    (mask,) = seen
    return pruned.inputs.tolist(), mask.int().tolist()


def test_none_leaves_zeros_where_nothing_is_kept():
    assert prune([[1, -4, 3, 2]]) == ([[0, -4, 3, 0]], [[0, 1, 1, 0]])


def test_dpts_selects_by_distance_from_the_lower_median():
    # Sorted 1 2 9 10: the lower of the middle two is 2. Distances -1 8 7 0 keep 10 and 9; the
    # others become the median.
    assert prune([[1, 10, 9, 2]], mitigation="dpts") == ([[2, 10, 9, 2]], [[0, 1, 1, 0]])
    # Without it, 5 of 5 4 -4 -5 would survive; the median is -4, and 9 and 8 are far from it.
    assert prune([[5, 4, -4, -5]], mitigation="dpts") == ([[5, 4, -4, -4]], [[1, 1, 0, 0]])


def test_spts_selects_by_distance_from_the_medians_of_the_channels():
    shift = torch.tensor([4.0, 0.0, -3.0, 1.0])
    # Distances 0 2 2 0 keep the two in the middle; the first and last become their medians.
    expected = ([[4, 2, -1, 1]], [[0, 1, 1, 0]])
    assert prune([[4, 2, -1, 1]], mitigation="spts", shift=shift) == expected
    # Distances 1 0 0 9: what is dropped of channel 1 becomes 0, of channel 2 becomes -3.
    assert prune([[5, 0, -3, 10]], mitigation="lpts", shift=shift)[0] == [[5, 0, -3, 10]]


def test_var_restores_the_variance_of_the_token():
    # Mean 0, squares 4 × 1 + ... : (2, -2, 1, -1) has sum of squares 10; kept (2, -2, 0, 0) has 8.
    (row,), _ = prune([[2, -2, 1, -1]], mitigation="var")
    factor = math.sqrt(10 / 8)
    assert row == pytest.approx([2 * factor, -2 * factor, 0, 0])


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_var_leaves_tokens_without_variance_alone(value):
    # All kept values equal and nothing dropped: the variance of what is left is zero.
    assert prune([[value] * 4], pattern="4:4", mitigation="var")[0] == [[value] * 4]
    assert prune([[0.0] * 4], mitigation="var")[0] == [[0.0] * 4]


def test_l2_restores_the_length_of_the_token():
    # Squares 9 + 16 + 1 + 1 = 27 become 9 + 16 = 25.
    (row,), _ = prune([[3, -4, 1, -1]], mitigation="l2")
    factor = math.sqrt(27 / 25)
    assert row == pytest.approx([3 * factor, -4 * factor, 0, 0])
    # Unlike the variance, the length of what is left is never zero, unless nothing is.
    (row,), _ = prune([[3, 3, 0, 3]], mitigation="l2")
    assert row == pytest.approx([3 * math.sqrt(27 / 18)] * 2 + [0, 0])
    assert prune([[0.0] * 4], mitigation="l2")[0] == [[0.0] * 4]


def test_ls_scales_each_channel_after_selection():
    scale = torch.tensor([1.0, 10.0, 0.5, 1.0])
    assert prune([[3, 1, -4, 0]], mitigation="ls", scale=scale)[0] == [[3, 0, -2, 0]]


def test_clact_ranks_by_the_norms_of_the_sequence():
    # Norms over both tokens: 5, 1, 1, 12. Scores of token 0: 3 × 5, 1, 0, 0 × 12; of token 1:
    # 4 × 5, 0, 1, 12 × 12. By magnitude the same here, so make it matter: 2:4 keeps one zero.
    rows = [[3, 1, 0, 0], [4, 0, 1, 12]]
    assert prune(rows, criterion="clact")[1] == [[1, 1, 0, 0], [1, 0, 0, 1]]
    # Alone, 2 2.5 3 keep 3 and 2.5; with norms 10 3 3.6 (about), 2 × 10 is above 3 × 3.6.
    rows = [[2, 2.5, 3, 0], [9.8, 1.6, 2, 0]]
    assert prune(rows, criterion="clact")[1][0] == [1, 0, 1, 0]
    assert prune(rows)[1][0] == [0, 1, 1, 0]


def test_clact_looks_at_each_sequence_by_itself():
    # The second sequence has a strong channel 0, which is nothing to the first.
    rows = [[2, 2.5, 3, 0], [2, 2.5, 3, 0], [9, 2.5, 3, 0], [2, 2.5, 3, 0]]
    masks = prune(rows, criterion="clact", sequences=2)[1]
    assert masks[0] == [0, 1, 1, 0]
    assert masks[3] == [1, 0, 1, 0]  # 2 × sqrt(85) = 18.4 is above 2.5 × sqrt(12.5) = 8.8


def test_clact_of_one_token_is_the_order_of_magnitudes():
    assert prune([[3, -4, 1, 2]], criterion="clact")[1] == prune([[3, -4, 1, 2]])[1]


def test_amber_ranks_by_the_norms_of_standardised_columns():
    # Of ±1 and ±2 in columns, mean 0: norms are in proportion 1 to 2 (all inliers but the ends).
    weight = torch.tensor([[1.0, -2, 1, 0], [-1, 2, -1, 0]]).numpy()
    factors = CRITERIA["amber"].layer_factors(weight)
    assert factors[1] / factors[0] == pytest.approx(2)
    assert factors[3] == pytest.approx(0)
    # 3 × 1, 2 × 2, 3.5 × 1, 9 × 0: channels 1 and 2 stay.
    assert prune([[3, 2, 3.5, 9]], criterion="amber", factors=factors)[1] == [[0, 1, 1, 0]]


@pytest.mark.parametrize("name", ["act", "clact", "wt"])
def test_only_amber_takes_factors_from_the_weights(name):
    assert CRITERIA[name].layer_factors(torch.ones(2, 2).numpy()) is None


def test_a_threshold_keeps_what_is_above_the_level_of_its_layer():
    rows = [[1, -2, 2.5, -3], [0, 0, 0, 0], [9, 9, 9, 9]]
    masks = prune(rows, pattern="threshold:0.5", level=2.0)[1]
    assert masks == [[0, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]]


def fit(mitigation, rows, weight, pattern="1:2"):
    """Return the state that a mitigation learns, in float64."""
    layer = LayerPruning(Method(parse_pattern(pattern), "act", mitigation))
    inputs, weight = (torch.tensor(a, dtype=torch.float64) for a in (rows, weight))
    return parse_mitigation(mitigation).fit(Sample(inputs, weight, layer.select, torch.linalg))


def test_spts_learns_the_lower_median_of_each_channel():
    state = fit("spts", [[1, 8], [3, 7], [2, 5], [9, 6]], [[1, 1]])
    assert state["shift"].tolist() == [2, 6]


def test_ls_learns_to_make_up_for_the_channel_that_is_dropped():
    # Of (2, 1), 1 is dropped. With weights 1 and 1 the output should be 3 and is 2 s: s = 3/2.
    # Channel 1 is never kept, so that its scale stays 1.
    state = fit("ls", [[2, 1]], [[1, 1]])
    assert state["scale"].tolist() == pytest.approx([1.5, 1], abs=1e-4)


def test_lpts_stays_at_the_medians_where_nothing_is_lost():
    # Medians 4 and 0, distances (0, 0), (0, 0), (-4, 0): only zeros are dropped.
    rows = [[4, 0], [4, 0], [0, 0]]
    assert fit("lpts", rows, [[1, 1]])["shift"].tolist() == [4, 0]


def test_lpts_learns_what_brings_the_dropped_channel_back():
    rows = [[-50, 1], [0, 1], [50, 4]]
    # Round 1, medians (0, 1): channel 1 is dropped in every token and comes back as 1, error 3².
    assert fit("spts", rows, [[1, 1]])["shift"].tolist() == [0, 1]
    # Its mean is 2. Round 2, (0, 2): the second token keeps channel 1, and the others lose 1 and
    # 2, error 1² + 2². Their mean is 2.5. Round 3, (0, 2.5): error 1.5² + 1.5², and so it stays.
    found = fit("lpts", rows, [[1, 1]])["shift"].tolist()
    assert found == pytest.approx([0, 2.5], abs=2e-3)
