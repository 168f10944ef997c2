"""The MAC array: R × C processing elements, each a dot product of L lanes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field
from typing_extensions import override

from accelsim.base.note import Note, warning
from accelsim.hardware.dot_product import rank_bits
from accelsim.hardware.logic import arithmetic, block_cost, dot_product_block, period_ps, shape
from accelsim.hardware.unit import Unit
from accelsim.mapping import Datapath, Ints, Work
from accelsim.precision import PRECISIONS
from accelsim.tech.blocks import index_bits
from accelsim.tech.source import BlockCost, CostSource

_WORTH = 0.9  # of the energy: less is within the error of the prices


class MacArray(Unit):
    """Output-stationary: each element accumulates one output of an R × C block.

    Timing:
        A tile is cut into ceil(tokens / R) × ceil(columns / C) blocks. Dense, a block takes
        ceil(reduction / L) steps; at N:M, of X or of W, it takes ceil(G / floor(L / N)) steps for
        its G = ceil(reduction / M) groups (G × ceil(N / L) if N > L). Where rows keep different
        counts, the row with the most, n, sets the pace: ceil(n / L) steps (`Work.steps`).

            busy    = blocks × steps
            latency = stage_cycles × (1 + ceil(log2 L)) + 1: multiply, adder tree, accumulate

        With scales of blocks (fp4), one stage more, which multiplies a block's sum with its scales.

        Accumulators are doubled, so a block drains while the next one computes. `stage_cycles` is 1
        unless given, or unless the small netlist, with every multiplier and adder of the tree cut
        in so many stages, meets the clock for less than nine tenths of the energy of the fast one.

    Gating:
        A lane whose activation is zero is charged as if the operand had been zero for long: by an
        `ideal` gate, which costs nothing. `held` is one with hardware: both operands of a lane
        stand in registers that keep the last ones while the activation is zero. It saves energy
        and no time.

    Actions:
        mac: a multiplication by a kept activation that is not zero.
        mac_idle: a lane-cycle of a busy array without one: zero activation, padding, ragged edge.
        accumulate: one update of one accumulator, or its start from an output to be added to; with
            scales of blocks (fp4) also the multiplications by them in front of it.

    Not modelled:
        Without a gate a zero between other values costs more than one among zeros. Of a gate that
        holds operands: the OR of an activation's bits, and that its registers are a stage more.
        Zero weights among those that are stored (values of W are not in a trace); clock tree;
        wires. With a sparse W, which activation meets a stored weight: the mean is counted.

    Example:
        An 8 × 64 × 8 tile at 8:16 is one block of 64 / 16 / 2 = 2 steps: 8 × 8 × 32 products.

        >>> from accelsim.hardware.examples import work
        >>> array = MacArray(rows=8, columns=8, lanes=16)
        >>> tile = work("8:16", tokens=8, reduction=64)
        >>> array.busy_cycles(tile), dict(array.actions(tile))
        (array([2]), {'mac': 2048, 'mac_idle': 0, 'accumulate': 128})
    """

    action_names: ClassVar[frozenset[str]] = frozenset({"mac", "mac_idle", "accumulate"})

    rows: Annotated[
        int,
        Field(strict=True, gt=0, le=1024),
        Field(description="Tokens computed at once (R); area and peak speed grow with it"),
    ]
    columns: Annotated[
        int,
        Field(strict=True, gt=0, le=1024),
        Field(description="Output columns computed at once (C); area and peak speed grow with it"),
    ]
    lanes: Annotated[
        int,
        Field(strict=True, gt=0, le=1024),
        Field(description="Multipliers of one dot product (L); values of K used in one cycle"),
    ]

    stage_cycles: (
        Annotated[
            int,
            Field(strict=True, gt=0, le=64),
            Field(
                description=(
                    "Cycles of a multiplier, and of each level of adders behind it; default: 1, or "
                    "more where that saves a tenth of the energy"
                ),
            ),
        ]
        | None
    ) = None

    gating: Annotated[
        Literal["ideal", "held"],
        Field(
            description=(
                "What keeps a lane still whose activation is zero: ideal, at no cost; held, "
                "registers in front of each multiplier, with their energy and area"
            ),
        ),
    ] = "ideal"

    @override
    def busy_cycles(self, work: Work) -> Ints:
        return work.array_cycles

    @override
    def latency_cycles(self, path: Datapath) -> int:
        scales = int(PRECISIONS[path.x.precision].block > 0)
        return self._stages * (1 + index_bits(self.lanes) + scales) + 1

    @override
    def fit_clock(self, tech: CostSource, path: Datapath) -> Self:
        if self.stage_cycles is not None:
            return self
        whole, period = block_cost(tech, dot_product_block(path), path), period_ps(path)
        one = self.model_copy(update={"stage_cycles": 1})
        if whole.effort == "area" or whole.delay_ps > period:  # not needed, or of no help
            return one
        small = tech.block(dot_product_block(path), shape(path))
        cut = self.model_copy(update={"stage_cycles": small.cycles(period)})
        costs = [unit.energy_pj(tech, path)["mac"] for unit in (cut, one)]
        return cut if costs[0] < _WORTH * costs[1] else one

    @override
    def actions(self, work: Work) -> Mapping[str, int]:
        jobs, path = work.jobs, work.path
        macs = work.nonzero * _products(work)
        if work.packing.macs is not None:
            macs = int(work.packing.macs.sum())
        lane_cycles = int(self.busy_cycles(work).sum()) * path.macs_per_cycle
        updates = jobs.columns * work.packing.updates(jobs) + work.added
        return {"mac": macs, "mac_idle": lane_cycles - macs, "accumulate": int(updates.sum())}

    @override
    def energy_pj(self, tech: CostSource, path: Datapath) -> Mapping[str, float]:
        unit = self._unit(tech, path)
        block_sums_um2 = unit.parts_um2.get("block_sums", 0.0)
        lane_um2 = (unit.logic_um2 - block_sums_um2) / path.lanes
        ranks = (self._stages - 1) * rank_bits(path, shape(path)) / path.lanes
        clocked_pj = (ranks + self._held_bits(path)) * tech.register_pj
        accumulator_um2 = 2 * path.accumulator_bits * tech.register_um2 + block_sums_um2
        block, kind = dot_product_block(path), arithmetic(path)
        return {
            "mac": tech.energy_pj(block, f"{kind}_mac", lane_um2) + clocked_pj,
            "mac_idle": tech.energy_pj(block, f"{kind}_mac_idle", lane_um2) + clocked_pj,
            "accumulate": tech.energy_pj(block, f"{kind}_accumulate", accumulator_um2),
        }

    @override
    def area_um2(self, tech: CostSource, path: Datapath) -> float:
        held_um2 = path.lanes * self._held_bits(path) * tech.register_um2
        return self.rows * self.columns * (self._unit(tech, path).area_um2 + held_um2)

    @override
    def timing_notes(self, tech: CostSource, path: Datapath) -> Iterator[Note]:
        delay = self._unit(tech, path).delay_ps
        if delay > period_ps(path):
            yield warning(
                f"mac_array: a stage takes {delay:,.0f} ps of a clock of "
                f"{period_ps(path):,.0f} ps; it is not pipelined further"
            )

    def _unit(self, tech: CostSource, path: Datapath) -> BlockCost:
        if self._stages > 1:
            return tech.cut_block(dot_product_block(path), shape(path), self._stages)
        return block_cost(tech, dot_product_block(path), path)

    def _held_bits(self, path: Datapath) -> int:
        """Return the flip-flops in front of a multiplier: of both operands, as it takes them."""
        return 2 * shape(path).bits if self.gating == "held" else 0

    @property
    def _stages(self) -> int:
        return self.stage_cycles or 1


def _products(work: Work) -> int:
    """Return the multiplications of a nonzero activation: one an output, or its share of them.

    Where W is sparse, N of M weights are there, wherever; on average so many meet an activation.
    """
    w = work.path.w
    return work.gemm.out_features * w.kept_per_block // w.block
