"""Selection by a bitonic network: sort blocks of N, keep the larger half of pairs of blocks."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from accelsim.hardware.selectors.base import SELECTORS, Selector
from accelsim.mapping import Datapath
from accelsim.tech.blocks import (
    BLOCKS,
    Block,
    Parts,
    Shape,
    index_bits,
    magnitude_bits,
    select_path,
)


@SELECTORS.register("bitonic")
class Bitonic(Selector):
    """A pipelined network of compare-exchange elements, one level a cycle.

    Magnitudes and indices are sorted; the values wait beside the network, and the winners' indices
    tell compaction which of them stay, because sorting loses the index order.

    Timing:
        See `Selector`; with N and M padded to powers of two Q = 2^q and P,

            depth = q (q + 1) / 2 + levels + (levels - 1) q, levels = log2 (P / Q);
                    q more if N < Q < P.

    Actions:
        See `Selector`.

    Not modelled:
        Several levels in one cycle, where the clock would allow it.

    Example:
        8:16 has 6 + 1 = 7 levels, and one cycle more to compact.

        >>> from accelsim.hardware.examples import path
        >>> Bitonic(kind="bitonic").latency_cycles(path("8:16"))
        8

    Source: K. Batcher, AFIPS 1968; `select_bitonic.sv`.
    """

    settles_late: ClassVar[bool] = True

    kind: Annotated[Literal["bitonic"], Field(description="Which design")]

    @override
    def block_name(self) -> str:
        return "select_bitonic"

    @override
    def depth(self, path: Datapath) -> int:
        return network(path.kept_per_group, path.group_size)[1]


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


def _parts(s: Shape) -> Parts:
    """Return the exchanges of magnitudes with their indices, and the registers of each level."""
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
        "magnitude_bits": magnitude_bits(s),
        "item_register_bits": registered,
        "register_bits": depth * (s.m * s.bits + 1),  # the values wait beside the network
    }


BLOCKS["select_bitonic"] = Block(_parts, select_path)
