"""What is left out of a trace is counted and named, whatever kind of module multiplies."""

import logging

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn

from accelsim.capture import capture  # noqa: E402
from accelsim.capture.coverage import OUTSIDE, coverage_of_linears  # noqa: E402
from accelsim.trace import load_trace  # noqa: E402


class Beside(nn.Module):
    """A linear layer of 3 × 2, and another part that reads the same `[2, 5, 3]`."""

    def __init__(self, other):
        super().__init__()
        self.linear, self.other = nn.Linear(3, 2), other

    def forward(self, x):
        return self.linear(x), self.other(x)


class Raw(nn.Module):
    """A product with a weight that belongs to no layer, computed in some way."""

    def __init__(self, multiply, *shape):
        super().__init__()
        self.multiply, self.weight = multiply, nn.Parameter(torch.randn(shape))

    def forward(self, x):
        return self.multiply(x, self.weight)


class Quantised(nn.Module):
    """Codes and scales are buffers; the weight is made for each call."""

    def __init__(self):
        super().__init__()
        self.register_buffer("codes", torch.randint(-8, 8, (4, 3), dtype=torch.int8))
        self.register_buffer("scales", torch.rand(4, 1))

    def forward(self, x):
        return nn.functional.linear(x, self.codes.float() * self.scales)


class Attention(nn.MultiheadAttention):
    def forward(self, x):
        return super().forward(x, x, x, need_weights=False)


class ChannelsFirst(nn.Module):
    def __init__(self, convolution):
        super().__init__()
        self.convolution = convolution

    def forward(self, x):
        return self.convolution(x.transpose(1, 2))


ROWS = 2 * 5
OTHERS = {
    "router": (lambda: Raw(nn.functional.linear, 4, 3), {"other": ROWS * 12}),
    "matmul": (lambda: Raw(torch.matmul, 3, 4), {"other": ROWS * 12}),
    "einsum": (
        lambda: Raw(lambda x, w: torch.einsum("bsk,hkd->bshd", x, w), 2, 3, 4),
        {"other": ROWS * 24},
    ),
    "cast": (lambda: Raw(lambda x, w: x.double() @ w.double(), 3, 4), {"other": ROWS * 12}),
    "quantised": (Quantised, {"other.codes": ROWS * 12}),
    "attention": (
        lambda: Attention(3, 1, batch_first=True),
        {"other.in_proj_weight": ROWS * 27, "other.out_proj": ROWS * 9},
    ),
    "lstm": (
        lambda: nn.LSTM(3, 4, batch_first=True),
        {"other.weight_ih_l0": ROWS * 48, "other.weight_hh_l0": ROWS * 64},
    ),
    "gru": (
        lambda: nn.GRU(3, 4, batch_first=True),
        {"other.weight_ih_l0": ROWS * 36, "other.weight_hh_l0": ROWS * 48},
    ),
    "convolution": (
        lambda: ChannelsFirst(nn.Conv1d(3, 4, 3)),
        {"other.convolution": 2 * 3 * 4 * 9},
    ),
    "transposed": (
        lambda: ChannelsFirst(nn.ConvTranspose1d(3, 4, 2, 2)),
        {"other.convolution": ROWS * 3 * 4 * 2},
    ),
    "batched": (
        lambda: Raw(lambda x, w: torch.bmm(x.reshape(10, 1, 3), w[torch.arange(10) % 2]), 2, 3, 4),
        {"other": ROWS * 12},
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_all_that_multiplies_is_named_and_counted(kind, out, caplog):
    make, expected = OTHERS[kind]
    trace = capture(Beside(make()), [torch.randn(2, 5, 3)], out=out)

    assert [x.name for x in trace.linears] == ["linear"]
    coverage = load_trace(out).meta.coverage
    assert {part.name: part.multiplications for part in coverage.left_out} == expected
    assert coverage.captured_multiplications == ROWS * 6
    assert coverage.multiplications == ROWS * 6 + sum(expected.values())
    assert set(trace.meta.provenance["skipped"]) == set(expected)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert all(f"left out {name} (" in record.message for name in expected)


def test_attention_between_activations_is_counted_apart(out):
    """Scores and values: 5 × 5 × 3 each, in two sequences."""
    trace = capture(Beside(Attention(3, 1, batch_first=True)), [torch.randn(2, 5, 3)], out=out)
    assert trace.meta.coverage.activation_multiplications == 2 * 2 * 5 * 5 * 3


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_quantised_linear_class(out):
    dynamic = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(3, 4)), {nn.Linear})
    trace = capture(Beside(dynamic[0]), [torch.randn(2, 5, 3)], out=out)
    (part,) = trace.meta.coverage.left_out
    assert (part.name, part.multiplications, part.parameters) == ("other", ROWS * 12, 12)
    assert "torch.ao.nn.quantized.dynamic" in part.reason


