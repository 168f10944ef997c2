"""Area and energy of small logic blocks, composed from published cells and operators.

Energies assume that every gate of a block switches once an operation, as the sources measured their
operators; correlation between operands is not modelled.
"""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.tech.technology import Technology


@dataclass(frozen=True, slots=True)
class Cost:
    """Area of a block and energy of one operation of it."""

    area_um2: float = 0.0
    energy_pj: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.area_um2 + other.area_um2, self.energy_pj + other.energy_pj)

    def __rmul__(self, copies: int) -> Cost:
        return Cost(copies * self.area_um2, copies * self.energy_pj)


def index_bits(positions: int) -> int:
    """Return the bits that tell `positions` apart: ceil(log2 positions)."""
    return (positions - 1).bit_length()


def comparator(tech: Technology, bits: int) -> Cost:
    """Return a magnitude comparator."""
    per_bit = Cost(tech.area_um2("comparator_um2_per_bit"), tech.energy_pj("comparator_pj_per_bit"))
    return bits * per_bit


def adder(tech: Technology, bits: int) -> Cost:
    """Return a ripple adder: one full adder a bit."""
    return bits * Cost(tech.area_um2("full_adder_um2"), tech.energy_pj("adder_pj_per_bit"))


def popcount(tech: Technology, inputs: int) -> Cost:
    """Return a counter of ones: about one full adder for each input but the first."""
    return adder(tech, max(0, inputs - 1))


def mux(tech: Technology, legs: int, bits: int) -> Cost:
    """Return a `legs`:1 multiplexer as a tree of legs - 1 two-way multiplexers."""
    per_bit = Cost(tech.area_um2("mux2_um2"), tech.energy_pj("mux2_pj_per_bit"))
    return bits * ((legs - 1) * per_bit)


def register(tech: Technology, bits: int) -> Cost:
    """Return flip-flops."""
    per_bit = Cost(tech.area_um2("register_um2_per_bit"), tech.energy_pj("register_pj_per_bit"))
    return bits * per_bit


def gates(tech: Technology, count: int) -> Cost:
    """Return `count` two-input gates."""
    return count * Cost(tech.area_um2("nand2_um2"), tech.energy_pj("gate_pj"))


def prefix_count(tech: Technology, inputs: int, largest: int) -> Cost:
    """Return running counts of ones over `inputs` flags, each up to `largest`."""
    return (inputs - 1) * adder(tech, index_bits(largest + 1))


def compaction(tech: Technology, *, n: int, m: int, bits: int) -> Cost:
    """Return the network that moves N flagged values out of M, in index order.

    The i-th kept value stands at one of the positions i … i + M - N, so each output needs an
    (M - N + 1):1 multiplexer of the value and its index, steered by a running count of the flags.
    """
    outputs = n * mux(tech, m - n + 1, bits + index_bits(m))
    return outputs + prefix_count(tech, m, n) + register(tech, n * (bits + index_bits(m)))
