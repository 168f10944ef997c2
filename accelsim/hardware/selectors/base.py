"""What every N:M selector has in common: a bank of them in front of the compressed activations."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field
from typing_extensions import override

from accelsim.hardware.gates import Cost
from accelsim.hardware.unit import Unit
from accelsim.registry import Registry
from accelsim.tech.technology import Technology
from accelsim.workload import Datapath, Ints, Work, ceil_div


class Selector(Unit):
    """A bank of `instances` selectors; each keeps the N largest magnitudes of a group of M.

    Timing:
        A tile of `tokens` × `reduction` values holds G = tokens × ceil(reduction / M) groups, and
        a job that finds its tile selected already has none.

            busy    = ceil(G / instances) × cycles_per_group
            latency = pipeline of the kind

    Actions:
        group: one group of M selected, counted again whenever a tile is selected again.
    """

    action_names: ClassVar[frozenset[str]] = frozenset({"group"})

    kind: str
    instances: Annotated[int, Field(strict=True, gt=0, le=2**20)] = 1

    @abstractmethod
    def cycles_per_group(self, path: Datapath) -> int:
        """Return the cycles between two groups entering one selector."""

    @abstractmethod
    def cost(self, tech: Technology, path: Datapath) -> Cost:
        """Return the area of one selector and the energy of one group."""

    def groups(self, work: Work) -> Ints:
        """Return the groups that each job selects, `[jobs]`."""
        return work.jobs.tokens * work.path.groups(work.jobs.reduction) * work.jobs.selects

    @override
    def busy_cycles(self, work: Work) -> Ints:
        return ceil_div(self.groups(work), self.instances) * self.cycles_per_group(work.path)

    @override
    def actions(self, work: Work) -> Mapping[str, int]:
        return {"group": int(self.groups(work).sum())}

    @override
    def energy_pj(self, tech: Technology, path: Datapath) -> Mapping[str, float]:
        return {"group": self.cost(tech, path).energy_pj}

    @override
    def area_um2(self, tech: Technology, path: Datapath) -> float:
        return self.instances * self.cost(tech, path).area_um2


SELECTORS: Registry[Selector] = Registry("selector.kind")
