"""What each block of our RTL is made of: comparator bits, multiplexer legs, flip-flops and so on.

A technology prices these parts, block by block, by a fit to synthesis (`docs/rtl.md`). Symbols: N
kept values in a group of M, B bits a value, K bits of its magnitude, L lanes, C columns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log2

from accelsim.base.errors import InputError

Parts = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Parameters of a block; those that it does not have are ignored.

    `score_bits` is the width of what is ranked where that is not the values themselves.
    """

    n: int = 1
    m: int = 1
    bits: int = 8
    is_float: bool = False
    significand_bits: int = 8
    lanes: int = 1
    columns: int = 1
    score_bits: int = 0

    @property
    def key_bits(self) -> int:
        """Bits of a magnitude: all of an integer's, since -128 has 128; a float's without sign."""
        return (self.score_bits or self.bits) - self.is_float

    @property
    def arithmetic(self) -> str:
        """What switches alike: `int`, `fp8`, or `float` of 16 bits."""
        if not self.is_float:
            return "int"
        return "fp8" if self.bits == 8 else "float"  # noqa: PLR2004

    @property
    def held_bits(self) -> int:
        """Bits of a value and, where it is not the same, of what it is ranked by."""
        return self.bits + self.score_bits

    @property
    def window(self) -> int:
        """Positions at which the i-th kept value can stand: M - N + 1."""
        return self.m - self.n + 1

    @property
    def index_bits(self) -> int:
        """Bits of a position in the group."""
        return index_bits(self.m)

    @property
    def groups(self) -> int:
        """Whole groups that the lanes take at once."""
        return max(1, self.lanes // self.n)

    @property
    def substeps(self) -> int:
        """Steps of one group when it keeps more values than there are lanes."""
        return -(-self.n // self.lanes)


@dataclass(frozen=True, slots=True)
class Block:
    """A module of the RTL: what it is made of, and what its critical path grows with.

    A block that has not been synthesised borrows the prices of the one it is `priced_like`. `cut`
    counts what a further rank of registers takes, as `register_bits`, and the parts of a loop:
    these must be done in one cycle, however many ranks there are.
    """

    parts: Callable[[Shape], Parts]
    path: Callable[[Shape], Parts]
    priced_like: str | None = None
    cut: Callable[[Shape], Parts] | None = None


BLOCKS: dict[str, Block] = {}


def block(name: str) -> Block:
    """Return a block by name; raise InputError with the known names otherwise."""
    if name not in BLOCKS:
        raise InputError(f"unknown block '{name}'; allowed: {', '.join(BLOCKS)}")
    return BLOCKS[name]


def index_bits(positions: int) -> int:
    """Return the bits that tell `positions` apart: ceil(log2 positions)."""
    return (positions - 1).bit_length()


def network(n: int, m: int) -> tuple[int, int]:
    """Return compare-exchange elements and depth of the bitonic network that finds N of M.

    With N and M padded to powers of two Q and P, P / Q blocks of Q are sorted; each merge level
    keeps the larger half of two blocks (Q exchanges) and sorts it again, except the last, which is
    sorted only if N < Q. (K. Batcher, AFIPS 1968: Q / 4 × q (q + 1) exchanges sort Q values.)

    8:16 has 2 × 24 + 8 = 56 exchanges in 6 + 1 = 7 levels (the best known network has 46).

    >>> network(8, 16), network(2, 4), network(3, 4)
    ((56, 7), (4, 2), (6, 3))
    """
    q, p = index_bits(n), index_bits(m)
    size, levels = 1 << q, p - q
    runs = 1 << levels
    exchanges = runs * (size * q * (q + 1) // 4) + (runs - 1) * size
    exchanges += max(0, runs - 2) * (size * q // 2)
    depth = q * (q + 1) // 2 + levels + max(0, levels - 1) * q
    if n < size and levels:  # Q values are left; sort them once more to drop the Q - N smallest
        exchanges, depth = exchanges + size * q // 2, depth + q
    return exchanges, depth


def _magnitudes(shape: Shape) -> int:
    """Return the bits that taking a magnitude negates: none of a float."""
    return 0 if shape.is_float else shape.m * shape.bits


def _rank(s: Shape) -> Parts:
    return {
        "comparator_bits": s.m * (s.m - 1) // 2 * s.key_bits,
        "count_bits": s.m * (s.m - 1),
        "magnitude_bits": _magnitudes(s),
        "register_bits": s.m * (s.bits + 1) + 1,
    }


def _bitonic(s: Shape) -> Parts:
    exchanges, depth = network(s.n, s.m)
    item = s.key_bits + s.index_bits
    size = 1 << index_bits(s.n)
    merges = (1 << index_bits(s.m)) // size - 1  # merge levels put out the larger item only
    registered = (2 * exchanges - merges * size) * item
    # The last level registers nothing but the indices of the winners.
    registered -= size * item - s.n * s.index_bits if depth else 0
    return {
        "exchange_bits": (exchanges - merges * size / 2) * item,  # a merge has one multiplexer
        "winner_bits": s.n * s.m,
        "magnitude_bits": _magnitudes(s),
        "item_register_bits": registered,
        "register_bits": depth * (s.m * s.bits + 1),  # the values wait beside the network
    }


def _radix_pipelined(s: Shape) -> Parts:
    room = index_bits(s.n + 1)
    return {
        "plane_flags": s.key_bits * s.m,
        "planes": s.key_bits * room,
        "magnitude_bits": _magnitudes(s) * s.key_bits,  # the sign-free value is made in each plane
        "register_bits": s.key_bits * (s.m * (s.held_bits + 2) + room + 1),
    }


def _radix(s: Shape) -> Parts:
    room = index_bits(s.n + 1)
    return {
        "plane_flags": s.m,
        "planes": room,
        "value_bits": s.m * s.held_bits,
        "magnitude_bits": _magnitudes(s),
        "register_bits": s.m * (s.held_bits + 2) + room + s.key_bits + 1,
    }


def _cascade_pipelined(s: Shape) -> Parts:
    return {
        "search_bits": s.n * (s.m - 1) * s.key_bits,
        "search_flags": s.n * s.m,
        "magnitude_bits": _magnitudes(s) * s.n,
        "register_bits": s.n * (s.m * (s.held_bits + 1) + 1),
    }


def _cascade(s: Shape) -> Parts:
    return {
        "search_bits": (s.m - 1) * s.key_bits,
        "search_flags": s.m,
        "value_bits": s.m * s.held_bits,
        "magnitude_bits": _magnitudes(s),
        "register_bits": s.m * (s.held_bits + 1) + s.n + 1,
    }


def _compact(s: Shape) -> Parts:
    return {"leg_bits": s.n * s.window * s.bits, "places": s.n * s.window}


def _full(s: Shape) -> Parts:
    lanes = min(s.lanes, s.groups * s.n)
    return {
        "leg_bits": lanes * s.m * s.bits * s.columns,
        "places": lanes * s.m,
        "substep_bits": lanes * s.substeps * s.index_bits if s.substeps > 1 else 0,
    }


def _window(s: Shape) -> Parts:
    """Count the positions that each lane serves: those of all the values that take turns on it."""
    legs = {(i % s.lanes, i + d) for i in range(s.n) for d in range(s.window)}
    return {
        "leg_bits": s.groups * len(legs) * s.bits * s.columns,
        "places": s.groups * s.n * s.window,
    }


def _lane_bits(s: Shape) -> int:
    """Return the legs that pick a slice of N values, where there are fewer lanes."""
    return s.n * s.bits * s.columns if s.substeps > 1 else 0


def _logshift(s: Shape) -> Parts:
    """Count 2:1 multiplexers: where a value can arrive, and a later stage or an output reads."""
    muxes, read = 0, set(range(s.n))
    for stage in reversed(range(index_bits(s.window))):
        step = 1 << stage
        arrivals = {
            i + (d >> stage + 1 << stage + 1)
            for i in range(s.n)
            for d in range(s.window)
            if d & step
        }
        muxes += len(read & arrivals)
        read |= {p + step for p in read & arrivals}
    return {
        "mux_bits": s.groups * muxes * s.bits * s.columns,
        "places": s.groups * s.n * s.window,
        "lane_bits": _lane_bits(s),
    }


def radix_of(window: int) -> int:
    """Return the legs of the first level of a hierarchical crossbar, a power of two near sqrt."""
    return 1 << (index_bits(window) + 1) // 2


def _hierarchical(s: Shape) -> Parts:
    """Count the legs of both levels: value i, with d dropped before it, comes from i + d."""
    near = radix_of(s.window)
    first = Counter(
        p
        for p, _ in {(i + d // near * near, d % near) for i in range(s.n) for d in range(s.window)}
    )
    second = {(i, d // near) for i in range(s.n) for d in range(s.window)}
    legs = sum(count for count in first.values() if count > 1)  # a single leg is a wire
    return {
        "near_leg_bits": s.groups * legs * s.bits * s.columns,
        "far_leg_bits": s.groups * len(second) * s.bits * s.columns,
        "places": s.groups * s.n * s.window,
        "lane_bits": _lane_bits(s),
    }


def _index_encoder(s: Shape) -> Parts:
    return {"leg_bits": s.n * s.window * s.index_bits, "places": s.n * s.window}


def _index_decoder(s: Shape) -> Parts:
    return {"places": s.n * s.window, "positions": s.m}


def _multipliers(s: Shape, count: float) -> Parts:
    """Return multipliers; a float's grows with the square of its significand (bf16 has 8 bits).

    bf16 and fp8 (4 bits) were synthesised; fp16 (11 bits) follows from them.
    """
    if s.is_float:
        return {"bf16_multipliers": count * (s.significand_bits / 8) ** 2}
    return {f"int{s.bits}_multipliers": count}


def _mac(s: Shape) -> Parts:
    return {**_multipliers(s, 1), **_accumulator(s), "register_bits": 32}


def _accumulator(s: Shape) -> Parts:
    return {"float_adders": 1} if s.is_float else {"accumulator_bits": 32}


def _tree(s: Shape) -> tuple[int, int, int]:
    """Return adders, their bits and flip-flops of the products of a dot product and their sums."""
    # Of a product of floats: sign, exponent and 2 × significand - 1 others; the rest is 0. The
    # exponents of fp8 products, -18 to 17, need 7 of the 8 bits.
    exponent_bits = 7 if s.arithmetic == "fp8" else 8
    product = exponent_bits + 2 * s.significand_bits if s.is_float else 2 * s.bits
    adder_bits, adders, registers = 0, 0, s.lanes * product
    count, width = s.lanes, product
    while count > 1:
        width = 32 if s.is_float else min(32, width + 1)
        adders += count // 2
        adder_bits += count // 2 * width
        count = -(-count // 2)
        registers += count * width
    return adders, adder_bits, registers


def stage_register_bits(s: Shape) -> int:
    """Return the flip-flops of a dot product between its stages: without accumulators and flags.

    >>> stage_register_bits(Shape(lanes=4))  # 4 products of 16 bits, sums of 17, 17 and 18
    116
    """
    return _tree(s)[2]


def _dot_product(s: Shape) -> Parts:
    adders, adder_bits, registers = _tree(s)
    tree = {"float_adders": adders + 1} if s.is_float else {"adder_bits": adder_bits}
    depth = index_bits(s.lanes)
    return {
        **_multipliers(s, s.lanes),
        **_accumulator(s),
        **tree,
        "register_bits": registers + 64 + 3 * (depth + 2),  # two accumulators; flags of each stage
    }


def _dot_product_cut(s: Shape) -> Parts:
    """Return a rank of registers in every stage; a sum is added to in every cycle."""
    return {"register_bits": stage_register_bits(s), **_accumulator(s)}


def _path(s: Shape) -> Parts:
    """Return what critical paths grow with: trees with logarithms, chains with lengths."""
    return {
        "constant": 1.0,
        "log_bits": log2(s.key_bits),
        "log_m": log2(s.m),
        "log_n": log2(s.n),
        "log_columns": log2(s.columns),
        "bits": s.key_bits,
        "m": s.m if s.m > 1 else 0,
        "chain": min(s.n, s.window) if s.m > 1 else 0,  # the shorter way through the counts
    }


def _value_path(s: Shape) -> Parts:
    """Return what the paths of blocks grow with that handle values, however they are ranked."""
    return _path(replace(s, score_bits=0))


def _float_path(s: Shape) -> Parts:
    """Return the critical path of a MAC: its multiplier or its adder, whatever the lanes."""
    return {"float": 1.0} if s.is_float else {"log_bits": log2(s.bits)}


def _lane(s: Shape, *, products: float = 0, adders: Sequence[int] = ()) -> Parts:
    """Return a lane: multipliers of B × B bits, adders by their width, and registers behind them.

    Of floats, an adder is one of fp32, whatever the width.
    """
    registers = {"register_bits": sum(adders) or 2 * s.bits}
    if s.is_float:
        return {**_multipliers(s, products), "float_adders": len(adders), **registers}
    return {**_multipliers(s, products), "accumulator_bits": sum(adders), **registers}


def _output_scale(s: Shape) -> Parts:
    """Return a multiplier of a finished sum, 32 bits or a significand of 24, by a value."""
    return _lane(s, products=24 / s.significand_bits if s.is_float else 32 / s.bits)


def _moments(s: Shape) -> Parts:
    """Return the square of a value, and its share of four adder trees: x, x², all and kept.

    In a tree over the lanes, half of the adders are one bit wider than their inputs, a quarter
    two and so on: two on average. The four sums behind the trees are shared by all lanes.
    """
    return _lane(s, products=1, adders=[s.bits + 2, s.bits + 2, 2 * s.bits + 2, 2 * s.bits + 2])


def _columns(s: Shape) -> Parts:
    """Return the square of a value, added to a sum; of 8 bits, times its token's scale squared.

    Codes of 16 bits have no scale.
    """
    return _lane(s, products=2 if s.bits == 8 else 1, adders=[32])  # noqa: PLR2004


def _count(s: Shape) -> Parts:
    """Return a comparison of a value with a bound, by bits, and its share of the count."""
    return {"accumulator_bits": s.bits + 2, "register_bits": s.bits + 2}


BLOCKS |= {
    "select_rank": Block(_rank, _path),
    "select_bitonic": Block(_bitonic, _path),
    "select_radix": Block(_radix, _path),
    "select_radix_pipelined": Block(_radix_pipelined, _path),
    "select_cascade": Block(_cascade, _path),
    "select_cascade_pipelined": Block(_cascade_pipelined, _path),
    "compact": Block(_compact, _value_path),
    "crossbar_full": Block(_full, _value_path),
    "crossbar_window": Block(_window, _value_path),
    "crossbar_logshift": Block(_logshift, _value_path),
    "crossbar_hierarchical": Block(_hierarchical, _value_path),
    "index_encoder": Block(_index_encoder, _value_path),
    "index_decoder": Block(_index_decoder, _value_path),
    "mac": Block(_mac, _float_path),
    "dot_product": Block(_dot_product, _float_path, cut=_dot_product_cut),
    # Lanes of the units of pruning methods: composed of the same parts, not synthesised.
    **{
        name: Block(parts, _float_path, priced_like="dot_product")
        for name, parts in {
            "shift_lane": lambda s: _lane(s, adders=[s.bits]),
            "scale_lane": lambda s: _lane(s, products=1),
            "moments_lane": _moments,
            "columns_lane": _columns,
            "median_lane": _count,
            "output_scale_lane": _output_scale,
            "output_add_lane": lambda s: _lane(s, adders=[32]),
        }.items()
    },
}
