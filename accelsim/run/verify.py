"""The functional check: a layer's values sent through the machine as modelled, against numpy.

select → compress (values and metadata bits) → decode → unpack weights that are narrower than the
multipliers → gather through the crossbar → multiply → accumulate, tile by tile and step by step in
the order in which the timing model runs them. A timing model that loses or misroutes data cannot
pass. Where W is the sparse operand, it is W that is compressed and decoded, and X that is gathered.
Where rows are gathered, X is compacted to what some token of R keeps, and the array sees no other
row of W; where banks of W give each token rows of its own, both ways are checked.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.base.errors import InputError
from accelsim.config import Architecture
from accelsim.dataflows.layer_machine import LayerMachine
from accelsim.hardware import Crossbar
from accelsim.hardware.crossbars.banked import BankedCrossbar
from accelsim.mapping import Gemm, TileJobs, Tiling, tile_jobs
from accelsim.planning import Planner
from accelsim.precision import PRECISIONS, Values
from accelsim.precision.groups import Packed
from accelsim.run.simulation import wish_of
from accelsim.selection.selections import selections_of
from accelsim.selection.sparsify import held_values
from accelsim.sparsity import FORMATS, Mask
from accelsim.sparsity.patterns.base import keep_largest
from accelsim.sparsity.policy import Method, Policy
from accelsim.trace import Linear, Trace


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome for one layer. Integer machines must be exact; float ones within the bound.

    `error` is the largest |difference|, `allowed` the bound at that place: for fp32 accumulation of
    n products, n × 2^-24 × Σ|x||w| (plus as much for the reference's own products).
    """

    layer: str
    outputs: int
    error: float
    allowed: float

    @property
    def is_exact(self) -> bool:
        """Whether every output is bit-identical."""
        return self.error == 0.0

    @property
    def passed(self) -> bool:
        """Whether the machine computes what it should."""
        return self.error <= self.allowed


@dataclass(frozen=True, slots=True)
class Compressed:
    """Activations as the compressed buffer holds them, all groups padded to exactly N.

    Attributes:
        values: `[T, slots]`, kept values in index order.
        bits: `[T × groups, bits_per_group]`, metadata.
    """

    values: Values
    bits: NDArray[np.bool_]


def verify(arch: Architecture, trace: Trace, policy: Policy | None = None) -> Iterator[Check]:
    """Check every layer of a trace on `arch`, with seeded random weights (a trace has none).

    Checked is the product of what each layer's method selects; not what follows it (an epilogue, a
    low-rank product).
    """
    for linear in trace.linears:
        is_decode = arch.diagram.gathers_rows  # the rest of a run there is dense
        wish = replace(wish_of(arch, policy, linear, is_decode=is_decode), with_mask=True)
        stored = trace.source.read(linear.input)
        operands, _ = held_values(
            trace, linear.input, stored, arch.path.x.precision, is_centred=wish.is_centred
        )
        mask = selections_of(trace, linear.input, [wish])[wish].kept_mask
        machine = arch.running(Method(wish.pattern))
        yield check_layer(machine, linear, operands, random_weights(arch, linear), mask)


def random_weights(arch: Architecture, linear: Linear) -> Values | Packed:
    """Return weights as the machine stores them, the same for the same layer name.

    These are `[K, O]` in the format of the multipliers, or packed in a narrower one; where W is the
    sparse operand, pruned by magnitude.
    """
    rng = np.random.default_rng(zlib.crc32(linear.name.encode()))
    drawn = rng.standard_normal((linear.in_features, linear.out_features), np.float32)
    held = PRECISIONS[arch.path.x.precision].encode(drawn.T)[0]  # scales of blocks are along K
    held = np.where(arch.weight_pattern.keep(held), held, held.dtype.type(0))
    if arch.path.formats.unpacks:
        return Packed.of(held, arch.path.formats)
    return np.ascontiguousarray(held.T)


def check_layer(
    machine: LayerMachine,
    linear: Linear,
    operands: Values,
    weights: Values | Packed,
    mask: Mask | None = None,
) -> Check:
    """Compute one layer `[T, K] @ [K, O]` through the modelled machine and compare.

    `mask` says what is kept; by default, what the machine's pattern keeps of the operands. Packed
    weights are compared as what each code and its scale stand for in the multipliers' format.
    """
    numbers = weights[:, :]
    mask = machine.pattern.keep(operands) if mask is None else mask
    masked = np.where(mask, operands, operands.dtype.type(0))
    if operands.dtype == np.int8:
        # Sums below 2^53 are exact in float64, whose products are many times as fast.
        product = masked.astype(np.float64) @ numbers.astype(np.float64)
        expected: Values = product.astype(np.int64)
        allowed = np.zeros(expected.shape)
    else:
        wide, heavy = masked.astype(np.float64), numbers.astype(np.float64)
        expected = wide @ heavy
        products = machine.path.stored_values(linear.in_features) + 1
        allowed = products * 2.0**-24 * (np.abs(wide) @ np.abs(heavy))
    ways = [machine_matmul(machine, operands, weights, mask)]
    if isinstance(machine.units.get("crossbar"), BankedCrossbar) and machine.path.is_gathered:
        ways.append(_with_banked_rows(machine, operands, weights, mask))
    apart = [np.abs(computed.astype(expected.dtype) - expected) for computed in ways]
    difference = np.maximum.reduce(apart)
    worst = np.unravel_index(np.argmax(difference - allowed), difference.shape)
    return Check(linear.name, expected.size, float(difference[worst]), float(allowed[worst]))