def test_layers_that_were_not_asked_for_count_too(out, caplog):
    model = nn.Sequential(nn.Linear(3, 2, bias=False), nn.Linear(2, 4, bias=False))
    trace = capture(model, [torch.ones(5, 3)], out=out, layers="0")
    coverage = trace.describe()["coverage"]
    assert coverage["multiplications_ratio"] == 6 / 14
    (part,) = coverage["left_out"]
    assert part == {
        "name": "1",
        "reason": "left out by --layers",
        "parameters_ratio": 8 / 14,
        "multiplications_ratio": 8 / 14,
    }
    assert trace.meta.provenance["skipped"] == {}
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]  # it was asked for


def test_nothing_left_out(doubling, out):
    coverage = capture(doubling, [torch.ones(1, 2)], out=out).describe()["coverage"]
    assert (coverage["multiplications_ratio"], coverage["parameters_ratio"]) == (1, 1)
    assert coverage["left_out"] == []


@pytest.mark.parametrize(
    ("weights", "sizes"),
    [([(6, 8), (4, 6)], [(8, 6), (6, 4)]), ([(8, 8), (2, 8)], [(8, 8), (8, 2)])],
)
def test_sizes_are_those_of_the_tensors(weights, sizes, out):
    """Weights that were replaced or sliced: the attributes still say 8 × 8 and 8 × 4."""
    model = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 4, bias=False))
    for layer, shape in zip(model, weights, strict=True):
        layer.weight = nn.Parameter(torch.ones(shape))
    x = torch.arange(24.0).reshape(3, 8)
    trace = capture(model, [x], out=out)
    assert [(linear.in_features, linear.out_features) for linear in trace.linears] == sizes
    inner = x @ torch.ones(weights[0]).T
    assert trace.values("1").tolist() == inner.tolist()


def test_a_layer_that_multiplies_a_part_of_its_input_is_left_out(out):
    class Half(nn.Linear):
        def forward(self, x):
            return nn.functional.linear(x[..., :2], self.weight[:, :2])

    trace = capture(nn.Sequential(nn.Linear(3, 4), Half(4, 5)), [torch.ones(1, 3)], out=out)
    assert trace.meta.provenance["skipped"] == {
        "1": "multiplies by a weight of 2 × 5, but reads 4 and returns 5 features"
    }


def test_a_weight_that_changes_its_width_between_batches_is_left_out(out):
    class Growing(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x):
            self.first(x)
            self.second.weight = nn.Parameter(torch.ones(2, x.shape[0]))
            return self.second(torch.ones(1, x.shape[0]))

    trace = capture(Growing(), [torch.ones(2, 2), torch.ones(3, 2)], out=out)
    assert trace.meta.provenance["skipped"] == {
        "second": "its input has 3 features here and 2 before"
    }


