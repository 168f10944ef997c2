"""No crossbar: each lane takes the weight in front of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from accelsim.hardware.crossbars.base import CROSSBARS, Crossbar
from accelsim.mapping import Datapath
from accelsim.tech.source import CostSource


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

    kind: Annotated[Literal["none"], Field(description="Which design")]
    pipeline_stages: Literal[0] = Field(default=0, description="None: nothing is routed")

    @override
    def energy_pj(self, tech: CostSource, path: Datapath) -> Mapping[str, float]:
        return dict.fromkeys(self.action_names, 0.0)

    @override
    def area_um2(self, tech: CostSource, path: Datapath) -> float:
        return 0.0
