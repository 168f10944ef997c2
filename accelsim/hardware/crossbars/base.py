"""What every operand crossbar has in common: it feeds each multiplier the value it needs.

That is the weight of a kept activation, or, where W is the sparse operand, the activation of a
stored weight.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from functools import cache
from inspect import isfunction
from typing import Annotated, ClassVar, Self

from pydantic import Field
from typing_extensions import override

from accelsim.base.note import Note, warning
from accelsim.base.registry import Registry
from accelsim.hardware.logic import block_cost, period_ps, shape
from accelsim.hardware.modes import decoded_share, spared_um2
from accelsim.hardware.unit import Unit
from accelsim.mapping import Datapath, Ints, Work, ceil_div
from accelsim.tech.blocks import BLOCKS, Block, Parts, Shape, value_path
from accelsim.tech.source import BlockCost, CostSource, clock_periods

# Parts of a crossbar that all columns of a row share: they turn metadata into multiplexer controls.
_SHARED = frozenset({"places", "substep_bits"})
# What a kind may do its own way without running differently.
_COSTS = frozenset({"energy_pj", "area_um2", "leakage_mw", "fit_clock", "timing_notes"})


class Crossbar(Unit):
    """Routes, for every row, column and lane, the weight of the kept activation to its multiplier.

    Where W is the sparse operand, the activation of the stored weight.

    Timing:
        Keeps up with the array: busy = blocks × steps, latency = `pipeline_stages`; where they are
        not given, as many as the clock asks for, and at least one.

    Actions:
        route: one value moved to one multiplier through its pipeline registers, padding of a
        last group included.
        decode: one group's metadata turned into multiplexer controls, shared by all columns (of a
        block of W: by all rows).
    """

    action_names: ClassVar[frozenset[str]] = frozenset({"route", "decode"})
    is_routing: ClassVar[bool] = True
    # Metadata that the kind decodes; where others are stored, a converter stands in front.
    decodes: ClassVar[str] = "bitmask"
    # Whether it can be built with modes (`accelsim.hardware.modes`).
    has_modes: ClassVar[bool] = False

    kind: str
    pipeline_stages: (
        Annotated[
            int,
            Field(strict=True, ge=0, le=64),
            Field(description="Latency in cycles; default: what the clock needs, at least 1"),
        ]
        | None
    ) = None

    @override
    def busy_cycles(self, work: Work) -> Ints:
        return work.array_cycles

    @override
    def latency_cycles(self, path: Datapath) -> int:
        return self._stages

    @override
    def actions(self, work: Work) -> Mapping[str, int]:
        jobs, path = work.jobs, work.path
        if path.w.is_sparse:
            routes = jobs.tokens * jobs.columns * path.w.stored_values(jobs.reduction)
            blocks = jobs.columns * ceil_div(jobs.reduction, path.grain)
            decodes = blocks * jobs.row_blocks(path)
            return {"route": int(routes.sum()), "decode": int(decodes.sum())}
        routes = jobs.columns * work.packing.stored_values
        # Of a dense layer, nothing needs decoding; its weights pass the multiplexers all the same.
        groups = path.groups(jobs.reduction) * path.is_sparse
        decodes = jobs.tokens * groups * jobs.column_blocks(path)
        return {"route": int(routes.sum()), "decode": int(decodes.sum())}

    @override
    def timing_key(self) -> Hashable:
        """Return the depth only, of kinds that leave the methods above as they are.

        Those take nothing else from the crossbar, so all such kinds run alike.
        """
        return (Crossbar, self._stages) if _moves_as_all_do(type(self)) else self

    @override
    def energy_pj(self, tech: CostSource, path: Datapath) -> Mapping[str, float]:
        path = _facing(path)
        row, name = self._row(tech, path), self.block_name
        shared = sum(um2 for part, um2 in row.parts_um2.items() if part in _SHARED)
        routed = row.logic_um2 - shared - spared_um2(tech, path, "crossbar_flex")
        route = tech.energy_pj(name, "route", routed / self._routes(path))
        shared *= decoded_share(shape(path))
        decode = tech.energy_pj(name, "decode", shared / path.groups_per_step)
        for converter, cost in self._converters(tech, path).items():
            decode += tech.energy_pj(converter, "group", cost.logic_um2)
        registers = self._stages * path.x.bits
        return {"route": route + registers * tech.register_pj, "decode": decode}

    @override
    def area_um2(self, tech: CostSource, path: Datapath) -> float:
        path = _facing(path)
        row = self._row(tech, path).area_um2
        row += sum(path.groups_per_step * c.area_um2 for c in self._converters(tech, path).values())
        # Registers behind every multiplexer, and beside them for the activations of the row.
        registers = self._stages * path.x.bits * path.lanes * (path.columns + 1)
        return path.rows * (row + registers * tech.register_um2)

    @override
    def fit_clock(self, tech: CostSource, path: Datapath) -> Self:
        if self.pipeline_stages is not None:
            return self
        return self.model_copy(update={"pipeline_stages": self._needed(tech, path)})

    @override
    def timing_notes(self, tech: CostSource, path: Datapath) -> Iterator[Note]:
        needed = self._needed(tech, path)
        if needed > 1:
            yield Note(
                f"crossbar: routing takes {self._delay_ps(tech, path):,.0f} ps of a clock of "
                f"{period_ps(path):,.0f} ps; pipelined in {self._stages} stages"
            )
        if self._stages < needed > 1:
            yield warning(
                f"crossbar: pipeline_stages {self._stages} is too few for the clock; "
                f"it needs {needed}"
            )

    @property
    def _stages(self) -> int:
        return 1 if self.pipeline_stages is None else self.pipeline_stages

    @property
    def block_name(self) -> str:
        """The block of a row in the technology table."""
        return f"crossbar_{self.kind}"

    def _routes(self, path: Datapath) -> int:
        """Return the multipliers of a row that are fed."""
        return path.columns * min(path.lanes, path.groups_per_step * path.kept_per_group)

    def _row(self, tech: CostSource, path: Datapath) -> BlockCost:
        return block_cost(tech, "crossbar_flex" if path.modes else self.block_name, path)

    def _converters(self, tech: CostSource, path: Datapath) -> dict[str, BlockCost]:
        """Return what turns the stored metadata of a group into those that the kind decodes."""
        if path.metadata_format == self.decodes:
            return {}
        name = "index_decoder" if self.decodes == "bitmask" else "index_encoder"
        return {name: block_cost(tech, name, path)}

    def _delay_ps(self, tech: CostSource, path: Datapath) -> float:
        path = _facing(path)
        converters = self._converters(tech, path).values()
        return self._row(tech, path).delay_ps + sum(cost.delay_ps for cost in converters)

    def _needed(self, tech: CostSource, path: Datapath) -> int:
        return clock_periods(self._delay_ps(tech, path), period_ps(path))


def _facing(path: Datapath) -> Datapath:
    """Return the datapath with the operand that is routed in the place of W.

    A crossbar picks from the operand that is not the sparse one. Where W is the sparse one, that is
    X: each multiplier picks one of M activations, and the columns share what the rows do otherwise.
    """
    return path.seen_from_weights if path.w.is_sparse else path


def lane_bits(s: Shape) -> int:
    """Return the legs that pick a slice of N values, where there are fewer lanes."""
    return s.n * s.bits * s.columns if s.substeps > 1 else 0


def _index_decoder_parts(s: Shape) -> Parts:
    """Return what finds the places of N indices, and sets the bits of M positions."""
    return {"places": s.n * s.window, "positions": s.m}


BLOCKS["index_decoder"] = Block(_index_decoder_parts, value_path)


@cache
def _moves_as_all_do(kind: type[Crossbar]) -> bool:
    """Whether a kind has nothing of the protocol of its own but what it costs."""
    named = {name for name, part in vars(Unit).items() if isfunction(part)}
    protocol = {name for name in named if not name.startswith("_")} - _COSTS
    return all(getattr(kind, name) is getattr(Crossbar, name) for name in protocol)


CROSSBARS: Registry[Crossbar] = Registry("crossbar.kind")
