"""The TwELL packer: finished outputs leave the array as counts, values and columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field
from typing_extensions import override

from accelsim.hardware.logic import block_cost
from accelsim.hardware.token_units import packed
from accelsim.hardware.unit import UNITS, Unit
from accelsim.mapping import Datapath, Ints, Work, ceil_div
from accelsim.mapping.token_packing import ROWS
from accelsim.sparsity.rows.base import address_bits
from accelsim.tech.blocks import BLOCKS, Block, Parts, Shape, select_path
from accelsim.tech.source import CostSource

_COLUMN_BITS = 16


@UNITS.register("twell_packer")
class TwellPacker(Unit):
    """`lanes` packers, each of which takes an output of its own row of outputs a cycle.

    A lane compares an output with zero, counts those that are not, and writes them with their
    column behind the last one; after 256 outputs it writes the count, which is the flag of a tile
    with more values than payloads, too. Outputs of a down product go past it.

    Timing:
        busy    = ceil(tokens × columns / lanes), for a job that completes K; of an up product
                  ceil(values / lanes), and all outputs of tokens that overflow
        latency = 1

    Actions:
        look: one output compared with zero and, if it is not, written.

    Not modelled:
        Pipelining to the clock. The count of a tile that ends beyond the machine's tile stays in
        its lane: lanes for as many rows as the machine's tile has tokens would be needed.

    Example:
        8 × 64 outputs through 8 lanes.

        >>> from accelsim.hardware.examples import work
        >>> unit = TwellPacker(lanes=8)
        >>> tile = work("dense", tokens=8, reduction=64, columns=64)
        >>> unit.busy_cycles(tile), dict(unit.actions(tile))
        (array([64]), {'look': 512})

    Source: `twell_lane.sv`; the epilogue of "Sparser, Faster, Lighter" (arXiv 2603.23198).
    """

    action_names: ClassVar[frozenset[str]] = frozenset({"look"})

    lanes: Annotated[
        int, Field(strict=True, gt=0, le=2**16), Field(description="Outputs a cycle, one a row")
    ] = 8

    @override
    def busy_cycles(self, work: Work) -> Ints:
        return ceil_div(self._outputs(work), self.lanes)

    @override
    def latency_cycles(self, path: Datapath) -> int:
        return 1

    @override
    def actions(self, work: Work) -> Mapping[str, int]:
        return {"look": int(self._outputs(work).sum())}

    @override
    def energy_pj(self, tech: CostSource, path: Datapath) -> Mapping[str, float]:
        lane = block_cost(tech, "twell_lane", path)
        logic_pj = tech.energy_pj("select_rank", "group", lane.logic_um2)
        return {"look": logic_pj + lane.register_bits * tech.register_pj}

    @override
    def area_um2(self, tech: CostSource, path: Datapath) -> float:
        return self.lanes * block_cost(tech, "twell_lane", path).area_um2

    @staticmethod
    def _outputs(work: Work) -> Ints:
        found, jobs = packed(work), work.jobs
        if found is not None and found.product == "down":
            return 0 * found.values
        if found is not None and found.product == "up":
            return (found.values + found.overflowing * jobs.columns) * jobs.last_reduction
        return jobs.tokens * jobs.columns * jobs.last_reduction


def _lane_parts(s: Shape) -> Parts:
    """Return comparisons with zero and with the payloads, a counter, and registers that hold.

    At int8 that is 366 µm²; `twell_lane.sv`, synthesised for nangate45, takes 360.
    """
    count_bits = address_bits(ROWS.tile) + 1
    word_bits = s.bits + _COLUMN_BITS
    slot_bits = address_bits(ROWS.tile // ROWS.compression)
    return {
        "comparator_bits": s.bits + 2 * count_bits,
        "count_bits": 0,
        "magnitude_bits": word_bits + 2 * count_bits + slot_bits + 1,
        "register_bits": word_bits + 2 * count_bits + slot_bits + 3,
    }


BLOCKS["twell_lane"] = Block(_lane_parts, select_path, priced_like="select_rank")