def compress(machine: LayerMachine, operands: Values, mask: Mask | None = None) -> Compressed:
    """Store `[T, K]` activations as the selector writes them.

    A group of which fewer than N are kept (padding, a sparser pattern than the machine's) gives
    zeros from its first other positions: a crossbar needs N positions in index order.
    """
    path = machine.path
    mask = machine.pattern.keep(operands) if mask is None else mask
    padding = [(0, 0), (0, -operands.shape[1] % path.group_size)]
    masked = np.where(mask, operands, operands.dtype.type(0))
    padded, kept = np.pad(masked, padding), np.pad(mask, padding)
    groups = keep_largest(kept.reshape(-1, path.group_size).view(np.int8), path.kept_per_group)
    values = padded[groups.reshape(kept.shape)].reshape(len(padded), -1)
    if machine.pattern.is_dense:
        return Compressed(values, np.zeros((len(groups), 0), np.bool_))
    return Compressed(values, FORMATS[path.metadata_format].encode(groups))


def machine_matmul(
    machine: LayerMachine, operands: Values, weights: Values | Packed, mask: Mask | None = None
) -> Values:
    """Return `[T, O]` computed in the modelled order, in the accumulator's type."""
    path = machine.path
    tokens, in_features = operands.shape
    gemm = Gemm(tokens, in_features, weights.shape[1])
    machine, tiling = Planner().fitted(machine, gemm)
    if path.w.is_sparse:
        return _with_stored_weights(machine, tiling, operands, weights)
    if path.is_gathered:
        mask = machine.pattern.keep(operands) if mask is None else mask
        return _with_gathered_rows(machine, operands, weights, mask)
    stored = compress(machine, operands, mask)
    offsets = _offsets(machine, stored).reshape(tokens, -1)
    accumulator: Any = np.int32 if operands.dtype == np.int8 else np.float32
    outputs = np.zeros((tokens, gemm.out_features), accumulator)
    jobs = tile_jobs(gemm, tiling, path, machine.stores)
    for rows, columns, start, length in _tiles(jobs):
        first_group, groups = start // path.group_size, path.groups(length)
        tile = weights[start : start + length, columns]  # unpacks packed ones
        tile = np.pad(tile, [(0, -length % path.group_size), (0, 0)])
        for slots in _steps(machine, first_group, groups):
            lanes = stored.values[rows, slots].astype(accumulator)
            base = slots // path.kept_per_group * path.group_size
            routed = tile[base - start + offsets[rows, slots]].astype(accumulator)
            outputs[rows, columns] += np.einsum("rl,rlc->rc", lanes, routed, dtype=accumulator)
    return outputs


