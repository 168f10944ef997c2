"""The tilings that are looked at for a layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np

from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.mapping import Gemm, Ints, Tiling, ceil_div
from accelsim.mapping.jobs import MAX_JOBS, Flags
from accelsim.mapping.tiling import ORDERS, Order, TileBytes

_STEPS = (4, 6)  # quarters of a power of two
_WALKED_ITERATIONS = 8  # about what it takes to see a layer repeat itself
_MOST_WALKED_JOBS = 16384
_EVEN_CUTS = 8  # a dimension is cut evenly into so many tiles at most


@dataclass(frozen=True, slots=True)
class Candidates:
    """Tilings as arrays, one value a tiling; `order` counts in `ORDERS`.

    The grid does not depend on the buffers, so that a larger one never takes a tiling away.
    """

    tokens: Ints
    columns: Ints
    reduction: Ints
    order: Ints

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def of(cls, gemm: Gemm, machine: LayerMachine, *, is_decode: bool = False) -> Candidates:
        """Return the tilings of a layer that fit the buffers of a machine and are walked soon.

        Where rows of W are fetched one by one, tiles are wide enough for DRAM to fetch them without
        waste, unless only narrower ones fit.
        """
        path = machine.path
        sides = [
            extents(path.rows, gemm.tokens),
            extents(path.columns, gemm.out_features),
            extents(path.positions_per_step, gemm.in_features),
        ]
        tokens, columns, reduction = (side.ravel() for side in np.meshgrid(*sides, indexing="ij"))
        size = TileBytes.of(_tiling(tokens, columns, reduction), gemm, path)
        fits: Any = size.fit(machine.stores)
        least_columns = machine.least_columns(is_decode=is_decode)
        wide = fits & (columns >= min(least_columns, gemm.out_features))
        fits = wide if wide.any() else fits
        together = fits & (tokens >= machine.least_tokens(gemm, is_decode=is_decode))
        fits = together if together.any() else fits
        found = np.stack([tokens[fits], columns[fits], reduction[fits]])
        tokens, columns, reduction = np.tile(found, len(ORDERS))
        order = np.repeat(np.arange(len(ORDERS)), found.shape[1])
        return cls(tokens, columns, reduction, order)._distinct(gemm)._short(gemm)

    @classmethod
    def only(cls, tiling: Tiling) -> Candidates:
        """Return one tiling by itself."""
        sizes = ([size] for size in (tiling.tokens, tiling.columns, tiling.reduction))
        tokens, columns, reduction = (np.array(size, np.int64) for size in sizes)
        return cls(tokens, columns, reduction, np.array([ORDERS.index(tiling.order)]))

    def _short(self, gemm: Gemm) -> Candidates:
        """Leave out what takes long to walk, unless there is nothing else."""
        jobs, outer = self.jobs(gemm), self.outer_tiles(gemm)
        walked = np.minimum(jobs, jobs // outer * _WALKED_ITERATIONS)
        return self[walked <= max(_MOST_WALKED_JOBS, 4 * walked.min(initial=MAX_JOBS))]

    def jobs(self, gemm: Gemm) -> Ints:
        """Return the tiles of a layer, `[tilings]`."""
        jobs: Ints = np.prod(self.counts(gemm), axis=0)
        return jobs

    def outer_tiles(self, gemm: Gemm) -> Ints:
        """Return the iterations that a long layer repeats, `[tilings]`: `Tiling.outer_tiles`."""
        tokens, columns, _ = self.counts(gemm)
        outer = np.where(self._has("tokens_outer"), tokens, columns)
        outer = np.where(outer == 1, tokens * columns, outer)
        return np.where(self._has("tokens_outer") | self._has("columns_outer"), outer, 1)

    def _has(self, order: Order) -> Flags:
        """Return which tilings have this order, `[tilings]`."""
        flags: Flags = self.order == ORDERS.index(order)
        return flags

    def _distinct(self, gemm: Gemm) -> Candidates:
        """Leave out orders that are the same loops as an earlier one for want of tiles."""
        tokens, columns, reduction = self.counts(gemm)
        same = self._has("columns_outer") & ((tokens == 1) | (columns == 1))
        same |= self._has("reduction_outer") & ((reduction == 1) | (tokens * columns == 1))
        same |= self._has("reduction_columns_outer") & (
            (reduction == 1) | (tokens == 1) | (columns == 1)
        )
        return self[~same]

    def __getitem__(self, which: Any) -> Candidates:
        return Candidates(
            self.tokens[which], self.columns[which], self.reduction[which], self.order[which]
        )

    def counts(self, gemm: Gemm) -> tuple[Ints, Ints, Ints]:
        """Return the tiles along tokens, columns and reduction, each `[tilings]`."""
        whole = np.array([[gemm.tokens], [gemm.out_features], [gemm.in_features]])
        tokens, columns, reduction = -(-whole // np.stack(self._sides))
        return tokens, columns, reduction

    @property
    def _sides(self) -> tuple[Ints, Ints, Ints]:
        return self.tokens, self.columns, self.reduction

    def tiling(self, at: int) -> Tiling:
        """Return one of them."""
        tokens, columns, reduction = (int(side[at]) for side in self._sides)
        return Tiling(tokens, columns, reduction, ORDERS[self.order[at]])

    def by_order(self) -> Iterator[tuple[Ints, Tiling]]:
        """Yield, for each order, which tilings have it, and those as one tiling of arrays."""
        for number, order in enumerate(ORDERS):
            which = np.flatnonzero(self.order == number)
            if len(which):
                part = self[which]
                yield which, _tiling(part.tokens, part.columns, part.reduction, order)


def _tiling(tokens: Any, columns: Any, reduction: Any, order: Any = ORDERS[0]) -> Tiling:
    """Return a tiling of arrays, for the formulas that take them."""
    return Tiling(tokens, columns, reduction, order)


def extents(unit: int, limit: int) -> Ints:
    """Return the extents of a tile along one dimension, smallest first, the whole of it last.

    They are multiples of what the array takes at once: 1, 2, 3, and then twice and three times each
    power of two; and those that cut the dimension evenly into up to 8 tiles.

    >>> extents(8, 100).tolist()
    [8, 16, 24, 32, 40, 48, 56, 64, 96, 100]
    """
    units = {step << shift >> 2 for shift in range(64) for step in _STEPS if step << shift >> 2}
    sizes = set(takewhile(lambda size: size < limit, (unit * n for n in sorted(units))))
    even = {ceil_div(ceil_div(limit, cuts), unit) * unit for cuts in range(2, _EVEN_CUTS + 1)}
    return np.array(sorted({*sizes, *(size for size in even if size < limit), limit}), np.int64)
