"""How fast things are; ratios are between benchmarks of one group in one run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import accelsim as acs
from accelsim.engine import simpy_engine
from accelsim.machine import build_machine
from accelsim.simulation import layer_work, selections
from accelsim.sparsity import parse_pattern

ROOT = Path(__file__).parent.parent
ARCH, TRACE = ROOT / "arch_configs/nm816.yaml", ROOT / "traces/llama.npz"
CODES = np.random.default_rng(0).integers(-127, 128, (1024, 16384), dtype=np.int8)


@pytest.mark.benchmark(group="selection of 16 MiB of int8, against copying it")
def test_copy(benchmark):
    benchmark(CODES.copy)


@pytest.mark.benchmark(group="selection of 16 MiB of int8, against copying it")
@pytest.mark.parametrize("pattern", ["2:4", "8:16", "16:32"])
def test_select(benchmark, pattern):
    benchmark(parse_pattern(pattern).keep, CODES)


@pytest.mark.benchmark(group="engine: one layer of 256 × 384 × 1024")
def test_simpy_engine(benchmark):
    arch, trace = acs.load_arch(ARCH), acs.load_trace(TRACE)
    linear, selection = next(s for s in selections(arch, trace) if s[0].kind == "gate_proj")
    (work,) = layer_work(arch, trace, linear, selection, batch=None)
    network = build_machine(arch, work).network
    benchmark.extra_info["unit_services"] = network.jobs * len(network.stages)
    benchmark(simpy_engine.run, network)


@pytest.mark.benchmark(group="whole commands, imports included")
@pytest.mark.parametrize(
    "command",
    [["--help"], ["run", str(ARCH), "--trace", str(TRACE)]],
    ids=["help", "run"],
)
def test_command(benchmark, command):
    def run():
        subprocess.run(
            [sys.executable, "-m", "accelsim", *command], check=True, capture_output=True
        )

    benchmark.pedantic(run, rounds=5)
