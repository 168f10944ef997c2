"""How the operands of a product are stored: a format each for X, W and Y, scales included.

As text, `int8` is all three in int8; `int8/int4:64` is X and Y in int8 and W in int4 with a scale
for 64 values along K (W4A8); `fp8/fp8/bf16` names Y, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from accelsim.base.errors import InputError, shown
from accelsim.precision.base import PRECISIONS, Precision

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Count = TypeVar("Count", int, NDArray[np.int64])

GROUPS = (32, 64, 128)  # values along K that may share a scale
DEFAULT_GROUP = 128
_MOST_PARTS = 3


@dataclass(frozen=True, slots=True)
class OperandFormat:
    """How one operand is stored.

    Attributes:
        precision: its number format, by name.
        bits: of a value.
        group: values along K that have a scale beside them; 0: no scales are stored beside values.
        scale_bits: of such a scale.
        kept_per_block: values that are stored of every block of `block` values along K, where the
            others are known to be zero; N = M = 1: all are stored.
        block: positions of K in such a block, M.
        metadata_bits: what says where in its block each of the N stood, a block.
    """

    precision: str = "int8"
    bits: int = 8
    group: int = 0
    scale_bits: int = 0
    kept_per_block: int = 1
    block: int = 1
    metadata_bits: int = 0

    @property
    def is_sparse(self) -> bool:
        """Whether only a part of the values is stored."""
        return self.block > 1

    def stored_values(self, reduction: Count) -> Count:
        """Return the values stored of `reduction` along K: N of every block, the last one padded.

        >>> OperandFormat(kept_per_block=2, block=4).stored_values(10)
        6
        """
        return -(-reduction // self.block) * self.kept_per_block

    def kept_count(self, length: int) -> int:
        """Return how many of `length` values along K may be other than zero, padding apart."""
        whole, rest = divmod(length, self.block)
        return whole * self.kept_per_block + min(rest, self.kept_per_block)

    def scales(self, reduction: Count, start: Count | int = 0) -> Count:
        """Return the scales of `reduction` values along K that begin at `start`: one a group.

        >>> OperandFormat("int4", 4, 32, 8).scales(32, start=48)  # a half of two groups
        2
        """
        if not self.group:
            return reduction * 0
        return -(-(start + reduction) // self.group) - start // self.group

    def most_scales(self, reduction: Count, whole: int) -> Count:
        """Return the scales of the tile with most of them, if `whole` values are cut by so many."""
        # The last place in a group where a tile may begin; a whole row begins at 0.
        latest = (self.group - np.gcd(reduction, self.group)) * (reduction < whole)
        scales = self.scales(np.minimum(reduction, whole), latest)
        return scales if isinstance(reduction, np.ndarray) else int(scales)

    def row_bits(self, reduction: Count, start: Count | int = 0) -> Count:
        """Return the bits of `reduction` values along K that begin at `start`, and their scales.

        >>> OperandFormat("nvfp4", 4, 16, 8).row_bits(64)
        288
        """
        bits = reduction * self.bits
        return bits + self.scales(reduction, start) * self.scale_bits if self.group else bits

    def tile_bits(self, reduction: Count, vectors: Count, scales: Count | int = 0) -> Count:
        """Return the bits of `vectors` of `reduction` values along K, and of `scales` of each.

        Of a sparse operand, those of the values that are stored, and of their metadata.

        >>> OperandFormat("int8", 8, kept_per_block=2, block=4, metadata_bits=4).tile_bits(8, 1)
        40
        """
        if self.is_sparse:
            blocks = -(-reduction // self.block)
            block_bits = self.kept_per_block * self.bits + self.metadata_bits
            return vectors * (blocks * block_bits + scales * self.scale_bits)
        return vectors * (reduction * self.bits + scales * self.scale_bits)

    def __str__(self) -> str:
        is_own = self.group == PRECISIONS[self.precision].block
        number = self.precision if is_own else f"{self.precision}:{self.group}"
        return f"{number} {self.kept_per_block}:{self.block}" if self.is_sparse else number


@dataclass(frozen=True, slots=True)
class Operands:
    """The formats of a product's operands. Multipliers take that of X; see `accelsim.precision`."""

    x: OperandFormat = OperandFormat()
    w: OperandFormat = OperandFormat()
    y: OperandFormat = OperandFormat()

    @classmethod
    def of(
        cls, x: str, w: str | None = None, y: str | None = None, *, group: int | None = None
    ) -> Operands:
        """Return the formats by their names; W is by default as X, and Y, too (of fp4: bf16).

        W is X's own format, or integers of fewer bits in groups (default: of 128), which are
        unpacked in front of the multipliers. Y is of any width, as long as sums can be rounded to
        it: an integer if X is one, else a float.

        Raises:
            InputError: an unknown format, or formats that do not go together.
        """
        kind = PRECISIONS[x]
        return cls(
            _plain(kind), _weights(kind, w or x, group), _outputs(kind, y or usual_outputs(x))
        )

    @classmethod
    def parse(cls, text: str) -> Operands:
        """Return the formats that a text such as `int8/int4:64` names.

        >>> str(Operands.parse("int8/int4:64")), Operands.parse("bf16/int4").w.group
        ('int8/int4:64', 128)

        Raises:
            InputError: it is no such text, or names what does not go together.
        """
        return _parsed(text)

    def with_weights(self, kept_per_block: int, block: int, metadata_bits: int) -> Operands:
        """Return the same with a W of which N of every M values along K are stored."""
        stored = replace(
            self.w, kept_per_block=kept_per_block, block=block, metadata_bits=metadata_bits
        )
        return replace(self, w=stored)

    @property
    def unpacks(self) -> bool:
        """Whether W is narrower than what the multipliers take."""
        return self.w.precision != self.x.precision

    def __str__(self) -> str:
        if self.y.precision != usual_outputs(self.x.precision):
            return f"{self.x}/{self.w}/{self.y}"
        return f"{self.x}/{self.w}" if self.w != self.x else str(self.x)


