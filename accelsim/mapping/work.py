"""A layer's work as integers: the only thing that hardware units see."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from hashlib import sha256

import numpy as np

from accelsim.mapping.datapath import Datapath, Ints, bytes_of
from accelsim.mapping.jobs import TileJobs
from accelsim.mapping.packing import Packing
from accelsim.mapping.tiling import Gemm, TileBytes, Tiling


@dataclass(frozen=True, kw_only=True)
class Work:
    """One layer, tiled and selected: what units turn into cycles and actions.

    Attributes:
        gemm: the product, or the part of it that `jobs` are of.
        path: what the array takes in a step, and how wide values are.
        tiling: tile and loop order.
        jobs: the tiles in program order.
        weight_bytes: `[jobs]`, bytes of weights that each job needs from DRAM, in whole bursts;
            `[runs, jobs]` for decode steps that differ in nothing else.
        kept: activations that survive selection, padding apart: T × K when dense; `[runs]` where
            rows are gathered.
        nonzero: of those, the ones that are not zero; the rest are gated in the MAC array.
        is_decode: whether weights are fetched by what selection kept.
        repeats: how often each run takes place; `nonzero` is the sum over all of them.
        layer: the whole layer, where `gemm` is a part of it.
        found: how selection packed each tile, on machines on which that varies with the values,
            `[runs, jobs]` where rows are gathered; None: all groups alike, as `path` says.
        on_chip: operands, `x` or `y`, that no stream moves: X is where the layer before left it, Y
            stays for the next one.

    Raises:
        ValueError: what was found is neither `[jobs]` nor like the weights, or a tile of it has no
            room in its buffer slot.
    """

    gemm: Gemm
    path: Datapath
    tiling: Tiling
    jobs: TileJobs
    weight_bytes: Ints
    kept: Ints | int
    nonzero: int
    is_decode: bool = False
    repeats: Ints | int = 1
    layer: Gemm | None = None
    found: Packing | None = None
    on_chip: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.found is None:
            return
        shapes = (len(self.jobs),), self.weight_bytes.shape
        if any(values.shape not in shapes for values in self.found.arrays.values()):
            raise ValueError(f"what was found must be of each of {len(self.jobs)} jobs")
        if (
            self.found.compressed_bytes > Packing.even(self.jobs, self.path).compressed_bytes
        ).any():
            raise ValueError("a compressed tile is larger than its slot, which `path` sizes")

    @cached_property
    def packing(self) -> Packing:
        """How the tile of each job is packed."""
        return Packing.even(self.jobs, self.path) if self.found is None else self.found

    @property
    def steps(self) -> Ints:
        """Cycles in which the array computes one R × C block of each job, `[jobs]`."""
        return self.packing.steps

    @cached_property
    def array_cycles(self) -> Ints:
        """Cycles in which the array computes each job, block after block, `[jobs]`."""
        return self.packing.cycles(self.jobs, self.path)

    @property
    def weight_rows_read(self) -> Ints:
        """Rows of W that the array reads of each tile, block of rows after block of rows."""
        if self.is_gathered and self.found is not None:
            return self.found.stored_values // self.jobs.tokens * self.jobs.row_blocks(self.path)
        return self.packing.rows_read(self.jobs, self.path)

    @property
    def is_gathered(self) -> bool:
        """Whether it is a decode step of which X and W are compacted to what some token keeps."""
        return self.is_decode and self.path.is_gathered

    @property
    def flat(self) -> Work:
        """The jobs of all runs as those of one, for sums over them; only where runs are packed."""
        assert self.found is not None
        runs = len(self.found.steps)
        arrays = {
            f.name: np.tile(value, runs)
            for f in fields(TileJobs)
            if isinstance(value := getattr(self.jobs, f.name), np.ndarray)
        }
        found = {name: values.ravel() for name, values in self.found.arrays.items()}
        return replace(
            self,
            jobs=replace(self.jobs, **arrays),
            weight_bytes=self.weight_bytes.ravel(),
            found=replace(self.found, **found),
        )

    @property
    def is_even(self) -> bool:
        """Whether tiles of the same sizes take the same time, wherever they stand in the layer."""
        return self.found is None

    @property
    def content(self) -> tuple[Hashable, ...]:
        """All that time and counts can depend on, by value: works with equal content run alike.

        Arrays are there as hashes. Nonzero activations are left out: time does not depend on them,
        and counts do in proportion (`accelsim.accounting.tally`).
        """
        return tuple(_content(getattr(self, f.name)) for f in fields(self) if f.name != "nonzero")

    @property
    def whole(self) -> Gemm:
        """The layer that this is work of."""
        return self.layer or self.gemm

    def prologue_bytes(self) -> Iterator[int]:
        """Yield the sizes of what a method needs on chip before the first tile.

        Factors and shifts of K channels, what is added to O outputs, and X for its statistics.
        """
        gemm, path, demands = self.whole, self.path, self.path.demands
        if demands.factors == "fixed":
            yield bytes_of(gemm.in_features * path.x.bits)
        if demands.shift == "channel":
            yield bytes_of(gemm.in_features * path.x.bits)
        if demands.epilogue in ("add", "axpy"):
            yield bytes_of(gemm.out_features * path.accumulator_bits)
        if demands.statistics:
            yield bytes_of(gemm.tokens * path.arriving.row_bits(gemm.in_features))

    @property
    def tile_bytes(self) -> TileBytes:
        """What a full tile takes in each buffer."""
        return TileBytes.of(self.tiling, self.gemm, self.path)

    @property
    def added(self) -> Ints:
        """Outputs of a low-rank product that each job adds to: all of its tile, when K begins."""
        jobs, has_rank = self.jobs, self.path.demands.rank > 0
        return jobs.tokens * jobs.columns * jobs.first_reduction * has_rank

    @property
    def added_bytes(self) -> Ints:
        """Their bytes, at the width in which a layer leaves them."""
        return bytes_of(self.added * self.path.y.bits)

    @property
    def resumed_bytes(self) -> Ints:
        """Partial sums that each job needs back from DRAM, in bytes of accumulators."""
        jobs = self.jobs
        partial = bytes_of(jobs.tokens * jobs.columns * self.path.accumulator_bits)
        return partial * jobs.resumes_outputs

    @property
    def macs_executed(self) -> Ints | int:
        """Multiplications by kept activations in a run, zero-valued ones included: kept × O.

        Where the masks of both operands tell, those of two values that are not zero.
        """
        if self.packing.macs is not None:
            macs: Ints = self.packing.macs.sum(axis=-1)
            return macs
        return self.kept * self.gemm.out_features


def _content(value: object) -> Hashable:
    """Return a value that is equal for equal contents: arrays, also those in records, by hash."""
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, sha256(value.tobytes()).digest()
    if isinstance(value, TileJobs | Packing):
        return tuple(_content(getattr(value, f.name)) for f in fields(value))
    assert isinstance(value, Hashable)
    return value
