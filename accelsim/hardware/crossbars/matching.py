"""A crossbar of two sparse operands: finds the stored weight at the position of an activation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from accelsim.hardware.crossbars.base import Crossbar
from accelsim.hardware.logic import block_cost
from accelsim.mapping import Datapath, Work, ceil_div
from accelsim.tech.blocks import BLOCKS, Block, Parts, Shape, value_path
from accelsim.tech.source import BlockCost, CostSource


class Matching(Crossbar):
    """An N:1 multiplexer in front of every multiplier, for the N weights stored of a block of M.

    A lane serves one block at a time. Each row steps through the mask of its activations; each
    column decodes the mask of its weights once, for all rows; the multiplexer takes the weight that
    stands where the activation does, or zero if none is stored there.

    Timing:
        As `Crossbar`: the array's cycles, which are those of the activations.

    Actions:
        route: one kept activation that finds its weight, or none, at one multiplier.
        decode: one block of W loaded into a lane of a column, and its mask decoded.
        step: one kept activation of a row and lane found in the mask of its block.

    Not modelled:
        Multiplexers that rest where no weight is stored; wires of the broadcast. Prices of parts
        are those of `window`, which has the same decoder and multiplexers.

    Example:
        2 tokens × 64 positions × 2 outputs, both at 4:8, 16 lanes: 8 blocks, 4 steps.

        >>> from accelsim.hardware.examples import work
        >>> tile = work("4:8", weights="4:8", tokens=2, reduction=64, columns=2)
        >>> unit = Matching(kind="matching")
        >>> unit.busy_cycles(tile), dict(unit.actions(tile))
        (array([4]), {'route': 128, 'decode': 16, 'step': 64})

    Source: S2TA (HPCA'22): a 4:1 multiplexer for weights of 4:8; `crossbar_matching.sv`,
    `mask_stepper.sv`.
    """

    action_names: ClassVar[frozenset[str]] = frozenset({"route", "decode", "step"})

    kind: Annotated[Literal["matching"], Field(description="Which design")]

    @override
    def actions(self, work: Work) -> Mapping[str, int]:
        jobs, path = work.jobs, work.path
        values = work.packing.stored_values
        blocks = jobs.columns * ceil_div(jobs.reduction, path.grain)
        return {
            "route": int((jobs.columns * values).sum()),
            "decode": int((blocks * jobs.row_blocks(path)).sum()),
            "step": int((values * jobs.column_blocks(path)).sum()),
        }

    @override
    def energy_pj(self, tech: CostSource, path: Datapath) -> Mapping[str, float]:
        parts, stepper = self._column(tech, path).parts_um2, self._stepper(tech, path)
        route = tech.energy_pj(
            "crossbar_matching", "route", parts["leg_bits"] / (path.rows * path.lanes)
        )
        decode = tech.energy_pj("crossbar_matching", "decode", parts["places"] / path.lanes)
        step = tech.energy_pj("mask_stepper", "decode", stepper.logic_um2)
        return {
            "route": route + self._stages * path.x.bits * tech.register_pj,
            "decode": decode + _held_bits(path) * tech.register_pj,
            "step": step + path.w.block * tech.register_pj,
        }

    @override
    def area_um2(self, tech: CostSource, path: Datapath) -> float:
        held_um2 = path.lanes * _held_bits(path) * tech.register_um2
        columns = path.columns * (self._column(tech, path).area_um2 + held_um2)
        steppers = path.rows * path.lanes * self._stepper(tech, path).area_um2
        registers = self._stages * path.x.bits * path.lanes * (path.columns + 1)
        return columns + steppers + path.rows * registers * tech.register_um2

    @override
    def _delay_ps(self, tech: CostSource, path: Datapath) -> float:
        return self._stepper(tech, path).delay_ps + self._column(tech, path).delay_ps

    def _column(self, tech: CostSource, path: Datapath) -> BlockCost:
        """Return the cost of one column of the array: all its lanes, for all rows."""
        return block_cost(tech, "crossbar_matching", path.seen_from_weights)

    def _stepper(self, tech: CostSource, path: Datapath) -> BlockCost:
        """Return the cost of one lane of a row."""
        return block_cost(tech, "mask_stepper", path.seen_from_weights)


def _held_bits(path: Datapath) -> int:
    """Return the flip-flops of a column's lane: the block in use, and the next one as it comes."""
    return 2 * (path.w.kept_per_block * path.w.bits + path.w.block)


def _parts(s: Shape) -> Parts:
    """Count a column: a decoder a lane; a row each matches N positions and picks one of N values.

    Matching is a multiplexer of one bit: of the places at which a stored weight may stand, that of
    the activation.
    """
    return {
        "leg_bits": s.lanes * s.columns * s.n * (s.bits + s.window),
        "places": s.lanes * s.n * s.window,
    }


def _stepper_parts(s: Shape) -> Parts:
    """Count two gates a position, first and rest, and the masks in use and to come."""
    return {"places": 2 * s.m, "register_bits": 2 * s.m}


BLOCKS["crossbar_matching"] = Block(_parts, value_path, priced_like="crossbar_window")
BLOCKS["mask_stepper"] = Block(_stepper_parts, value_path, priced_like="crossbar_window")
