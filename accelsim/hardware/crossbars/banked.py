"""A crossbar to banks: a row of W from any bank to any lane, and who has to wait."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field
from typing_extensions import override

from accelsim.base.models import remade
from accelsim.hardware.crossbars.base import Crossbar
from accelsim.hardware.logic import period_ps, shape
from accelsim.mapping import Datapath, Ints, Masks, Packing, Packs, TileJobs, Work
from accelsim.mapping.banked import BankedPacking, banked, expected
from accelsim.precision import Values
from accelsim.tech.blocks import BLOCKS, Block, Parts, Shape, value_path
from accelsim.tech.source import BlockCost, CostSource

_SPAN = 4  # positions of K that the next values of a row may span, for each of its lanes
_NUMBER_BITS = 8  # of a row of W within its bank


class BankedCrossbar(Crossbar, Packs):
    """A banks:1 multiplexer in front of every multiplier, and registers that collect a round.

    The weight buffer deals the rows of a tile of W over `banks`; each gives a row, C columns of it,
    to all lanes that wait for it. Lanes of a row of the array take the next L kept values of their
    token, and need the rows of W at their positions, wherever these stand. What the lanes of
    `queue_steps` steps ask for is a round: it is collected while the array works on the one before
    (`accelsim.mapping.banked`). In a decode step X and W are compacted to the same positions, and
    nothing conflicts.

    Timing:
            busy    = column blocks × cycles of all rounds of the tile, each the larger of its steps
                      and the rows that its fullest bank gives
            latency = `pipeline_stages`, see `Crossbar`, + 1: the first round is collected

    Actions:
        route: see `Crossbar`.
        decode: one kept value whose position is found in the mask of its token.

    Not modelled:
        A multiplexer takes one row a cycle: of a round of several steps, an order is assumed in
        which the rows that a lane needs come in different cycles. Positions are found 4 × L at a
        time: where a token keeps less than a quarter, lanes would wait. Wires of the banks' rows to
        all lanes.

    Example:
        Two tokens keep half of 64 positions, the same ones, as all tokens do that keep everything:
        two steps, 16 of 32 banks in each.

        >>> import numpy as np
        >>> from dataclasses import replace
        >>> from accelsim.hardware.examples import work
        >>> tile = work("topk:0.5", tokens=2, reduction=64)
        >>> unit = BankedCrossbar(kind="banked", banks=32, queue_steps=1)
        >>> kept = np.tile(np.arange(64) < 32, (2, 1))
        >>> tile = replace(tile, found=unit.found(Masks(kept), tile.jobs, tile.path))
        >>> unit.busy_cycles(tile), dict(unit.actions(tile))
        (array([2]), {'route': 512, 'decode': 64})

    Source: derived; the multiplexers are those of `crossbar_full.sv` with N = L, M = banks; who is
    served when: `bank_arbiter.sv`.
    """

    kind: Annotated[Literal["banked"], Field(description="Which design")]
    banks: (
        Annotated[
            int,
            Field(strict=True, gt=0, le=2**12),
            Field(
                description=(
                    "Banks of the weight buffer that rows are dealt over; default: its macros, or "
                    "as many rows of C columns as its port gives, if those are fewer"
                )
            ),
        ]
        | None
    ) = None
    queue_steps: Annotated[
        int,
        Field(strict=True, gt=0, le=64),
        Field(description="Steps whose requests are collected, so that banks are more evenly full"),
    ] = 4

    @property
    def takes_any_positions(self) -> bool:
        """Whether kept values may stand anywhere in K."""
        return True

    def found(self, masks: Masks, jobs: TileJobs, path: Datapath) -> Packing:
        """Return how the tiles of a product are packed, `[jobs]`."""
        return banked(masks.x, jobs, path, banks=self._banks, queue_steps=self.queue_steps)

    def expected(self, jobs: TileJobs, path: Datapath) -> Packing:
        """Return how they would be if tokens kept any positions alike, `[jobs]`."""
        return expected(jobs, path, banks=self._banks, queue_steps=self.queue_steps)

    def place_of(self, positions: Ints) -> tuple[Ints, Ints]:
        """Return the number in its bank, and the bank, of the row of W at each position."""
        return positions // self._banks, positions % self._banks

    def dealt(self, tile: Values) -> Values:
        """Return a tile of W `[reduction, columns]` as its banks hold it: `[rows, banks, columns]`.

        The last rows of some banks are zeros where the reduction does not fill all.
        """
        padded = np.pad(tile, [(0, -len(tile) % self._banks), (0, 0)])
        return padded.reshape(-1, self._banks, tile.shape[1])

    def with_banks(self, banks: int) -> Self:
        """Return the crossbar with so many banks where the file leaves that open."""
        if "banks" in self.model_fields_set and self.banks is not None:
            return self
        return remade(self, banks=banks)  # it stays open

    @override
    def busy_cycles(self, work: Work) -> Ints:
        if isinstance(work.packing, BankedPacking):
            return work.jobs.column_blocks(work.path) * work.packing.round_cycles
        return work.array_cycles

    @override
    def latency_cycles(self, path: Datapath) -> int:
        return self._stages + 1

    @override
    def actions(self, work: Work) -> Mapping[str, int]:
        jobs, packing = work.jobs, work.packing
        has_positions = work.path.is_sparse and not work.is_gathered
        decodes = packing.stored_values * jobs.column_blocks(work.path) * has_positions
        routes = packing.stored_values * jobs.columns
        return {"route": int(routes.sum()), "decode": int(decodes.sum())}

    @override
    def timing_key(self) -> Hashable:
        return self

    @override
    def energy_pj(self, tech: CostSource, path: Datapath) -> Mapping[str, float]:
        row, finder = self._row(tech, path), self._converters(tech, path)["index_encoder"]
        shared = row.parts_um2["places"] / path.lanes
        legs = (row.logic_um2 - row.parts_um2["places"]) / self._routes(path)
        decode = tech.energy_pj("crossbar_full", "decode", shared)
        found_um2 = finder.logic_um2 + self._arbiter(tech, path).logic_um2 / path.rows
        decode += tech.energy_pj("index_encoder", "group", found_um2) / path.lanes
        # A value is written to the registers of its step, and read.
        registers = (self._stages + 2) * path.x.bits
        route = tech.energy_pj("crossbar_full", "route", legs) + registers * tech.register_pj
        return {"route": route, "decode": decode}

    @override
    def area_um2(self, tech: CostSource, path: Datapath) -> float:
        row = self._row(tech, path).area_um2
        row += self._converters(tech, path)["index_encoder"].area_um2
        operands = path.x.bits * path.lanes * path.columns
        registers = (self._stages + 2 * self.queue_steps) * operands
        registers += self._stages * path.x.bits * path.lanes  # activations beside them
        rows_um2 = path.rows * (row + registers * tech.register_um2)
        return rows_um2 + self._arbiter(tech, path).area_um2

    def _arbiter(self, tech: CostSource, path: Datapath) -> BlockCost:
        """Return what keeps the rows of W that a round asks for, and picks one of each bank."""
        positions = _SPAN * path.lanes * self.queue_steps
        sizes = replace(shape(path), n=path.rows, m=positions)
        return tech.block("bank_arbiter", sizes, period_ps=period_ps(path))

    @property
    def _banks(self) -> int:
        return self.banks or 1

    @override
    def _row(self, tech: CostSource, path: Datapath) -> BlockCost:
        sizes = replace(shape(path), n=2 * self.queue_steps, m=self._banks)
        return tech.block(self.block_name, sizes, period_ps=period_ps(path))

    @override
    def _converters(self, tech: CostSource, path: Datapath) -> dict[str, BlockCost]:
        """Return what finds the positions of the next L values in the mask of a token."""
        sizes = replace(shape(path), n=path.lanes, m=_SPAN * path.lanes)
        return {"index_encoder": tech.block("index_encoder", sizes, period_ps=period_ps(path))}


def _parts(s: Shape) -> Parts:
    """Return the multiplexers of a row of the array, of M banks, and of the N steps that it holds.

    With each row of W comes its number in its bank, which a lane compares with that of its own.
    """
    operand_bits = s.bits * s.columns
    from_banks, from_queue = s.m * (operand_bits + _NUMBER_BITS), s.n * operand_bits
    return {
        "leg_bits": s.lanes * (from_banks + from_queue),
        "places": s.lanes * (s.m + _NUMBER_BITS),
    }


def _path(s: Shape) -> Parts:
    """Return the critical path of the multiplexer of the banks."""
    return value_path(replace(s, n=1))


def _arbiter_parts(s: Shape) -> Parts:
    """Return a flag for each of M rows of W: asked for by some of N tokens, the first of its bank.

    Four places a row for the latter: `bank_arbiter.sv` takes 5 to 8 um2 a row in Nangate45.
    """
    return {"places": s.m * (s.n + 4), "register_bits": s.m}


BLOCKS["bank_arbiter"] = Block(_arbiter_parts, _path, priced_like="crossbar_full")
BLOCKS["crossbar_banked"] = Block(_parts, _path, priced_like="crossbar_full")
