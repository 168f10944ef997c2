"""Pruning by hooks: what a layer computes meanwhile, and that nothing stays behind."""

import numpy as np
import pytest

from tests.helpers import pruning as naive
from tests.helpers.checkpoints import subject_of, tiny_gpt2, tiny_llama

torch = pytest.importorskip("torch")
nn = torch.nn

from accelsim.accuracy import pruning  # noqa: E402
from accelsim.accuracy.masks import round_weights  # noqa: E402
from accelsim.accuracy.perplexity import measure  # noqa: E402
from accelsim.accuracy.pruning import DENSE, Pruner, RowLayout, machine_weight  # noqa: E402
from accelsim.accuracy.windows import sliding_windows  # noqa: E402
from accelsim.base.errors import InputError  # noqa: E402
from accelsim.capture.linears import find_linears  # noqa: E402
from accelsim.sparsity import parse_pattern  # noqa: E402
from accelsim.sparsity.policy import Method, Policy  # noqa: E402

PRECISIONS = ("float", "int8", "bf16", "fp16")


def method(pattern, criterion="act", mitigation="none"):
    return Method(parse_pattern(pattern), criterion, mitigation)


def pruner_of(module, chosen, precision="float", state=None):
    """Prune every linear layer of a module alike, with one state for all."""
    linears = find_linears(module)
    states = {(name, str(chosen)): state or {} for name in linears}
    return Pruner(linears, Policy(chosen), precision=precision, states=states)


def layer(width, outputs, seed=0):
    torch.manual_seed(seed)
    return nn.Linear(width, outputs)


def entering(module):
    """Return the list to which each later call of a module adds its input."""
    seen = []
    module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    return seen


# What a layer computes ---------------------------------------------------------------------------


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    "mitigation", ["none", "dpts", "spts", "lpts", "var", "l2", "ls", "rsparse2"]
)
def test_a_layer_computes_what_loops_compute(precision, mitigation):
    width, outputs = 11, 4
    linear = layer(width, outputs)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((5, width)).astype(np.float32)
    vectors = {"shift": rng.standard_normal(width), "scale": rng.uniform(0.5, 2, width)}
    state = {name: torch.from_numpy(v.astype(np.float32)) for name, v in vectors.items()}
    state |= {"out": torch.randn(outputs, 2), "in": torch.randn(2, width)}

    rows, masks, dropped = naive.prune(
        x.tolist(),
        mitigation,
        lambda values: naive.select(values, "2:4", precision),
        {name: state[name].tolist() for name in vectors},
    )
    scale = state["scale"].tolist()
    weight = naive.held_weight(linear.weight.tolist(), mitigation, scale, precision)
    expected = naive.product(rows, weight) + np.array(linear.bias.tolist())
    if mitigation.startswith("rsparse"):
        left, right = state["out"].tolist(), state["in"].tolist()
        expected += naive.low_rank(dropped, left, right, precision)

    chosen = method("2:4", "act", mitigation)
    with pruner_of(linear, chosen, precision, state), torch.no_grad():
        found = linear(torch.from_numpy(x).reshape(1, 5, width))
    assert found.shape == (1, 5, outputs)
    np.testing.assert_allclose(found[0].numpy(), expected, rtol=1e-4, atol=1e-5)
    assert sum(map(sum, masks)) < 5 * width


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("pattern", ["2:4", "3:5", "topk:0.5"])
def test_wt_prunes_the_weights_and_leaves_activations(precision, pattern):
    linear, x = layer(11, 4), torch.randn(3, 11)
    before = linear.weight.detach().clone()
    reals = [naive.held(row, precision)[1] for row in before.tolist()]
    ranked = [naive.held(row, precision)[0] for row in before.tolist()]
    expected = naive.masked(reals, [naive.largest(row, pattern) for row in ranked])
    with pruner_of(linear, method(pattern, "wt"), precision), torch.no_grad():
        seen = entering(linear)
        found = linear(x)
        assert linear.weight.tolist() == expected
    held = [naive.held(row, precision)[1] for row in x.tolist()]
    assert seen[0].tolist() == held
    by_hand = naive.product(held, expected) + np.array(linear.bias.tolist())
    np.testing.assert_allclose(found.numpy(), by_hand, rtol=1e-4, atol=1e-5)
    assert torch.equal(linear.weight, before)


