"""Models with fused experts: each is pruned as the layers that it is made of."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", minversion="5")

from accelsim.accuracy.pruning import DENSE, Pruner, RowLayout  # noqa: E402
from accelsim.base.errors import InputError  # noqa: E402
from accelsim.capture.coverage import coverage_of_linears  # noqa: E402
from accelsim.capture.experts import take_apart  # noqa: E402
from accelsim.capture.linears import find_linears  # noqa: E402
from accelsim.sparsity import parse_pattern  # noqa: E402
from accelsim.sparsity.policy import Method, Policy  # noqa: E402
from tests.helpers import moes  # noqa: E402

IDS = torch.arange(moes.TOKENS).reshape(2, 8) * 7 % moes.VOCABULARY


def logits(model):
    with torch.no_grad():
        return model(input_ids=IDS, use_cache=False).logits


@pytest.mark.parametrize("family", moes.FAMILIES)
def test_taken_apart_a_model_computes_the_same(family):
    model = moes.make(family)
    model.set_experts_implementation("eager")
    before = logits(model)
    pointers = {weight.data_ptr() for weight in model.parameters()}
    take_apart(model)
    torch.testing.assert_close(logits(model), before, rtol=1e-5, atol=1e-6)
    experts = [name for name in find_linears(model) if ".experts." in name]
    assert {name.rpartition(".")[2] for name in experts} == {"gate_proj", "up_proj", "down_proj"}
    assert len(experts) % (3 * moes.EXPERTS) == 0
    first = find_linears(model)[experts[2].rpartition(".")[0] + ".down_proj"].module.weight
    assert first.data_ptr() in pointers  # a view


class PrunedByHand:
    """Prunes what a plain loop over experts multiplies: keeps the largest of 16 magnitudes."""

    def __init__(self, model):
        self.model = model

    @staticmethod
    def prune(rows):
        groups = rows.reshape(-1, 16)
        largest = groups.abs().argmax(dim=1, keepdim=True)
        return torch.zeros_like(groups).scatter(1, largest, groups.gather(1, largest)).view_as(rows)

    def forward(self, fused, hidden, chosen, shares):
        result = torch.zeros_like(hidden)
        for token in range(len(hidden)):
            for place, expert in enumerate(chosen[token].tolist()):
                x = self.prune(hidden[token])
                gate, up = (fused.gate_up_proj[expert] @ x).chunk(2)
                inner = self.prune(fused.act_fn(gate) * up)
                result[token] += shares[token, place] * (fused.down_proj[expert] @ inner)
        return result


def test_pruning_the_experts_agrees_with_pruning_by_hand():
    by_hand, model = moes.make("Mixtral"), moes.make("Mixtral")
    hand = PrunedByHand(by_hand)
    for module in by_hand.modules():
        if type(module).__name__ == "MixtralExperts":
            module.forward = lambda *arguments, fused=module: hand.forward(fused, *arguments)
    expected, dense = logits(by_hand), logits(model)
    take_apart(model)
    experts = {n: layer for n, layer in find_linears(model).items() if ".experts." in n}
    with Pruner(experts, Policy(Method(parse_pattern("1:16")))):
        pruned = logits(model)
    torch.testing.assert_close(pruned, expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(pruned, dense, rtol=1e-3)
    torch.testing.assert_close(logits(model), dense, rtol=1e-5, atol=1e-6)  # as before


def test_the_context_of_a_decode_window_stays_dense_in_experts():
    model = moes.make("Mixtral")
    take_apart(model)
    dense = logits(model)
    experts = {n: layer for n, layer in find_linears(model).items() if ".experts." in n}
    pruner = Pruner(experts, Policy(Method(parse_pattern("1:16"))))
    with pruner:
        pruner.rows = RowLayout(2, 8, context=5, alone=True)
        pruned = logits(model)
    torch.testing.assert_close(pruned[:, :5], dense[:, :5], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(pruned[:, 5:], dense[:, 5:], rtol=1e-3)


def test_criteria_that_look_at_whole_sequences_are_refused_for_experts():
    model = moes.make("Mixtral")
    take_apart(model)
    pruner = Pruner(find_linears(model), Policy(Method(parse_pattern("1:16"), "clact")))
    with pruner:
        pruner.rows = RowLayout(2, 8)
        with pytest.raises(InputError, match=r"experts\.\d\.gate_proj': sees \d+ rows"):
            logits(model)


def test_what_is_pruned_is_counted():
    """All linear layers but the head; the routers are parameters of their own."""
    model = moes.make("Mixtral")
    take_apart(model)
    body = {name for name in find_linears(model) if name != "lm_head"}
    coverage = coverage_of_linears(model, lambda: logits(model), body)
    left_out = {part.name: part.multiplications for part in coverage.left_out}
    routers = {f"model.layers.{n}.mlp.gate": 16 * 32 * 4 for n in range(2)}
    assert left_out == routers | {"lm_head": 16 * 32 * 64}
    assert Policy(DENSE).of("lm_head") == DENSE
