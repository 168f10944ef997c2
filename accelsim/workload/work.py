"""A layer's work as integers: the only thing that hardware units see."""

from __future__ import annotations

from dataclasses import dataclass

from accelsim.workload.datapath import Datapath, Ints
from accelsim.workload.jobs import TileJobs
from accelsim.workload.tiling import Gemm, Tiling


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

    @property
    def macs_executed(self) -> int:
        """Multiplications by kept activations in a run, zero-valued ones included: kept × O."""
        return self.kept * self.gemm.out_features
