"""A crossbar of two small levels: a short shift, then a long one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from accelsim.hardware.crossbars.base import CROSSBARS, Crossbar


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

        >>> from accelsim.tech.blocks import radix_of
        >>> radix_of(17), (32 - 16) // radix_of(17) + 1
        (8, 3)

    Source: derived; `crossbar_hierarchical.sv`.
    """

    kind: Annotated[Literal["hierarchical"], Field(description="Which design")]
