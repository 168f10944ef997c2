"""Radix selection: magnitudes examined bit by bit, most significant first."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import override

from accelsim.hardware.gates import (
    Cost,
    adder,
    compaction,
    comparator,
    gates,
    index_bits,
    popcount,
    register,
)
from accelsim.hardware.selectors.base import SELECTORS, Selector
from accelsim.tech.technology import Technology
from accelsim.workload import Datapath


@SELECTORS.register("radix")
class Radix(Selector):
    """Decides one bit plane a cycle: if the ones still fit they are kept, else the zeros are out.

    Timing:
        With B magnitude bits, and one more cycle to settle ties and compact:

            iterative:  cycles_per_group = B + 1, latency = 2
            pipelined:  cycles_per_group = 1,     latency = B + 1

    Actions:
        group: B plane steps (flags, a count of M, a comparison with the room left) and compaction.

    Not modelled:
        Leaving early when the set is decided before the last plane (the iterative kind could).

    Example:
        One iterative instance needs 9 cycles for each of the two groups of an int8 8:16 tile.

        >>> from accelsim.hardware.examples import work
        >>> Radix(kind="radix").busy_cycles(work("8:16", tokens=2, reduction=16))
        array([18])

    Source: plane step as in `rtl_notes` (M-bit logic a plane); cells as in the technology table.
    """

    kind: Literal["radix"]
    pipelined: Annotated[bool, Field(strict=True)] = False

    @override
    def cycles_per_group(self, path: Datapath) -> int:
        return 1 if self.pipelined else path.value_bits + 1

    @override
    def latency_cycles(self, path: Datapath) -> int:
        return path.value_bits + 1 if self.pipelined else 2

    @override
    def cost(self, tech: Technology, path: Datapath) -> Cost:
        n, m, planes = path.kept_per_group, path.group_size, path.value_bits
        room = index_bits(n + 1)
        logic = gates(tech, 4 * m) + popcount(tech, m) + comparator(tech, room) + adder(tech, room)
        state = register(tech, 2 * m + room)  # kept flags, candidate flags, room left
        values = register(tech, m * path.value_bits)
        step = logic + state
        once = compaction(tech, n=n, m=m, bits=path.value_bits)
        if self.pipelined:
            return planes * (step + values) + once
        # One plane's logic is reused for every plane: its area once, its energy for each plane.
        area = (step + values + once).area_um2
        return Cost(area, (planes * step + values + once).energy_pj)
