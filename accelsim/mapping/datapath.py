"""What one step of the machine consumes: the facts that tiling, units and cost all need.

Symbols, used in every formula: R rows (tokens), C columns (outputs), L lanes of the MAC array;
N kept values in a group of M; T tokens, K input features, O output features of a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from accelsim.precision import OperandFormat, Operands
from accelsim.sparsity.demands import Demands

Ints = NDArray[np.int64]
Count = TypeVar("Count", int, Ints)


def ceil_div(value: Count, divisor: int) -> Count:
    """Return ceil(value / divisor) for integers or integer arrays."""
    return -(-value // divisor)


def bytes_of(bits: Count) -> Count:
    """Return the whole bytes that hold `bits`."""
    return ceil_div(bits, 8)


def stacked(arrays: Sequence[Ints]) -> Ints:
    """Put arrays `[jobs]` or `[runs, jobs]` on top of each other: `[runs,] arrays, jobs`."""
    return np.stack(np.broadcast_arrays(*arrays), axis=-2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Datapath:
    """Shape of the MAC array and of the groups that stream through it.

    A dense machine has groups of one value (N = M = 1), which makes every formula below hold for
    it too.

    Example:
        16 lanes at 8:16 take two groups a step, so 40 values (3 groups, the last one padded) take
        2 steps; dense, they take ceil(40 / 16) = 3.

        >>> sparse = Datapath(rows=8, columns=8, lanes=16, accumulator_bits=32,
        ...     kept_per_group=8, group_size=16, metadata_bits_per_group=16)
        >>> sparse.groups(40), sparse.stored_values(40), sparse.steps(40)
        (3, 24, 2)
    """

    rows: int
    columns: int
    lanes: int
    accumulator_bits: int
    formats: Operands = Operands()  # noqa: RUF009 - immutable
    clock_mhz: float = 1000.0
    kept_per_group: int = 1
    group_size: int = 1
    metadata_bits_per_group: int = 0
    metadata_format: str = "bitmask"
    score_bits: int = 0  # of what is ranked, where that is not the values themselves
    demands: Demands = Demands()  # noqa: RUF009 - immutable
    kept_share: float | None = None  # of a token, where no groups tell
    is_gathered: bool = False  # X and W are compacted to the positions that some token keeps
    modes: tuple[tuple[int, int], ...] = ()  # N and M of each, the largest last; these are one's

    @property
    def x(self) -> OperandFormat:
        """The format of X, which the multipliers take."""
        return self.formats.x

    @property
    def w(self) -> OperandFormat:
        """The format of W as it is stored; it is unpacked to that of X where it is narrower."""
        return self.formats.w

    @property
    def y(self) -> OperandFormat:
        """The format to which finished sums are rounded."""
        return self.formats.y

    @property
    def is_sparse(self) -> bool:
        """Whether values are selected, as opposed to streamed whole."""
        return self.group_size > 1 or self.kept_share is not None

    @property
    def as_built(self) -> Datapath:
        """The datapath of the logic: in the largest of its modes, where it has several."""
        if not self.modes:
            return self
        kept, size = self.modes[-1]
        return replace(self, kept_per_group=kept, group_size=size)

    @property
    def groups_at_once(self) -> int:
        """Groups that fill one selector: in a mode, as many as fit into the largest group."""
        return self.as_built.group_size // self.group_size

    @property
    def macs_per_cycle(self) -> int:
        """Multipliers: R × C × L."""
        return self.rows * self.columns * self.lanes

    @property
    def lane_group(self) -> tuple[int, int]:
        """The N values of M positions of K that lanes take together.

        Those of a group of X, or of a block of W where W is the sparse operand.
        """
        if self.w.is_sparse:
            return self.w.kept_per_block, self.w.block
        return self.kept_per_group, self.group_size

    @property
    def groups_per_step(self) -> int:
        """Whole groups that the lanes take at once; lanes beyond them idle (16 lanes, 3:4: 5)."""
        return max(1, self.lanes // self.lane_group[0])

    @property
    def steps_per_group(self) -> int:
        """Steps of one group when it keeps more values than there are lanes."""
        return ceil_div(self.lane_group[0], self.lanes)

    @property
    def positions_per_step(self) -> int:
        """Positions of K of which both operands must be present in one step."""
        return self.groups_per_step * self.lane_group[1]

    @property
    def grain(self) -> int:
        """Positions of K that no tile cuts apart: the M of what lanes take together."""
        return self.lane_group[1]

    @property
    def seen_from_weights(self) -> Datapath:
        """The same array with X and W in each other's place, as a crossbar of X finds it.

        Rows are columns then, and the groups are the blocks of W.
        """
        w, plain = self.w, replace(self.w, kept_per_block=1, block=1, metadata_bits=0)
        return replace(
            self,
            rows=self.columns,
            columns=self.rows,
            formats=replace(self.formats, w=plain),
            kept_per_group=w.kept_per_block,
            group_size=w.block,
            metadata_bits_per_group=w.metadata_bits,
        )

    def groups(self, reduction: Count) -> Count:
        """Return the groups in `reduction` positions of K, the last one padded with zeros."""
        return ceil_div(reduction, self.group_size)

    def stored_values(self, reduction: Count) -> Count:
        """Return the stored values for `reduction` positions: N in every group, padding included.

        The padding is kept because a crossbar with a window needs exactly N values a group.
        """
        return self.groups(reduction) * self.kept_per_group

    def steps(self, reduction: Count) -> Count:
        """Return the cycles in which a row consumes `reduction` positions of K."""
        groups = ceil_div(reduction, self.grain)
        return ceil_div(groups, self.groups_per_step) * self.steps_per_group

    def compressed_bits(self, reduction: Count, scales: Count | int = 0) -> Count:
        """Return the bits of one token's kept values, metadata and scales of blocks, if any."""
        group_bits = self.kept_per_group * self.x.bits + self.metadata_bits_per_group
        return self.groups(reduction) * group_bits + scales * self.x.scale_bits

    def compressed_bytes(self, tokens: Count, reduction: Count, scales: Count | int = 0) -> Count:
        """Return the bytes of a compressed tile; each token's row begins with a whole byte."""
        return tokens * bytes_of(self.compressed_bits(reduction, scales))
