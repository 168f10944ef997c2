"""Cascade selection: one maximum at a time, as in S2TA."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import override

from accelsim.hardware.selectors.base import SELECTORS, Selector
from accelsim.mapping import Datapath


@SELECTORS.register("cascade")
class Cascade(Selector):
    """Finds the largest magnitude left, takes it out, and repeats N times.

    Timing:
        See `Selector`; N steps a group or, `pipelined`, depth N.

    Actions:
        See `Selector`.

    Not modelled:
        Stopping early when only zeros are left.

    Example:
        One iterative instance at 2:4 needs 3 cycles for each of 8 groups.

        >>> from accelsim.hardware.examples import work
        >>> Cascade(kind="cascade").busy_cycles(work("2:4", tokens=2, reduction=16))
        array([24])

    Source: structure after S2TA (HPCA'22), which cascades N maximum searches; `select_cascade.sv`.
    """

    kind: Annotated[Literal["cascade"], Field(description="Which design")]
    pipelined: Annotated[
        bool,
        Field(strict=True),
        Field(description="Starts a new group every cycle, at the area of all its steps"),
    ] = False

    @override
    def block_name(self) -> str:
        return "select_cascade_pipelined" if self.pipelined else "select_cascade"

    @override
    def steps(self, path: Datapath) -> int:
        return 0 if self.pipelined else path.kept_per_group

    @override
    def depth(self, path: Datapath) -> int:
        return path.kept_per_group if self.pipelined else 1