def test_a_kernel_that_nobody_sees_into_counts_as_its_layer(out):
    """A quantised subclass of nn.Linear, whose product is an operation of another library."""

    @torch.library.custom_op("accelsim_test::product", mutates_args=())
    def product(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return x @ weight.T

    class Packed(nn.Linear):
        def forward(self, x):
            return product(x, self.weight)

    trace = capture(Beside(Packed(3, 4, bias=False)), [torch.randn(2, 5, 3)], out=out)
    assert [(x.name, x.out_features) for x in trace.linears] == [("linear", 2), ("other", 4)]
    coverage = trace.meta.coverage
    assert (coverage.multiplications, coverage.left_out) == (ROWS * (6 + 12), ())


def test_an_operation_of_another_library_is_named_but_not_counted(out):
    @torch.library.custom_op("accelsim_test::foreign", mutates_args=())
    def foreign(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return x @ weight

    trace = capture(Beside(Raw(foreign, 3, 4)), [torch.randn(2, 5, 3)], out=out)
    (part,) = trace.meta.coverage.left_out
    assert (part.name, part.parameters, part.multiplications) == ("other", 12, None)
    assert "accelsim_test::foreign" in part.reason


class TwoFactors(nn.Module):
    """A weight that is a product of two."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Parameter(torch.randn(3, 2)), nn.Parameter(torch.randn(2, 4))

    def forward(self, x):
        return x @ (self.left @ self.right)


# What a model makes of its weights before it multiplies by them: one row of each operation.
MADE = {
    "masked": lambda w: torch.where(w.abs() > 0.5, w, 0.0),
    "random": lambda w: w * torch.ones(3, 4).bernoulli_(),
    "largest": lambda w: w.topk(4, dim=1)[0],
    "picked": lambda w: w.index_select(1, torch.arange(4)),
    "written": lambda w: torch.empty(3, 4).copy_(w),
    "orthogonal": lambda w: torch.linalg.qr(w.T)[0].T,
    "normalised": lambda w: torch._weight_norm(w, torch.ones(3, 1), 0),
}


@pytest.mark.parametrize("make", MADE.values(), ids=MADE.keys())
def test_what_is_made_of_a_weight_is_a_weight(make, out):
    trace = capture(Beside(Raw(lambda x, w: x @ make(w), 3, 4)), [torch.randn(2, 5, 3)], out=out)
    assert trace.meta.coverage.activation_multiplications == 0
    (part,) = trace.meta.coverage.left_out
    assert (part.name, part.multiplications) == ("other", ROWS * 12)


def test_what_is_made_of_activations_is_none(out):
    def gram(x, w):
        made = torch.zeros(2, 5, 4)
        made.copy_(x @ w)  # over a constant
        return made @ made.mT

    trace = capture(Beside(Raw(gram, 3, 4)), [torch.randn(2, 5, 3)], out=out)
    assert trace.meta.coverage.activation_multiplications == 2 * 5 * 5 * 4
    assert [part.multiplications for part in trace.meta.coverage.left_out] == [ROWS * 12]


@pytest.mark.parametrize(
    ("other", "macs"),
    [
        (
            lambda: ChannelsFirst(
                nn.utils.parametrizations.weight_norm(nn.Conv1d(3, 3, 3, padding=1, groups=3))
            ),
            [ROWS * 9],
        ),
        (TwoFactors, [ROWS * 12 + 3 * 2 * 4]),
        (lambda: Raw(lambda x, w: x[..., :1] @ w, 1, 4), [ROWS * 4]),
        (lambda: Raw(lambda x, w: torch.dot(x[0, 0], w), 3), [3]),
    ],
    ids=["parametrised", "factors", "outer", "dot"],
)
def test_rarer_products_by_weights_count(other, macs, out):
    trace = capture(Beside(other()), [torch.randn(2, 5, 3)], out=out)
    assert trace.meta.coverage.activation_multiplications == 0
    assert [part.multiplications for part in trace.meta.coverage.left_out] == macs


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("layout", ["to_sparse", "to_sparse_csr"])
def test_sparse_weights_count_as_if_they_were_dense(layout, out):
    other = Raw(lambda x, w: torch.sparse.mm(w, x[0].T), 4, 3)
    other.weight = nn.Parameter(getattr(other.weight.detach(), layout)())
    trace = capture(Beside(other), [torch.randn(2, 5, 3)], out=out)
    assert [part.multiplications for part in trace.meta.coverage.left_out] == [5 * 12]


def test_a_weight_that_is_no_parameter_is_one_nevertheless(out):
    other = Raw(lambda x, w: x @ w, 3, 4)
    weight = other.weight.detach()
    del other.weight
    other.weight = weight
    trace = capture(Beside(other), [torch.randn(2, 5, 3)], out=out)
    assert [part.multiplications for part in trace.meta.coverage.left_out] == [ROWS * 12]


def test_a_buffer_that_activations_are_written_into_is_no_weight(out):
    class Remembering(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(2, 5, 3))

        def forward(self, x):
            return x @ self.seen.copy_(x).mT

    coverage = capture(Beside(Remembering()), [torch.randn(2, 5, 3)] * 2, out=out).meta.coverage
    assert coverage.activation_multiplications == 2 * (2 * 5 * 5 * 3)
    assert not coverage.left_out


def test_only_what_passes_through_a_layer_is_captured(out):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 2)

        def forward(self, x):
            return self.linear(x) + nn.functional.linear(x, self.linear.weight)

    coverage = capture(Twice(), [torch.randn(2, 5, 3)], out=out).meta.coverage
    assert (coverage.captured_multiplications, coverage.multiplications) == (ROWS * 6, ROWS * 12)
    assert [(p.name, p.multiplications) for p in coverage.left_out] == [("linear.weight", ROWS * 6)]


def test_zeros_are_told_in_python_too(out, caplog):
    rows = torch.ones(1, 8)
    rows[0, 4:] = 1e-20
    capture(nn.Linear(8, 1), [rows], out=out)
    assert "float16 stores 50.00% of the nonzero values of Linear as zero" in caplog.text


def test_a_model_that_is_one_layer_is_covered(out):
    coverage = capture(nn.Linear(3, 2), [torch.randn(5, 3)], out=out).meta.coverage
    assert (coverage.captured_multiplications, coverage.multiplications) == (30, 30)
    assert not coverage.left_out


def test_what_no_hook_sees_is_not_pruned():
    """As of a state-space model, whose forward takes the weight out of a layer."""

    class Inside(nn.Module):
        def __init__(self):
            super().__init__()
            self.seen, self.unseen, self.idle = nn.Linear(3, 2), nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, x):
            return self.seen(x) + x @ self.unseen.weight.T

    model, x = Inside(), torch.randn(5, 3)
    coverage = coverage_of_linears(model, lambda: model(x), {"seen", "unseen", "idle"})
    assert (coverage.captured_multiplications, coverage.multiplications) == (30, 60)
    assert {part.name: part.reason for part in coverage.left_out} == {
        "unseen": OUTSIDE,
        "idle": "never called",
    }
