"""Write the RTL of an architecture: modules, testbench, stimulus and the expected events."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from accelsim.config import Architecture
from accelsim.mapping import Gemm, Tiling
from accelsim.precision import PRECISIONS, Values
from accelsim.rtl.design import Parameters, parameters, sources, with_parameters
from accelsim.rtl.expected import expected_log
from accelsim.rtl.program import Program, Stalls, compile_program

_MAKEFILE = """\
# `make`: simulate with Icarus; `make verilator`: with Verilator; `make area LIBERTY=cells.lib`.
SOURCES := $(sort $(wildcard sv/*.sv))
VERILATOR_FLAGS := --binary -Wno-lint -Wno-style -Wno-TIMESCALEMOD

icarus: testbench.vvp
\tvvp -n $<
\t@$(MAKE) --no-print-directory compare

testbench.vvp: testbench.sv $(SOURCES)
\tiverilog -g2012 -DSIMULATION -s testbench -o $@ $^

verilator:
\tverilator $(VERILATOR_FLAGS) -DSIMULATION --top-module testbench testbench.sv $(SOURCES)
\t./obj_dir/Vtestbench
\t@$(MAKE) --no-print-directory compare

compare:
\t@sort events.log | diff - expected.log
\t@echo "PASS: $$(wc -l < expected.log) events as expected"

area:
\tyosys -p "read_verilog -sv $(SOURCES); synth -flatten -top mac_array; \\
\t  dfflibmap -liberty $(LIBERTY); abc -liberty $(LIBERTY); stat -liberty $(LIBERTY)"

.PHONY: icarus verilator compare area
"""

_README = """\
# RTL of {name}

Written by `accelsim rtl` {version} from {name}: pattern {pattern}, {precision}, an array of
{R} rows x {C} columns x {L} lanes.

    make              # simulate with Icarus and compare with what the simulator expects
    make verilator    # the same with Verilator
    make area LIBERTY=cells.lib   # cell area of the MAC array with its crossbars (Yosys)

`sv/tile_pipeline.sv` is the design; the defaults of its parameters are those of the architecture.
Its buffers are behavioural: in silicon they are memory macros. `testbench.sv` reads the `.hex`
files, a layer of {tokens} x {in_features} x {out_features} with random values and stalls, and
writes `events.log`; `expected.log` is what the simulator says: every job's start and end, every
kept group and every output block with its cycle, and the busy, starved and blocked cycles of each
stage.

| parameter | value |
|---|---|
{table}
"""


def write_design(arch: Architecture, folder: Path, *, version: str, seed: int = 0) -> Program:
    """Write the design of `arch` into an existing folder; return the program of its testbench.

    Raises:
        InputError: a part of the architecture has no RTL.
    """
    structure = parameters(arch)
    gemm, tiling = example_layer(arch)
    activations, weights = random_operands(arch, gemm, seed)
    stalls = Stalls(activation=(0, 0, 2), weight=(0, 1, 0, 0), output=(0, 0, 0, 3))
    program = compile_program(
        arch,
        gemm,
        tiling,
        activations,
        weights,
        load_groups=structure["INSTANCES"],
        stalls=stalls,
    )
    program.write(folder)
    (folder / "sv").mkdir(exist_ok=True)
    for source in sources():
        text = source.read_text(encoding="utf-8")
        if source.stem in ("tile_pipeline", "testbench"):
            text = with_parameters(text, _own(text, program.parameters))
        target = folder if source.stem == "testbench" else folder / "sv"
        (target / source.name).write_text(text, encoding="utf-8")
    log = expected_log(arch, gemm, tiling, program, activations, weights)
    (folder / "expected.log").write_text("\n".join(log) + "\n", encoding="utf-8")
    (folder / "Makefile").write_text(_MAKEFILE, encoding="utf-8")
    (folder / "README.md").write_text(
        _README.format(
            name=arch.name,
            version=version,
            pattern=arch.pattern,
            precision=arch.path.formats,
            table="\n".join(f"| {name} | {value} |" for name, value in structure.items()),
            tokens=gemm.tokens,
            in_features=gemm.in_features,
            out_features=gemm.out_features,
            **{name: structure[name] for name in "RCL"},
        ),
        encoding="utf-8",
    )
    return program


def example_layer(arch: Architecture) -> tuple[Gemm, Tiling]:
    """Return a layer that shows every case: several tiles each way, the last ones short."""
    path = arch.path
    reduction = 2 * path.positions_per_step
    tiling = Tiling(path.rows, 2 * path.columns, reduction, "tokens_outer")
    gemm = Gemm(2 * path.rows - 1, reduction + path.group_size + 1, 4 * path.columns - 1)
    return gemm, tiling


def random_operands(arch: Architecture, gemm: Gemm, seed: int) -> tuple[Values, Values]:
    """Return activations `[T, K]` and weights `[K, O]` as the hardware holds them."""
    random = np.random.default_rng(seed)
    encode = PRECISIONS[arch.path.x.precision].encode
    activations = random.standard_normal((gemm.tokens, gemm.in_features), np.float32)
    weights = random.standard_normal((gemm.in_features, gemm.out_features), np.float32)
    return encode(activations)[0], encode(weights)[0]


def _own(text: str, values: Parameters) -> Parameters:
    """Return the parameters that a module has."""
    return {name: value for name, value in values.items() if f"{name} " in text}
