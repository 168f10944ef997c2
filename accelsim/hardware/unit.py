"""The protocol of a hardware unit: parameters, time, work and cost. No clock, no simulator here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Mapping
from typing import ClassVar, Self, get_args

from pydantic import BaseModel, ConfigDict

from accelsim.base.note import Note
from accelsim.base.registry import Registry
from accelsim.mapping import Datapath, Ints, Work
from accelsim.tech.source import CostSource


class Unit(BaseModel, ABC):
    """One block of hardware. Its fields are its YAML keys; it knows nothing about time.

    `busy_cycles` answers for all tile jobs of a layer at once; the engine decides when they happen.
    Energy is actions × price, so a unit prices exactly the actions it declares.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    action_names: ClassVar[frozenset[str]]
    # Of a memory chip, such as DRAM: its traffic and its power are told apart from the chip's.
    is_off_chip: ClassVar[bool] = False

    @abstractmethod
    def busy_cycles(self, work: Work) -> Ints:
        """Return the cycles that each job occupies the unit, `[jobs]`.

        They depend on `work.nonzero` in no way, and are the same for jobs whose tiles have the same
        sizes, steps and flags, the first job and those of the last outer iteration apart.
        """

    @abstractmethod
    def actions(self, work: Work) -> Mapping[str, int]:
        """Count the priced events of the whole layer.

        A sum over its jobs, in proportion to `work.nonzero` and, in whole bursts, to
        `work.weight_bytes`: layers that repeat themselves and like decode steps are summed up from
        a few counts.
        """

    @abstractmethod
    def energy_pj(self, tech: CostSource, path: Datapath) -> Mapping[str, float]:
        """Return the price of one of each declared action."""

    @abstractmethod
    def area_um2(self, tech: CostSource, path: Datapath) -> float:
        """Return the silicon area of the unit."""

    def serves(self, path: Datapath) -> bool:  # noqa: ARG002
        """Return whether a layer with this datapath uses the unit; others find it idle."""
        return True

    def latency_cycles(self, path: Datapath) -> int:  # noqa: ARG002
        """Return the cycles between the end of service and the result being visible."""
        return 0

    def timing_key(self) -> Hashable:
        """Return all of the unit that cycles, latency and counted actions can depend on.

        A run is remembered by these keys, so machines that are alike in the keys of all their units
        share it. By default that is everything, class and fields. A class may leave out what
        demonstrably plays no part, beside the formulas that show it: a key that says too much
        costs time, one that says too little gives the results of another machine.
        """
        return self

    def fit_clock(self, tech: CostSource, path: Datapath) -> Self:  # noqa: ARG002
        """Return the unit with the pipeline stages that it needs at this clock."""
        return self

    def timing_notes(self, tech: CostSource, path: Datapath) -> Iterator[Note]:  # noqa: ARG002
        """Yield what the clock made of the unit, and what misses it."""
        yield from ()

    def leakage_mw(self, tech: CostSource, path: Datapath) -> float:
        """Return the static power; logic leaks in proportion to its area."""
        return self.area_um2(tech, path) * tech.leakage_nw_per_um2 * 1e-6


def only_kind(cls: type[Unit]) -> str:
    """Return the one kind that the key `kind` of a unit may name; empty if any text will do."""
    field = cls.model_fields.get("kind")
    return next(iter(get_args(field.annotation)), "") if field else ""


UNITS: Registry[Unit] = Registry("unit")
"""Units by name that a dataflow may have beside the shipped ones: keys of the section `units`."""