@lru_cache(maxsize=256)
def _parsed(text: str) -> Operands:
    parts = [part.strip() for part in text.split("/")]
    if len(parts) > _MOST_PARTS or (len(parts) > 1 and "" in parts):
        raise InputError(f"precision '{shown(text)}': write X, X/W or X/W/Y, such as int8/int4:64")
    x, w, y = [*parts, None, None][:_MOST_PARTS]
    assert x is not None
    name, colon, group = (w or x).partition(":")
    if colon and not (group.isascii() and group.isdecimal()):
        raise InputError(f"precision '{shown(text)}': allowed groups: {_groups()} values of K")
    return Operands.of(x, name, y, group=int(group) if colon else None)


def usual_outputs(x: str) -> str:
    """Return the format of Y where only that of X is given."""
    return PRECISIONS[x].outputs or x


def _plain(kind: type[Precision]) -> OperandFormat:
    return OperandFormat(kind.name, kind.value_bits, kind.block, kind.scale_bits)


def _weights(x: type[Precision], name: str, group: int | None) -> OperandFormat:
    kind = PRECISIONS[name]
    if name == x.name:
        if group is not None:
            raise InputError(
                f"W of format '{name}' is as X and has no groups of its own; formats in groups: "
                f"{', '.join(_narrower(x)) or 'none'}"
            )
        return _plain(kind)
    if name not in _narrower(x):
        allowed = ", ".join([x.name, *_narrower(x)])
        raise InputError(
            f"W of format '{name}' does not go with X of format '{x.name}', which the multipliers "
            f"take; allowed: {allowed}"
        )
    group = DEFAULT_GROUP if group is None else group
    if group not in GROUPS:
        raise InputError(f"group {group}: allowed: {_groups()} values of K with one scale")
    return OperandFormat(name, kind.value_bits, group, x.value_bits)


def _outputs(x: type[Precision], name: str) -> OperandFormat:
    kind = PRECISIONS[name]
    fit = [y for y in PRECISIONS if PRECISIONS[y].is_float() == x.is_float()]
    if kind.block:
        allowed = sorted(y for y in fit if not PRECISIONS[y].block)
        raise InputError(
            f"Y of format '{name}' would need a scale for {kind.block} outputs, which no unit "
            f"finds; allowed: {', '.join(allowed)}"
        )
    if name not in fit:
        allowed = sorted(y for y in fit if not PRECISIONS[y].block)
        raise InputError(
            f"Y of format '{name}' does not go with X of format '{x.name}': sums are "
            f"{'floats' if x.is_float() else 'integers'}; allowed: {', '.join(allowed)}"
        )
    return _plain(kind)


def _narrower(x: type[Precision]) -> list[str]:
    """Return the integer formats that are unpacked to X's."""
    return [
        name
        for name in sorted(PRECISIONS)
        if not PRECISIONS[name].is_float() and PRECISIONS[name].value_bits < x.value_bits
    ]


def _groups() -> str:
    return ", ".join(map(str, GROUPS))
