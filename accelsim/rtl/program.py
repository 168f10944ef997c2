"""A layer as the tile pipeline takes it: lists of jobs, and the beats of its streams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accelsim.config import Architecture
from accelsim.mapping import Datapath, Gemm, Ints, TileJobs, Tiling, ceil_div, tile_jobs
from accelsim.mapping.jobs import fill_of, last_uses
from accelsim.mapping.tiling import TileBytes
from accelsim.precision import PRECISIONS, Values
from accelsim.rtl.design import Parameters, parameters

STREAMS = ("activation", "weight", "output")
Words = NDArray[np.unsignedinteger]


@dataclass(frozen=True, slots=True)
class Stalls:
    """Cycles that each source, or the sink, waits before each beat, by stream; cycled through."""

    activation: tuple[int, ...] = (0,)
    weight: tuple[int, ...] = (0,)
    output: tuple[int, ...] = (0,)

    def of(self, stream: str, beats: int) -> Ints:
        """Return the stalls of `beats` beats, `[beats]`."""
        return np.resize(np.array(getattr(self, stream), np.int64), beats)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What the testbench reads.

    Attributes:
        jobs: by stage, the fields of each of its jobs, lowest first, `[jobs, fields]`.
        beats: by stream into the pipeline, the words of each beat, lowest first, `[beats, words]`.
        stalls: by stream, the stall before each beat, `[beats]`.
        stage_beats: by stage that faces a stream, the beats of each of its jobs, `[jobs]`.
    """

    tile_jobs: TileJobs
    parameters: Parameters
    jobs: Mapping[str, Ints]
    beats: Mapping[str, Words]
    stalls: Mapping[str, Ints]
    stage_beats: Mapping[str, Ints]

    def write(self, folder: Path) -> None:
        """Write the files of `testbench.sv` into `folder`."""
        for stage, fields in self.jobs.items():
            _write_hex(folder / f"{stage}.hex", fields.astype(np.uint16))
        files = {"activation": "activations", "weight": "weights"}
        for stream, words in self.beats.items():
            _write_hex(folder / f"{files[stream]}.hex", words)
        for stream, stalls in self.stalls.items():
            _write_hex(folder / f"{stream}_gaps.hex", stalls.astype(np.uint16)[:, None])


def compile_program(  # noqa: PLR0913
    arch: Architecture,
    gemm: Gemm,
    tiling: Tiling,
    activations: Values,
    weights: Values,
    *,
    load_groups: int = 1,
    stalls: Stalls | None = None,
) -> Program:
    """Lay out one GEMM for the tile pipeline of `arch`.

    Args:
        arch: a sparse machine whose parts have RTL.
        gemm: the layer; `arch` decides what stays on chip.
        tiling: the tile.
        activations: hardware values, `[tokens, in_features]`: int8, or float32 for bf16.
        weights: hardware values, `[in_features, out_features]`.
        load_groups: groups of activations that arrive in one beat.
        stalls: of sources and sink; default none.
    """
    path, stalls = arch.path, stalls or Stalls()
    jobs = tile_jobs(gemm, tiling, path, arch.stores)
    groups = path.groups(jobs.reduction)
    blocks = jobs.blocks(path)
    stage_beats = {
        "load": ceil_div(jobs.tokens * groups, load_groups)[jobs.loads_activations],
        "fetch": (groups * jobs.column_blocks(path))[jobs.loads_weights],
        "store": blocks[jobs.last_reduction],
    }
    stage_jobs = {
        **{stage: beats[:, None] for stage, beats in stage_beats.items()},
        "select": _select_jobs(jobs, groups),
        "compute": _compute_jobs(jobs, groups, path),
    }
    beats = {
        "activation": _activation_beats(arch, jobs, activations, load_groups),
        "weight": _weight_beats(arch, jobs, weights),
    }
    faces = {"activation": "load", "weight": "fetch", "output": "store"}
    return Program(
        tile_jobs=jobs,
        jobs=stage_jobs,
        beats=beats,
        stage_beats=stage_beats,
        stalls={s: stalls.of(s, int(stage_beats[faces[s]].sum())) for s in STREAMS},
        parameters={
            **parameters(arch),
            **_memory_parameters(arch, gemm, tiling, jobs),
            "LOAD": load_groups,
            **{
                f"{stage.upper()}S" if stage != "fetch" else "FETCHES": len(fields)
                for stage, fields in stage_jobs.items()
            },
            **{f"{stage.upper()}_BEATS": int(beats.sum()) for stage, beats in stage_beats.items()},
        },
    )


def _memory_parameters(
    arch: Architecture, gemm: Gemm, tiling: Tiling, jobs: TileJobs
) -> Parameters:
    """Return slots and slot sizes: as many as the buffers hold, but no more than are filled."""
    path, stores = arch.path, arch.stores
    size = TileBytes.of(tiling, gemm, path)
    assert stores.compressed is not None
    groups = path.groups(jobs.reduction)
    slots = {
        "ACTIVATION": (stores.activations.slots(size.activations), jobs.loads_activations),
        "WEIGHT": (stores.weights.slots(size.weights), jobs.loads_weights),
        "KEPT": (stores.compressed.slots(size.compressed), jobs.selects),
        "OUTPUT": (stores.outputs.slots(size.outputs), jobs.first_reduction),
    }
    return {
        **{f"{name}_SLOTS": min(held, int(fills.sum())) for name, (held, fills) in slots.items()},
        "TILE_GROUPS": int((jobs.tokens * groups).max()),
        "TILE_WEIGHTS": int((groups * jobs.column_blocks(path)).max()),
        "TILE_BLOCKS": int(jobs.blocks(path).max()),
    }


