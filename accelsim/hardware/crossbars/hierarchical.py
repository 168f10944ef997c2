"""A crossbar of two small levels: a short shift, then a long one."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from pydantic import Field

from accelsim.hardware.crossbars.base import CROSSBARS, Crossbar, lane_bits
from accelsim.tech.blocks import BLOCKS, Block, Parts, Shape, index_bits, value_path


@CROSSBARS.register("hierarchical")
class Hierarchical(Crossbar):
    """Moves a kept position by d mod S, then by the rest: S:1 and ((M - N) / S + 1):1 multiplexers.

    d is the number of dropped positions before it and S a power of two near sqrt(M - N + 1). Two
    levels as in HighLight (MICRO'23), but every N:M pattern passes, not only hierarchical ones.

    Timing, Actions:
        See `Crossbar`.

    Not modelled:
        As `full`.

    Example:
        16:32: M - N + 1 = 17 distances, S = 8: one value of 8 positions, then one of 3, where a
        window needs 17:1.

        >>> radix_of(17), (32 - 16) // radix_of(17) + 1
        (8, 3)

    Source: derived; `crossbar_hierarchical.sv`.
    """

    kind: Annotated[Literal["hierarchical"], Field(description="Which design")]


def radix_of(window: int) -> int:
    """Return the legs of the first level of a hierarchical crossbar, a power of two near sqrt."""
    return 1 << (index_bits(window) + 1) // 2


def _parts(s: Shape) -> Parts:
    """Count the legs of both levels: value i, with d dropped before it, comes from i + d."""
    near = radix_of(s.window)
    first = Counter(
        p
        for p, _ in {(i + d // near * near, d % near) for i in range(s.n) for d in range(s.window)}
    )
    second = {(i, d // near) for i in range(s.n) for d in range(s.window)}
    legs = sum(count for count in first.values() if count > 1)  # a single leg is a wire
    return {
        "near_leg_bits": s.groups * legs * s.bits * s.columns,
        "far_leg_bits": s.groups * len(second) * s.bits * s.columns,
        "places": s.groups * s.n * s.window,
        "lane_bits": lane_bits(s),
    }


BLOCKS["crossbar_hierarchical"] = Block(_parts, value_path)
