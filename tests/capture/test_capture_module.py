"""`capture` on modules whose inputs can be computed by hand."""

import subprocess
import sys
import tracemalloc
import weakref

import numpy as np
import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

from accelsim.base.errors import InputError, MissingExtraError  # noqa: E402
from accelsim.capture import capture  # noqa: E402
from accelsim.trace import load_trace  # noqa: E402


def rows(*values):
    return torch.tensor(values, dtype=torch.float32)


def test_what_is_stored_is_what_enters_each_layer(doubling, out):
    trace = capture(doubling, [rows([1.0, -0.5], [3.0, 0.0])], out=out)

    assert [linear.name for linear in trace.linears] == ["0", "1", "2"]
    for name, factor in (("0", 1), ("1", 2), ("2", 4)):
        expected = factor * np.array([[1.0, -0.5], [3.0, 0.0]])
        np.testing.assert_array_equal(trace.values(name), expected)
    assert load_trace(out).meta == trace.meta


def test_a_linear_layer_alone_is_named_after_its_class(out):
    trace = capture(nn.Linear(2, 3), [rows([1.0, 2.0])], out=out, model_name="mine")

    linear = trace.linears[0]
    assert (linear.name, linear.in_features, linear.out_features) == ("Linear", 2, 3)
    assert trace.meta.model == "mine"


def test_conv1d_of_transformers_has_its_weight_transposed(out):
    class Conv1D(nn.Module):
        def __init__(self, nf, nx):
            super().__init__()
            self.nf, self.weight = nf, nn.Parameter(torch.ones(nx, nf))

        def forward(self, x):
            return x @ self.weight

    trace = capture(nn.Sequential(Conv1D(nf=3, nx=2)), [rows([1.0, 2.0])], out=out)

    assert (trace.linears[0].in_features, trace.linears[0].out_features) == (2, 3)


class Batches:
    """A model that is called in every way that a batch allows."""

    @staticmethod
    def model():
        class Embedded(nn.Module):
            def __init__(self):
                super().__init__()
                self.table = nn.Embedding(4, 2)
                self.up = nn.Linear(2, 2)

            def forward(self, input_ids, shift=0):
                return self.up(self.table(input_ids + shift))

        return Embedded()


@pytest.mark.parametrize(
    ("batch", "lengths"),
    [
        (torch.zeros(2, 3, dtype=torch.int64), (3, 3)),
        (torch.zeros(3, dtype=torch.int64), (3,)),
        ((torch.zeros(2, 1, dtype=torch.int64), 1), (1, 1)),
        ([torch.zeros(1, 4, dtype=torch.int64)], (4,)),
        ({"input_ids": torch.zeros(2, 2, dtype=torch.int64), "shift": 1}, (2, 2)),
    ],
)
def test_token_ids_say_how_a_batch_is_cut(batch, lengths, out):
    trace = capture(Batches.model(), [batch], out=out)
    assert trace.meta.sequence_lengths == lengths


@pytest.mark.parametrize(
    ("shape", "lengths"),
    [((2, 3, 2), (3, 3)), ((5, 2), (5,)), ((2,), (1,)), ((2, 3, 4, 2), (12, 12))],
)
def test_without_ids_the_first_layer_says_how_a_batch_is_cut(doubling, shape, lengths, out):
    trace = capture(doubling, [torch.ones(shape)], out=out)
    assert trace.meta.sequence_lengths == lengths
    assert trace.values("0").shape == (sum(lengths), 2)


def test_batches_follow_each_other_row_by_row(doubling, out):
    batches = [torch.full((2, 2, 2), 1.0), torch.full((1, 3, 2), 2.0)]
    trace = capture(doubling, iter(batches), out=out)
    assert trace.meta.sequence_lengths == (2, 2, 3)
    assert trace.values("1")[:, 0].tolist() == [2, 2, 2, 2, 4, 4, 4]


def test_int8_has_one_scale_for_the_whole_capture(doubling, out):
    batches = [rows([1.0, -0.5]), rows([-2.54, 0.01])]
    trace = capture(doubling, batches, out=out, dtype="int8")

    # The peak, 2.54, is in the second batch: one code is 2.54 / 127 = 0.02.
    assert trace.meta.inputs["0"].scale == pytest.approx(0.02)
    assert trace.source.read("0").tolist() == [[50, -25], [-127, 0]]
    assert trace.meta.inputs["1"].scale == pytest.approx(0.04)


