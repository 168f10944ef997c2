"""Random tile pipelines: architectures, layers, tiles, values and stalls; and their simulation."""

import random

import numpy as np
from accelsim.config import Architecture
from accelsim.rtl.design import sources, with_parameters
from accelsim.rtl.expected import expected_log
from accelsim.rtl.program import Stalls, compile_program
from accelsim.workload import Gemm, Tiling
from accelsim.workload.tiling import TileBytes
from rtl.bench import run, tool

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
    pattern = pick.choice(PATTERNS)
    kept, size = map(int, pattern.split(":"))
    lanes = pick.choice([l for l in (2, 3, 4, 5, 8, 16) if l * 4 >= kept and l <= 4 * kept])
    rows, columns = pick.randint(1, 3), pick.randint(1, 3)
    gemm = Gemm(pick.randint(1, 9), pick.randint(1, 5 * size), pick.randint(1, 9))
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
        "precision": "int8",
        "pattern": pattern,
        "format": pick.choice(["bitmask", "index"]),
        "mac_array": {"rows": rows, "columns": columns, "lanes": lanes},
        "selector": {**pick.choice(SELECTORS), "instances": pick.randint(1, 4)},
        "crossbar": {
            "kind": pick.choice(["full", "window", "logshift", "hierarchical"]),
            "pipeline_stages": pick.randint(0, 3),
        },
        "buffers": {
            name: {"capacity_kib": 1024.0, "port_bytes": 1}
            for name in ("activations", "weights", "outputs", "compressed")
        },
        "dram": {"standard": "lpddr4", "bandwidth_gb_per_s": 64, "latency_ns": 100, "burst_bytes": 64},
    }
    size_of = TileBytes.of(tiling, gemm, Architecture.model_validate(raw).path)
    for name, buffer in raw["buffers"].items():
        slots = pick.choice([1, 2, 2, 3, 5])
        buffer["capacity_kib"] = max(1, slots * getattr(size_of, name)) / 1024
        buffer["double_buffered"] = slots > 1
    values = np.random.default_rng(seed)
    activations = random_codes(values, (gemm.tokens, gemm.in_features))
    weights = values.integers(-128, 128, (gemm.in_features, gemm.out_features)).astype(np.int8)
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


def random_codes(values, shape):
    """Return int8 codes with many ties and zeros, or spread over the whole range."""
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
    run(tool("iverilog"), "-g2012", "-DSIMULATION", "-s", "testbench", "-o", folder / "tb.vvp", *files)
    run(tool("vvp"), "-n", "tb.vvp", cwd=folder)
    return sorted((folder / "events.log").read_text().splitlines())


def differing(case, folder):
    """Return the lines that only one of simulator and RTL has."""
    arch, gemm, tiling, program, activations, weights = case
    expected = expected_log(arch, gemm, tiling, program, activations, weights)
    simulated = simulated_log(program, folder)
    return sorted(set(expected) ^ set(simulated)), expected, simulated
