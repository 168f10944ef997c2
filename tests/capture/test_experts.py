"""Experts of a mixture: one layer each, with exactly the tokens that are routed to it."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5")
nn = torch.nn

from accelsim.capture import capture  # noqa: E402
from tests.helpers import moes  # noqa: E402


@pytest.mark.parametrize("family", moes.FAMILIES)
def test_experts_get_the_tokens_that_a_plain_loop_routes_to_them(family, out):
    model = moes.make(family)
    ids = torch.arange(moes.TOKENS).reshape(2, 8) * 7 % moes.VOCABULARY
    before = model.config._experts_implementation
    trace = capture(model, [{"input_ids": ids}], out=out)

    expected = moes.routed(model, ids)
    shared = [x for x in trace.linears if ".experts." in x.name]
    assert {x.name for x in shared} == set(expected)
    for linear in shared:
        tokens, rows = expected[linear.name]
        assert trace.token_numbers(linear.input).tolist() == tokens, linear.name
        assert trace.meta.lengths(linear.input) == (
            sum(token < 8 for token in tokens),
            sum(token >= 8 for token in tokens),
        )
        np.testing.assert_allclose(trace.values(linear.input), rows, rtol=1e-3, atol=1e-4)
    assert model.config._experts_implementation == before


@pytest.mark.parametrize("family", ["Mixtral", "GptOss"])
def test_two_batches_and_gate_and_up_share(family, out):
    model = moes.make(family)
    first, second = torch.arange(6)[None], torch.arange(20, 29)[None]
    trace = capture(
        model, [{"input_ids": first}, {"input_ids": second}], out=out, layers="*.experts.*"
    )
    one, two = moes.routed(model, first), moes.routed(model, second)
    for linear in trace.linears:
        parts = [one.get(linear.name, ([], None))[0], two.get(linear.name, ([], None))[0]]
        assert trace.meta.lengths(linear.input) == tuple(map(len, parts))
        assert trace.token_numbers(linear.input).tolist() == [
            *parts[0],
            *(6 + token for token in parts[1]),
        ]
        assert linear.input == linear.name.replace("up_proj", "gate_proj")


def test_the_sizes_of_a_mixtral_by_hand(out):
    """Top-2 of 32 tokens: each layer runs 64 × 3 × hidden × intermediate multiplications."""
    model = moes.make("Mixtral")
    trace = capture(model, [torch.arange(32)[None]], out=out)
    experts = [x for x in trace.linears if ".experts." in x.name]
    macs = [trace.meta.rows(x.input) * x.in_features * x.out_features for x in experts]
    assert sum(macs) == 2 * 64 * 3 * 32 * 48
    coverage = trace.meta.coverage
    routers = 2 * 32 * 32 * 4
    assert coverage.multiplications - coverage.captured_multiplications == routers
    left_out = {part.name: part.multiplications for part in coverage.left_out}
    assert left_out == {f"model.layers.{n}.mlp.gate": routers // 2 for n in range(2)}


class Mixture(nn.Module):
    """Experts as modules, or as stacked weights; token t goes to expert `chosen[t]` only."""

    def __init__(self, chosen, *, stacked):
        super().__init__()
        self.chosen, self.stacked = torch.tensor(chosen), stacked
        self.dense = nn.Linear(4, 4)
        if stacked:
            self.w1 = nn.Parameter(torch.randn(3, 6, 4))
        else:
            self.experts = nn.ModuleList(nn.Linear(4, 6) for _ in range(3))

    def forward(self, x):
        flat = self.dense(x).reshape(-1, 4)
        result = flat.new_zeros(len(flat), 6)
        for expert in range(3):
            mask = self.chosen == expert
            if mask.any():
                rows = flat[mask] * 2
                y = rows @ self.w1[expert].T if self.stacked else self.experts[expert](rows)
                result[mask] = y
        return result


@pytest.mark.parametrize(
    ("stacked", "name"), [(False, "experts.{}"), (True, "{}.w1")], ids=["modules", "stacked"]
)
def test_other_mixtures_by_hand(stacked, name, out):
    model = Mixture([0, 2, 0, 0, 2, 0], stacked=stacked)
    trace = capture(model, [torch.randn(2, 3, 4)], out=out)
    found = {x.name: trace.token_numbers(x.input).tolist() for x in trace.linears}
    assert found == {
        "dense": [0, 1, 2, 3, 4, 5],
        name.format(0): [0, 2, 3, 5],
        name.format(2): [1, 4],
    }
    assert trace.meta.lengths(name.format(0)) == (2, 2)
    assert {part.name: part.reason for part in trace.meta.coverage.left_out} == {
        name.format(1): "no token was routed to it" if stacked else "never called"
    }


def test_padding_never_reaches_an_expert(out):
    model = moes.make("Mixtral")
    ids = torch.arange(16).reshape(2, 8)
    mask = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1, 0]])
    trace = capture(model, [{"input_ids": ids, "attention_mask": mask}], out=out)
    assert trace.meta.sequence_lengths == (5, 7)
    for layer in range(2):
        rows = [
            trace.meta.rows(x.input)
            for x in trace.linears
            if x.name.startswith(f"model.layers.{layer}.mlp.experts") and x.kind == "down_proj"
        ]
        assert sum(rows) == 2 * 12
