"""What streams share: a unit that moves tiles of several operands, one request after the other."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import ClassVar

from typing_extensions import override

from accelsim.hardware.unit import Unit
from accelsim.mapping import Ints, Work


class Direction(Enum):
    """Where a stream moves its tiles: READ brings them on chip, WRITE takes them away."""

    READ = "read"
    WRITE = "write"


READ, WRITE = Direction.READ, Direction.WRITE
Moves = Iterable[tuple[str, Direction]]
"""Operands (`tables`, `x`, `w`, `y`) with their direction, as of `Diagram.streams_on`."""


class Resource(Unit):
    """A channel that serves one request after the other, in program order: DRAM, a link.

    Which streams share it is said by the dataflow, so that it is asked stream by stream.

    Actions:
        read_bytes, write_bytes: bytes moved.
    """

    action_names: ClassVar[frozenset[str]] = frozenset({"read_bytes", "write_bytes"})
    moves: ClassVar[Moves] = (("tables", READ), ("x", READ), ("w", READ), ("y", WRITE))
    """What it moves where no dataflow says more: everything."""

    @abstractmethod
    def moved_bytes(self, operand: str, work: Work) -> Ints:
        """Return the bytes of an operand that each job moves, `[jobs]` or `[runs, jobs]`."""

    @abstractmethod
    def transfer_cycles(self, size_bytes: Ints, *, clock_mhz: float) -> Ints:
        """Return the cycles in which the resource moves so many bytes, of the same shape."""

    @override
    def busy_cycles(self, work: Work) -> Ints:
        parts = [
            self.transfer_cycles(self.moved_bytes(operand, work), clock_mhz=work.path.clock_mhz)
            for operand, _ in self.moves
        ]
        return sum(parts[1:], start=parts[0])

    @override
    def actions(self, work: Work) -> Mapping[str, int]:
        return self.actions_of(self.moves, work)

    def actions_of(self, moves: Moves, work: Work) -> dict[str, int]:
        """Count the bytes of some streams in a whole layer."""
        counts = {"read_bytes": 0, "write_bytes": 0}
        for operand, direction in moves:
            counts[f"{direction.value}_bytes"] += int(self.moved_bytes(operand, work).sum())
        return counts
