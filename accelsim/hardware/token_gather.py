"""The token gather: operands of a single token for all rows of the array."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field
from typing_extensions import override

from accelsim.hardware.dot_product import lane_block
from accelsim.hardware.logic import block_cost
from accelsim.hardware.token_units import packed
from accelsim.hardware.unit import UNITS, Unit
from accelsim.mapping import Datapath, Ints, Work, ceil_div
from accelsim.mapping.token_packing import ROWS
from accelsim.sparsity.rows.base import address_bits
from accelsim.tech.blocks import BLOCKS, Block, Parts, Shape, select_path, value_path
from accelsim.tech.source import BlockCost, CostSource

_COLUMN_BITS = 16
_LEGS = 2  # a weight for all rows or for this one; a token's values for all rows or for this one


@UNITS.register("token_gather")
class TokenGather(Unit):
    """Decoders of payloads, and what lets R rows of the array work on one token.

    A decoder takes a payload of TwELL a cycle, tells by the count whether it holds anything, and
    makes the address of a row or column of W of its column. In front of each multiplier one of two
    weights is taken, that for all rows or that for its own; in front of each row one of two parts
    of X. Behind the array the sums of R rows are added up, where each had a part of K.

    Timing:
        busy    = ceil(payloads / lanes), payloads of the tile, for down once for each R × C columns
        latency = 1

    Actions:
        decode: one payload.
        steer: one lane-cycle of the array, a weight and its share of X taken.
        fold: one partial sum of a row added to the output.

    Not modelled:
        Pipelining to the clock; wires of R times as many weights. No RTL: area and energy are sums
        of parts at the prices of `select_rank`, `crossbar_full` and `dot_product`.

    Example:
        A dense tile has no payloads, and its weights pass.

        >>> from accelsim.hardware.examples import work
        >>> tile = work("dense", tokens=8, reduction=64)
        >>> TokenGather().busy_cycles(tile), dict(TokenGather().actions(tile))
        (array([4]), {'decode': 0, 'steer': 4096, 'fold': 0})
    """

    action_names: ClassVar[frozenset[str]] = frozenset({"decode", "steer", "fold"})

    lanes: Annotated[
        int,
        Field(strict=True, gt=0, le=2**16),
        Field(description="Payloads a cycle; the array takes L of them"),
    ] = 16

    @override
    def busy_cycles(self, work: Work) -> Ints:
        found = packed(work)
        if found is None or found.product == "gate":
            return work.array_cycles
        return ceil_div(self._payloads(work), self.lanes)

    @override
    def latency_cycles(self, path: Datapath) -> int:
        return 1

    @override
    def actions(self, work: Work) -> Mapping[str, int]:
        found, path = packed(work), work.path
        folded = 0
        if found is not None and found.product == "up":
            folded = int(found.values.sum()) * path.rows
        return {
            "decode": int(self._payloads(work).sum()),
            "steer": int(work.array_cycles.sum()) * path.macs_per_cycle,
            "fold": folded,
        }

    @override
    def energy_pj(self, tech: CostSource, path: Datapath) -> Mapping[str, float]:
        decoder, mux, fold = self._blocks(tech, path)
        return {
            "decode": tech.energy_pj("select_rank", "group", decoder.logic_um2)
            + decoder.register_bits * tech.register_pj,
            "steer": tech.energy_pj("crossbar_full", "route", mux.area_um2),
            "fold": tech.energy_pj("dot_product", "int_accumulate", fold.area_um2),
        }

    @override
    def area_um2(self, tech: CostSource, path: Datapath) -> float:
        decoder, mux, fold = (block.area_um2 for block in self._blocks(tech, path))
        folds = (path.rows - 1) * path.columns
        return self.lanes * decoder + path.macs_per_cycle * mux + folds * fold

    @staticmethod
    def _blocks(tech: CostSource, path: Datapath) -> list[BlockCost]:
        names = "payload_decoder", "token_mux", "row_fold"
        return [block_cost(tech, name, path) for name in names]

    @staticmethod
    def _payloads(work: Work) -> Ints:
        found, jobs, path = packed(work), work.jobs, work.path
        if found is None or found.product == "gate":
            return 0 * jobs.tokens
        if found.product == "up":
            return found.values
        return found.values * ceil_div(jobs.columns, path.rows * path.columns)


def _decoder_parts(s: Shape) -> Parts:
    """Return a comparison of the slot with the count, an offset of the column, and a word."""
    slot_bits = address_bits(ROWS.tile) + 1
    return {
        "comparator_bits": slot_bits + _COLUMN_BITS,
        "count_bits": 0,
        "magnitude_bits": 0,
        "register_bits": s.bits + _COLUMN_BITS + slot_bits,
    }


def _mux_parts(s: Shape) -> Parts:
    """Return one of two weights, and the share of one of two values of X that C columns have."""
    return {"leg_bits": _LEGS * s.bits * (1 + 1 / s.columns), "places": 0, "substep_bits": 0}


def _fold_parts(_: Shape) -> Parts:
    return {"accumulator_bits": 32, "register_bits": 0}


BLOCKS["payload_decoder"] = Block(_decoder_parts, select_path, priced_like="select_rank")
BLOCKS["token_mux"] = Block(_mux_parts, value_path, priced_like="crossbar_full")
BLOCKS["row_fold"] = lane_block(_fold_parts)
