"""A crossbar that compacts by shifting: every kept position moves down by what was dropped."""

from __future__ import annotations

from typing import Literal

from typing_extensions import override

from accelsim.hardware.crossbars.base import CROSSBARS, Crossbar
from accelsim.workload import Datapath


@CROSSBARS.register("hierarchical")
class Hierarchical(Crossbar):
    """X."""

    kind: Literal["hierarchical"]

    @override
    def legs(self, path: Datapath) -> int:
        return 2 * (path.group_size - path.kept_per_group).bit_length()
