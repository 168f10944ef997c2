"""No crossbar: each lane takes the weight in front of it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from accelsim.hardware.crossbars.base import CROSSBARS, Crossbar
from accelsim.workload import Datapath


@CROSSBARS.register("none")
class NoCrossbar(Crossbar):
    """Wires, for a dense array: no area, no energy, no latency.

    Timing:
        As `Crossbar`, latency 0.

    Actions:
        As `Crossbar`, at no cost.

    Not modelled:
        Wire load.

    Example:
        >>> from accelsim.hardware.examples import work
        >>> NoCrossbar(kind="none").busy_cycles(work("dense", tokens=8, reduction=33, columns=16))
        array([6])
    """

    is_routing: ClassVar[bool] = False

    kind: Literal["none"]
    pipeline_stages: Literal[0] = Field(default=0)

    @override
    def legs(self, path: Datapath) -> int:
        return 1
