"""Rank selection: every pair compared at once."""

from __future__ import annotations

from typing import Literal

from typing_extensions import override

from accelsim.hardware.gates import Cost, compaction, comparator, index_bits, popcount, register
from accelsim.hardware.selectors.base import SELECTORS, Selector
from accelsim.tech.technology import Technology
from accelsim.workload import Datapath


@SELECTORS.register("rank")
class Rank(Selector):
    """Compares all pairs of a group; a value survives if fewer than N others beat it.

    Timing:
        cycles_per_group = 1, latency = 2: one stage ranks, one compacts.

    Actions:
        group: M (M - 1) / 2 comparisons of B bits, M counts of M - 1 wins, M tests against N,
        the values and flags held between the two stages, and compaction.

    Not modelled:
        Whether the M (M - 1) / 2 comparators of a large M meet the clock in one stage.

    Example:
        16 instances take the 8 × 96 / 4 = 192 groups of an 8 × 96 tile at 2:4 in 12 cycles.

        >>> from accelsim.hardware.examples import work
        >>> Rank(kind="rank", instances=16).busy_cycles(work("2:4", tokens=8, reduction=96))
        array([12])

    Source: structure after the all-pairs counts of `prior_art` (8:16: 120 comparators); cells as
    named in the technology table. To be replaced by synthesis of our own RTL.
    """

    kind: Literal["rank"]

    @override
    def cycles_per_group(self, path: Datapath) -> int:
        return 1

    @override
    def latency_cycles(self, path: Datapath) -> int:
        return 2

    @override
    def cost(self, tech: Technology, path: Datapath) -> Cost:
        m, bits = path.group_size, path.value_bits
        ranks = (m * (m - 1) // 2) * comparator(tech, bits) + m * popcount(tech, m - 1)
        survivors = m * comparator(tech, index_bits(m)) + register(tech, m * (bits + 1))
        return ranks + survivors + compaction(tech, n=path.kept_per_group, m=m, bits=bits)
