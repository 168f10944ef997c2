"""What can be made smaller in a machine, and the next smaller thing that each of it can be.

Numbers go down a ladder of doublings and steps of 1.5: 1, 2, 3, 4, 6, 8, 12 … On it are also the
value that the file gives, and the port that the array takes at full speed. Kinds of selectors and
crossbars have no order; a selector of another kind comes in the number that is as quick.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Protocol

from accelsim.base.yaml_source import KeyPath
from accelsim.config import Architecture
from accelsim.config.file import key_of
from accelsim.hardware import CROSSBARS, SELECTORS, Buffer, LaneUnit, Selector, Unpacker
from accelsim.mapping import Datapath
from accelsim.run.balance import balanced_ports
from accelsim.tuning.bench import Contents, Workbench, changed, got

_LEAST_KIB = 2**-6  # the machines of tests are as small
_MOST = 2**20


class Knob(Protocol):
    """One thing that can be made smaller."""

    @property
    def unit(self) -> str:
        """The unit that it is of."""

    def steps(self, contents: Contents) -> Iterator[Contents]:
        """Yield the contents of the machines that are one step away, the nearest first."""


@dataclass(frozen=True)
class Ladder:
    """A number that goes down by steps.

    Attributes:
        unit: the unit that it is of.
        key: where it stands in the file.
        rungs: its values, ascending.
    """

    unit: str
    key: KeyPath
    rungs: tuple[float, ...]

    def below(self, contents: Contents) -> list[float]:
        """Return the values below the present one, ascending."""
        value = got(contents, self.key)
        return list(takewhile(lambda rung: rung < value, self.rungs))

    def steps(self, contents: Contents) -> Iterator[Contents]:
        """Yield machines with smaller values, the nearest first."""
        for rung in reversed(self.below(contents)):
            yield changed(contents, self.key, rung)


@dataclass(frozen=True)
class CrossbarKinds:
    """The kind of the crossbar."""

    unit: str = "crossbar"

    def steps(self, contents: Contents) -> Iterator[Contents]:
        """Yield machines with each other kind that brings weights to multipliers."""
        for kind in sorted(CROSSBARS):
            if CROSSBARS[kind].is_routing and kind != got(contents, ("crossbar", "kind")):
                yield changed(contents, ("crossbar",), {"kind": kind})


@dataclass(frozen=True)
class SelectorKinds:
    """The kind of the selectors, and how many of them are as quick.

    Attributes:
        path: what the time of a selector depends on.
    """

    path: Datapath
    unit: str = "selector"

    def steps(self, contents: Contents) -> Iterator[Contents]:
        """Yield machines with each other kind, in the number that selects as much a cycle."""
        now = SELECTORS[contents["selector"]["kind"]].model_validate(contents["selector"])
        for section in _selector_sections():
            kind = SELECTORS[section["kind"]].model_validate(section)
            if (kind.kind, getattr(kind, "pipelined", None)) == (
                now.kind,
                getattr(now, "pipelined", None),
            ):
                continue
            pace = kind.cycles_per_group(self.path) / now.cycles_per_group(self.path)
            number = max(1, round(now.instances * pace))
            yield changed(contents, ("selector",), {**section, "instances": number})


def _selector_sections() -> Iterator[dict[str, Any]]:
    """Yield a section for each design of a selector."""
    for kind in sorted(SELECTORS):
        yield {"kind": kind}
        if "pipelined" in SELECTORS[kind].model_fields:
            yield {"kind": kind, "pipelined": True}


def knobs_of(bench: Workbench, contents: Contents, arch: Architecture) -> list[Knob]:
    """Return what may be made smaller in a machine, in the order of its units.

    Args:
        bench: says what stays.
        contents: of the architecture file.
        arch: the machine.
    """
    found: list[Knob] = []
    for name, field in _numbers(arch):
        key = (*key_of(name), field)
        value = got(contents, key)
        if value is not None and not bench.is_fixed(".".join(key)):
            found.append(Ladder(name, key, _rungs(field, [value, *_full_speed(arch, name, field)])))
    if "crossbar" in arch.units and not bench.is_fixed("crossbar.kind"):
        found.append(CrossbarKinds())
    is_of_groups = arch.selector is not None and arch.selector.kind in SELECTORS
    if is_of_groups and not bench.is_fixed("selector.kind"):
        found.append(SelectorKinds(arch.path))
    return found


def _numbers(arch: Architecture) -> Iterator[tuple[str, str]]:
    """Yield each unit with the field of it that is a size."""
    for name, unit in arch.units.items():
        if isinstance(unit, Buffer):
            yield name, "capacity_kib"
            yield name, "port_bytes"
        elif isinstance(unit, Selector):
            yield name, "instances"
        elif isinstance(unit, LaneUnit | Unpacker):
            yield name, "lanes"


def _full_speed(arch: Architecture, name: str, field: str) -> list[int]:
    """Return the width with which a port, or lanes, keep up with the array, where that is known."""
    ports = balanced_ports(arch)
    return [ports[name]] if field != "capacity_kib" and name in ports else []


def _rungs(field: str, others: Sequence[float]) -> tuple[float, ...]:
    """Return the values of a ladder, ascending: 2^k, 3 × 2^k, and others."""
    least = _LEAST_KIB if field == "capacity_kib" else 1
    rungs = set(others)
    power = least
    while power <= _MOST:
        rungs |= {power, power * 3 / 2}
        power *= 2
    whole = {int(rung) if float(rung).is_integer() else rung for rung in rungs}
    is_whole = field != "capacity_kib"
    return tuple(sorted(rung for rung in whole if isinstance(rung, int) or not is_whole))


def spelled_out(contents: Contents, arch: Architecture) -> Contents:
    """Return contents in which the numbers stand that the file leaves to their defaults.

    Lanes that the file leaves open are as many as keep up, and stay open.
    """
    for name, field in _numbers(arch):
        key = (*key_of(name), field)
        if field != "lanes" and got(contents, key) is None:
            contents = changed(contents, key, getattr(arch.units[name], field))
    return contents


def widened(bench: Workbench, ladders: Sequence[Ladder], contents: Contents) -> Contents:
    """Return contents in which each number is doubled that may be, so that there is a machine."""
    for ladder in ladders:
        doubled = changed(contents, ladder.key, 2 * got(contents, ladder.key))
        if bench.candidate(doubled) is not None:
            contents = doubled
    return contents


def at_full_speed(ladders: Sequence[Ladder], contents: Contents, arch: Architecture) -> Contents:
    """Return contents in which no port is narrower than what the array takes at full speed."""
    for ladder in ladders:
        needed = _full_speed(arch, ladder.unit, ladder.key[-1])
        value = max([got(contents, ladder.key), *needed])
        contents = changed(contents, ladder.key, value)
    return contents
