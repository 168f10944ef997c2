"""A full crossbar: any position of the group to any lane."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from accelsim.hardware.crossbars.base import CROSSBARS, Crossbar
from accelsim.tech.blocks import BLOCKS, Block, Parts, Shape, value_path


@CROSSBARS.register("full")
class Full(Crossbar):
    """An M:1 multiplexer in front of every multiplier, steered by indices in any order.

    Timing, Actions:
        See `Crossbar`.

    Not modelled:
        Wires of the broadcast.

    Example:
        A 2 × 32 × 2 tile at 8:16, 16 lanes, one 8 × 8 block: one step; 2 × 2 × 16 weights routed,
        2 × 2 groups decoded.

        >>> from accelsim.hardware.examples import work
        >>> tile = work("8:16", tokens=2, reduction=32, columns=2)
        >>> Full(kind="full").busy_cycles(tile), dict(Full(kind="full").actions(tile))
        (array([1]), {'route': 64, 'decode': 4})

    Source: `crossbar_full.sv`; one 4:1 multiplexer a multiplier in NVIDIA's 2:4 (Eureka, MICRO'23
    abstract).
    """

    decodes: ClassVar[str] = "index"

    kind: Annotated[Literal["full"], Field(description="Which design")]


def _parts(s: Shape) -> Parts:
    """Return M legs a lane in use; one index a lane, or one of several that take turns."""
    lanes = min(s.lanes, s.groups * s.n)
    return {
        "leg_bits": lanes * s.m * s.bits * s.columns,
        "places": lanes * s.m,
        "substep_bits": lanes * s.substeps * s.index_bits if s.substeps > 1 else 0,
    }


BLOCKS["crossbar_full"] = Block(_parts, value_path)
