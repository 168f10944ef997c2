"""Random tile pipelines: architectures, layers, tiles, values and stalls; and their simulation."""

import random

import numpy as np

from accelsim.config import Architecture
from accelsim.mapping import Gemm, Tiling
from accelsim.mapping.tiling import TileBytes
from accelsim.precision import PRECISIONS
from accelsim.rtl.design import sources, with_parameters
from accelsim.rtl.expected import expected_log
from accelsim.rtl.program import Stalls, compile_program
from tests.helpers.rtl_bench import run, tool

PATTERNS = ("1:4", "2:4", "3:4", "4:8", "8:16", "16:32", "4:16", "8:32", "3:5", "2:7")
SELECTORS = (
    {"kind": "rank"},
    {"kind": "bitonic"},
    {"kind": "radix"},
    {"kind": "radix", "pipelined": True},
    {"kind": "cascade"},
    {"kind": "cascade", "pipelined": True},
)


def random_case(seed):
    """Return an architecture, a layer, a tile, values and stalls, all from one seed."""
    pick = random.Random(seed)
    precision = "bf16" if pick.random() < 0.15 else "int8"
    pattern = pick.choice(PATTERNS)
    kept, size = map(int, pattern.split(":"))
    lanes = pick.choice([n for n in (2, 3, 4, 5, 8, 16) if kept <= 4 * n <= 16 * kept])
    most = 3 if size < 16 else 2  # Icarus is slow on large groups
    rows, columns = pick.randint(1, most), pick.randint(1, most)
    gemm = Gemm(
        pick.randint(1, 9), pick.randint(1, (5 if size < 16 else 3) * size), pick.randint(1, 9)
    )
    tiling = Tiling(
        pick.randint(1, 6),
        pick.randint(1, 6),
        size * pick.randint(1, 4),
        pick.choice(["tokens_outer", "columns_outer"]),
    )
    raw = {
        "schema": 1,
        "name": f"random{seed}",
        "clock_mhz": 100,
        "precision": precision,
        "pattern": pattern,
        "format": pick.choice(["bitmask", "index"]),
        "mac_array": {"rows": rows, "columns": columns, "lanes": lanes},
        "selector": {
            **pick.choice(SELECTORS),
            "instances": pick.randint(1, 4 if size < 16 else 2),
            "extra_stages": pick.choice([0, 0, 1, 2]),
            "step_cycles": pick.choice([1, 1, 2, 3]),
        },
        "crossbar": {
            "kind": pick.choice(["full", "window", "logshift", "hierarchical"]),
            "pipeline_stages": pick.randint(0, 3),
        },
        "buffers": {
            name: {"capacity_kib": 1024.0, "port_bytes": 1}
            for name in ("activations", "weights", "outputs", "compressed")
        },
        "dram": {
            "standard": "lpddr4",
            "bandwidth_gb_per_s": 64,
            "latency_ns": 100,
            "burst_bytes": 64,
        },
    }
    size_of = TileBytes.of(tiling, gemm, Architecture.model_validate(raw).path)
    for name, buffer in raw["buffers"].items():
        slots = pick.choice([1, 2, 2, 3, 5])
        buffer["capacity_kib"] = max(1, slots * getattr(size_of, name)) / 1024
        buffer["double_buffered"] = slots > 1
    values = np.random.default_rng(seed)
    activations = random_values(values, (gemm.tokens, gemm.in_features), precision)
    weights = random_values(values, (gemm.in_features, gemm.out_features), precision)
    load_groups = pick.choice([1, 2, 4])
    program = compile_program(
        Architecture.model_validate(raw),
        gemm,
        tiling,
        activations,
        weights,
        load_groups=load_groups,
        stalls=Stalls(random_stalls(pick), random_stalls(pick), random_stalls(pick)),
    )
    return Architecture.model_validate(raw), gemm, tiling, program, activations, weights


def random_values(values, shape, precision):
    """Return hardware values: int8 codes with many ties, or of the whole range; or bf16."""
    if precision == "bf16":
        scales = np.exp2(values.integers(-9, 9, shape)).astype(np.float32)
        return PRECISIONS["bf16"].encode(values.standard_normal(shape).astype(np.float32) * scales)[
            0
        ]
    spread = int(values.choice([1, 3, 128]))
    return values.integers(-spread, spread, shape).astype(np.int8)


def random_stalls(pick):
    """Return how long a source stalls before each beat; often never."""
    most = pick.choice([0, 0, 1, 4, 12])
    return tuple(pick.choice([0, pick.randint(0, most)]) for _ in range(23))


def simulated_log(program, folder):
    """Run the testbench under Icarus and return its sorted log."""
    program.write(folder)
    for source in sources():
        text = source.read_text()
        if source.stem == "testbench":
            text = with_parameters(text, program.parameters)
        (folder / source.name).write_text(text)
    files = sorted(folder.glob("*.sv"))
    run(
        tool("iverilog"),
        "-g2012",
        "-DSIMULATION",
        "-s",
        "testbench",
        "-o",
        folder / "tb.vvp",
        *files,
    )
    run(tool("vvp"), "-n", "tb.vvp", cwd=folder)
    return sorted((folder / "events.log").read_text().splitlines())


def differing(case, folder):
    """Return the lines that only one of simulator and RTL has."""
    arch, gemm, tiling, program, activations, weights = case
    expected = expected_log(arch, gemm, tiling, program, activations, weights)
    simulated = simulated_log(program, folder)
    return sorted(set(expected) ^ set(simulated)), expected, simulated
