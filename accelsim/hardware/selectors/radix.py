"""Radix selection: magnitudes examined bit by bit, most significant first."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from accelsim.hardware.logic import shape
from accelsim.hardware.selectors.base import SELECTORS, Selector
from accelsim.mapping import Datapath


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
