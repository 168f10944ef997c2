"""An array of outer products: units that each add up an output block of their own, in banks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from typing_extensions import override

from accelsim.base.errors import InputError
from accelsim.hardware.dot_product import lane_block, lane_parts, lane_pj_per_um2
from accelsim.hardware.logic import arithmetic, block_cost, dot_product_block, period_ps
from accelsim.hardware.mac_array import MacArray
from accelsim.mapping import Datapath, Ints, TileJobs, Work, ceil_div
from accelsim.tech.blocks import BLOCKS, Block, Parts, Shape, index_bits, value_path
from accelsim.tech.source import CostSource


class OuterProductArray(MacArray):
    """Units of r × c multipliers (`unit_rows`, `unit_columns`), each for an R × C block of outputs.

    There are R × C × L / (r × c) units: with L = 1 as many multipliers as outputs of a block. For
    each position of K, a unit multiplies the a values of X that its R tokens have there by the b
    values of W that its C columns have there, r × c products a step. Products go to the banks of
    an accumulation buffer, one for each of r × c residues: output (i, j) of the block stands in
    bank (i mod r, j mod c).

    Timing:
        A position of K takes ceil(a / r) × ceil(b / c) steps. A bank adds one product a cycle, but
        of the products of a step several may be its own. They wait in its queue; where more than
        `queue_depth` would wait, the unit does:

            position = max(steps, fullest queue with the products of the position - queue_depth)
            block    = sum of its positions, and what waits in the fullest queue at its end
            busy     = until the last unit is done; one that is free takes the next block of a tile
            latency  = stage_cycles + 4: multiply, route twice, queue, add

        Where both operands are dense, no two products of a step meet in a bank. Accumulators are
        doubled, so that a block drains while the next one is computed.

    Actions:
        mac: a product of two values that are there.
        mac_idle: a multiplier-cycle of a busy array without one.
        route: a product on its way to its bank, through two multiplexers and a queue.
        accumulate: a product added to an output, which is read and written.
        decode: the bits of a position of a block, of X or W, turned into places of values.

    Not modelled:
        How a queue takes several products in one cycle, and in which of the steps of a position
        they come; the reading of finished outputs; wires.

    Example:
        Dense, four blocks of 32 × 32 keep four of eight units at work, 4 × 2 steps a position.

        >>> from accelsim.hardware.examples import work
        >>> array = OuterProductArray(rows=32, columns=32, lanes=1)
        >>> tile = work("dense", tokens=64, reduction=10, columns=64)
        >>> array.units, array.busy_cycles(tile)
        (8, array([80]))
    """

    action_names: ClassVar[frozenset[str]] = frozenset(
        {"mac", "mac_idle", "route", "accumulate", "decode"}
    )

    unit_rows: (
        Annotated[
            int,
            Field(strict=True, gt=0, le=64),
            Field(description="Values of X that a unit multiplies in a step; default: R / 4"),
        ]
        | None
    ) = None
    unit_columns: (
        Annotated[
            int,
            Field(strict=True, gt=0, le=64),
            Field(description="Values of W that a unit multiplies in a step; default: C / 2"),
        ]
        | None
    ) = None
    queue_depth: Annotated[
        int,
        Field(strict=True, ge=0, le=256),
        Field(description="Products that can wait for each bank of accumulators"),
    ] = 8

    @model_validator(mode="after")
    def _units_are_whole(self) -> Self:
        multipliers, of_unit = self.rows * self.columns * self.lanes, prod(self.unit_shape)
        if multipliers % of_unit:
            raise InputError(
                f"rows × columns × lanes, {multipliers}, must divide by unit_rows × unit_columns, "
                f"{of_unit}"
            )
        return self

    @property
    def unit_shape(self) -> tuple[int, int]:
        """Values of X and of W that a unit multiplies in a step, r and c; its banks as well."""
        rows, columns = self.unit_rows, self.unit_columns
        return rows or ceil_div(self.rows, 4), columns or ceil_div(self.columns, 2)

    @property
    def units(self) -> int:
        """Units, each with a block of its own."""
        return self.rows * self.columns * self.lanes // prod(self.unit_shape)

    @override
    def busy_cycles(self, work: Work) -> Ints:
        found = work.packing.array_cycles
        return self._dense_cycles(work.jobs) if found is None else found

    def _dense_cycles(self, jobs: TileJobs) -> Ints:
        """Return the cycles of tiles of which all values are there, `[jobs]`.

        Blocks are dealt in turn; those at an edge are shorter, and counted as the others.
        """
        rows, columns = np.minimum(jobs.tokens, self.rows), np.minimum(jobs.columns, self.columns)
        steps = ceil_div(rows, self.unit_shape[0]) * ceil_div(columns, self.unit_shape[1])
        blocks = ceil_div(jobs.tokens, self.rows) * ceil_div(jobs.columns, self.columns)
        return ceil_div(blocks, self.units) * steps * jobs.reduction

    def block_sums(self, x: NDArray[Any], w: NDArray[Any]) -> NDArray[Any]:
        """Return the product of a block, added up in banks, one position of K after the other.

        Args:
            x: `[rows, K]`, in the type of sums; what is zero is not there.
            w: `[K, columns]`, likewise.

        >>> array = OuterProductArray(rows=4, columns=4, lanes=1)
        >>> array.block_sums(np.array([[1, 0], [2, 3]]), np.array([[1, 0, 4], [0, 5, 6]]))
        array([[ 1,  0,  4],
               [ 2, 15, 26]])
        """
        (r, c), row, column = self.unit_shape, np.arange(len(x)), np.arange(w.shape[1])
        words = ceil_div(self.columns, c)
        banks = np.zeros((r, c, self._words), x.dtype)

        def place(i: NDArray[Any], j: NDArray[Any]) -> tuple[NDArray[Any], ...]:
            i, j = i[:, None], j[None]
            return i % r, j % c, i // r * words + j // c

        for k in range(x.shape[1]):
            i, j = row[x[:, k] != 0], column[w[k] != 0]
            banks[place(i, j)] += np.outer(x[i, k], w[k, j])
        sums: NDArray[Any] = banks[place(row, column)]
        return sums

    @override
    def latency_cycles(self, path: Datapath) -> int:
        return (self.stage_cycles or 1) + 4

    @override
    def actions(self, work: Work) -> Mapping[str, int]:
        found, jobs, path = work.packing.macs, work.jobs, work.path
        macs = work.nonzero * work.gemm.out_features if found is None else int(found.sum())
        cycles = int(self.busy_cycles(work).sum())
        places = jobs.reduction * jobs.blocks(path) * (path.is_sparse + path.w.is_sparse)
        return {
            "mac": macs,
            "mac_idle": cycles * path.macs_per_cycle - macs,
            "route": macs,
            "accumulate": macs,
            "decode": int(places.sum()),
        }

    @override
    def energy_pj(self, tech: CostSource, path: Datapath) -> Mapping[str, float]:
        lane, bank = block_cost(tech, "outer_product_lane", path), self._bank(tech, path)
        density, block = lane_pj_per_um2(tech, path), dot_product_block(path)
        clocked_bits = self._product_bits(path) + self._held_bits(path)
        idle_bits = clocked_bits - lane.register_bits  # these are in the price of an idle lane
        idle_pj = tech.energy_pj(block, f"{arithmetic(path)}_mac_idle", lane.logic_um2)
        return {
            "mac": density * lane.logic_um2 + clocked_bits * tech.register_pj,
            "mac_idle": idle_pj + idle_bits * tech.register_pj,
            "route": tech.energy_pj("outer_product_mux", "route", bank.routing_um2)
            + self._routed_bits(path) * tech.register_pj,
            "accumulate": density * bank.adder_um2
            + tech.energy_pj("outer_product_mux", "route", bank.reading_um2)
            + path.accumulator_bits * tech.register_pj,
            "decode": tech.energy_pj("index_encoder", "group", self._places_um2(tech, path) / 2),
        }

    @override
    def area_um2(self, tech: CostSource, path: Datapath) -> float:
        lane, bank = block_cost(tech, "outer_product_lane", path), self._bank(tech, path)
        lane_bits = self._product_bits(path) + self._held_bits(path)
        queue_bits = self.queue_depth * self._routed_bits(path)
        sums_bits = 2 * self._words * path.accumulator_bits  # doubled
        one_um2 = lane.logic_um2 + bank.adder_um2 + bank.routing_um2 + bank.reading_um2
        one_um2 += (lane_bits + queue_bits + sums_bits) * tech.register_um2
        unit_um2 = prod(self.unit_shape) * one_um2 + self._places_um2(tech, path)
        return self.units * unit_um2

    @property
    def _words(self) -> int:
        """Outputs of a block that stand in the same bank."""
        r, c = self.unit_shape
        return ceil_div(self.rows, r) * ceil_div(self.columns, c)

    def _product_bits(self, path: Datapath) -> int:
        """Return the flip-flops behind a multiplier, a product in each of its stages."""
        return 2 * path.x.bits * (self.stage_cycles or 1)

    def _routed_bits(self, path: Datapath) -> int:
        """Return the bits of a product on its way, and of the word of its bank."""
        return 2 * path.x.bits + index_bits(self._words)

    def _bank(self, tech: CostSource, path: Datapath) -> _Bank:
        legs = sum(self.unit_shape) + self.queue_depth
        return _Bank(
            adder_um2=block_cost(tech, "outer_product_adder", path).logic_um2,
            routing_um2=_mux_um2(tech, path, legs, self._routed_bits(path)),
            reading_um2=_mux_um2(tech, path, self._words, path.accumulator_bits),
        )

    def _places_um2(self, tech: CostSource, path: Datapath) -> float:
        """Return the area of what finds the places of r values of X, and of c of W, in a unit."""
        sizes = zip(self.unit_shape, (self.rows, self.columns), strict=True)
        shapes = (Shape(n=min(size), m=size[1]) for size in sizes)
        period = period_ps(path)
        return sum(tech.block("index_encoder", s, period_ps=period).logic_um2 for s in shapes)


@dataclass(frozen=True, slots=True)
class _Bank:
    """Logic of a bank of the accumulation buffer, in um2.

    Attributes:
        adder_um2: of a product to a sum.
        routing_um2: multiplexers that bring products, one for the rows of multipliers, one for
            their columns, and the one behind the queue.
        reading_um2: the multiplexer that picks the sum.
    """

    adder_um2: float
    routing_um2: float
    reading_um2: float


def _mux_um2(tech: CostSource, path: Datapath, legs: int, bits: int) -> float:
    size = Shape(m=legs, bits=bits)
    return tech.block("outer_product_mux", size, period_ps=period_ps(path)).logic_um2


def _mux_parts(s: Shape) -> Parts:
    """Return a multiplexer of M values of B bits; what steers it counts as decoding."""
    return {"leg_bits": s.m * s.bits}


BLOCKS["outer_product_lane"] = lane_block(lambda s: lane_parts(s, products=1))
BLOCKS["outer_product_adder"] = lane_block(lambda s: lane_parts(s, adders=(32,)))
BLOCKS["outer_product_mux"] = Block(_mux_parts, value_path, priced_like="crossbar_full")
