"""A layer's work as integers: the only thing that hardware units see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from accelsim.mapping.datapath import Datapath, Ints, bytes_of
from accelsim.mapping.jobs import TileJobs
from accelsim.mapping.tiling import Gemm, TileBytes, Tiling


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One layer, tiled and selected.

    Attributes:
        weight_bytes: `[jobs]`, bytes of weights that each job needs from DRAM, in whole bursts;
            `[runs, jobs]` for decode steps that differ in nothing else.
        kept: activations that survive selection, padding apart: T × K when dense.
        nonzero: of those, the ones that are not zero; the rest are gated in the MAC array.
        is_decode: whether weights are fetched by what selection kept.
        repeats: how often each run takes place; `nonzero` is the sum over all of them.
        layer: the whole layer, where `gemm` is a part of it.
    """

    gemm: Gemm
    path: Datapath
    tiling: Tiling
    jobs: TileJobs
    weight_bytes: Ints
    kept: int
    nonzero: int
    is_decode: bool = False
    repeats: Ints | int = 1
    layer: Gemm | None = None

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
            yield bytes_of(gemm.in_features * path.value_bits)
        if demands.shift == "channel":
            yield bytes_of(gemm.in_features * path.value_bits)
        if demands.epilogue in ("add", "axpy"):
            yield bytes_of(gemm.out_features * path.accumulator_bits)
        if demands.statistics:
            yield bytes_of(gemm.tokens * gemm.in_features * path.value_bits)

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
        return bytes_of(self.added * self.path.value_bits)

    @property
    def macs_executed(self) -> int:
        """Multiplications by kept activations in a run, zero-valued ones included: kept × O."""
        return self.kept * self.gemm.out_features
