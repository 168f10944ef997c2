"""Which layers share an input, which are left out, and why."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

from accelsim.base.errors import InputError  # noqa: E402
from accelsim.capture import capture  # noqa: E402


class Model(nn.Module):
    """Three layers of two features, called as the test says."""

    def __init__(self, body):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(2, 2) for _ in range(3))
        self.body = body
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.body(self, x)


def captured(body, out, batches=None, layers="*"):
    """Return the input key of each captured layer, and the reasons for the others."""
    batches = [torch.ones(1, 3, 2)] if batches is None else batches
    trace = capture(Model(body), batches, out=out, layers=layers)
    keys = {linear.name: linear.input for linear in trace.linears}
    assert set(keys.values()) == set(trace.meta.inputs)
    return keys, trace.meta.provenance["skipped"], trace


def test_the_same_tensor_is_stored_once(out):
    keys, skipped, _ = captured(lambda m, x: m.q(x) + m.k(x) + m.v(x), out)
    assert keys == {"q": "q", "k": "q", "v": "q"}
    assert skipped == {}


def test_a_named_argument_is_seen_too(out):
    keys, _, _ = captured(lambda m, x: m.q(x) + m.k(input=x) + m.v(input=x), out)
    assert keys == {"q": "q", "k": "q", "v": "q"}


def test_the_key_is_the_first_layer_that_is_wanted(out):
    keys, _, _ = captured(lambda m, x: m.q(x) + m.v(x) + m.k(x), out, layers="k,v")
    assert keys == {"v": "v", "k": "v"}


def test_a_tensor_read_much_later_is_still_the_same(out):
    keys, _, _ = captured(lambda m, x: m.k(x) + m.v(m.q(x) * 2) + m.q(x), out)
    assert keys == {"k": "k", "q": "k", "v": "v"}


def test_equal_values_in_two_tensors_are_two_inputs(out):
    keys, _, _ = captured(lambda m, x: m.q(x) + m.k(x.clone()) + m.v(x), out)
    assert keys == {"q": "q", "k": "k", "v": "q"}


def test_a_tensor_written_between_two_layers_is_two_inputs(out):
    def body(m, x):
        x = x * 2
        y = m.q(x)
        x += 1
        return y + m.k(x) + m.v(x)

    keys, _, trace = captured(body, out)
    assert keys == {"q": "q", "k": "k", "v": "k"}
    assert trace.values("q").tolist() == [[2.0, 2.0]] * 3
    assert trace.values("k").tolist() == [[3.0, 3.0]] * 3


def test_freed_memory_that_is_used_again_is_not_the_same_input(out):
    """Each x is freed before the next is made, so the allocator may hand out the same address."""

    def body(m, x):
        total = 0
        for factor, layer in enumerate((m.q, m.k, m.v), start=1):
            product = x * factor
            total = total + layer(product)
            del product
        return total

    keys, _, trace = captured(body, out)
    assert keys == {"q": "q", "k": "k", "v": "v"}
    assert [trace.values(key)[0, 0] for key in "qkv"] == [1.0, 2.0, 3.0]


def test_sharing_is_found_even_if_the_caller_is_in_inference_mode(out):
    with torch.inference_mode():
        keys, _, _ = captured(
            lambda m, x: m.q(y := x * 2) + m.k(y) + m.v(y), out, [torch.ones(1, 3, 2)]
        )
    assert keys == {"q": "q", "k": "q", "v": "q"}


def test_tensors_of_inference_mode_are_stored_apart(out):
    """They count no writes, so nobody knows whether the second layer read the same values."""
    with torch.inference_mode():
        batch = torch.ones(1, 3, 2)
    keys, skipped, _ = captured(lambda m, x: m.q(x) + m.k(x) + m.v(x), out, [batch, batch])
    assert keys == {"q": "q", "k": "k", "v": "v"}
    assert skipped == {}


def test_a_layer_that_shares_only_sometimes_is_left_out(out):
    def body(m, x):
        return m.q(x) + m.k(x if m.calls == 1 else x * 2) + m.v(x)

    keys, skipped, _ = captured(body, out, [torch.ones(1, 3, 2)] * 2)
    assert keys == {"q": "q", "v": "q"}
    assert skipped == {"k": "shares its input with another layer in some forward passes only"}


def test_a_layer_may_outlive_the_owner_of_its_input(out):
    """q is called a second time with other values; k and v go on with what it shared."""

    def body(m, x):
        return m.q(x) + m.k(x) + m.q(x * 5) + m.v(x)

    batches = [torch.full((1, 2, 2), value) for value in (1.0, 2.0)]
    keys, skipped, trace = captured(body, out, batches)
    assert keys == {"k": "k", "v": "k"}
    assert skipped == {"q": "called more than once in a forward pass, with different inputs"}
    assert trace.values("k")[:, 0].tolist() == [1, 1, 2, 2]


def test_a_second_call_with_the_same_input_changes_nothing(out):
    keys, skipped, trace = captured(lambda m, x: m.q(x) + m.q(x) + m.k(x) + m.v(x), out)
    assert keys == {"q": "q", "k": "q", "v": "q"}
    assert skipped == {}
    assert trace.values("q").shape == (3, 2)


def test_a_layer_that_is_never_called_is_left_out(out):
    keys, skipped, _ = captured(lambda m, x: m.q(x) + m.k(x), out, [torch.ones(1, 3, 2)] * 2)
    assert keys == {"q": "q", "k": "q"}
    assert skipped == {"v": "never called"}


@pytest.mark.parametrize(
    ("tokens_of", "expected"),
    [
        (lambda _, x: x[:, :2], [0, 1, 3, 4]),
        (lambda _, x: x[:, 1:].clone(), None),  # copied: nobody knows which they were
        (lambda _, x: x[0, [2, 0]], [0, 2, 3, 5]),
        (lambda m, x: x * 1 if m.calls == 1 else x[:, :0], [0, 1, 2]),
        (lambda m, x: x * 1 if m.calls == 2 else x[:, 2], [2, 3, 4, 5]),
    ],
)
def test_a_layer_has_the_tokens_that_reach_it(tokens_of, expected, out):
    batches = [torch.arange(6.0).reshape(1, 3, 2), torch.arange(6.0, 12).reshape(1, 3, 2)]
    keys, skipped, trace = captured(
        lambda m, x: m.q(x).sum() + m.k(x).sum() + m.v(tokens_of(m, x)).sum(), out, batches
    )
    assert keys == {"q": "q", "k": "q", "v": "v"}
    assert skipped == {}
    assert trace.tokens == 6
    numbers = trace.token_numbers("v")
    if expected is None:
        assert numbers is None
        assert trace.meta.lengths("v") == (2, 2)
    else:
        assert numbers.tolist() == expected
        assert trace.values("v").tolist() == [[2 * token, 2 * token + 1] for token in expected]


def test_a_layer_that_reads_a_token_twice_is_left_out(out):
    _, skipped, _ = captured(lambda m, x: m.q(x).sum() + m.v(x[0, [1, 1]]).sum(), out)
    assert skipped["v"] == "a token enters it more than once in a forward pass"


def test_a_layer_that_swaps_sequences_and_tokens_has_them_in_order(out):
    """Rows of [S, B, F] come in another order than those of [B, S, F]."""

    def body(m, x):
        return m.q(x) + m.v(x.transpose(0, 1)).transpose(0, 1)

    x = torch.arange(12.0).reshape(2, 3, 2)
    keys, _, trace = captured(body, out, [x])
    assert keys == {"q": "q", "v": "v"}
    np.testing.assert_array_equal(trace.values("v"), x.reshape(6, 2))


def test_flattened_tokens_are_the_same_tokens(out):
    def body(m, x):
        return m.q(x) + m.k(x.reshape(-1, 2)).reshape(x.shape) + m.v(x.reshape(1, -1, 2)).mean()

    values = torch.arange(12.0).reshape(2, 3, 2)
    keys, skipped, trace = captured(body, out, [values])
    assert skipped == {}
    assert trace.meta.sequence_lengths == (3, 3)
    for key in keys:
        np.testing.assert_array_equal(trace.values(key), np.arange(12.0).reshape(6, 2))


def test_layers_outside_the_glob_are_not_reported(out):
    _, skipped, _ = captured(lambda m, x: m.q(x), out, layers="q")
    assert skipped == {}


def test_nothing_left_is_an_error_with_a_reason(out):
    with pytest.raises(InputError, match=r"all 1 layers were left out, e\.g\. v: never called"):
        captured(lambda m, x: m.q(x), out, layers="v")
    assert list(out.parent.iterdir()) == []
