"""Jobs of many tilings at once: one of each kind, and how many there are of it.

Along each dimension a tile is the first one, one in the middle, or the last one, which may be cut.
So the jobs of a tiling are of 3 × 3 × 3 kinds, and whatever the units are asked of one of each
kind, they have answered for all jobs: jobs of a kind take the same time. But for one case: where
operands have scales for groups along K (`int4:32`) and tiles cut groups, a tile in the middle has
the scales of one more or less than another, by where it begins. All count as the first of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from accelsim.mapping import Datapath, Gemm, Ints, Stores, TileJobs
from accelsim.mapping.jobs import Flags
from accelsim.mapping.tiling import LOOPS, Order, Reuse
from accelsim.planning.candidates import Candidates

KINDS = 27
_ALONG = 3  # first, middle, last
_T = TypeVar("_T", np.int64, np.bool_)


@dataclass(frozen=True, slots=True)
class Side:
    """The tiles along one dimension of each tiling, `[tilings, 3]`: first, middle, last.

    Attributes:
        extent: of such a tile.
        start: where the first such tile begins.
        number: how many there are; 0 of those that a tiling lacks.
        is_last: whether it is the last one along the dimension.
    """

    extent: Ints
    start: Ints
    number: Ints
    is_last: Ints

    @classmethod
    def of(cls, size: Ints, limit: int, count: Ints) -> Side:
        """Cut a dimension of `limit` into `count` tiles of `size`, both `[tilings]`."""
        size = np.minimum(size, limit)
        one = np.ones_like(size)
        start = np.stack([0 * one, size, (count - 1) * size], axis=1)
        extent = np.stack([size, size, limit - (count - 1) * size], axis=1)
        number = np.stack([one, np.maximum(count - 2, 0), count > 1], axis=1)
        is_last = np.stack([count == 1, 0 * one, one], axis=1)
        return cls(extent, start, number, is_last)


@dataclass(frozen=True, slots=True)
class JobKinds:
    """One job of each kind of each tiling.

    Attributes:
        jobs: `[tilings × 27]`; kind 9 t + 3 c + k stands for places t, c, k along tokens, columns
            and reduction. Which tile a job works on is not told.
        number: `[tilings, 27]`, how many jobs are of each kind.
        last: `[tilings]`, the kind of the last job.
    """

    jobs: TileJobs
    number: Ints
    last: Ints

    @classmethod
    def of(cls, candidates: Candidates, gemm: Gemm, path: Datapath, stores: Stores) -> JobKinds:
        """Lay out the kinds of the jobs of tilings, with what each finds on chip."""
        counts = candidates.counts(gemm)
        sizes = candidates.tokens, candidates.columns, candidates.reduction
        limits = gemm.tokens, gemm.out_features, gemm.in_features
        t, c, k = (Side.of(*side) for side in zip(sizes, limits, counts, strict=True))
        activation_loads, selections, weight_loads, spills = _reuse(candidates, gemm, path, stores)
        shape = (len(candidates), _ALONG, _ALONG, _ALONG)

        def flat(values: NDArray[_T], side: str) -> NDArray[_T]:
            """Repeat what depends on the place along one dimension, `[tilings, 3]`."""
            places = [axis for axis in range(1, 1 + _ALONG) if axis != 1 + "tck".index(side)]
            return np.broadcast_to(np.expand_dims(values, places), shape).ravel()

        def each(values: NDArray[_T]) -> NDArray[_T]:
            """Repeat what is the same for all kinds, `[tilings]`."""
            return np.repeat(values, KINDS)

        first = {side: flat(np.array([[True, False, False]]), side) for side in "tck"}
        nowhere = np.zeros(len(candidates) * KINDS, np.int64)
        jobs = TileJobs(
            tokens=flat(t.extent, "t"),
            columns=flat(c.extent, "c"),
            reduction=flat(k.extent, "k"),
            token_start=flat(t.start, "t"),
            column_start=flat(c.start, "c"),
            reduction_start=flat(k.start, "k"),
            activation_tile=nowhere,
            weight_tile=nowhere,
            output_tile=nowhere,
            loads_activations=first["c"] | each(activation_loads > 1),
            selects=first["c"] | each(selections > 1),
            loads_weights=first["t"] | each(weight_loads > 1),
            first_reduction=first["k"],
            last_reduction=flat(k.is_last > 0, "k"),
            spills=each(spills > 0),
        )
        number = t.number[:, :, None, None] * c.number[:, None, :, None]
        number = (number * k.number[:, None, None, :]).reshape(-1, KINDS)
        last = sum(
            weight * np.where(count > 1, _ALONG - 1, 0)
            for weight, count in zip((9, 3, 1), counts, strict=True)
        )
        return cls(jobs, number, np.asarray(last))


def _reuse(candidates: Candidates, gemm: Gemm, path: Datapath, stores: Stores) -> Ints:
    """Return how often X is loaded, selected, W loaded, and whether Y spills, `[4, tilings]`."""
    found = np.zeros((4, len(candidates)), np.int64)
    for which, tiling in candidates.by_order():
        reuse = Reuse.of(tiling, gemm, path, stores)
        counts = reuse.activation_loads, reuse.selections, reuse.weight_loads, reuse.spills
        found[:, which] = np.broadcast_arrays(*counts, which)[:4]
    return found


def middle_of_outer_loop(order: Order) -> Flags:
    """Return `[27]`: which kinds of jobs are neither of the first nor the last outer iteration."""
    places = np.indices((_ALONG, _ALONG, _ALONG)).reshape(_ALONG, -1)
    flags: Flags = places["tck".index(LOOPS[order][0])] == 1
    return flags


def kinds_of_jobs(tokens: Ints, columns: Ints, reduction: Ints) -> Ints:
    """Return the kind of each job of one tiling, `[jobs]`.

    Args:
        tokens: `[jobs]`, the place of its tile along T.
        columns: along O.
        reduction: along K.
    """
    return 9 * _place(tokens) + 3 * _place(columns) + _place(reduction)


def _place(index: Ints) -> Ints:
    """Return 0 for the first tile, 2 for the last of several, 1 for those between."""
    place: Ints = np.where(index == index.max(), 2, 1) * (index > 0)
    return place
