"""A windowed crossbar: index order bounds where the i-th kept value can stand."""

from __future__ import annotations

from typing import Literal

from typing_extensions import override

from accelsim.hardware.crossbars.base import CROSSBARS, Crossbar
from accelsim.workload import Datapath


@CROSSBARS.register("window")
class Window(Crossbar):
    """An (M - N + 1):1 multiplexer in front of every multiplier.

    Exactly N values a group in index order, padding included, put the i-th of them at one of the
    positions i … i + M - N.

    Timing, Actions:
        See `Crossbar`.

    Not modelled:
        As `full`. When N exceeds the lanes, one lane serves several i and its window grows by
        their distance; that is included.

    Example:
        >>> from accelsim.hardware.examples import path
        >>> Window(kind="window").legs(path("8:16")), Window(kind="window").legs(path("16:32"))
        (9, 17)

    Source: derived; the bound is checked against the masks in the tests.
    """

    kind: Literal["window"]

    @override
    def legs(self, path: Datapath) -> int:
        shift = (path.steps_per_group - 1) * path.lanes
        return min(path.group_size, path.group_size - path.kept_per_group + 1 + shift)
