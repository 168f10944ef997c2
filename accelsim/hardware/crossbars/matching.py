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

_SWITCHES_LIKE = {"route": "route", "decode": "decode", "step": "decode"}


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
        Multiplexers that rest where no weight is stored; wires of the broadcast. Energy is that of
        `window`, which has the same decoder and multiplexers, by area.

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
        column, stepper = self._column(tech, path), self._stepper(tech, path)
        decoders_um2 = column.parts_um2["places"]
        switched_um2 = {
            "route": (column.logic_um2 - decoders_um2) / (path.rows * path.lanes),
            "decode": decoders_um2 / path.lanes,
            "step": stepper.logic_um2,
        }
        flip_flops = {
            "route": self._stages * path.x.bits,
            "decode": _held_bits(path),
            "step": path.w.block,
        }
        return {
            action: tech.energy_pj("crossbar_window", _SWITCHES_LIKE[action], um2)
            + flip_flops[action] * tech.register_pj
            for action, um2 in switched_um2.items()
        }

    @override
    def area_um2(self, tech: CostSource, path: Datapath) -> float:
        logic = path.columns * self._column(tech, path).area_um2
        logic += path.rows * path.lanes * self._stepper(tech, path).area_um2
        held = path.columns * _held_bits(path) + path.rows * 2 * path.w.block
        piped = path.rows * self._stages * path.x.bits * (path.columns + 1)
        return logic + path.lanes * (held + piped) * tech.register_um2

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
    return 2 * (path.w.kept_per_block * path.x.bits + path.w.block)


def _parts(s: Shape) -> Parts:
    """Count a column: a decoder a lane; a row each matches N positions and picks one of N values.

    Matching is a multiplexer of one bit: of the places at which a stored weight may stand, that of
    the activation.
    """
    return {
        "leg_bits": s.lanes * s.columns * s.n * s.bits,
        "match_legs": s.lanes * s.columns * s.n * s.window,
        "places": s.lanes * s.n * s.window,
    }


def _stepper_parts(s: Shape) -> Parts:
    """Count positions, each of which asks whether one before it is set."""
    return {"places": s.m}


def _stepper_path(s: Shape) -> Parts:
    """Return what the chain through the mask grows with."""
    return {"constant": 1.0, "m": s.m}


BLOCKS["crossbar_matching"] = Block(_parts, value_path)
BLOCKS["mask_stepper"] = Block(_stepper_parts, _stepper_path)
