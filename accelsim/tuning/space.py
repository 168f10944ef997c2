"""The machines of one pattern among which an area is filled: choices, and the machine of each set.

Ports and selectors are sampled as shares of what keeps up with the array at full speed, so that
most machines are balanced, whatever their array. Columns are as many as were chosen, or as fit into
the area, so that hardly a trial is lost on a machine that is too large.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, log
from typing import Any

from accelsim.base.yaml_source import YamlSource
from accelsim.config import Architecture
from accelsim.config.file import key_of
from accelsim.config.loader import arch_of
from accelsim.hardware import CROSSBARS, Buffer
from accelsim.mapping import ceil_div
from accelsim.run.balance import balanced_ports
from accelsim.tuning.bench import Candidate, Contents, Workbench, got, put

Places = Mapping[str, int]
"""The place of each choice on its ladder, by name."""

_ROWS = (1, 2, 4, 8, 16, 32, 64)
_COLUMNS = (*range(1, 17), *range(18, 33, 2), *range(36, 65, 4), *range(72, 129, 8))
_LANES = (4, 8, 16, 32, 64)
_PORT_SHARES = (0.25, 0.375, 0.5, 0.75, 1.0, 1.5, 2.0)
_OUTPUT_SHARES = (0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0)  # partial sums are four times as wide
_SELECTOR_SHARES = (0.03125, 0.0625, 0.125, 0.1875, 0.25, 0.375, 0.5, 0.75, 1.0)
_KIB = tuple(float(base * 2**k) for k in range(10) for base in (1, 1.5))
_WHOLE_BYTES = 8  # widths of ports are multiples of these, so that memories can share them
_LEAST_ROWS = 32  # of a memory of known area
_OUTPUT_REDUCTION = 128  # values of K in whose steps the outputs of a block leave at full speed
_FILL = "mac_array.columns"
# Shares of the neighbours that have an array of another shape, and as many columns as fit.
_RESHAPED, _FILLED = 0.25, 0.6


@dataclass(frozen=True)
class Space:
    """The machines of a pattern.

    Attributes:
        base: the architecture file that they are made from.
        bandwidth_gb_per_s: of DRAM.
    """

    base: YamlSource
    bandwidth_gb_per_s: float

    @cached_property
    def arch(self) -> Architecture:
        """The machine of the file."""
        return arch_of(self.base)

    @cached_property
    def choices(self) -> dict[str, Sequence[Any]]:
        """What may be chosen, by name, each from the smallest up; crossbars have no order."""
        found: dict[str, Sequence[Any]] = {
            "mac_array.rows": _ROWS,
            "mac_array.lanes": _LANES,
            _FILL: _COLUMNS,
        }
        if "crossbar" in self.arch.units:
            kinds = sorted(kind for kind in CROSSBARS if CROSSBARS[kind].is_routing)
            found |= {"crossbar.kind": kinds, "selector.instances": _SELECTOR_SHARES}
        for name in self._buffers:
            shares = _OUTPUT_SHARES if name == "output_buffer" else _PORT_SHARES
            found |= {f"{name}.capacity_kib": _KIB, f"{name}.port_bytes": shares}
        return found

    def is_ordered(self, name: str) -> bool:
        """Whether near places of a choice are like each other."""
        return name != "crossbar.kind"

    @property
    def _buffers(self) -> list[str]:
        return [name for name, unit in self.arch.units.items() if isinstance(unit, Buffer)]

    def contents(self, places: Places) -> Contents:
        """Return the contents of the architecture file of a machine."""
        chosen = {name: self.choices[name][place] for name, place in places.items()}
        data = copy.deepcopy(self.base.data)
        data["dram"]["bandwidth_gb_per_s"] = self.bandwidth_gb_per_s
        for name in ("rows", "columns", "lanes"):
            put(data, ("mac_array", name), chosen[f"mac_array.{name}"])
        if "crossbar.kind" in chosen:
            data["crossbar"] = {"kind": chosen["crossbar.kind"]}
            share = chosen["selector.instances"]
            data["selector"]["instances"] = max(1, round(share * self._selectors(data)))
        full = self._full_ports(data)
        for name in self._buffers:
            width = chosen[f"{name}.port_bytes"] * full[name]
            port_bytes = ceil_div(max(1, ceil(width)), _WHOLE_BYTES) * _WHOLE_BYTES
            least_kib = max(1.0, _LEAST_ROWS * port_bytes / 1024)
            put(data, (*key_of(name), "port_bytes"), port_bytes)
            put(data, (*key_of(name), "capacity_kib"), _kib(chosen, name, least_kib))
        return data

    def _with_array(self, data: Contents) -> Architecture:
        """Return the machine of the file with another array; only its datapath is asked for."""
        array = self.arch.mac_array.model_copy(update=dict(data["mac_array"]))
        selector = self.arch.selector
        if selector is not None:
            number = data["selector"]["instances"]
            selector = selector.model_copy(update={"instances": number})
        return self.arch.model_copy(update={"mac_array": array, "selector": selector})

    def _selectors(self, data: Contents) -> int:
        """Return the selectors that keep up if a selected tile is used for a column block once."""
        path = self._with_array(data).path
        groups = ceil_div(path.positions_per_step, path.group_size)
        return ceil_div(path.rows * groups, path.steps_per_group)

    def _full_ports(self, data: Contents) -> dict[str, float]:
        """Return the width with which each buffer keeps up with array or selectors, in bytes."""
        arch = self._with_array(data)
        path = arch.path
        full: dict[str, float] = dict(balanced_ports(arch))
        block_bytes = path.rows * path.columns * path.y.bits / 8
        full["output_buffer"] = block_bytes / path.steps(_OUTPUT_REDUCTION)
        if arch.selector is not None:
            positions = arch.selector.instances * path.group_size
            full["activation_buffer"] = (
                positions * path.arriving.bits / 8 / arch.selector.cycles_per_group(path)
            )
        return full

    def near(self, contents: Contents) -> dict[str, int]:
        """Return the places of the machine of the space that is most like another one."""
        full, places = self._full_ports(contents), {}
        for name, ladder in self.choices.items():
            unit, _, field = name.rpartition(".")
            value = got(contents, (*key_of(unit), field))
            if field == "port_bytes":
                value /= full[unit]
            if field == "instances":
                value /= self._selectors(contents)
            places[name] = _nearest(ladder, value) if self.is_ordered(name) else ladder.index(value)
        return places

    def filling(self, places: Places) -> dict[str, int]:
        """Return the places with as many columns as there may be."""
        return {**places, _FILL: len(_COLUMNS) - 1}

    def fitted(
        self, places: Places, bench: Workbench, budget_um2: float
    ) -> tuple[dict[str, int], Candidate] | None:
        """Return the machine with as many of its columns as fit into an area, and its places.

        None if not even one column does, or if there is no such machine.
        """
        best, low, high = None, 0, places[_FILL]
        middle = high  # most machines fit as they are
        while low <= high:
            tried = {**places, _FILL: middle}
            candidate = bench.candidate(self.contents(tried))
            if candidate is not None and candidate.area_um2 <= budget_um2:
                best, low = (tried, candidate), middle + 1
            else:
                high = middle - 1
            middle = (low + high) // 2
        return best

    def neighbour(self, places: Places, rng: random.Random) -> dict[str, int]:
        """Return places near others: an array of another shape, or a step or two elsewhere."""
        moved = dict(places)
        if rng.random() < _RESHAPED:
            grown, shrunk = rng.sample(("mac_array.rows", "mac_array.lanes", _FILL), 2)
            self._scale(moved, grown, 2)
            self._scale(moved, shrunk, 1 / 2)
        else:
            for name in rng.sample(sorted(self.choices), rng.choice((1, 2))):
                self._move(moved, name, rng)
        return self.filling(moved) if rng.random() < _FILLED else moved

    def _move(self, places: dict[str, int], name: str, rng: random.Random) -> None:
        """Change a choice by a step; one without an order to any other."""
        last = len(self.choices[name]) - 1
        if self.is_ordered(name):
            places[name] = min(last, max(0, places[name] + rng.choice((-1, 1))))
        else:
            places[name] = rng.randint(0, last)

    def _scale(self, places: dict[str, int], name: str, factor: float) -> None:
        """Change a choice to the value that is nearest to a multiple of it."""
        ladder = self.choices[name]
        places[name] = _nearest(ladder, factor * ladder[places[name]])


def _kib(chosen: Mapping[str, Any], name: str, least_kib: float) -> float:
    return max(float(chosen[f"{name}.capacity_kib"]), least_kib)


def _nearest(ladder: Sequence[float], value: float) -> int:
    """Return the place whose value is nearest in ratio."""
    return min(range(len(ladder)), key=lambda place: abs(log(ladder[place] / value)))