def _select_jobs(jobs: TileJobs, groups: Ints) -> Ints:
    """Return {groups, loaded tile, release} of every job that selects."""
    tile = fill_of(jobs.loads_activations, jobs.activation_tile)
    last = last_uses(jobs.loads_activations, jobs.activation_tile, jobs.selects)
    fields = (jobs.tokens * groups, tile, _is_in(last, len(jobs)))
    return np.stack(fields, axis=1)[jobs.selects]


def _compute_jobs(jobs: TileJobs, groups: Ints, path: Datapath) -> Ints:
    """Return the fields of `compute` in tile_pipeline.sv."""
    kept_last = last_uses(jobs.selects, jobs.activation_tile)
    weight_last = last_uses(jobs.loads_weights, jobs.weight_tile)
    fields = (
        jobs.row_blocks(path),
        jobs.column_blocks(path),
        groups,
        jobs.tokens,
        fill_of(jobs.selects, jobs.activation_tile),
        fill_of(jobs.loads_weights, jobs.weight_tile),
        fill_of(jobs.first_reduction, jobs.output_tile),
        jobs.first_reduction,
        jobs.last_reduction,
        _is_in(kept_last, len(jobs)) + 2 * _is_in(weight_last, len(jobs)),
    )
    return np.stack(fields, axis=1)


def _is_in(members: Ints, count: int) -> Ints:
    """Return 1 for each of `count` jobs that is among `members`."""
    flags = np.zeros(count, np.int64)
    flags[members] = 1
    return flags


def grouped(arch: Architecture, values: Values) -> Values:
    """Cut the first axis into groups of M, the last one padded with zeros: `[groups, M, ...]`."""
    padding = -len(values) % arch.path.group_size
    padded = np.pad(values, [(0, padding)] + [(0, 0)] * (values.ndim - 1))
    return padded.reshape(-1, arch.path.group_size, *values.shape[1:])


def token_groups(arch: Architecture, activations: Values) -> Values:
    """Return the groups of `[tokens, reduction]` in order of (token, group): `[groups, M]`."""
    groups = grouped(arch, activations.T)  # [groups, M, tokens]
    return groups.transpose(2, 0, 1).reshape(-1, arch.path.group_size)


def tiles(jobs: TileJobs, which: NDArray[np.bool_]) -> list[tuple[slice, slice, slice]]:
    """Return (tokens, reduction, columns) of each job in `which`."""
    starts = (jobs.token_start, jobs.reduction_start, jobs.column_start)
    extents = (jobs.tokens, jobs.reduction, jobs.columns)
    return [
        tuple(slice(int(s[j]), int(s[j] + e[j])) for s, e in zip(starts, extents, strict=True))  # type: ignore[misc]
        for j in np.flatnonzero(which)
    ]


def _activation_beats(
    arch: Architecture, jobs: TileJobs, activations: Values, load_groups: int
) -> Words:
    """Return groups in order of (token, group), `load_groups` a beat."""
    beats = []
    for tokens, reduction, _ in tiles(jobs, jobs.loads_activations):
        rows = token_groups(arch, activations[tokens, reduction])
        rows = np.pad(rows, [(0, -len(rows) % load_groups), (0, 0)])
        beats.append(rows.reshape(-1, load_groups * arch.path.group_size))
    return bit_patterns(np.concatenate(beats), arch.path)


def _weight_beats(arch: Architecture, jobs: TileJobs, weights: Values) -> Words:
    """Return M positions of C columns a beat, in order of (column block, group)."""
    path = arch.path
    beats = []
    for _, reduction, columns in tiles(jobs, jobs.loads_weights):
        tile = weights[reduction, columns]
        tile = np.pad(tile, [(0, 0), (0, -tile.shape[1] % path.columns)])
        groups = grouped(arch, tile).reshape(
            -1, path.group_size, tile.shape[1] // path.columns, path.columns
        )  # [groups, M, column blocks, C]
        beats.append(groups.transpose(2, 0, 3, 1).reshape(-1, path.columns * path.group_size))
    return bit_patterns(np.concatenate(beats), path)


def bit_patterns(values: Values, path: Datapath) -> Words:
    """Return hardware values as the bits on the wires: uint8 for 8 bits, uint16 for bf16."""
    return PRECISIONS[path.x.precision].bit_patterns(values)


def hex_words(words: Words) -> list[str]:
    """Return each row as one hexadecimal number, the first word lowest.

    >>> hex_words(np.array([[0x1, 0xAB]], np.uint16))
    ['00ab0001']
    """
    big_endian = words[:, ::-1].astype(words.dtype.newbyteorder(">"))
    return [row.tobytes().hex() for row in big_endian]


def _write_hex(path: Path, words: Words) -> None:
    """Write a word a line for $readmemh; the last line ends too, or Verilator drops it."""
    path.write_text("".join(line + "\n" for line in hex_words(words)))
