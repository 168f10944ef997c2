"""What the simulator says that the tile pipeline does: its values, and the cycle of every event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from accelsim.accounting.ledger import previous_finish
from accelsim.config import Architecture
from accelsim.dataflows.pipeline import build_pipeline
from accelsim.engine import Network, StageTimes, recurrence
from accelsim.hardware import Buffer
from accelsim.mapping import Datapath, Gemm, Ints, TileJobs, Tiling, Work, ceil_div
from accelsim.precision import PRECISIONS, Values
from accelsim.rtl.program import (
    Program,
    Words,
    bit_patterns,
    grouped,
    hex_words,
    tiles,
    token_groups,
)
from accelsim.rtl.reference import add_fp32, dot_bf16

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
    network = build_pipeline(_with_wide_ports(arch), work).network
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
    times = recurrence.run(Network(stages))
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
                    name: buffer.model_copy(update=wide)
                    for name, buffer in buffers
                    if isinstance(buffer, Buffer)
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


def expected_log(  # noqa: PLR0913, PLR0917
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
        kept = bit_patterns(groups[mask], path).reshape(
            -1, selector.instances * path.kept_per_group
        )
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
    outputs = _accumulators(arch, jobs, activations, weights)
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


def _accumulators(
    arch: Architecture, jobs: TileJobs, activations: Values, weights: Values
) -> Words:
    """Return the sums over what is kept, `[tokens, out_features]`, as the bits of 32-bit words."""
    is_float = PRECISIONS[arch.path.x.precision].is_float()
    first = (jobs.token_start == 0) & (jobs.column_start == 0) & jobs.loads_weights
    tile_sum, add = (_float_sums, add_fp32) if is_float else (_integer_sums, np.add)
    total = None
    for _, reduction, _ in tiles(jobs, first):
        part = tile_sum(arch, activations[:, reduction], weights[reduction])
        total = part if total is None else add(total, part)
    assert total is not None
    bits: Words = np.ascontiguousarray(total).view(np.uint32)
    return bits


def _integer_sums(arch: Architecture, activations: Values, weights: Values) -> Values:
    """Return int32 sums of one tile of K, which wrap."""
    kept = np.where(arch.pattern.keep(activations), activations, 0).astype(np.int64)
    return (kept @ weights.astype(np.int64)).astype(np.int32)


def _float_sums(arch: Architecture, activations: Values, weights: Values) -> Values:
    """Return fp32 sums of one tile of K in the order of the array: lanes in a tree, then steps."""
    path, tokens = arch.path, len(activations)
    groups = token_groups(arch, activations)
    mask = arch.pattern.keep(groups)
    positions = np.nonzero(mask)[1].reshape(tokens, -1, path.kept_per_group)
    number = np.arange(positions.shape[1])[None, :, None]
    routed = grouped(arch, weights)[number, positions]  # [tokens, groups, N, columns]
    values = groups[mask].reshape(tokens, -1, path.kept_per_group, 1)
    lanes, operands = _lanes(values, path), _lanes(routed, path)  # [tokens, columns, steps, L]
    return dot_bf16(np.broadcast_to(lanes, operands.shape), operands)


def _lanes(kept: Values, path: Datapath) -> Values:
    """Cut `[tokens, groups, N, columns]` into steps of L lanes, idle ones zero."""
    tokens, groups, n, columns = kept.shape
    if path.steps_per_group > 1:
        kept = np.pad(kept, [(0, 0), (0, 0), (0, -n % path.lanes), (0, 0)])
        steps = kept.reshape(tokens, -1, path.lanes, columns)
    else:
        at_once = path.groups_per_step
        kept = np.pad(kept, [(0, 0), (0, -groups % at_once), (0, 0), (0, 0)])
        steps = kept.reshape(tokens, -1, at_once * n, columns)
        steps = np.pad(steps, [(0, 0), (0, 0), (0, path.lanes - at_once * n), (0, 0)])
    return steps.transpose(0, 3, 1, 2)


def _hex_bits(bits: np.ndarray) -> str:
    """Return flags as a hexadecimal number, the first flag lowest."""
    number = int("".join("1" if bit else "0" for bit in bits[::-1]), 2)
    return f"{number:0{ceil_div(len(bits), 4)}x}"
