"""What a process remembers from run to run, by content: equal keys, equal results.

A run is known by everything that its cycles and counts can depend on, taken from the things
themselves: the machine (`timing_key`) and the work (`Work.content`). Nobody keeps a list of what
matters, so a parameter that is new cannot be forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from accelsim.base.errors import InputError
from accelsim.dataflows.layer_machine import LayerMachine


class Key:
    """Many parts as one key of a dictionary, whose hash is found once."""

    __slots__ = ("_hash", "_parts")

    def __init__(self, *parts: Hashable) -> None:
        self._parts = parts
        self._hash = hash(parts)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Key) and self._parts == other._parts)


class Memory:
    """The most recently used values by key; what has not been used for longest is forgotten."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return the value of a key, made if it is not known."""
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        value = self._known[key] = make()
        if len(self._known) > self._limit:
            self._known.popitem(last=False)
        return value


def timing_key(machine: LayerMachine) -> Key:
    """Return all of a machine that cycles and counts can depend on, whatever the layer.

    What is left out is what units leave out of their keys, the costs and the name.
    """
    diagram = machine.diagram
    drawing = diagram.name, diagram.stages
    units = [(name, unit.timing_key()) for name, unit in machine.units.items()]
    try:
        return Key(
            drawing,
            machine.path,
            machine.stores,
            machine.tiling,
            machine.deciding_costs,
            *units,
        )
    except TypeError:
        _check_hashable(units)
        raise


def _check_hashable(units: Iterable[tuple[str, Hashable]]) -> None:
    """Raise InputError naming the unit whose key cannot be compared by content."""
    for name, key in units:
        try:
            hash(key)
        except TypeError as error:
            raise InputError(
                f"unit '{name}': a parameter is of a type that changes ({error}); "
                f"let it be a number, a text or a tuple"
            ) from error
