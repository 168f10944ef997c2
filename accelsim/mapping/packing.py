"""How kept activations are packed for the array: what time and bytes of a tile depend on.

This is the one place where the steps of a job come from. Where a pattern fixes how many values are
kept (N:M, dense), they follow from the sizes of its tile; where it does not (a threshold), from the
values that selection kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from accelsim.mapping.datapath import Datapath, Ints, bytes_of, ceil_div
from accelsim.mapping.jobs import TileJobs
from accelsim.mapping.masks import Masks
from accelsim.precision import Values
from accelsim.sparsity import Mask


@dataclass(frozen=True, slots=True)
class Packing:
    """The kept activations of each job's tile, as array and compressed buffer find them.

    Arrays `[jobs]`, or `[runs, jobs]` for decode steps that gather rows.

    Attributes:
        steps: cycles in which the array computes one of its R × C output blocks of the tile. Rows
            move in lockstep: the row (token) with the most values sets the pace.
        stored_values: kept values of all rows of the tile, padding included.
        compressed_bytes: what the tile takes in the compressed buffer, metadata included.
        macs: multiplications of the tile, where they follow from the masks of both operands; None:
            each kept activation that is not zero meets every output.
        array_cycles: cycles in which the array computes the tile, where its blocks differ, so that
            `steps` is their mean, rounded up; None: as many steps as all blocks have.
    """

    steps: Ints
    stored_values: Ints
    compressed_bytes: Ints
    macs: Ints | None = field(default=None, repr=False)
    array_cycles: Ints | None = field(default=None, repr=False)

    def of_run(self, run: int) -> Self:
        """Return what one of several runs found, `[jobs]`."""
        return replace(self, **{name: values[run] for name, values in self.arrays.items()})

    @property
    def arrays(self) -> dict[str, Ints]:
        """What is known of the tiles, by name."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: values for name, values in found.items() if isinstance(values, np.ndarray)}

    def cycles(self, jobs: TileJobs, path: Datapath) -> Ints:
        """Return the cycles in which the array computes each job, block after block."""
        return jobs.blocks(path) * self.steps if self.array_cycles is None else self.array_cycles

    def updates(self, jobs: TileJobs) -> Ints:
        """Return how often an accumulator of each token takes a sum, for one column of each job."""
        return jobs.tokens * self.steps

    def rows_read(self, jobs: TileJobs, path: Datapath) -> Ints:
        """Return the rows of W that the array reads of each tile for one of its column blocks."""
        return jobs.row_blocks(path) * jobs.reduction

    @classmethod
    def of_runs(cls, runs: Sequence[Self]) -> Self:
        """Return what several runs found, `[runs, jobs]`."""
        stacked = {name: np.stack([run.arrays[name] for run in runs]) for name in runs[0].arrays}
        return replace(runs[0], **stacked)

    @classmethod
    def even(cls, jobs: TileJobs, path: Datapath) -> Self:
        """Pack tiles of which every group keeps N of M, or all, whatever the values.

        >>> from accelsim.hardware.examples import work
        >>> tile = work("8:16", tokens=8, reduction=64)  # 4 groups, 2 of which fill 16 lanes
        >>> Packing.even(tile.jobs, tile.path)
        Packing(steps=array([2]), stored_values=array([256]), compressed_bytes=array([320]))
        """
        return cls(
            steps=path.steps(jobs.reduction),
            stored_values=jobs.tokens * path.stored_values(jobs.reduction),
            compressed_bytes=path.compressed_bytes(
                jobs.tokens, jobs.reduction, path.x.scales(jobs.reduction, jobs.reduction_start)
            ),
        )

    @classmethod
    def counted(cls, kept: Mask, jobs: TileJobs, path: Datapath) -> Self:
        """Pack what selection kept of each token, however many values that are.

        Lanes take the next L kept values of their row, wherever in the tile they stand: a row with
        n of them takes ceil(n / L) steps. Nothing is padded.

        Args:
            kept: `[T, K]`, which activations of the layer are kept.
            jobs: the tiles.
            path: lanes, and the widths of values and metadata.

        >>> from accelsim.hardware.examples import work
        >>> tile = work("8:16", tokens=2, reduction=32)
        >>> kept = np.zeros((2, 32), bool)
        >>> kept[0, :5] = kept[1, :20] = True  # 20 values through 16 lanes: two steps
        >>> Packing.counted(kept, tile.jobs, tile.path)
        Packing(steps=array([2]), stored_values=array([25]), compressed_bytes=array([33]))
        """
        _, first, tile = np.unique(jobs.activation_tile, return_index=True, return_inverse=True)
        packed = [_pack(kept, jobs, job, path) for job in first.tolist()]
        return cls(*np.array(packed, np.int64).T[:, tile.ravel()])

    @classmethod
    def gathered(cls, rows: Ints, jobs: TileJobs, path: Datapath) -> Self:
        """Pack tiles that are compacted to the rows of W that some token of the step needs.

        All tokens of a tile hold the same positions, zeros where a token itself drops the value;
        the mask of these positions, a bit each, is stored once a tile.

        Args:
            rows: `[jobs]` or `[runs, jobs]`, how many rows of W each tile needs.
            jobs: the tiles.
            path: lanes, and the width of values.

        >>> from accelsim.hardware.examples import work
        >>> tile = work("8:16", tokens=2, reduction=32)  # 21 rows: two steps of 16 lanes
        >>> Packing.gathered(np.array([21]), tile.jobs, tile.path)
        Packing(steps=array([2]), stored_values=array([42]), compressed_bytes=array([46]))
        """
        mask_bytes = bytes_of(jobs.reduction * path.metadata_bits_per_group // path.group_size)
        return cls(
            steps=ceil_div(rows, path.lanes),
            stored_values=jobs.tokens * rows,
            compressed_bytes=jobs.tokens * bytes_of(rows * path.x.bits) + mask_bytes,
        )


class Packs(ABC):
    """How a dataflow packs tiles whose time depends on the values of operands."""

    @property
    @abstractmethod
    def takes_any_positions(self) -> bool:
        """Whether kept activations may stand anywhere in K, as opposed to N in each group of M."""

    def serving(self, units: Mapping[str, Any]) -> Packs:  # noqa: ARG002
        """Return the same, set for the units of a machine; by default they do not matter."""
        return self

    @abstractmethod
    def found(self, masks: Masks, jobs: TileJobs, path: Datapath) -> Packing:
        """Return how the tiles of a product are packed, `[jobs]`, `macs` included."""

    @abstractmethod
    def expected(self, jobs: TileJobs, path: Datapath) -> Packing:
        """Return how they would be on average, as a search for tiles counts on, `[jobs]`."""


@runtime_checkable
class MultipliesTiles(Protocol):
    """A way of packing that says, for `--verify`, which values meet in which order."""

    def product(self, x: Values, w: Values, path: Datapath) -> Values:
        """Return the product of a tile, added up in the order of the array, for `--verify`.

        Args:
            x: `[tokens, reduction]`, zero where an activation is dropped.
            w: `[reduction, columns]`, zero where a weight is not stored.
            path: the blocks of the array, and the width of its sums.
        """


def needed_rows(needed: Mask, jobs: TileJobs) -> Ints:
    """Return the rows of W in each tile that each decode step needs, `[steps, jobs]`.

    Args:
        needed: `[steps, K]`, which activations some token of the step keeps.
        jobs: the tiles of the layer.
    """
    starts, tile = np.unique(
        np.stack([jobs.reduction_start, jobs.reduction]), axis=1, return_inverse=True
    )
    counts = [
        np.count_nonzero(needed[:, start : start + length], axis=1)
        for start, length in starts.T.tolist()
    ]
    rows: Ints = np.stack(counts, axis=1).astype(np.int64)[:, tile.ravel()]
    return rows


def _pack(kept: Mask, jobs: TileJobs, job: int, path: Datapath) -> tuple[int, int, int]:
    """Return steps, stored values and bytes of the tile of one job."""
    rows = slice(jobs.token_start[job], jobs.token_start[job] + jobs.tokens[job])
    reduction = int(jobs.reduction[job])
    positions = slice(jobs.reduction_start[job], jobs.reduction_start[job] + reduction)
    counts = np.count_nonzero(kept[rows, positions], axis=1)
    other_bits = path.groups(reduction) * path.metadata_bits_per_group
    other_bits += path.x.scales(reduction, int(positions.start)) * path.x.scale_bits
    row_bytes = bytes_of(counts * path.x.bits + other_bits)
    return ceil_div(int(counts.max()), path.lanes), int(counts.sum()), int(row_bytes.sum())