def test_weights_by_hand():
    linear = nn.Linear(4, 2, bias=False)
    linear.weight.data = torch.tensor([[1.0, -3, 2, 0.5], [254, 1, 2, 3.1]])
    one = find_linears(linear)["Linear"]
    pruned = machine_weight(one, method("2:4", "wt"), "float")
    assert pruned.tolist() == [[0, -3, 2, 0], pytest.approx([254, 0, 0, 3.1])]
    # Output 1 has codes of 2: 1 is half a code (even: 0), 2 is one, 3.1 is 1.55, so two.
    assert round_weights(linear.weight, "int8")[1].tolist() == [254, 0, 2, 4]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_conv1d_of_gpt2_is_a_layer_like_any_other(precision, ids):
    subject = subject_of(tiny_gpt2())
    name = "transformer.h.0.mlp.c_fc"
    linear = subject.linears[name]
    before = linear.module.weight.detach().clone()
    weight = [naive.held(row, precision)[1] for row in before.T.tolist()]
    seen = []
    linear.module.register_forward_hook(lambda _, x, y: seen.append((x[0], y)))
    with torch.no_grad():
        subject.model.eval()(ids[None, :9])
        with Pruner({name: linear}, Policy(method("3:5")), precision=precision):
            subject.model(ids[None, :9])
            assert linear.module.weight.shape == before.shape
            assert linear.module.weight.T.tolist() == weight
    (dense, _), (pruned, output) = seen
    reals, masks = naive.select(dense[0].tolist(), "3:5", precision)
    assert pruned[0].tolist() == naive.masked(reals, masks)
    expected = naive.product(pruned[0].tolist(), weight) + linear.module.bias.detach().numpy()
    np.testing.assert_allclose(output[0].numpy(), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(linear.module.weight, before)


def test_a_bfloat16_model_stays_one():
    linear = layer(8, 4).bfloat16()
    with pruner_of(linear, method("2:4"), "int8"), torch.no_grad():
        seen = entering(linear)
        assert linear(torch.randn(3, 8).bfloat16()).dtype == torch.bfloat16
        assert linear.weight.dtype == seen[0].dtype == torch.bfloat16
        assert ((seen[0] != 0).sum(dim=1) == 4).all()


# Which layer is pruned how -----------------------------------------------------------------------


def test_each_layer_is_pruned_as_the_policy_says(subject, ids):
    rules = (("*.up_proj", DENSE), ("*.1.mlp.down_proj", method("1:4")))
    handles, shares = [], {}

    def note(name):
        def hook(_, inputs):
            shares[name] = float((inputs[0] != 0).float().mean())

        return hook

    with Pruner(subject.linears, Policy(method("2:4"), rules)), torch.no_grad():
        for name, linear in subject.linears.items():
            handles.append(linear.module.register_forward_pre_hook(note(name)))
        subject.model(ids[None, :8])
    for handle in handles:
        handle.remove()
    for name, share in shares.items():
        expected = 1 if "up_proj" in name else 0.25 if "1.mlp.down" in name else 0.5
        assert share == pytest.approx(expected, abs=1e-6), name


def test_layers_that_share_an_input_share_the_pruned_one(subject, ids, monkeypatch):
    pruned, seen = [], {}
    original = pruning.LayerPruning.prune

    def counting(self, inputs, rows):
        pruned.append(inputs)
        return original(self, inputs, rows)

    monkeypatch.setattr(pruning.LayerPruning, "prune", counting)
    attention = {n: one for n, one in subject.linears.items() if "layers.0.self_attn" in n}
    handles = []
    with Pruner(attention, Policy(method("2:4"))), torch.no_grad():
        for name, linear in attention.items():
            look = linear.module.register_forward_pre_hook(
                lambda _, inputs, name=name: seen.update({name.split(".")[-1]: inputs[0]})
            )
            handles.append(look)
        subject.model(ids[None, :8])
    for handle in handles:
        handle.remove()
    assert seen["q_proj"] is seen["k_proj"] is seen["v_proj"]
    assert len(pruned) == 2  # q, k and v; o


class Two(nn.Module):
    """Two layers that read one tensor, which may be written to in between."""

    def __init__(self, *, writes=False):
        super().__init__()
        self.a, self.b, self.writes = layer(4, 3), layer(4, 3, 1), writes

    def forward(self, x):
        first = self.a(x)
        if self.writes:
            x.mul_(-1).add_(5)
        return first, self.b(x)


def test_layers_that_know_something_of_their_own_do_not_share():
    model, chosen = Two(), method("2:4", "act", "spts")
    states = {
        (name, str(chosen)): {"shift": torch.full((4,), s)} for name, s in (("a", 0.0), ("b", 9.0))
    }
    with Pruner(find_linears(model), Policy(chosen), states=states), torch.no_grad():
        seen = [entering(model.a), entering(model.b)]
        model(torch.tensor([[1.0, 2, 3, 4]]))
    # Distances from 9 are 8 7 6 5: the two smallest values stay, the others become 9.
    assert [one[0].tolist() for one in seen] == [[[0, 0, 3, 4]], [[1, 2, 9, 9]]]


def test_a_tensor_that_was_written_to_is_selected_from_again():
    model = Two(writes=True)
    with pruner_of(model, method("2:4")), torch.no_grad():
        seen = [entering(model.a), entering(model.b)]
        model(torch.tensor([[1.0, 2, 3, 4]]))
    # 5 - x is 4 3 2 1.
    assert [one[0].tolist() for one in seen] == [[[0, 0, 3, 4]], [[4, 3, 0, 0]]]


def test_the_same_tensor_in_another_pass_is_selected_from_again():
    linear, x = layer(2, 1), torch.tensor([[2.0, 3], [9, 1]])
    with pruner_of(linear, method("1:2", "clact")) as pruning_, torch.no_grad():
        seen = entering(linear)
        linear(x)  # one sequence: norms 9.2 and 3.2, so 2 × 9.2 is above 3 × 3.2
        pruning_.rows = RowLayout(2, 1)  # two of one token: by magnitude
        linear(x)
    assert [one.tolist() for one in seen] == [[[2, 0], [9, 0]], [[0, 3], [9, 0]]]


def test_inference_mode_is_no_obstacle():
    model = Two()
    with pruner_of(model, method("2:4")), torch.inference_mode():
        seen = [entering(model.a), entering(model.b)]
        model(torch.tensor([[1.0, 2, 3, 4]]))
    assert [one[0].tolist() for one in seen] == 2 * [[[0, 0, 3, 4]]]


@pytest.mark.parametrize("precision", ["float", "int8"])
@pytest.mark.parametrize("mitigation", ["spts", "lpts", "ls", "dpts", "var", "rsparse2"])
def test_a_dense_layer_has_nothing_to_make_up_for(precision, mitigation):
    """A policy's `dense` keeps the mitigation of the other layers, and asks for no calibration."""
    linear, x = layer(8, 4), torch.randn(3, 8)
    with torch.no_grad():
        with pruner_of(linear, DENSE, precision):
            plain = linear(x)
        with pruner_of(linear, method("dense", "amber", mitigation), precision):
            assert torch.equal(linear(x), plain)


def test_a_threshold_without_a_level_names_its_layer():
    linear = layer(8, 4)
    with (
        pruner_of(linear, method("threshold:0.5")),
        pytest.raises(InputError, match=r"layer 'Linear': pattern threshold:0\.5 has no level"),
    ):
        linear(torch.randn(3, 8))


class Mixture(nn.Module):
    """An expert that sees those tokens whose first value is positive."""

    def __init__(self):
        super().__init__()
        self.expert = layer(4, 4)

    def forward(self, x):
        return self.expert(x[x[..., 0] > 0])


@pytest.mark.parametrize(
    ("chosen", "context"), [(method("2:4", "clact"), 0), (method("2:4"), 1)], ids=str
)
def test_experts_are_refused_where_it_matters_which_tokens_they_see(chosen, context):
    model, x = Mixture(), torch.ones(2, 3, 4)
    x[1, 2, 0] = -1
    with pruner_of(model, chosen) as pruning_, torch.no_grad():
        pruning_.rows = RowLayout(2, 3, context)
        with pytest.raises(InputError, match=r"layer 'expert': sees 5 rows in a pass of 2 × 3 tok"):
            model(x)
        x[1, 2, 0] = 1
        assert model(x).shape == (6, 4)


@pytest.mark.parametrize("chosen", [method("2:4"), method("dense", "clact")], ids=str)
def test_experts_are_pruned_where_it_does_not_matter(chosen):
    model, x = Mixture(), torch.tensor([[[1.0, 2, 3, 4], [-1, 0, 0, 0]]])
    with pruner_of(model, chosen, "bf16") as pruning_, torch.no_grad():
        pruning_.rows = RowLayout(1, 2)
        seen = entering(model.expert)
        model(x)
    assert seen[0].tolist() == ([[1, 2, 3, 4]] if chosen.pattern.is_dense else [[0, 0, 3, 4]])


# What is left behind -----------------------------------------------------------------------------


def everything_of(model):
    """Return what a pruner might have changed."""
    parameters = {name: (id(p), p.data_ptr()) for name, p in model.named_parameters()}
    values = {name: p.detach().clone() for name, p in model.named_parameters()}
    hooks = [
        (len(module._forward_pre_hooks), len(module._forward_hooks)) for module in model.modules()
    ]
    return parameters, values, hooks, [module.training for module in model.modules()]


def assert_untouched(model, before):
    parameters, values, hooks, training = everything_of(model)
    assert (parameters, hooks, training) == (before[0], before[2], before[3])
    for name, value in values.items():
        assert torch.equal(value, before[1][name]), name


CHANGING = [
    method("2:4"),
    method("2:4", "wt"),
    method("2:4", "act", "rsparse2"),
]


@pytest.mark.parametrize("chosen", CHANGING, ids=str)
@pytest.mark.parametrize("make", [tiny_llama, tiny_gpt2])
def test_the_model_is_as_it_was_after_measuring(chosen, make, ids):
    subject = subject_of(make())
    states = {}
    for name, linear in subject.linears.items():
        low_rank = {
            "out": torch.ones(linear.out_features, 2),
            "in": torch.ones(2, linear.in_features),
        }
        states[name, str(chosen)] = low_rank
    subject.model.train()
    next(iter(subject.linears.values())).module.eval()
    before = everything_of(subject.model)
    pruning_ = Pruner(subject.linears, Policy(chosen), precision="int8", states=states)
    windows = sliding_windows(40, 16, 8)
    for phase in ("prefill", "decode", "prefill"):  # the same pruner may be entered again
        measure(subject.model, ids[:40], windows, pruning_, phase=phase)
        assert_untouched(subject.model, before)


@pytest.mark.parametrize("chosen", CHANGING[:2], ids=str)
def test_the_model_is_as_it_was_after_an_error_inside(subject, ids, chosen):
    before = everything_of(subject.model)
    pruning_ = Pruner(subject.linears, Policy(chosen), precision="int8")
    with pytest.raises(IndexError):
        measure(subject.model, ids + 64, sliding_windows(40, 16, 8), pruning_)  # no such token
    assert_untouched(subject.model, before)
    with pytest.raises(KeyboardInterrupt), pruning_:
        raise KeyboardInterrupt
    assert_untouched(subject.model, before)


def test_the_model_is_as_it_was_if_a_later_layer_cannot_be_pruned(subject):
    before = everything_of(subject.model)
    last = list(subject.linears)[-1]
    rules = ((last, method("threshold:0.5", "wt")),)  # weights have no level
    pruning_ = Pruner(subject.linears, Policy(method("2:4"), rules), precision="int8")
    with pytest.raises(InputError, match="has no level"), pruning_:
        pass
    assert_untouched(subject.model, before)


def test_an_embedding_that_shares_the_weight_of_the_head_is_not_pruned():
    model = tiny_llama(tie_word_embeddings=True).eval()
    embedding = model.get_input_embeddings()
    assert embedding.weight is model.lm_head.weight
    before, table = everything_of(model), embedding.weight.detach().clone()
    head = {"lm_head": find_linears(model)["lm_head"]}
    with Pruner(head, Policy(method("2:4", "wt"))), torch.no_grad():
        assert torch.equal(embedding.weight, table)
        assert (model.lm_head.weight == 0).float().mean() == 0.5
    assert embedding.weight is model.lm_head.weight
    assert_untouched(model, before)