def test_bfloat16_rounds_half_to_even(out):
    # bfloat16 has 7 bits behind the point: 1 + 1/256 and 1 + 3/256 lie halfway.
    model = nn.Linear(2, 2)
    trace = capture(model, [rows([1 + 1 / 256, 1 + 3 / 256])], out=out, dtype="bfloat16")
    assert trace.values("Linear").tolist() == [[1.0, 1 + 4 / 256]]


def test_a_model_in_bfloat16_is_captured_exactly(out):
    model = nn.Linear(2, 2).to(torch.bfloat16)
    trace = capture(model, [torch.tensor([[1.0078125, -3.0]]).bfloat16()], out=out)
    assert trace.values("Linear").tolist() == [[1.0078125, -3.0]]


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (70000.0, "float16", "layer '1': its input reaches 70000, beyond the range of float16"),
        (3.4e38, "bfloat16", "layer '1': its input reaches 3.4e.38, beyond the range of bfloat16"),
        (float("nan"), "float16", "layer '1': its input holds NaN or infinity"),
        (float("-inf"), "int8", "layer '1': its input holds NaN or infinity"),
    ],
)
def test_values_that_do_not_fit_name_their_layer(value, dtype, message, out):
    class Broken(nn.Module):
        def forward(self, x):
            return torch.full_like(x, value)

    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].register_forward_hook(lambda *call: Broken()(call[2]))
    with pytest.raises(InputError, match=message):
        capture(model, [rows([1.0, 2.0])], out=out, dtype=dtype)
    assert list(out.parent.iterdir()) == []


def test_globs_select_layers_and_keep_the_order_of_calls(doubling, out):
    trace = capture(doubling, [rows([1.0, 1.0])], out=out, layers="2, 0")
    assert [linear.name for linear in trace.linears] == ["0", "2"]
    assert trace.meta.provenance["layers"] == "2, 0"


def test_the_same_capture_gives_the_same_bytes(doubling, out):
    again = out.with_name("again.npz")
    for path in (out, again):
        capture(doubling, [rows([1.0, 2.0])], out=path, provenance={"text": "a"})
    assert out.read_bytes() == again.read_bytes()


def test_provenance_is_kept_beside_the_settings(doubling, out):
    facts = {"text": "a", "versions": {"mine": "1"}}
    provenance = capture(doubling, [rows([1.0, 2.0])], out=out, provenance=facts).meta.provenance
    assert provenance["text"] == "a"
    assert provenance["dtype"] == "float16"
    assert set(provenance["versions"]) == {"accelsim", "mine", "numpy", "torch"}


def test_dropout_is_off_and_the_model_is_left_as_it_was(out):
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(64, 2), nn.Dropout(0.5).eval())
    trace = capture(model, [torch.ones(4, 64)], out=out)
    assert (trace.values("1") == 1).all()
    assert [module.training for module in model] == [True, True, False]
    assert not model[1]._forward_pre_hooks


def test_progress_is_told_of_batches_and_arrays(doubling, out):
    told = []
    capture(doubling, [torch.ones(2, 2)] * 2, out=out, progress=lambda *step: told.append(step))
    assert told[:2] == [("running the model", 1, 2), ("running the model", 2, 2)]
    assert told[-1] == ("writing the trace", 3, 3)


def test_no_input_outlives_its_layer(doubling, out):
    """Remembering what was read must not keep the activations of the whole model alive."""
    inputs = []

    def note(_, positional):
        alive.append(sum(reference() is not None for reference in inputs))
        inputs.append(weakref.ref(positional[0]))

    alive = []
    for layer in doubling:
        layer.register_forward_pre_hook(note)
    capture(doubling, [torch.ones(1, 4, 2)], out=out)
    assert alive == [0, 1, 1]  # only the batch itself, which the caller holds


def test_memory_holds_one_array_not_all(out):
    model = nn.Sequential(*(nn.Linear(256, 256) for _ in range(16)))
    array_bytes = 32 * 64 * 256 * 2  # 32 batches of 64 tokens, float16: 1 MiB in each of 16 arrays
    batches = (torch.ones(1, 64, 256) for _ in range(32))
    capture(model, [torch.ones(1, 1, 256)], out=out)  # imports and caches are not of interest
    tracemalloc.start()
    try:
        capture(model, batches, out=out)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 5 * array_bytes  # numpy and zipfile copy the array that they write


def test_torch_is_needed_on_use_and_not_before(out, monkeypatch):
    code = "import sys, accelsim.capture; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"'torch'.*accelsim\[capture\]"):
        capture(object(), [], out=out)
