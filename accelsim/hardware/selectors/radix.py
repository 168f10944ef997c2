"""Radix selection: magnitudes examined bit by bit, most significant first."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from accelsim.hardware.logic import shape
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


@SELECTORS.register("radix")
class Radix(Selector):
    """Decides one bit plane a step: if the ones still fit they are kept, else the zeros are out.

    Timing:
        See `Selector`; with K bits of magnitude (8 of int8, 15 of bf16) it takes K steps a group
        or, `pipelined`, has depth K. Ties are settled before compaction.

    Actions:
        See `Selector`.

    Not modelled:
        Leaving early when the set is decided before the last plane (the iterative kind could).

    Example:
        One iterative instance needs 9 cycles for each of the two groups of an int8 8:16 tile.

        >>> from accelsim.hardware.examples import work
        >>> Radix(kind="radix").busy_cycles(work("8:16", tokens=2, reduction=16))
        array([18])

    Source: `select_radix.sv`.
    """

    settles_late: ClassVar[bool] = True

    kind: Annotated[Literal["radix"], Field(description="Which design")]
    pipelined: Annotated[
        bool,
        Field(strict=True),
        Field(description="Starts a new group every cycle, at the area of all its steps"),
    ] = False

    @override
    def block_name(self) -> str:
        return "select_radix_pipelined" if self.pipelined else "select_radix"

    @override
    def steps(self, path: Datapath) -> int:
        return 0 if self.pipelined else shape(path).key_bits

    @override
    def depth(self, path: Datapath) -> int:
        return shape(path).key_bits if self.pipelined else 1


def _parts(s: Shape) -> Parts:
    """Return one bit plane, and registers that a group stays in until its last one."""
    room = index_bits(s.n + 1)
    return {
        "plane_flags": s.m,
        "planes": room,
        "value_bits": s.m * s.held_bits,
        "magnitude_bits": magnitude_bits(s),
        "register_bits": s.m * (s.held_bits + 2) + room + s.key_bits + 1,
    }


def _pipelined_parts(s: Shape) -> Parts:
    """Return all K bit planes, a group's values in registers behind each."""
    room = index_bits(s.n + 1)
    return {
        "plane_flags": s.key_bits * s.m,
        "planes": s.key_bits * room,
        "magnitude_bits": magnitude_bits(s) * s.key_bits,  # made again in each plane
        "register_bits": s.key_bits * (s.m * (s.held_bits + 2) + room + 1),
    }


BLOCKS["select_radix"] = Block(_parts, select_path)
BLOCKS["select_radix_pipelined"] = Block(_pipelined_parts, select_path)
