"""How fast things are; ratios are between benchmarks of one group in one run (`ratios.py`)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import accelsim as acs
from accelsim.base.compiled.ranking import keep_largest
from accelsim.dataflows.pipeline import build_pipeline
from accelsim.engine import engine_named
from accelsim.mapping import Gemm
from accelsim.run.layers import TiledProduct
from accelsim.selection.sparsify import select_input
from accelsim.sparsity import parse_pattern
from accelsim.trace.shapes import synthesise

ROOT = Path(__file__).parent.parent
ARCH, TRACE = ROOT / "arch_configs/nm816.yaml", ROOT / "traces/llama.npz"
SMALL_TILES = "tiling={tokens: 8, columns: 8, reduction: 64, order: tokens_outer}"
MEBIBYTES = 256  # does not fit a cache


@pytest.fixture(scope="module")
def codes():
    """256 MiB of int8 activations, as the selector sees them."""
    return np.random.default_rng(0).integers(-127, 128, (MEBIBYTES * 64, 2**14), dtype=np.int8)


SELECTION = f"selecting {MEBIBYTES} MiB of int8 on one core, against copying it"


@pytest.mark.benchmark(group=SELECTION)
def test_copy(benchmark, codes):
    copy = np.empty_like(codes)
    benchmark.extra_info["bytes"] = codes.nbytes
    benchmark.pedantic(np.copyto, args=(copy, codes), rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group=SELECTION)
@pytest.mark.parametrize("pattern", ["2:4", "4:8", "8:16", "16:32"])
def test_select(benchmark, codes, pattern):
    n, m = map(int, pattern.split(":"))
    benchmark.extra_info["bytes"] = codes.nbytes
    benchmark.pedantic(keep_largest, args=(codes, n, m), rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group="functional pass of one layer input of 2,048 × 14,336, values drawn")
@pytest.mark.parametrize("pattern", ["dense", "8:16", "16:32"])
def test_functional_pass(benchmark, tmp_path_factory, pattern):
    path = tmp_path_factory.mktemp("trace") / "t.npz"
    trace = synthesise("llama-3-8b", path, tokens=2048, distribution="uniform", layers=1)
    key = trace.linears[-1].input
    benchmark.extra_info["values"] = trace.tokens * trace.features(key)
    chosen = [parse_pattern(pattern)]
    benchmark.pedantic(
        select_input, (trace, key, "int8", chosen), {"with_masks": False}, rounds=3, warmup_rounds=1
    )


@pytest.fixture(scope="module")
def network():
    """The machine running 24,576 tiles of a layer of 256 × 384 × 1,024."""
    arch = acs.load_arch(ARCH, [SMALL_TILES])
    return build_pipeline(
        arch, TiledProduct.of(arch.running(), Gemm(256, 384, 1024)).work()
    ).network


@pytest.mark.benchmark(group="engine: 24,576 jobs through 5 stages")
@pytest.mark.parametrize("name", ["simpy", "recurrence"])
def test_engine(benchmark, network, name):
    benchmark.extra_info["unit_services"] = network.jobs * len(network.stages)
    rounds = 2 if name == "simpy" else 50
    benchmark.pedantic(engine_named(name), args=(network,), rounds=rounds, warmup_rounds=1)


@pytest.mark.benchmark(group="whole commands, imports included")
@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["run", str(ARCH), "--trace", str(TRACE)],
        ["run", str(ARCH), "--trace", str(TRACE), "--no-cache"],
        ["run", str(ARCH), "--trace", str(TRACE), "--no-cache", "--engine", "simpy"],
    ],
    ids=["help", "run", "run-no-cache", "run-no-cache-simpy"],
)
def test_command(benchmark, command):
    def run():
        subprocess.run(
            [sys.executable, "-m", "accelsim", *command], check=True, capture_output=True
        )

    benchmark.pedantic(run, rounds=5, warmup_rounds=1)
