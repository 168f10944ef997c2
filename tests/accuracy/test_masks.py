"""Masks of accuracy are those of the simulated selector, on the CPU and as written in torch."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

torch = pytest.importorskip("torch")

from accelsim.accuracy import masks  # noqa: E402
from accelsim.accuracy.pruning import LayerPruning  # noqa: E402
from accelsim.base.errors import InputError  # noqa: E402
from accelsim.precision import PRECISIONS  # noqa: E402
from accelsim.selection.sparsify import select  # noqa: E402
from accelsim.sparsity import parse_pattern  # noqa: E402
from accelsim.sparsity.patterns.threshold import Threshold  # noqa: E402
from accelsim.sparsity.policy import Method  # noqa: E402

PATTERNS = ("dense", "1:4", "2:4", "3:5", "8:16", "16:32", "topk:0.3")
GROUPED = ("1:1", "1:4", "2:4", "3:5", "8:16", "16:32", "1:64")
shapes = st.tuples(st.integers(1, 4), st.integers(1, 70))
reals = arrays(
    np.float32,
    shapes,
    elements=st.one_of(
        st.floats(-60000, 60000, width=32, allow_subnormal=False),
        st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0**-133, -(2.0**-24), 127.0, 63.5]),
    ),
)


def bits(tensor):
    """Return the bytes of a tensor: zeros have signs, and nothing is nearly equal."""
    return tensor.contiguous().numpy().tobytes()


@pytest.mark.parametrize("precision", sorted(PRECISIONS))
@pytest.mark.parametrize("text", PATTERNS)
@given(x=reals)
def test_masks_and_dropped_squared_magnitude_are_those_of_the_simulated_selector(
    precision, text, x
):
    pattern = parse_pattern(text)
    operands = PRECISIONS[precision].encode_tokens(x)
    simulated = select(operands, pattern, x)

    dropped = []
    layer = LayerPruning(
        Method(pattern), precision, {}, lambda values, mask: dropped.append(values * ~mask)
    )
    _, mask = layer.select(torch.from_numpy(x))
    assert np.array_equal(mask.numpy(), simulated.kept_mask)
    lost = float(np.square(dropped[0].double().numpy()).sum())
    assert lost == pytest.approx(simulated.dropped_squared_magnitude.sum())


@pytest.mark.parametrize("precision", sorted(PRECISIONS))
@given(x=reals)
def test_rounding_in_torch_is_rounding_in_numpy_bit_by_bit(precision, x):
    expected = masks.round_tokens(torch.from_numpy(x), precision)
    found = masks._round_in_torch(torch.from_numpy(x), precision)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        assert bits(ours) == bits(theirs)


def test_rounding_in_torch_refuses_what_fp16_cannot_hold():
    values = torch.tensor([[65505.0, 1.0]])
    for rounding in (masks.round_tokens, masks._round_in_torch):
        with pytest.raises(InputError, match=r"range of fp16 \(65504\)"):
            rounding(values, "fp16")


def test_rounding_by_hand():
    # Peak 254, so a code is worth 2: 3 is 1.5 codes, half to even 2; 5 is 2.5, also 2.
    for rounding in (masks.round_tokens, masks._round_in_torch):
        codes, reals = rounding(torch.tensor([[254.0, 3, 5, -7]]), "int8")
        assert codes.tolist() == [[127, 2, 2, -4]]
        assert reals.tolist() == [[254, 4, 4, -8]]
        # 7 bits behind the point: 1 + 1/256 lies halfway and falls to the even 1.
        narrow, same = rounding(torch.tensor([[1 + 1 / 256, 1 + 3 / 256]]), "bf16")
        assert narrow.tolist() == same.tolist() == [[1.0, 1 + 4 / 256]]


strengths = st.one_of(
    arrays(np.int8, shapes, elements=st.integers(-127, 127)),
    arrays(np.int16, shapes, elements=st.integers(-32640, 32640)),
    arrays(np.float32, shapes, elements=st.sampled_from([-2.0, -1.0, -0.0, 0.0, 1.0, 2.0])),
    reals,
)


@pytest.mark.parametrize("text", GROUPED)
@given(x=strengths)
def test_groups_in_torch_keep_what_groups_in_numpy_keep(text, x):
    pattern = parse_pattern(text)
    mask = masks._keep_nm(pattern, torch.from_numpy(x))
    assert mask.dtype == torch.bool
    assert np.array_equal(mask.numpy(), pattern.keep(x))


def test_groups_in_torch_know_that_minus_128_is_the_largest():
    x = torch.tensor([[127, 0, -128, -127]], dtype=torch.int8)
    assert masks._keep_nm(parse_pattern("1:4"), x).tolist() == [[False, False, True, False]]


def test_elsewhere_nothing_of_a_group_leaves_the_device():
    """Tensors on `meta` have no values: whatever would copy them to numpy fails."""
    codes, reals = masks.round_tokens(torch.empty(3, 21, device="meta"), "int8")
    assert (codes.dtype, reals.dtype) == (torch.int8, torch.float32)
    mask = masks.keep(parse_pattern("8:16"), codes)
    assert (mask.shape, mask.dtype, mask.device.type) == ((3, 21), torch.bool, "meta")


@given(x=reals, level=st.floats(0, 100))
def test_thresholds_in_torch_are_thresholds_in_numpy(x, level):
    pattern = Threshold(0.5, level=level)
    assert np.array_equal(masks.keep(pattern, torch.from_numpy(x)).numpy(), pattern.keep(x))


def test_a_threshold_is_rounded_to_float32_before_it_is_compared():
    # 0.1 is not a float32; the nearest one is larger than it, and not above itself.
    nearest = struct.unpack("f", struct.pack("f", 0.1))[0]
    assert nearest > 0.1
    pattern = Threshold(0.5, level=0.1)
    x = np.array([[0.1, 0.2]], np.float32)
    assert pattern.keep(x).tolist() == [[False, True]]
    assert masks.keep(pattern, torch.from_numpy(x)).tolist() == [[False, True]]


@pytest.mark.parametrize("name", ["float", *sorted(PRECISIONS)])
def test_known_precisions_pass(name):
    masks.check_precision(name)


def test_an_unknown_precision_is_refused_with_what_is_allowed():
    with pytest.raises(InputError, match="unknown precision 'fp6'; allowed: float, bf16, fp16"):
        masks.check_precision("fp6")
