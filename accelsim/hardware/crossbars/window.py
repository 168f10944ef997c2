"""A windowed crossbar: index order bounds where the i-th kept value can stand."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from accelsim.hardware.crossbars.base import CROSSBARS, Crossbar
from accelsim.tech.blocks import BLOCKS, Block, Parts, Shape, value_path


@CROSSBARS.register("window")
class Window(Crossbar):
    """An (M - N + 1):1 multiplexer in front of every multiplier.

    Exactly N values a group in index order, padding included, put the i-th of them at one of the
    positions i … i + M - N. When N exceeds the lanes, one lane serves several i and its window
    grows by their distance.

    Timing, Actions:
        See `Crossbar`.

    Not modelled:
        As `full`.

    Example:
        16 lanes at 8:16: 2 groups × 8 values × 9 positions, 8 bits wide, for each of 8 columns.

        >>> from accelsim.hardware.examples import path
        >>> from accelsim.hardware.logic import shape
        >>> _parts(shape(path("8:16")))["leg_bits"] == 2 * 8 * 9 * 8 * 8
        True

    Source: derived; `crossbar_window.sv`.
    """

    has_modes: ClassVar[bool] = True

    kind: Annotated[Literal["window"], Field(description="Which design")]


def _parts(s: Shape) -> Parts:
    """Count the positions that each lane serves: those of all the values that take turns on it."""
    legs = {(i % s.lanes, i + d) for i in range(s.n) for d in range(s.window)}
    return {
        "leg_bits": s.groups * len(legs) * s.bits * s.columns,
        "places": s.groups * s.n * s.window,
    }


BLOCKS["crossbar_window"] = Block(_parts, value_path)
