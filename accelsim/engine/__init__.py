"""Time: the network of stages, and the engines that run it. The only package that imports SimPy."""

from accelsim.engine.network import (
    Network,
    Room,
    Stage,
    StageTimes,
    Times,
    program_order,
)

__all__ = ["Network", "Room", "Stage", "StageTimes", "Times", "program_order"]
