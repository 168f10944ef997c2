"""Cascade selection: one maximum at a time, as in S2TA."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import override

from accelsim.hardware.gates import Cost, compaction, comparator, index_bits, mux, register
from accelsim.hardware.selectors.base import SELECTORS, Selector
from accelsim.tech.technology import Technology
from accelsim.workload import Datapath


@SELECTORS.register("cascade")
class Cascade(Selector):
    """Finds the largest magnitude left, takes it out, and repeats N times.

    Timing:
        iterative:  cycles_per_group = N + 1, latency = 2
        pipelined:  cycles_per_group = 1,     latency = N + 1

        The iterative kind takes the next group in the cycle in which it compacts the last one.

    Actions:
        group: N searches by a tree of M - 1 comparators, and compaction.

    Not modelled:
        Stopping early when only zeros are left.

    Example:
        One iterative instance at 2:4 needs 3 cycles for each of 8 groups.

        >>> from accelsim.hardware.examples import work
        >>> Cascade(kind="cascade").busy_cycles(work("2:4", tokens=2, reduction=16))
        array([24])

    Source: structure after S2TA (HPCA'22), which cascades N maximum searches.
    """

    kind: Literal["cascade"]
    pipelined: Annotated[bool, Field(strict=True)] = False

    @override
    def cycles_per_group(self, path: Datapath) -> int:
        return 1 if self.pipelined else path.kept_per_group + 1

    @override
    def latency_cycles(self, path: Datapath) -> int:
        return path.kept_per_group + 1 if self.pipelined else 2

    @override
    def cost(self, tech: Technology, path: Datapath) -> Cost:
        n, m, bits = path.kept_per_group, path.group_size, path.value_bits
        tagged = bits + index_bits(m)
        search = (m - 1) * (comparator(tech, bits) + mux(tech, 2, tagged))
        step = search + register(tech, m * (bits + 2))
        once = compaction(tech, n=n, m=m, bits=bits)
        if self.pipelined:
            return n * step + once
        return Cost((step + once).area_um2, (n * step + once).energy_pj)
