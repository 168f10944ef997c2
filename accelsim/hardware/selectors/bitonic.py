"""Selection by a bitonic network: sort blocks of N, keep the larger half of pairs of blocks."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from accelsim.hardware.selectors.base import SELECTORS, Selector
from accelsim.mapping import Datapath
from accelsim.tech.blocks import network


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
