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


@pytest.fixture(scope="session")
def quick(request):
    return request.config.getoption("quick")


@pytest.fixture
def measure(benchmark, quick):
    """Time calls of a function after one that is not timed."""

    def _measure(target, *args, rounds, **keywords):
        rounds, warmups = (1, 0) if quick else (rounds, 1)
        benchmark.pedantic(target, args, keywords, rounds=rounds, warmup_rounds=warmups)

    return _measure


@pytest.fixture(scope="module")
def codes(quick):
    """256 MiB of int8 activations, as the selector sees them."""
    rows = 64 if quick else MEBIBYTES * 64
    return np.random.default_rng(0).integers(-127, 128, (rows, 2**14), dtype=np.int8)


SELECTION = f"selecting {MEBIBYTES} MiB of int8 on one core, against copying it"


@pytest.mark.benchmark(group=SELECTION)
def test_copy(benchmark, measure, codes):
    copy = np.empty_like(codes)
    benchmark.extra_info["bytes"] = codes.nbytes
    measure(np.copyto, copy, codes, rounds=5)


@pytest.mark.benchmark(group=SELECTION)
@pytest.mark.parametrize("pattern", ["2:4", "4:8", "8:16", "16:32"])
def test_select(benchmark, measure, codes, pattern):
    n, m = map(int, pattern.split(":"))
    benchmark.extra_info["bytes"] = codes.nbytes
    measure(keep_largest, codes, n, m, rounds=5)


@pytest.mark.benchmark(group="functional pass of one layer input of 2,048 × 14,336, values drawn")
@pytest.mark.parametrize("pattern", ["dense", "8:16", "16:32"])
def test_functional_pass(benchmark, measure, tmp_path_factory, quick, pattern):
    path = tmp_path_factory.mktemp("trace") / "t.npz"
    tokens = 64 if quick else 2048
    trace = synthesise("llama-3-8b", path, tokens=tokens, distribution="uniform", layers=1)
    key = trace.linears[-1].input
    benchmark.extra_info["values"] = trace.tokens * trace.features(key)
    chosen = [parse_pattern(pattern)]
    measure(select_input, trace, key, "int8", chosen, with_masks=False, rounds=3)


@pytest.fixture(scope="module")
def network():
    """The machine running 24,576 tiles of a layer of 256 × 384 × 1,024."""
    arch = acs.load_arch(ARCH, [SMALL_TILES])
    return build_pipeline(
        arch, TiledProduct.of(arch.running(), Gemm(256, 384, 1024)).work()
    ).network


@pytest.mark.benchmark(group="engine: 24,576 jobs through 5 stages")
@pytest.mark.parametrize("name", ["simpy", "recurrence"])
def test_engine(benchmark, measure, network, name):
    benchmark.extra_info["unit_services"] = network.jobs * len(network.stages)
    measure(engine_named(name), network, rounds=2 if name == "simpy" else 50)


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
def test_command(measure, command):
    def run():
        subprocess.run(
            [sys.executable, "-m", "accelsim", *command], check=True, capture_output=True
        )

    measure(run, rounds=5)
