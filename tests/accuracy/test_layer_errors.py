"""What pruning does to each layer by itself, on numbers that fit in the head and against loops."""

from types import SimpleNamespace

import numpy as np
import pytest

from tests.helpers import pruning as naive

torch = pytest.importorskip("torch")
nn = torch.nn

from accelsim.accuracy.layer_errors import LayerError, Outliers, layer_errors  # noqa: E402
from accelsim.accuracy.subject import Subject  # noqa: E402
from accelsim.capture.linears import find_linears  # noqa: E402
from accelsim.sparsity import parse_pattern  # noqa: E402
from accelsim.sparsity.policy import Method, Policy  # noqa: E402


def method(pattern, criterion="act", mitigation="none"):
    return Method(parse_pattern(pattern), criterion, mitigation)


class Table(nn.Module):
    """A model that looks a token up and multiplies it with two matrices in turn."""

    def __init__(self, rows, *weights):
        super().__init__()
        self.table = nn.Embedding.from_pretrained(torch.tensor(rows, dtype=torch.float32))
        for name, weight in zip("ab", weights, strict=False):
            matrix = torch.tensor(weight, dtype=torch.float32)
            layer = nn.Linear(matrix.shape[1], matrix.shape[0])  # a bias changes no error
            layer.weight.data = matrix
            self.add_module(name, layer)

    def forward(self, input_ids, **_):
        x = self.table(input_ids)
        for layer in list(self.children())[1:]:
            x = layer(x)
        return SimpleNamespace(logits=x)


def errors(model, policies, ids, *, precision="float", states=None, seq_len=64):
    """Return the report on a model."""
    subject = Subject(None, model, None, find_linears(model), "cpu")
    return layer_errors(
        subject,
        torch.tensor(ids),
        policies,
        precision=precision,
        states=states or {},
        seq_len=seq_len,
    )


def test_errors_by_hand():
    # Token (3, 1, 0, 2): 2:4 drops 1, 1 of the 14 of squares. Outputs 3 + 1 + 2 = 6 and 1 become
    # 5 and 0: error 1 + 1 of 36 + 1.
    model = Table([[3, 1, 0, 2]], [[1, 1, 1, 1], [0, 1, 0, 0]])
    ((found,), _) = (r := errors(model, [Policy(method("2:4"))], [0])).errors, r.outliers
    assert found["a"].dropped_squared_magnitude_ratio == pytest.approx(1 / 14)
    assert found["a"].output_error_ratio == pytest.approx(2 / 37)
    assert found["a"].to_dict() == {
        "lost_energy_ratio": pytest.approx(1 / 14),  # the old name of the next one
        "dropped_squared_magnitude_ratio": pytest.approx(1 / 14),
        "output_error_ratio": pytest.approx(2 / 37),
    }


def test_each_layer_is_looked_at_with_the_inputs_of_the_dense_model():
    # The first layer drops 1; the second still gets (6, 1) and drops 1 of 37.
    model = Table([[3, 1, 0, 2]], [[1, 1, 1, 1], [0, 1, 0, 0]], [[1.0, 1]])
    model.a.bias.data[:] = 0
    rules = (("b", method("1:2")),)
    (found,) = errors(model, [Policy(method("2:4"), rules)], [0]).errors
    assert found["a"].dropped_squared_magnitude_ratio == pytest.approx(1 / 14)
    assert found["b"].dropped_squared_magnitude_ratio == pytest.approx(1 / 37)
    assert found["b"].output_error_ratio == pytest.approx(1 / 49)


def test_weights_lose_no_input_energy_but_change_the_output():
    model = Table([[3, 1, 0, 2]], [[1, 4, 2, 3]])
    (found,) = errors(model, [Policy(method("2:4", "wt"))], [0]).errors
    assert found["a"].dropped_squared_magnitude_ratio == 0
    # 1 × 3 and 2 × 0 are dropped: 13 becomes 10.
    assert found["a"].output_error_ratio == pytest.approx(9 / 169)


def test_the_reference_is_dense_at_the_same_precision():
    model = Table([[0.3, 0.1, 0.2, 0.7]], [[0.11, 0.22, 0.33, 0.44]])
    for chosen in (method("dense"), method("4:4"), method("dense", "amber", "lpts")):
        (found,) = errors(model, [Policy(chosen)], [0], precision="int8").errors
        assert not any(found["a"].to_dict().values())


def test_a_layer_of_zeros_has_no_error():
    (found,) = errors(Table([[0, 0]], [[1.0, 1]]), [Policy(method("1:2"))], [0, 0]).errors
    assert not any(found["a"].to_dict().values())
    assert LayerError().dropped_squared_magnitude_ratio == LayerError().output_error_ratio == 0


