"""The unpacker: widens weights to what the multipliers take, between weight buffer and crossbar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from pydantic import Field
from typing_extensions import override

from accelsim.base.models import remade
from accelsim.hardware.dot_product import lane_block, lane_parts, lane_pj_per_um2
from accelsim.hardware.logic import block_cost
from accelsim.hardware.unit import Unit
from accelsim.mapping import Datapath, Ints, Work, ceil_div
from accelsim.tech.blocks import BLOCKS, Parts, Shape
from accelsim.tech.source import BlockCost, CostSource


class Unpacker(Unit):
    """`lanes` multipliers of a code by the scale of its group, each a weight a cycle.

    There is one exactly if W is stored in a narrower format than the multipliers of the array take.
    A lane multiplies a code of W by a scale in the format of X, rounds the product to that format
    and holds it in registers; scales in use are held in registers beside the lanes, twice: one
    group is multiplied while the next is filled.

    Timing:
        Each row block of a job unpacks all that is stored of the tile as it streams from the weight
        buffer.

            busy    = ceil(row blocks × stored values of K × columns / lanes)
            latency = 1

        Unless `lanes` is given, it keeps up with the array: C × g × M / s of them.

    Actions:
        unpack: one weight multiplied by its scale.
        scale: one scale of a group taken from the weight buffer.

    Not modelled:
        Pipelining to the clock. Area and energy are estimates: multipliers and registers at the
        prices that the parts of a dot product have, not synthesised as a whole; a multiplier of
        4 × 8 bits is half of one of 8 × 8.

    Example:
        Two row blocks of 64 × 8 weights, a scale for 32 of them, through 128 lanes.

        >>> from dataclasses import replace
        >>> from accelsim.hardware.examples import work
        >>> from accelsim.precision import Operands
        >>> tile = work("8:16", tokens=16, reduction=64)
        >>> narrow = replace(tile.path, formats=Operands.parse("int8/int4:32"))
        >>> tile, unpacker = replace(tile, path=narrow), Unpacker(lanes=128)
        >>> unpacker.busy_cycles(tile), dict(unpacker.actions(tile))
        (array([8]), {'unpack': 1024, 'scale': 32})
    """

    action_names: ClassVar[frozenset[str]] = frozenset({"unpack", "scale"})

    lanes: (
        Annotated[
            int,
            Field(strict=True, gt=0, le=2**20),
            Field(description="Weights a cycle; default: as many as keep up"),
        ]
        | None
    ) = None

    def keeping_up(self, path: Datapath) -> Self:
        """Return the unit with as many lanes as the array needs, where the file leaves it open."""
        if "lanes" in self.model_fields_set and self.lanes is not None:
            return self
        return remade(self, lanes=balanced_lanes(path))  # it stays open

    @override
    def busy_cycles(self, work: Work) -> Ints:
        return ceil_div(self._weights(work), self._lanes)

    @override
    def latency_cycles(self, path: Datapath) -> int:
        return 1

    @override
    def actions(self, work: Work) -> Mapping[str, int]:
        jobs = work.jobs
        scales = work.path.w.scales(jobs.reduction, jobs.reduction_start) * jobs.columns
        return {
            "unpack": int(self._weights(work).sum()),
            "scale": int((scales * jobs.row_blocks(work.path)).sum()),
        }

    @override
    def energy_pj(self, tech: CostSource, path: Datapath) -> Mapping[str, float]:
        lane = self._lane(tech, path)
        unpack = lane_pj_per_um2(tech, path) * lane.logic_um2
        return {
            "unpack": unpack + lane.register_bits * tech.register_pj,
            "scale": path.w.scale_bits * tech.register_pj,
        }

    @override
    def area_um2(self, tech: CostSource, path: Datapath) -> float:
        scales = path.columns * path.w.most_scales(path.positions_per_step, 2**31)
        registers = 2 * scales * path.w.scale_bits
        return self._lanes * self._lane(tech, path).area_um2 + registers * tech.register_um2

    @property
    def _lanes(self) -> int:
        return self.lanes or 1

    @staticmethod
    def _weights(work: Work) -> Ints:
        """Return the weights that each job unpacks, `[jobs]`."""
        jobs, path = work.jobs, work.path
        if path.is_gathered:
            return work.weight_rows_read * jobs.columns
        return path.w.stored_values(jobs.reduction) * jobs.columns * jobs.row_blocks(path)

    @staticmethod
    def _lane(tech: CostSource, path: Datapath) -> BlockCost:
        return block_cost(tech, "unpack_lane", path)


def balanced_lanes(path: Datapath) -> int:
    """Return the weights that the array takes in a cycle.

    >>> from accelsim.hardware.examples import path
    >>> balanced_lanes(path("8:16"))  # 8 columns, two groups of 16
    256
    """
    values = path.w.stored_values(path.positions_per_step)
    return ceil_div(path.columns * values, path.steps_per_group)


def _lane(s: Shape) -> Parts:
    """Return a multiplier of a code by a scale, an integer or a significand, and the product."""
    wide = s.significand_bits if s.is_float else s.bits
    return {**lane_parts(s, products=s.code_bits / wide), "register_bits": s.bits}


BLOCKS["unpack_lane"] = lane_block(_lane)
