"""Which operations multiply matrices, how much, and which of their tensors are the factors.

Operations are those that reach torch's dispatcher: `nn.Linear`, `einsum` and `@` arrive here as
the same few. Functions of one family share a formula.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Tensors = Sequence[Any]
_MATRIX = 2


@dataclass(frozen=True, slots=True)
class Product:
    """One operation that multiplies.

    Attributes:
        factors: the tensors that are multiplied with each other; activations and weights.
        macs: multiplications with each of the factors but the first, one after the other.
        is_matrix_product: whether it is `[rows, K] @ [K, N]`, of exactly two matrices.
        is_outer: whether K is 1, as of positions by frequencies.
    """

    factors: tuple[torch.Tensor, ...]
    macs: tuple[int, ...]
    is_matrix_product: bool = False
    is_outer: bool = False


def product_of(function: Any, arguments: Tensors, result: Any) -> Product | None:
    """Return the product that an operation of the dispatcher computes; None if it computes none."""
    name = function.name().rpartition("::")[2].partition(".")[0]
    formula = _FORMULAS.get(name)
    if formula is None:
        return _attention(arguments) if "attention" in name else None
    return formula(arguments, result)


def is_opaque(function: Any) -> bool:
    """Whether an operation comes from outside of torch: what it computes, nobody can tell."""
    return function.namespace not in ("aten", "prim", "prims", "profiler", "quantized")


def _matrices(first: int) -> Callable[[Tensors, Any], Product | None]:
    """Return the formula of products whose factors are arguments `first` and `first + 1`."""

    def formula(arguments: Tensors, result: Any) -> Product | None:
        left, right = arguments[first : first + 2]
        if not hasattr(right, "dim"):  # quantised: an object that packs the weight
            return _packed(arguments, result)
        inner = int(left.shape[-1])
        plain = left.dim() == right.dim() == _MATRIX
        return Product((left, right), (int(result.numel()) * inner,), plain, inner == 1)

    return formula


def _packed(arguments: Tensors, result: Any) -> Product:
    """Return the product of a quantised linear layer, whose weight is an object of its own."""
    rows = arguments[0]
    weights = [w for w in arguments[1:2] if hasattr(w, "untyped_storage")]
    return Product((rows, *weights), (int(result.numel()) * int(rows.shape[-1]),))


def _convolution(arguments: Tensors, result: Any) -> Product:
    image, weight, *others = arguments
    transposed = len(others) > _TRANSPOSED and others[_TRANSPOSED] is True
    places = image.numel() if transposed else result.numel()
    return Product((image, weight), (int(places) * (weight.numel() // weight.shape[0]),))


_TRANSPOSED = 4  # argument of a convolution after image and weight


def _recurrent(arguments: Tensors, _: Any) -> Product:
    """Return the products of an LSTM, GRU or RNN that is one operation: each weight, each step."""
    rows = arguments[0]
    flat = [w for a in arguments[1:] for w in (a if isinstance(a, list | tuple) else [a])]
    weights = [w for w in flat[:_WEIGHTS_OF_RNN] if hasattr(w, "dim") and w.dim() == _MATRIX]
    steps = prod(rows.shape[:-1])
    return Product((rows, *weights), tuple(steps * int(w.numel()) for w in weights))


_WEIGHTS_OF_RNN = 64


def _trilinear(arguments: Tensors, _: Any) -> Product:
    rows, weight, _other = arguments[:3]
    return Product((rows, weight), (int(rows.shape[0]) * int(weight.numel()),))


def _attention(arguments: Tensors) -> Product | None:
    """Return scores and values of fused attention, `[…, S, D]` of queries, keys and values."""
    tensors = [a for a in arguments if hasattr(a, "dim")][:3]
    if len(tensors) < 3 or tensors[0].dim() < 3:  # noqa: PLR2004
        return None
    query, key, value = tensors
    pairs = prod(query.shape[:-1]) * int(key.shape[-2])
    return Product((query, key), (pairs * int(query.shape[-1] + value.shape[-1]),))


_FORMULAS: dict[str, Callable[[Tensors, Any], Product | None]] = {
    **dict.fromkeys(("mm", "bmm", "mv", "dot", "vdot", "linear", "matmul"), _matrices(0)),
    **dict.fromkeys(("_int_mm", "_scaled_mm", "_grouped_mm", "_scaled_grouped_mm"), _matrices(0)),
    **dict.fromkeys(("_sparse_mm",), _matrices(0)),
    **dict.fromkeys(("_sparse_addmm",), _matrices(1)),
    **dict.fromkeys(("addmm", "baddbmm", "addmv", "addbmm", "_addmm_activation"), _matrices(1)),
    **dict.fromkeys(("_weight_int8pack_mm", "_weight_int4pack_mm", "_mixed_mm"), _packed),
    **dict.fromkeys(("_weight_int4pack_mm_for_cpu", "_dyn_quant_matmul_4bit"), _packed),
    **dict.fromkeys(("linear_dynamic", "linear_relu_dynamic", "linear_dynamic_fp16"), _packed),
    **dict.fromkeys(
        ("linear_relu", "qlinear_pointwise", "qlinear_dynamic", "_linear_pointwise"), _packed
    ),
    **dict.fromkeys(("convolution", "_convolution", "convolution_overrideable"), _convolution),
    **dict.fromkeys(("mkldnn_convolution", "cudnn_convolution"), _convolution),
    **dict.fromkeys(("mkldnn_rnn_layer", "_cudnn_rnn", "miopen_rnn", "_thnn_rnn"), _recurrent),
    "_trilinear": _trilinear,
}
