"""Selection by a bitonic network: sort blocks of N, keep the larger half of pairs of blocks."""

from __future__ import annotations

from typing import Literal

from typing_extensions import override

from accelsim.hardware.gates import Cost, compaction, comparator, gates, index_bits, mux, register
from accelsim.hardware.selectors.base import SELECTORS, Selector
from accelsim.tech.technology import Technology
from accelsim.workload import Datapath


@SELECTORS.register("bitonic")
class Bitonic(Selector):
    """A pipelined network of compare-exchange elements, one stage a cycle.

    With N and M padded to powers of two Q and P, P / Q blocks of Q are sorted; each merge level
    keeps the larger half of two blocks (Q exchanges) and sorts it again, except the last, which is
    sorted only if N < Q.

    Timing:
        cycles_per_group = 1, latency = depth + 1; depth = q (q + 1) / 2 + levels + (levels - 1) q
        with q = log2 Q and levels = log2 (P / Q); q more if N < Q < P. The extra cycle compacts.

    Actions:
        group: every compare-exchange (comparator and two multiplexers of value and index), the
        pipeline registers, and compaction, because sorting loses the index order.

    Not modelled:
        Exchanges that padding makes redundant.

    Example:
        8:16 has 2 × 24 + 8 = 56 exchanges in 6 + 1 = 7 stages (the best known network has 46).

        >>> network(8, 16)
        (56, 7)
        >>> network(2, 4), network(3, 4)
        ((4, 2), (6, 3))

    Source: K. Batcher, AFIPS 1968 (bitonic sort: Q / 4 × q (q + 1) exchanges).
    """

    kind: Literal["bitonic"]

    @override
    def cycles_per_group(self, path: Datapath) -> int:
        return 1

    @override
    def latency_cycles(self, path: Datapath) -> int:
        return network(path.kept_per_group, path.group_size)[1] + 1

    @override
    def cost(self, tech: Technology, path: Datapath) -> Cost:
        n, m, bits = path.kept_per_group, path.group_size, path.value_bits
        exchanges, depth = network(n, m)
        tagged = bits + index_bits(m)  # the index travels along, and breaks ties
        exchange = comparator(tech, tagged) + 2 * mux(tech, 2, tagged)
        pipeline = depth * register(tech, m * tagged)
        flags = gates(tech, n * m)  # N indices decoded into M flags
        return exchanges * exchange + pipeline + flags + compaction(tech, n=n, m=m, bits=bits)


def network(n: int, m: int) -> tuple[int, int]:
    """Return compare-exchange elements and depth of the network that finds N of M."""
    q, p = index_bits(n), index_bits(m)
    block, levels = 1 << q, p - q
    blocks = 1 << levels
    exchanges = blocks * (block * q * (q + 1) // 4) + (blocks - 1) * block
    exchanges += max(0, blocks - 2) * (block * q // 2)
    depth = q * (q + 1) // 2 + levels + max(0, levels - 1) * q
    if n < block and levels:  # Q values are left; sort them once more to drop the Q - N smallest
        exchanges, depth = exchanges + block * q // 2, depth + q
    return exchanges, depth