@pytest.mark.parametrize("precision", ["float", "int8", "bf16"])
@pytest.mark.parametrize("mitigation", ["none", "dpts", "spts", "var", "l2", "ls", "rsparse2"])
def test_output_errors_equal_those_of_loops(precision, mitigation):
    rng = np.random.default_rng(2)
    table, weight = rng.standard_normal((5, 11)), rng.standard_normal((4, 11))
    table, weight = table.astype(np.float32), weight.astype(np.float32)
    state = {
        "shift": torch.tensor(rng.standard_normal(11), dtype=torch.float32),
        "scale": torch.tensor(rng.uniform(0.5, 2, 11), dtype=torch.float32),
        "out": torch.randn(4, 2), "in": torch.randn(2, 11),
    }  # fmt: skip
    chosen = method("3:5", "act", mitigation)
    ids = [0, 3, 1, 4, 2, 0]
    rows = table[ids].tolist()
    pruned, masks, dropped = naive.prune(
        rows,
        mitigation,
        lambda values: naive.select(values, "3:5", precision),
        {name: state[name].tolist() for name in ("shift", "scale")},
    )
    held = [naive.held(row, precision)[1] for row in weight.tolist()]
    dense = naive.product([naive.held(row, precision)[1] for row in rows], held)
    scale = state["scale"].tolist()
    output = naive.product(pruned, naive.held_weight(weight.tolist(), mitigation, scale, precision))
    if mitigation == "rsparse2":
        left, right = state["out"].tolist(), state["in"].tolist()
        output += naive.low_rank(dropped, left, right, precision)

    (found,) = errors(
        Table(table, weight),
        [Policy(chosen)],
        ids,
        precision=precision,
        states={("a", str(chosen)): state},
    ).errors
    expected = np.square(output - dense).sum() / np.square(dense).sum()
    assert found["a"].output_error_ratio == pytest.approx(expected, rel=1e-4)
    selected_from = np.array(rows)
    if mitigation == "spts":
        selected_from = selected_from - state["shift"].numpy()
    if mitigation == "dpts":
        selected_from = selected_from - [[naive.lower_median(row)] for row in rows]
    lost = np.square(selected_from[~np.array(masks)]).sum()
    assert found["a"].dropped_squared_magnitude == pytest.approx(lost, rel=1e-5)


def test_policies_are_looked_at_side_by_side():
    model = Table([[3, 1, 0, 2], [1, 9, 9, 1]], [[1, 1, 1, 1]])
    policies = [Policy(method(p)) for p in ("2:4", "1:4", "2:4")]
    told = []
    subject = Subject(None, model, None, find_linears(model), "cpu")
    report = layer_errors(
        subject,
        torch.tensor([0, 1, 1, 0, 1]),
        policies,
        precision="float",
        states={},
        seq_len=2,
        on_layer=lambda: told.append(1),
    )
    # Whole sequences only: tokens 0 1 1 0. 2:4 drops 1, 2, 2, 1; 1:4 drops 5, 83, 83, 5.
    energy = 14 + 164 + 164 + 14
    ratios = [one["a"].dropped_squared_magnitude_ratio for one in report.errors]
    assert ratios == pytest.approx([6 / energy, 176 / energy, 6 / energy])
    assert told == [1]


def test_clact_looks_at_sequences():
    # Two sequences of two tokens; see the masks in test_methods_by_hand.
    model = Table([[2, 2.5, 3, 0], [9, 2.5, 3, 0]], [[1.0, 1, 1, 1]])
    policy = [Policy(method("2:4", "clact"))]
    apart = errors(model, policy, [0, 0, 1, 0], seq_len=2).errors[0]["a"]
    # Sequence 1 drops 2 of each token; sequence 2 drops 2.5: norms 9.2, 3.5, 4.2.
    assert apart.dropped_squared_magnitude == pytest.approx(4 + 4 + 6.25 + 6.25)
    together = errors(model, policy, [0, 0, 1, 0], seq_len=4).errors[0]["a"]
    # At once: norms 9.6, 5, 6; 2 × 9.6 is above 3 × 6 and 2.5 × 5, so 2.5 goes everywhere.
    assert together.dropped_squared_magnitude == pytest.approx(4 * 6.25)


def test_outliers_by_hand():
    # 3, 0, 0, 0 twice and 4, 0, 0, 0 twice: squares 9 9 16 16 of 16 values, mean 50/16.
    rows = torch.tensor([[3.0, 0, 0, 0], [-3, 0, 0, 0], [4, 0, 0, 0], [-4, 0, 0, 0]])
    found = Outliers.of(rows)
    assert found.peak == pytest.approx(4 / (50 / 16) ** 0.5)
    # Fourth powers 81 81 256 256: mean 674/16.
    assert found.kurtosis == pytest.approx((674 / 16) / (50 / 16) ** 2)
    # The strongest channel has a mean square of 50/4, four times that of all.
    assert found.channel_peak == pytest.approx(2)


def test_outliers_of_a_normal_distribution_and_of_zeros():
    draws = torch.randn(200, 500, generator=torch.Generator().manual_seed(0))
    assert Outliers.of(draws).kurtosis == pytest.approx(3, abs=0.1)
    assert Outliers.of(draws).channel_peak == pytest.approx(1, abs=0.2)
    zeros = Outliers.of(torch.zeros(2, 3))
    assert (zeros.peak, zeros.kurtosis) == (0, 0)


def test_outliers_are_those_of_each_input(subject, ids):
    report = layer_errors(subject, ids, [], precision="float", states={}, seq_len=50)
    assert report.errors == []
    assert report.outliers.keys() == subject.linears.keys()
    attention = [report.outliers[f"model.layers.0.self_attn.{n}_proj"] for n in "qkv"]
    assert attention[0] == attention[1] == attention[2]


def test_no_logits_are_made_that_nobody_reads(subject, ids):
    shapes = []
    hook = subject.model.lm_head.register_forward_hook(lambda *call: shapes.append(call[2].shape))
    layer_errors(subject, ids, [], precision="float", states={}, seq_len=50)
    hook.remove()
    # Four sequences of 50; 2048 tokens of 128 256 logits would be 1 GiB.
    assert shapes == [(4, 1, 64)]
