"""The protocol that prices come through: what logic, memories and wires cost in one technology.

A technology is one implementation. `accelsim.tech.technology` prices the parts of blocks by a fit
to synthesis; a table from a paper, or from a design kit of your own, is another class beside it,
registered by the `kind` that its files name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import ClassVar, Literal, Self

from accelsim.base.errors import InputError
from accelsim.base.registry import Registry
from accelsim.base.yaml_source import YamlSource
from accelsim.tech.blocks import Shape
from accelsim.tech.dram import DramCost, published_dram
from accelsim.tech.scaling import area_ratio
from accelsim.tech.sram import SramCost, scaled_sram_cost

Effort = Literal["area", "delay"]


@dataclass(frozen=True, slots=True)
class BlockCost:
    """One instance of a block as it is synthesised for a clock.

    Attributes:
        parts_um2: combinational area by part.
        register_um2: area of the flip-flops.
        register_bits: flip-flops.
        delay_ps: its slowest path between flip-flops or ports, without wires.
        effort: `area`, or `delay` where the small netlist would miss the clock.
    """

    parts_um2: Mapping[str, float]
    register_um2: float
    register_bits: int
    delay_ps: float
    effort: Effort = "area"

    @property
    def logic_um2(self) -> float:
        """Combinational area."""
        return sum(self.parts_um2.values())

    @property
    def area_um2(self) -> float:
        """Area, flip-flops included."""
        return self.logic_um2 + self.register_um2

    def cycles(self, period_ps: float) -> int:
        """Return the clock periods that the slowest path takes."""
        return clock_periods(self.delay_ps, period_ps)


@dataclass(frozen=True, slots=True)
class WireCost:
    """A bundle of wires on the chip.

    Attributes:
        energy_pj: of one transfer over all its bits.
        delay_ps: from one end to the other, repeaters included.
        area_um2: of its repeaters.
    """

    energy_pj: float
    delay_ps: float
    area_um2: float


def clock_periods(delay_ps: float, period_ps: float) -> int:
    """Return the clock periods that a path takes, at least one."""
    return max(1, ceil(delay_ps / period_ps))


class CostSource(ABC):
    """Prices of one technology at one node.

    What an implementation does not know it refuses with an InputError that names it: a price of 0
    would be taken for a free part. Memories are CACTI's and DRAM energies published ones unless an
    implementation has its own; wires are refused by all that do not override `wire`.

    Attributes:
        name: of the technology, for messages.
        node_nm: process node.
        register_um2: area of one flip-flop.
        register_pj: energy of one flip-flop in a cycle, clock pin included.
        leakage_nw_per_um2: static power of logic by its area.
        nand2_um2: area of the smallest NAND2, the unit of gate equivalents.
        scope: what the areas are of, and are not; printed below every table of areas.
        block_scope: the same for a block on its own.
    """

    name: str
    node_nm: float
    register_um2: float
    register_pj: float
    leakage_nw_per_um2: float
    nand2_um2: float
    scope: ClassVar[str]
    block_scope: ClassVar[str]

    @classmethod
    @abstractmethod
    def read(cls, file: YamlSource) -> Self:
        """Return the prices of a technology file, at the node of the file.

        Raises:
            InputError: not a file of this kind.
        """

    @abstractmethod
    def block(self, name: str, shape: Shape, *, period_ps: float | None = None) -> BlockCost:
        """Return the cost of one instance of a block.

        Args:
            name: of `BLOCKS`.
            shape: its sizes.
            period_ps: clock period to meet if that is possible; default: none, the smallest.

        Raises:
            InputError: the block, or a part of it, has no price.
        """

    @abstractmethod
    def energy_pj(self, name: str, action: str, area_um2: float) -> float:
        """Return the energy of one action of a block.

        Args:
            name: of the block.
            action: what it does once, e.g. `group` of a selector.
            area_um2: area of the logic that switches; a source that knows the energy of the
                action as such has no use for it.

        Raises:
            InputError: the action has no price.
        """

    @abstractmethod
    def origin(self, name: str) -> str:
        """Return where the prices of a block come from."""

    def at_node(self, node_nm: float) -> Self:
        """Return the same prices scaled to another node; raise InputError if that is unknown."""
        if node_nm != self.node_nm:
            raise InputError(f"technology '{self.name}' knows {self.node_nm:g} nm only")
        return self

    def check_node(self) -> None:
        """Raise InputError if memories have no price at this node."""
        area_ratio(45, self.node_nm)

    def cut_block(self, name: str, shape: Shape, stages: int) -> BlockCost:  # noqa: ARG002
        """Return the cost of a block with each of its paths cut into `stages` by flip-flops.

        Raises:
            InputError: it is not known what that takes.
        """
        raise InputError(f"technology '{self.name}' cannot pipeline {name}")

    def gate_equivalents(self, area_um2: float) -> float:
        """Return an area in units of the smallest NAND2."""
        return area_um2 / self.nand2_um2

    def sram(self, *, capacity_bytes: int, width_bytes: int, banks: int) -> SramCost:
        """Return the cost of an on-chip memory of `banks` banks, all of this access width."""
        return scaled_sram_cost(
            capacity_bytes=capacity_bytes,
            width_bytes=width_bytes,
            banks=banks,
            node_nm=self.node_nm,
        )

    def dram(self, standard: str) -> DramCost:
        """Return the cost of moving a bit to or from DRAM of this standard, e.g. `lpddr4`."""
        return published_dram(standard)

    def wire(self, bits: int, length_um: float) -> WireCost:
        """Return the cost of `bits` wires of this length.

        Raises:
            InputError: this technology has no wires.
        """
        raise InputError(
            f"technology '{self.name}' does not price wires ({bits} bits over {length_um:g} um)"
        )


SOURCES: Registry[CostSource] = Registry("kind of technology")