def _with_stored_weights(
    machine: LayerMachine, tiling: Tiling, operands: Values, weights: Values | Packed
) -> Values:
    """Return `[T, O]` where each stored weight picks its activation by its metadata."""
    path, (tokens, in_features) = machine.path, operands.shape
    n, m = path.lane_group
    gemm, form = Gemm(tokens, in_features, weights.shape[1]), FORMATS[path.metadata_format]
    accumulator: Any = np.int32 if operands.dtype == np.int8 else np.float32
    outputs = np.zeros((tokens, gemm.out_features), accumulator)
    jobs = tile_jobs(gemm, tiling, path, machine.stores)
    for rows, columns, start, length in _tiles(jobs):
        padding = [(0, 0), (0, -length % m)]
        x = np.pad(operands[rows, start : start + length], padding)
        tile = np.pad(weights[start : start + length, columns].T, padding)
        blocks = tile.reshape(-1, m)
        kept = keep_largest((blocks != 0).view(np.int8), n)
        decoded = form.decode(form.encode(kept), n, m).reshape(len(tile), -1)
        values = blocks[kept].reshape(len(tile), -1).astype(accumulator)
        for slots in _steps(machine, 0, blocks.shape[0] // len(tile)):
            positions = slots // n * m + decoded[:, slots]
            picked = x[:, positions].astype(accumulator)
            outputs[rows, columns] += np.einsum("rcl,cl->rc", picked, values[:, slots])
    return outputs


def _with_gathered_rows(
    machine: LayerMachine, operands: Values, weights: Values | Packed, mask: Mask
) -> Values:
    """Return `[T, O]` of decode steps of R tokens, of the rows of W that some token keeps."""
    path, (tokens, in_features) = machine.path, operands.shape
    accumulator: Any = np.int32 if operands.dtype == np.int8 else np.float32
    outputs = np.zeros((tokens, weights.shape[1]), accumulator)
    for first in range(0, tokens, path.rows):
        step = slice(first, min(first + path.rows, tokens))
        gemm = Gemm(step.stop - first, in_features, weights.shape[1])
        fitted, tiling = Planner().fitted(machine, gemm, is_decode=True)
        for of_step, columns, start, length in _tiles(tile_jobs(gemm, tiling, path, fitted.stores)):
            rows = slice(first + of_step.start, first + of_step.stop)
            inside = slice(start, start + length)
            needed = _needed(mask[step, inside])
            fetched = weights[inside, columns][needed]  # unpacks packed ones
            kept = np.where(mask[rows, inside], operands[rows, inside], 0)[:, needed]
            for lane in range(0, len(fetched), path.lanes):
                lanes = slice(lane, lane + path.lanes)
                x, w = (part.astype(accumulator) for part in (kept[:, lanes], fetched[lanes]))
                outputs[rows, columns] += np.einsum("rl,lc->rc", x, w, dtype=accumulator)
    return outputs


def _with_banked_rows(
    machine: LayerMachine, operands: Values, weights: Values | Packed, mask: Mask
) -> Values:
    """Return `[T, O]` where each token takes rows of W by its own positions, from banks."""
    path, (tokens, in_features) = machine.path, operands.shape
    crossbar = machine.units["crossbar"]
    assert isinstance(crossbar, BankedCrossbar)
    accumulator: Any = np.int32 if operands.dtype == np.int8 else np.float32
    gemm = Gemm(tokens, in_features, weights.shape[1])
    outputs = np.zeros((tokens, gemm.out_features), accumulator)
    fitted, tiling = Planner().fitted(machine, gemm)
    for rows, columns, start, length in _tiles(tile_jobs(gemm, tiling, path, fitted.stores)):
        tile = weights[start : start + length, columns].astype(accumulator)  # unpacks packed ones
        dealt = crossbar.dealt(tile)
        for token in range(rows.start, rows.stop):
            positions = np.flatnonzero(mask[token, start : start + length])
            for lane in range(0, len(positions), path.lanes):
                step = positions[lane : lane + path.lanes]
                x = operands[token, start + step].astype(accumulator)
                given = dealt[crossbar.place_of(step)]
                outputs[token, columns] += np.einsum("l,lc->c", x, given, dtype=accumulator)
    return outputs


def _needed(mask: Mask) -> Mask:
    """Return which positions some token of a step keeps, `[K]`."""
    needed: Mask = np.logical_or.reduce(mask, axis=0)
    return needed


def _tiles(jobs: TileJobs) -> Iterator[tuple[slice, slice, int, int]]:
    """Yield tokens, columns, and the begin and length along K of each tile, in program order."""
    for job in range(len(jobs)):
        rows = slice(jobs.token_start[job], jobs.token_start[job] + jobs.tokens[job])
        columns = slice(jobs.column_start[job], jobs.column_start[job] + jobs.columns[job])
        yield rows, columns, int(jobs.reduction_start[job]), int(jobs.reduction[job])


def _steps(machine: LayerMachine, first_group: int, groups: int) -> Iterator[NDArray[np.int64]]:
    """Yield the slots (stored values, counted along K) that the lanes take in each step."""
    path = machine.path
    n, _ = path.lane_group
    end = (first_group + groups) * n
    for group in range(first_group, first_group + groups, path.groups_per_step):
        last = min((group + path.groups_per_step) * n, end)
        for slot in range(group * n, last, path.lanes):
            yield np.arange(slot, min(slot + path.lanes, last))


def _offsets(machine: LayerMachine, stored: Compressed) -> NDArray[np.integer[Any]]:
    """Decode positions in the group, and check that the crossbar can reach each of them.

    Kinds that rely on index order reach positions i … i + M - N for the i-th kept value.
    """
    path = machine.path
    n, m = path.kept_per_group, path.group_size
    if machine.pattern.is_dense:
        return np.zeros((stored.values.size, 1), np.int64)
    positions = FORMATS[path.metadata_format].decode(stored.bits, n, m)
    reach = positions - np.arange(n)
    crossbar = machine.units.get("crossbar")
    if crossbar is None:
        return positions
    assert isinstance(crossbar, Crossbar)
    relies_on_order = crossbar.decodes == "bitmask"
    if relies_on_order and (reach.min() < 0 or reach.max() > m - n):
        raise InputError(
            f"crossbar.kind '{crossbar.kind}' cannot route pattern {machine.pattern}: a kept value "
            f"stands outside the window of its lane"
        )
    return positions
