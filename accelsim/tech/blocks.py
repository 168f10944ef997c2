"""Blocks of logic: the sizes that one is built for, and what it is made of at these sizes.

A part is counted: comparator bits, multiplexer legs, flip-flops and so on. The parts of a block
stand in the file of the unit that it belongs to, which registers them in `BLOCKS`; importing
`accelsim.hardware` registers all of them. Cost sources price blocks (`accelsim.tech.source`).

Symbols: N kept values in a group of M, B bits a value, K bits of its magnitude, L lanes, C columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import log2

from accelsim.base.errors import InputError

Parts = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Parameters of a block; those that it does not have are ignored.

    `exponent_bits` is the width of the exponent of a product of two floats, `score_bits` that of
    what is ranked where that is not the values themselves, `scale_lanes` the lanes whose values
    share a scale where values have scales in blocks, `code_bits` that of a code of W where W
    is not stored as the multipliers take it. Of a block with modes, `modes` has N and M of each,
    the largest last, and `n`, `m` are those of the mode that it is in. `stored` are the values of a
    group of W, and `queue` the groups, that a lane holds which joins masks.
    """

    n: int = 1
    m: int = 1
    bits: int = 8
    is_float: bool = False
    significand_bits: int = 8
    exponent_bits: int = 8
    lanes: int = 1
    scale_lanes: int = 1
    columns: int = 1
    score_bits: int = 0
    code_bits: int = 0
    stored: int = 1
    queue: int = 1
    modes: tuple[tuple[int, int], ...] = ()

    @property
    def key_bits(self) -> int:
        """Bits of a magnitude: all of an integer's, since -128 has 128; a float's without sign."""
        return (self.score_bits or self.bits) - self.is_float

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
"""Blocks by the names that technology tables use; filled by the files of the units."""


def block(name: str) -> Block:
    """Return a block by name; raise InputError with the known names otherwise."""
    if name not in BLOCKS:
        raise InputError(f"unknown block '{name}'; allowed: {', '.join(sorted(BLOCKS))}")
    return BLOCKS[name]


def index_bits(positions: int) -> int:
    """Return the bits that tell `positions` apart: ceil(log2 positions)."""
    return (positions - 1).bit_length()


def magnitude_bits(shape: Shape) -> int:
    """Return the bits that taking a magnitude negates: none of a float."""
    return 0 if shape.is_float else shape.m * shape.bits


def select_path(s: Shape) -> Parts:
    """Return what the critical path of a selector grows with.

    Trees grow with logarithms, chains with lengths.
    """
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


def value_path(s: Shape) -> Parts:
    """Return what the critical path grows with of a block that moves values and ranks nothing."""
    return select_path(replace(s, score_bits=0))
