"""The matcher: finds in each lane what a group of X and a group of W have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import log2
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from accelsim.hardware.crossbars.base import Crossbar
from accelsim.hardware.logic import period_ps, shape
from accelsim.mapping import Datapath, Work
from accelsim.tech.blocks import BLOCKS, Block, Parts, Shape, index_bits
from accelsim.tech.source import BlockCost, CostSource


class Matcher(Crossbar):
    """A matcher a lane: one pair of an activation and a weight at the same position a cycle.

    A group of M positions comes as the N kept activations with their mask, and the stored weights
    with theirs. A lane ANDs the masks; a priority encoder finds the next common position, the bits
    below it in each mask are counted, and the counts address the multiplexers of both operands.

    The groups of a round, `queue_groups` a lane, stand in registers: activations once a row, for
    its C elements, weights once a column, for its R elements; twice, so that a round is loaded
    while another one is computed. Within a round, lanes and elements run ahead of each other.

    Timing:
        A group takes max(1, matches) cycles of its lane, and group g of a tile goes to lane g mod
        L. A round takes as long as its slowest lane, over all R × C elements; rounds and blocks
        follow each other (`Work.array_cycles`).

            busy    = Σ over blocks and rounds of max over elements and lanes of Σ max(1, matches)
            latency = `pipeline_stages`: 1, or what the clock asks for

    Actions:
        match: one pair found and brought to a multiplier, with the lane's waiting for its round.
        load: one byte of values or masks written into a register of a round.

    Not modelled:
        What an element waits for when a round starts before the next one is loaded, other than by
        the ports of the buffers; masks of a layer that keeps all of X, which are its values that
        are not zero; wires. The loop from mask to mask is not cut by registers.

    Example:
        Lanes of 16 positions; X keeps 0 … 7, W stores two of each four: 0, 1, 4, 5, … 4 of those
        are in common, in each of 32 groups, two a lane: one round of 8 cycles.

        >>> import numpy as np
        >>> from accelsim.dataflows.matches import InnerJoin
        >>> from accelsim.hardware.examples import joined
        >>> from accelsim.mapping import Masks
        >>> tile = joined(tokens=8, reduction=512, columns=8)
        >>> k = np.arange(512)
        >>> x, w = np.tile(k % 16 < 8, (8, 1)), np.tile(k % 4 < 2, (8, 1)).T
        >>> found = InnerJoin().found(Masks(x, w), tile.jobs, tile.path)
        >>> tile, unit = replace(tile, found=found), Matcher(kind="matcher")
        >>> unit.busy_cycles(tile), dict(unit.actions(tile))
        (array([8]), {'match': 8192, 'load': 5120})

    Source: `match_lane.sv`; SparTen (MICRO'19), whose groups have 128 positions.
    """

    action_names: ClassVar[frozenset[str]] = frozenset({"match", "load"})

    kind: Annotated[Literal["matcher"], Field(description="Which design")]
    queue_groups: Annotated[
        int,
        Field(strict=True, gt=0, le=64),
        Field(description="Groups of a lane in a round, within which lanes run ahead"),
    ] = 2

    @override
    def actions(self, work: Work) -> Mapping[str, int]:
        jobs, path, packing = work.jobs, work.path, work.packing
        matches = packing.macs
        if matches is None:
            groups = -(-jobs.reduction // path.grain)
            matches = jobs.tokens * jobs.columns * groups * path.lane_group[0]
        loads = packing.compressed_bytes * jobs.column_blocks(path)
        loads = loads + jobs.weight_tile_bytes(path) * jobs.row_blocks(path)
        return {"match": int(matches.sum()), "load": int(loads.sum())}

    @override
    def energy_pj(self, tech: CostSource, path: Datapath) -> Mapping[str, float]:
        # Of the groups of a round, which stand still, the legs of the one in turn switch.
        group = replace(self._shape(path), queue=1)
        switched_um2 = tech.block("match_lane", group, period_ps=period_ps(path)).area_um2
        found = tech.energy_pj("match_lane", "match", switched_um2)
        return {"match": found, "load": 8 * tech.register_pj}

    @override
    def area_um2(self, tech: CostSource, path: Datapath) -> float:
        group = self._shape(path)
        x_bits, w_bits = (n * group.bits + group.m for n in (group.n, group.stored))
        held_bits = (
            2 * self.queue_groups * path.lanes * (path.rows * x_bits + path.columns * w_bits)
        )
        return path.macs_per_cycle * self._row(tech, path).area_um2 + held_bits * tech.register_um2

    @override
    def _row(self, tech: CostSource, path: Datapath) -> BlockCost:
        return tech.block("match_lane", self._shape(path), period_ps=period_ps(path))

    @override
    def _delay_ps(self, tech: CostSource, path: Datapath) -> float:
        return self._row(tech, path).delay_ps

    def _shape(self, path: Datapath) -> Shape:
        """Return the shape of a lane: values of X and W in a group, and groups of a round."""
        stored = path.w.stored_values(path.grain)
        return replace(shape(path), stored=stored, queue=self.queue_groups)


def _parts(s: Shape) -> Parts:
    """Count legs of the multiplexers of values and of masks, places that steer them, positions."""
    return {
        "leg_bits": s.queue * (s.n + s.stored) * s.bits,
        "mask_legs": 2 * s.queue * s.m,
        "places": s.queue * (s.n + s.stored),
        "positions": s.m,
        "register_bits": 2 * s.bits + 1 + s.m + s.queue + index_bits(s.queue + 1),
    }


def _path(s: Shape) -> Parts:
    """Return what the path grows with: from the group in turn over its masks to the values."""
    return {
        "constant": 1.0,
        "log_m": log2(s.m),
        "m": s.m,
        "log_legs": log2(s.queue * s.n),
        "log_bits": log2(s.bits),
    }


BLOCKS["match_lane"] = Block(_parts, _path)
