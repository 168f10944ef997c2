"""What `dot_product.sv` computes, bit for bit: the same additions in the same order.

Operands are `[..., steps, lanes]`: in every step the products of the lanes are added by a tree, and
the tree's sum is added to the accumulator, which starts at zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]

SMALLEST_NORMAL = np.finfo(np.float32).smallest_normal


def dot_int8(a: Values, b: Values) -> NDArray[np.int32]:
    """Multiply int8 operands and add them up in 32 bits, which wrap.

    >>> dot_int8(np.array([[3, -2], [100, 1]]), np.array([[5, 7], [100, 0]]))
    array(10001, dtype=int32)
    """
    products = np.asarray(a, np.int64) * np.asarray(b, np.int64)
    return np.asarray(products.sum(axis=(-2, -1))).astype(np.int32)


def dot_bf16(a: Values, b: Values) -> NDArray[np.float32]:
    """Multiply bf16 operands, held in float32, and add them up in fp32.

    Products are exact; each addition rounds to nearest, ties to even. Subnormal operands and
    results become zero, with their sign. Infinity and NaN as operands are not supported.

    In the first sum 1 is lost in 2^24 before that can cancel; in the second -2^24 comes first.

    >>> big = 2.0**24
    >>> ones = np.ones((1, 4), np.float32)
    >>> dot_bf16(np.array([[big, 1, -big, 0]]), ones), dot_bf16(np.array([[big, -big, 1, 0]]), ones)
    (array(0., dtype=float32), array(1., dtype=float32))
    """
    with np.errstate(over="ignore", under="ignore"):
        products = flush(flush(np.asarray(a, np.float32)) * flush(np.asarray(b, np.float32)))
        total = np.zeros(products.shape[:-2], np.float32)
        for step in range(products.shape[-2]):
            total = add_fp32(total, tree_fp32(products[..., step, :]))
    return total


def dot_blocks(a: Values, b: Values, a_scales: Values, b_scales: Values) -> NDArray[np.float32]:
    """Multiply fp4 operands and the scales of their blocks, `[..., steps, blocks]`, and add up.

    As `block_dot_product.sv` does: sums of a block and their products with both scales are exact;
    they are added up in fp32.

    >>> scales = np.array([[1.0, 0.5]])  # of two blocks of two lanes, in one step
    >>> dot_blocks(np.array([[6, -3, 1, 1]]), np.array([[2, 2, 4, 0.5]]), scales, scales)
    array(7.125, dtype=float32)
    """
    blocks = a_scales.shape[-1]
    products = np.asarray(a, np.float64) * np.asarray(b, np.float64)
    sums = products.reshape(*products.shape[:-1], blocks, -1).sum(axis=-1)
    with np.errstate(over="ignore", under="ignore"):
        exact = sums * np.asarray(a_scales, np.float64) * np.asarray(b_scales, np.float64)
        scaled = flush(exact.astype(np.float32))
        total = np.zeros(scaled.shape[:-2], np.float32)
        for step in range(scaled.shape[-2]):
            total = add_fp32(total, tree_fp32(scaled[..., step, :]))
    return total


def tree_fp32(values: Values) -> Values:
    """Add up the last axis: neighbours 2i and 2i + 1, an odd one out passes, until one is left."""
    while values.shape[-1] > 1:
        even, odd = values[..., ::2], values[..., 1::2]
        pairs = add_fp32(even[..., : odd.shape[-1]], odd)
        values = np.concatenate([pairs, even[..., odd.shape[-1] :]], axis=-1)
    return values[..., 0]


def add_fp32(a: Values, b: Values) -> Values:
    """Add as `fp32_adder.sv` does."""
    return flush(flush(a) + flush(b))


def flush(values: Values) -> Values:
    """Replace subnormal numbers by zero of their sign."""
    return np.where(np.abs(values) < SMALLEST_NORMAL, np.copysign(np.float32(0), values), values)
