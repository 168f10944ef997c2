"""Time: the network of stages, and the engines that run it. The only package that imports SimPy."""

from collections.abc import Callable
from importlib import import_module

from accelsim.base.errors import InputError
from accelsim.engine.network import (
    Network,
    Requests,
    Room,
    Stage,
    StageTimes,
    Times,
    check_cycles,
    program_order,
    visible,
)

ENGINES = ("recurrence", "simpy")


def engine_named(name: str) -> Callable[[Network], Times]:
    """Return the engine called `name`; raise InputError if there is none."""
    if name not in ENGINES:
        raise InputError(f"unknown engine '{name}'; allowed: {', '.join(ENGINES)}")
    module = "simpy_engine" if name == "simpy" else name
    run: Callable[[Network], Times] = import_module(f"accelsim.engine.{module}").run
    return run


__all__ = [
    "ENGINES",
    "Network",
    "Requests",
    "Room",
    "Stage",
    "StageTimes",
    "Times",
    "check_cycles",
    "engine_named",
    "program_order",
    "visible",
]
