"""Greedy thresholds: what is shared out, and that it is no worse than equal shares."""

import numpy as np
import pytest

from tests.helpers.checkpoints import subject_of, tiny_llama

torch = pytest.importorskip("torch")

from accelsim.accuracy.calibration import calibrate  # noqa: E402
from accelsim.accuracy.greedy import blocks_of, greedy_sparsities  # noqa: E402
from accelsim.base.errors import InputError  # noqa: E402
from accelsim.sparsity import parse_pattern  # noqa: E402
from accelsim.sparsity.policy import Method  # noqa: E402

SEQ_LEN = 48


def weighted_mean(subject, shares, block):
    """Return what a block drops on average, weighted by the weights of its layers."""
    names = [name for name in shares if name.startswith(block)]
    sizes = {name: subject.linears[name].module.weight.numel() for name in names}
    return sum(shares[name] * sizes[name] for name in names) / sum(sizes.values())


BLOCKS = ("model.layers.0.", "model.layers.1.")


@pytest.mark.parametrize("target", [0.25, 0.5, 0.8])
def test_each_block_drops_what_was_asked_for(subject, ids, target):
    shares = greedy_sparsities(subject, ids, target, SEQ_LEN)
    assert shares.keys() == subject.linears.keys()
    assert all(0 <= share <= 0.95 for share in shares.values())
    for block in BLOCKS:
        assert weighted_mean(subject, shares, block) == pytest.approx(target, abs=1e-9)
    assert len({round(share, 6) for share in shares.values()}) > 2  # not all alike


def test_a_step_drops_the_same_number_of_weights_in_every_layer(subject, ids):
    """0.05 of hidden × hidden, 51.2 weights; but for the last step, which ends at the target."""
    shares = greedy_sparsities(subject, ids, 0.4, SEQ_LEN)
    for block in BLOCKS:
        steps = [
            share * subject.linears[name].module.weight.numel() / 51.2
            for name, share in shares.items()
            if name.startswith(block)
        ]
        assert sum(abs(step - round(step)) > 1e-6 for step in steps) <= 1


def test_nothing_asked_is_nothing_dropped(subject, ids):
    shares = greedy_sparsities(subject, ids, 0.0, SEQ_LEN)
    assert shares == dict.fromkeys(subject.linears, 0.0)


def test_more_asked_is_more_dropped_in_every_layer(subject, ids):
    """A longer search goes on where a shorter one stopped, but for its last, partial step."""
    some, more = (greedy_sparsities(subject, ids, target, SEQ_LEN) for target in (0.3, 0.6))
    step = 0.05 * 32**2 / (32 * 16)  # of the smallest layers, 16 × 32
    assert all(more[name] >= some[name] - step for name in some)
    assert sum(more.values()) > sum(some.values())


class Block:
    """One block of the model, run again with hooks of our own."""

    def __init__(self, subject, ids, name):
        self.module = subject.model.eval().get_submodule(name.rstrip("."))
        self.linears = {n: one.module for n, one in subject.linears.items() if n.startswith(name)}
        calls = []
        hook = self.module.register_forward_pre_hook(
            lambda _, positional, named: calls.append((positional, named)), with_kwargs=True
        )
        with torch.no_grad():
            subject.model(ids[None, :SEQ_LEN], use_cache=False)
        hook.remove()
        (self.call,) = calls
        self.magnitudes = {}
        self.dense = self.run(None)

    def run(self, shares):
        """Return the block's output on the last quarter of the tokens; None: note magnitudes."""
        hooks = []
        for name, module in self.linears.items():
            hooks.append(module.register_forward_pre_hook(self.hook(name, shares)))
        with torch.no_grad():
            output = self.module(*self.call[0], **self.call[1])
        for hook in hooks:
            hook.remove()
        output = output[0] if isinstance(output, tuple) else output
        return output[0, -(SEQ_LEN // 4) :]

    def hook(self, name, shares):
        def note(_, inputs):
            self.magnitudes[name] = np.sort(inputs[0].abs().numpy().ravel())

        def drop(_, inputs):
            if not shares[name]:
                return None
            ordered = self.magnitudes[name]
            level = ordered[min(len(ordered) - 1, int(shares[name] * len(ordered)))]
            return (inputs[0] * (inputs[0].abs() > float(level)),)

        return note if shares is None else drop

    def error(self, shares):
        """Return the squared distance from the dense output."""
        return float((self.run(shares) - self.dense).square().sum())


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("target", [0.3, 0.5])
def test_the_output_of_each_block_is_nearer_than_with_equal_shares(ids, seed, target):
    subject = subject_of(tiny_llama(seed))
    shares = greedy_sparsities(subject, ids, target, SEQ_LEN)
    for name in BLOCKS:
        block = Block(subject, ids, name)
        equal = dict.fromkeys(block.linears, target)
        assert 0 < block.error(shares) <= block.error(equal)


def test_the_first_step_is_the_one_that_costs_least(subject, ids):
    """So small a share that one step of one layer makes it: by trying all of them."""
    block = Block(subject, ids, BLOCKS[0])
    sizes = {name: module.weight.numel() for name, module in block.linears.items()}
    target = 0.005  # of 7296 weights, 36.5; a step is 51.2
    single = {name: target * sum(sizes.values()) / size for name, size in sizes.items()}
    errors = {n: block.error(dict.fromkeys(sizes, 0.0) | {n: single[n]}) for n in sizes}
    best = min(errors, key=errors.get)
    shares = greedy_sparsities(subject, ids, target, SEQ_LEN)
    found = {name: share for name, share in shares.items() if name in sizes and share}
    assert found == {best: pytest.approx(single[best])}


def test_calibration_takes_the_level_of_its_share(subject, ids):
    method = Method(parse_pattern("greedy-threshold:0.5"))
    wanted = [(name, method) for name in subject.linears]
    states = calibrate(subject, ids, wanted, precision="float", seq_len=SEQ_LEN)
    shares = greedy_sparsities(subject, ids, 0.5, SEQ_LEN)
    magnitudes = {}
    hooks = [
        one.module.register_forward_pre_hook(
            lambda _, x, name=name: magnitudes.update({name: x[0].abs().numpy().ravel()})
        )
        for name, one in subject.linears.items()
    ]
    with torch.no_grad():
        subject.model(ids[: 4 * SEQ_LEN].reshape(4, SEQ_LEN))
    for hook in hooks:
        hook.remove()
    for name, share in shares.items():
        below = np.mean(magnitudes[name] <= states[name, str(method)]["level"])
        assert below == pytest.approx(share, abs=2e-3)


def test_the_model_is_left_alone(subject, ids):
    weights = {name: p.detach().clone() for name, p in subject.model.named_parameters()}
    greedy_sparsities(subject, ids, 0.3, SEQ_LEN)
    assert all(torch.equal(p, weights[name]) for name, p in subject.model.named_parameters())
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in subject.model.modules())


def test_more_than_a_layer_may_drop_is_refused(subject, ids):
    with pytest.raises(InputError, match="no layer may drop more than 95%; 97% asked"):
        greedy_sparsities(subject, ids, 0.97, SEQ_LEN)


def test_blocks_are_named_up_to_their_number():
    names = ["h.0.attn.q", "h.0.mlp.experts.3.up", "h.10.mlp.up"]
    assert blocks_of(names) == {"h.0": names[:2], "h.10": names[2:]}
    with pytest.raises(InputError, match="'head' is in no numbered block; leave it out"):
        blocks_of(["h.0.up", "head"])
