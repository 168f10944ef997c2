"""What the simulator says that the tile pipeline does: its values, and the cycle of every event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from accelsim.config import Architecture
from accelsim.engine import Network, StageTimes, simpy_engine
from accelsim.machine import build_machine
from accelsim.precision import Values
from accelsim.results.ledger import previous_finish
from accelsim.rtl.program import Program, Words, bit_patterns, hex_words, tiles, token_groups
from accelsim.workload import Datapath, Gemm, Ints, Tiling, Work, ceil_div

# Stage of the RTL → stage of the machine.
STAGES = {
    "load": "activation_dma",
    "fetch": "weight_dma",
    "select": "select",
    "compute": "compute",
    "store": "output_dma",
}


@dataclass(frozen=True, slots=True)
class StageRecord:
    """When each job of a stage started and ended, and what its other cycles were."""

    start: list[int]
    done: list[int]
    busy_cycles: int
    starved_cycles: int
    blocked_cycles: int


@dataclass(frozen=True, slots=True)
class Timing:
    """Cycles of a run of the tile pipeline."""

    stages: Mapping[str, StageRecord]
    cycles: int


def expected_timing(arch: Architecture, gemm: Gemm, tiling: Tiling, program: Program) -> Timing:
    """Run the simulator's own machine with the streams of the testbench in place of DRAM.

    Topology, buffer slots, service times and latencies are those that `accelsim run` uses; buffer
    ports are as wide as asked for, because the pipeline has none.
    """
    jobs = program.tile_jobs
    work = Work(
        gemm=gemm,
        path=arch.path,
        tiling=tiling,
        jobs=jobs,
        weight_bytes=np.zeros(len(jobs), np.int64),
        kept=0,
        nonzero=0,
    )
    network = build_machine(_with_wide_ports(arch), work).network
    streamed = {
        "activation_dma": _service(program, "load", "activation", jobs.loads_activations),
        "weight_dma": _service(program, "fetch", "weight", jobs.loads_weights),
        "output_dma": _service(program, "store", "output", jobs.last_reduction),
    }
    stages = tuple(
        replace(stage, busy=streamed[stage.name], latency=0, resource=None)
        if stage.name in streamed
        else stage
        for stage in network.stages
    )
    times = simpy_engine.run(Network(stages))
    works = {stage.name: stage.busy > 0 for stage in stages}
    records = {name: _record(times.stages[s], works[s]) for name, s in STAGES.items()}
    return Timing(records, times.cycles)


def _service(program: Program, stage: str, stream: str, which: np.ndarray) -> Ints:
    """Return the cycles of each job of a stage that faces a stream: its beats and their stalls."""
    beats = program.stage_beats[stage]
    ends = np.cumsum(beats)
    stalled = np.concatenate([[0], np.cumsum(program.stalls[stream])])
    busy = np.zeros(len(which), np.int64)
    busy[which] = beats + stalled[ends] - stalled[ends - beats]
    return busy


def _with_wide_ports(arch: Architecture) -> Architecture:
    wide = {"port_bytes": 2**31}
    buffers = arch.buffers
    return arch.model_copy(
        update={
            "buffers": buffers.model_copy(
                update={
                    name: getattr(buffers, name).model_copy(update=wide)
                    for name in type(buffers).model_fields
                }
            )
        }
    )


def _record(times: StageTimes, works: np.ndarray) -> StageRecord:
    return StageRecord(
        start=times.start[works].tolist(),
        done=times.finish[works].tolist(),
        busy_cycles=int((times.finish - times.start).sum()),
        starved_cycles=int((times.ready - previous_finish(times)).sum()),
        blocked_cycles=int((times.roomy - times.ready).sum()),
    )


def expected_log(  # noqa: PLR0913
    arch: Architecture,
    gemm: Gemm,
    tiling: Tiling,
    program: Program,
    activations: Values,
    weights: Values,
) -> list[str]:
    """Return the lines that `testbench.sv` writes, sorted."""
    timing = expected_timing(arch, gemm, tiling, program)
    lines = [f"cycles {timing.cycles}"]
    for number, record in enumerate(timing.stages.values()):
        lines += [f"start {number} {cycle}" for cycle in record.start]
        lines += [f"done {number} {cycle}" for cycle in record.done]
        counters = (record.busy_cycles, record.starved_cycles, record.blocked_cycles)
        lines.append("counters " + " ".join(map(str, (number, *counters))))
    lines += _kept_lines(arch, program, timing.stages["select"], activations)
    lines += _output_lines(arch, program, timing.stages["store"], activations, weights)
    return sorted(lines)


def _kept_lines(
    arch: Architecture, program: Program, select: StageRecord, activations: Values
) -> Iterator[str]:
    """Yield `kept CYCLE MASKS VALUES` of every beat of the selector bank."""
    selector, path = arch.selector, arch.path
    assert selector is not None
    period = selector.cycles_per_group(path)
    visible = period - 1 + selector.latency_cycles(path)
    which = tiles(program.tile_jobs, program.tile_jobs.selects)
    for start, (tokens, reduction, _) in zip(select.start, which, strict=True):
        groups = token_groups(arch, activations[tokens, reduction])
        groups = np.pad(groups, [(0, -len(groups) % selector.instances), (0, 0)])
        mask = arch.pattern.keep(groups)
        kept = bit_patterns(groups[mask], path).reshape(-1, selector.instances * path.kept_per_group)
        masks = mask.reshape(len(kept), -1)
        for beat, (bits, values) in enumerate(zip(masks, hex_words(kept), strict=True)):
            yield f"kept {start + beat * period + visible} {_hex_bits(bits)} {values}"


def _output_lines(
    arch: Architecture,
    program: Program,
    store: StageRecord,
    activations: Values,
    weights: Values,
) -> Iterator[str]:
    """Yield `output CYCLE DATA` of every block of R × C accumulators that leaves."""
    path, jobs = arch.path, program.tile_jobs
    outputs = _accumulators(arch, activations, weights)
    stalls = iter(program.stalls["output"])
    finished = tiles(jobs, jobs.last_reduction)
    for start, (tokens, _, columns) in zip(store.start, finished, strict=True):
        cycle = start
        for block in _blocks(outputs[tokens, columns], path):
            cycle += int(next(stalls))
            yield f"output {cycle} {hex_words(block.reshape(1, -1))[0]}"
            cycle += 1


def _blocks(outputs: Words, path: Datapath) -> Iterator[Words]:
    """Yield R × C blocks, row by row of blocks, padded with zeros."""
    rows, columns = path.rows, path.columns
    padded = np.pad(outputs, [(0, -outputs.shape[0] % rows), (0, -outputs.shape[1] % columns)])
    for row in range(0, padded.shape[0], rows):
        for column in range(0, padded.shape[1], columns):
            yield padded[row : row + rows, column : column + columns]


def _accumulators(arch: Architecture, activations: Values, weights: Values) -> Words:
    """Return the int32 sums over what is kept, `[tokens, out_features]`, as bits."""
    kept = np.where(arch.pattern.keep(activations), activations, 0).astype(np.int64)
    return (kept @ weights.astype(np.int64)).astype(np.uint32)


def _hex_bits(bits: np.ndarray) -> str:
    """Return flags as a hexadecimal number, the first flag lowest."""
    number = int("".join("1" if bit else "0" for bit in bits[::-1]), 2)
    return f"{number:0{ceil_div(len(bits), 4)}x}"
