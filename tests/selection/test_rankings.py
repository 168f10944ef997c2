"""Rankings other than by magnitude: against plain loops; kept on disk apart from each other."""

import numpy as np
import pytest

from accelsim.base.cache import DiskCache
from accelsim.precision import PRECISIONS
from accelsim.run.simulation import selections, wish_of
from accelsim.selection.selections import Wish, selections_of
from accelsim.selection.sparsify import Selection
from accelsim.sparsity import parse_pattern
from accelsim.sparsity.policy import Method, Policy
from accelsim.trace import InputInfo, Linear, TraceMeta, TraceWriter, load_trace
from tests.helpers.small import load, trace_of

LENGTHS, WIDTH = (5, 3, 9), 40
ENDS = np.cumsum(LENGTHS)


def wish(pattern="8:16", precision="int8", **flags):
    return Wish(precision, parse_pattern(pattern), with_mask=True, **flags)


@pytest.fixture(scope="module", params=["float16", "int8"])
def trace(request, tmp_path_factory):
    """Three sequences, whose channels and tokens differ in size."""
    rng = np.random.default_rng(3)
    values = rng.standard_normal((sum(LENGTHS), WIDTH))
    values *= np.exp(rng.standard_normal(WIDTH)) * np.exp(rng.standard_normal((len(values), 1)))
    if request.param == "int8":
        values = np.clip(np.rint(values * 9), -127, 127)
    path = tmp_path_factory.mktemp(request.param) / "t.npz"
    linear = Linear(name="up", input="x", in_features=WIDTH, out_features=8)
    with TraceWriter(path) as writer:
        writer.add("x", values.astype(request.param))
        writer.finish(
            TraceMeta(
                model="tiny",
                sequence_lengths=LENGTHS,
                linears=(linear,),
                inputs={"x": InputInfo(dtype=request.param, scale=0.5)},
            )
        )
    return load_trace(path)


def mask_of(trace, chosen, store=None):
    return selections_of(trace, "x", [chosen], store)[chosen].kept_mask


def largest(strength, n, m):
    """Which of each M are the N largest, the lower index first: by sorting Python numbers."""
    mask = np.zeros(strength.shape, np.bool_)
    for row, numbers in enumerate(strength.tolist()):
        for start in range(0, len(numbers), m):
            group = range(start, min(start + m, len(numbers)))
            mask[row, sorted(group, key=lambda i: (-abs(numbers[i]), i))[:n]] = True
    return mask


@pytest.mark.parametrize("precision", sorted(PRECISIONS))
def test_clact_ranks_by_the_norms_of_each_sequence(trace, precision):
    operands, real = trace.operands("x", precision)
    largest_code = {"int4": 7, "int8": 127, "fp8": 448, "nvfp4": 2688}.get(precision)
    if precision == trace.meta.inputs["x"].dtype:
        scales = 0.5
    elif largest_code is not None:
        scales = np.abs(real).max(axis=1, keepdims=True) / np.float32(largest_code)
    else:
        scales = 1.0
    held = operands * np.float32(scales)
    expected = []
    for end, length in zip(ENDS, LENGTHS, strict=True):
        rows = slice(end - length, end)
        norms = np.sqrt((held[rows].astype(np.float64) ** 2).sum(axis=0))
        expected.append(largest(PRECISIONS[precision].scores(operands[rows], norms), 8, 16))
    found = mask_of(trace, wish(precision=precision, criterion="clact"))
    assert np.array_equal(found, np.concatenate(expected))
    assert not np.array_equal(found, mask_of(trace, wish(precision=precision)))


@pytest.mark.parametrize("precision", sorted(PRECISIONS))
def test_centred_values_are_rounded_after_their_median_is_taken_away(trace, precision):
    real = trace.values("x")
    middle = np.sort(real, axis=1)[:, [(WIDTH - 1) // 2]]  # the lower one of two
    codes = PRECISIONS[precision].encode_tokens(real - middle)
    chosen = wish(precision=precision, is_centred=True)
    found = selections_of(trace, "x", [chosen])[chosen]
    assert np.array_equal(found.kept_mask, largest(codes, 8, 16))
    assert found.alive.tolist() == np.count_nonzero(codes, axis=1).tolist()
    lost = np.where(found.kept_mask, 0, real - middle)
    assert found.dropped_squared_magnitude.sum() == pytest.approx(
        (lost.astype(np.float64) ** 2).sum()
    )


def test_rankings_are_kept_apart_on_disk(trace, tmp_path):
    store = DiskCache(tmp_path)
    wishes = [wish(), wish(criterion="clact"), wish(is_centred=True), wish(criterion="amber")]
    fresh = [mask_of(trace, one) for one in wishes]
    for _ in range(2):
        for one, mask in zip(wishes, fresh, strict=True):
            assert np.array_equal(mask_of(trace, one, store), mask)
    assert not np.array_equal(fresh[0], fresh[1])
    assert not np.array_equal(fresh[0], fresh[2])
    assert np.array_equal(fresh[0], fresh[3])  # by magnitude: a trace has no weights


def test_what_a_layer_wishes_for():
    arch, (linear,) = load("nm816"), trace_of([(64, 8)]).linears

    def wished(criterion, mitigation, *, is_decode=False):
        rules = Policy(Method(parse_pattern("2:4"), criterion, mitigation))
        found = wish_of(arch, rules, linear, is_decode=is_decode)
        assert found.with_mask == is_decode
        return str(found.pattern), found.criterion, found.is_centred

    assert wished("clact", "none") == ("2:4", "clact", False)
    assert wished("clact", "none", is_decode=True) == ("2:4", "act", False)
    assert wished("amber", "spts") == ("2:4", "act", False)
    assert wished("act", "dpts") == wished("amber", "dpts") == ("2:4", "act", True)
    assert wished("act", "dpts", is_decode=True) == ("2:4", "act", True)


def test_one_pass_serves_all_layers_of_an_input(trace):
    rules = [None, Policy(Method(parse_pattern("dense")))]
    ((_, chosen),) = selections([load("nm816")] * 2, trace, rules)
    assert [int(one.nonzero.sum()) < int(one.alive.sum()) for one in chosen] == [True, False]


def test_the_rest_is_what_was_dropped():
    mask = np.packbits(np.array([[1, 0, 1, 0, 0]], np.bool_), axis=1)
    kept = Selection(5, np.array([1]), None, None, mask, np.array([4]))
    assert kept.rest.nonzero.tolist() == [3]
    assert kept.rest.kept_mask.tolist() == [[False, True, False, True, True]]
