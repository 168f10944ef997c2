"""N:M selection compiled for vector registers: whole groups of magnitudes ranked side by side.

A register holds as many groups as fit. Rotated by 1 … M - 1 places inside each group, it meets
every other value of the group once; a value's rank is the number of those that beat it (larger, or
equal with a lower index), and the N lowest ranks are kept. These are the comparisons of the `rank`
selector.
Importing this module imports numba.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from accelsim.base.compiled import compiled

_REGISTER_BYTES = 64  # LLVM splits it where the processor's registers are narrower
_INTEGERS = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}


def keep_largest(values: NDArray[Any], n: int, m: int) -> NDArray[np.bool_]:
    """Return the mask `[..., K]` of the n largest magnitudes of each group of m values.

    Ties keep the lower index; a last group shorter than m is padded with zeros.
    """
    rows = np.ascontiguousarray(values).reshape(-1, values.shape[-1])
    mask = np.empty(rows.shape, np.bool_)
    lanes = m * max(1, _REGISTER_BYTES // (rows.itemsize * m))
    bits = rows.view(_INTEGERS[rows.itemsize])
    # Tuples carry m and the lanes in their types, so that each pattern has machine code of its own.
    compiled(_keep_rows)(
        bits, mask.view(np.uint8), n, (0,) * m, (0,) * lanes, values.dtype.kind == "f"
    )
    return mask.reshape(values.shape)


def _keep_rows(bits: Any, mask: Any, n: int, group: Any, lanes: Any, is_float: bool) -> None:  # noqa: FBT001, PLR0913, PLR0917
    width = len(lanes)
    rest_in, rest_out = np.zeros(width, bits.dtype), np.zeros(width, np.uint8)
    for row in range(bits.shape[0]):
        length = bits.shape[1]
        whole = length - length % width
        for start in range(0, whole, width):
            _keep_groups(bits[row, start:], mask[row, start:], n, group, lanes, is_float)
        if whole < length:
            rest_in[: length - whole] = bits[row, whole:]
            rest_in[length - whole :] = 0
            _keep_groups(rest_in, rest_out, n, group, lanes, is_float)
            mask[row, whole:] = rest_out[: length - whole]


@intrinsic  # type: ignore[untyped-decorator]
def _keep_groups(  # noqa: PLR0913, PLR0917 - numba passes the context
    _context: Any, bits: Any, mask: Any, n: Any, group: Any, lanes: Any, is_float: Any
) -> Any:
    """Emit the code for one register: load, magnitudes, ranks, compare with n, store."""
    m, width, number = group.count, lanes.count, ir.IntType(bits.dtype.bitwidth)
    vector, flags = ir.VectorType(number, width), ir.VectorType(ir.IntType(8), width)

    def splat(value: int) -> Any:
        return _constant(number, [value] * width)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source = context.make_array(signature.args[0])(context, builder, args[0]).data
        target = context.make_array(signature.args[1])(context, builder, args[1]).data
        value = builder.load(builder.bitcast(source, vector.as_pointer()), align=number.width // 8)
        key = _magnitude(builder, value, args[5], splat, number.width)
        rank = splat(0)
        for turn in range(1, m):
            places = [place - place % m + (place + turn) % m for place in range(width)]
            rival = builder.shuffle_vector(key, key, _constant(ir.IntType(32), places))
            # A rival that stands before the value wins a tie: compare with one less.
            ties = _constant(number, [int(rival < i) for i, rival in enumerate(places)])
            beaten = builder.icmp_signed(">", rival, builder.sub(key, ties))
            rank = builder.sub(rank, builder.sext(beaten, vector))
        limit = builder.insert_element(
            splat(0), builder.trunc(args[2], number), ir.Constant(ir.IntType(32), 0)
        )
        limit = builder.shuffle_vector(limit, limit, _constant(ir.IntType(32), [0] * width))
        kept = builder.zext(builder.icmp_signed("<", rank, limit), flags)
        builder.store(kept, builder.bitcast(target, flags.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(bits, mask, n, group, lanes, is_float), generate


def _magnitude(builder: Any, value: Any, is_float: Any, splat: Any, bits: int) -> Any:
    """Return integers in the order of magnitudes, far enough from the ends to subtract one.

    Floats without their sign bit are ordered like integers. Of an integer, |x| - 2^(bits - 2) also
    has room for |-2^(bits - 1)|.
    """
    of_float = builder.and_(value, splat((1 << (bits - 1)) - 1))
    negative = builder.icmp_signed("<", value, splat(0))
    absolute = builder.select(negative, builder.sub(splat(0), value), value)
    of_integer = builder.sub(absolute, splat(1 << (bits - 2)))
    return builder.select(is_float, of_float, of_integer)


def _constant(number: Any, values: list[int]) -> Any:
    vector = ir.VectorType(number, len(values))
    return ir.Constant(vector, [ir.Constant(number, value) for value in values])
