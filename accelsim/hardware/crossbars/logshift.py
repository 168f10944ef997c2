"""A crossbar that compacts by shifting: every kept position moves down by what was dropped."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from accelsim.hardware.crossbars.base import CROSSBARS, Crossbar, lane_bits
from accelsim.tech.blocks import BLOCKS, Block, Parts, Shape, index_bits, value_path


@CROSSBARS.register("logshift")
class Logshift(Crossbar):
    """Stages of 2:1 multiplexers; stage k moves a position down by 2^k if its distance says so.

    The distance of a position is the number of dropped ones before it, at most M - N. It never
    shrinks along the group, so the moves, smallest first, never collide.

    Timing, Actions:
        See `Crossbar`.

    Not modelled:
        As `full`.

    Example:
        2:4 needs distances up to 2: two stages, each of 2 multiplexers (positions 0 and 1).

        >>> _parts(Shape(n=2, m=4, bits=8, lanes=2))["mux_bits"]
        32

    Source: `crossbar_logshift.sv`; the compress operation of bit-manipulation instruction sets.
    """

    kind: Annotated[Literal["logshift"], Field(description="Which design")]


def _parts(s: Shape) -> Parts:
    """Count 2:1 multiplexers: where a value can arrive, and a later stage or an output reads."""
    muxes, read = 0, set(range(s.n))
    for stage in reversed(range(index_bits(s.window))):
        step = 1 << stage
        arrivals = {
            i + (d >> stage + 1 << stage + 1)
            for i in range(s.n)
            for d in range(s.window)
            if d & step
        }
        muxes += len(read & arrivals)
        read |= {p + step for p in read & arrivals}
    return {
        "mux_bits": s.groups * muxes * s.bits * s.columns,
        "places": s.groups * s.n * s.window,
        "lane_bits": lane_bits(s),
    }


BLOCKS["crossbar_logshift"] = Block(_parts, value_path)
