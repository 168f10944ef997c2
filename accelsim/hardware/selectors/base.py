"""What every N:M selector has in common: a bank of them in front of the compressed activations."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Self

from pydantic import Field
from typing_extensions import override

from accelsim.base.note import Note, warning
from accelsim.base.registry import Registry
from accelsim.hardware.logic import block_cost, period_ps
from accelsim.hardware.modes import spared_um2
from accelsim.hardware.unit import Unit
from accelsim.mapping import Datapath, Ints, Work, ceil_div
from accelsim.precision import Precision
from accelsim.sparsity import Pattern
from accelsim.tech.blocks import BLOCKS, Block, Parts, Shape, value_path
from accelsim.tech.source import BlockCost, CostSource, clock_periods


class Selector(Unit):
    """A bank of `instances` selectors; each keeps the N largest magnitudes of a group of M.

    A selector is a core that decides which values stay, `extra_stages` ranks of registers, and
    compaction into index order. An iterative core takes `steps` steps a group, of `step_cycles`
    cycles each; others are pipelines. Extra stages and step cycles follow from the clock where they
    are not given.

    Timing:
        A tile of `tokens` × `reduction` values holds G = tokens × ceil(reduction / M) groups, and
        a job that finds its tile selected already has none.

            busy             = ceil(G / instances) × cycles_per_group
            cycles_per_group = 1, or steps × step_cycles + 1 for an iterative core, which takes the
                               next group while it compacts the last one
            latency          = depth + 1 + extra_stages; depth 1 for an iterative core

        With modes, a selector takes as many groups of a mode as fit into the largest one.

    Actions:
        group: one group of M selected, counted again whenever a tile is selected again.
    """

    action_names: ClassVar[frozenset[str]] = frozenset({"group"})
    # Whether logic behind the core's last register (ties, decoding) precedes compaction.
    settles_late: ClassVar[bool] = False
    # Whether it can be built with modes (`accelsim.hardware.modes`).
    has_modes: ClassVar[bool] = False

    kind: str
    instances: Annotated[
        int,
        Field(strict=True, gt=0, le=2**20),
        Field(
            description=(
                "Selectors in parallel, each takes a group of M at a time; the array needs "
                "R × C × g × P / (s × columns that a selected tile is used for)"
            ),
        ),
    ] = 1
    extra_stages: (
        Annotated[
            int,
            Field(strict=True, ge=0, le=256),
            Field(description="Register stages before compaction; default: what the clock needs"),
        ]
        | None
    ) = None
    step_cycles: (
        Annotated[
            int,
            Field(strict=True, gt=0, le=64),
            Field(
                description=(
                    "Cycles of one step of an iterative selector; default: what the clock needs"
                ),
            ),
        ]
        | None
    ) = None

    @abstractmethod
    def block_name(self) -> str:
        """Return the block of the core in the technology table."""

    @classmethod
    def takes(cls, pattern: Pattern) -> bool:
        """Return whether the unit can select by a pattern of a machine."""
        return pattern.is_grouped and pattern.keeps_any and pattern.together == 1

    def takes_format(self, precision: type[Precision]) -> bool:  # noqa: ARG002
        """Return whether the unit can rank values of a number format."""
        return True

    def most_kept(self, kept_per_group: int) -> int:
        """Return the values of a group that the unit can keep, on a machine that keeps so many."""
        return kept_per_group

    def steps(self, path: Datapath) -> int:  # noqa: ARG002
        """Return the steps of an iterative core, 0 for a pipeline."""
        return 0

    @abstractmethod
    def depth(self, path: Datapath) -> int:
        """Return the register stages of the core."""

    def cycles_per_group(self, path: Datapath) -> int:
        """Return the cycles between two groups entering one selector."""
        steps = self.steps(path)
        return steps * (self.step_cycles or 1) + 1 if steps else 1

    @override
    def latency_cycles(self, path: Datapath) -> int:
        return self.depth(path) + 1 + (self.extra_stages or 0)

    def groups(self, work: Work) -> Ints:
        """Return the groups that each job selects, `[jobs]`."""
        return work.jobs.tokens * work.path.groups(work.jobs.reduction) * work.jobs.selects

    @override
    def busy_cycles(self, work: Work) -> Ints:
        at_once = self.instances * work.path.groups_at_once
        return ceil_div(self.groups(work), at_once) * self.cycles_per_group(work.path)

    @override
    def actions(self, work: Work) -> Mapping[str, int]:
        return {"group": int(self.groups(work).sum())}

    @override
    def energy_pj(self, tech: CostSource, path: Datapath) -> Mapping[str, float]:
        costs = self._others(tech, path)
        encoder = costs.pop("index_encoder", None)
        output = self._output_bits(path) * tech.register_um2
        switched = self._core(tech, path).area_um2 + costs["compact"].area_um2 + output
        switched -= spared_um2(tech, path, "select_flex")
        # An iterative core switches in every step.
        energy = tech.energy_pj(self.block_name(), "group", switched) * max(1, self.steps(path))
        energy += (self.extra_stages or 0) * self._stage_bits(path) * tech.register_pj
        if encoder is not None:
            energy += tech.energy_pj("index_encoder", "group", encoder.logic_um2)
        return {"group": energy / path.groups_at_once}

    @override
    def area_um2(self, tech: CostSource, path: Datapath) -> float:
        one = self._core(tech, path).area_um2
        one += sum(cost.area_um2 for cost in self._others(tech, path).values())
        registers = (self.extra_stages or 0) * self._stage_bits(path) + self._output_bits(path)
        return self.instances * (one + registers * tech.register_um2)

    @override
    def fit_clock(self, tech: CostSource, path: Datapath) -> Self:
        core, tail = self._cycles(tech, path)
        iterative = bool(self.steps(path))
        extra = tail - 1 + (0 if iterative else self.depth(path) * (core - 1))
        return self.model_copy(
            update={
                "extra_stages": extra if self.extra_stages is None else self.extra_stages,
                "step_cycles": (core if iterative else 1)
                if self.step_cycles is None
                else self.step_cycles,
            }
        )

    def refit_clock(self, tech: CostSource, old: Datapath, new: Datapath) -> Self:
        """Return the selector for another datapath, if what it has was made for the old one."""
        unfitted = self.model_copy(update={"extra_stages": None, "step_cycles": None})
        is_fitted = unfitted.fit_clock(tech, old) == self
        return unfitted.fit_clock(tech, new) if is_fitted else self

    @override
    def timing_notes(self, tech: CostSource, path: Datapath) -> Iterator[Note]:
        core, tail = self._cycles(tech, path)
        needed = self.model_copy(update={"extra_stages": None, "step_cycles": None})
        needed = needed.fit_clock(tech, path)
        if core > 1 or tail > 1:
            slow = self._core(tech, path).delay_ps, self._tail_ps(tech, path)
            yield Note(
                f"selector: a step takes {slow[0]:,.0f} ps and compaction {slow[1]:,.0f} ps of a "
                f"clock of {period_ps(path):,.0f} ps; pipelined with {self.extra_stages} more "
                f"stages of {self._stage_bits(path)} flip-flops"
                + (f" and {self.step_cycles} cycles a step" if self.steps(path) else "")
            )
        for name, default in (("extra_stages", 0), ("step_cycles", 1)):
            given, least = getattr(self, name) or default, getattr(needed, name)
            if given < least:
                yield warning(
                    f"selector: {name} {given} is too few for the clock; it needs {least}"
                )

    def _cycles(self, tech: CostSource, path: Datapath) -> tuple[int, int]:
        """Return the clock periods of a step of the core, and of what follows its registers."""
        period = period_ps(path)
        core = self._core(tech, path).cycles(period)
        return core, clock_periods(self._tail_ps(tech, path), period)

    def _tail_ps(self, tech: CostSource, path: Datapath) -> float:
        """Return the delay behind the core; what it settles late is bounded by its slowest path."""
        compact = self._others(tech, path)["compact"].delay_ps
        return compact + (self._core(tech, path).delay_ps if self.settles_late else 0)

    def _core(self, tech: CostSource, path: Datapath) -> BlockCost:
        return block_cost(tech, "select_flex" if path.modes else self.block_name(), path)

    def _others(self, tech: CostSource, path: Datapath) -> dict[str, BlockCost]:
        """Return compaction, and the encoder where metadata are indices."""
        costs = {"compact": block_cost(tech, "compact_flex" if path.modes else "compact", path)}
        if path.metadata_format == "index":
            costs["index_encoder"] = block_cost(tech, "index_encoder", path)
        return costs

    def _stage_bits(self, path: Datapath) -> int:
        """Return the flip-flops of an extra stage: values, what ranks them, flags of a group."""
        return path.as_built.group_size * (path.x.bits + path.score_bits + 1) + 1

    def _output_bits(self, path: Datapath) -> int:
        """Return the flip-flops at the end: kept values, mask and a valid bit."""
        path = path.as_built
        return path.kept_per_group * path.x.bits + path.group_size + 1


def _compact_parts(s: Shape) -> Parts:
    """Return the multiplexers that move value i down from one of positions i … i + M - N."""
    return {"leg_bits": s.n * s.window * s.bits, "places": s.n * s.window}


def _index_encoder_parts(s: Shape) -> Parts:
    """Return the same for constants: the positions themselves, which are the indices."""
    return {"leg_bits": s.n * s.window * s.index_bits, "places": s.n * s.window}


BLOCKS["compact"] = Block(_compact_parts, value_path)
BLOCKS["index_encoder"] = Block(_index_encoder_parts, value_path)

SELECTORS: Registry[Selector] = Registry("selector.kind")
