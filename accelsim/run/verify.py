"""The functional check: a layer's values sent through the machine as modelled, against numpy.

select → compress (values and metadata bits) → decode → unpack weights that are narrower than the
multipliers → gather through the crossbar → multiply → accumulate, tile by tile and step by step in
the order in which the timing model runs them. A timing model that loses or misroutes data cannot
pass. Where W is the sparse operand, it is W that is compressed and decoded, and X that is gathered.
Where both are, each activation looks for its weight among the stored ones of its block, or a lane
for what its groups of both have in common.
Where rows are gathered, X is compacted to what some token of R keeps, and the array sees no other
row of W; where banks of W give each token rows of its own, both ways are checked. Where time
depends on the masks of both operands, the dataflow multiplies each tile in its own order. Products
of an FFN that are computed a token at a time are in `token_products.py`.
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
from accelsim.mapping import Gemm, Ints, MultipliesTiles, Tiling, tile_jobs
from accelsim.planning import Planner
from accelsim.precision import PRECISIONS, Values
from accelsim.precision.groups import Packed
from accelsim.run.gathered_rows import with_banked_rows, with_gathered_rows
from accelsim.run.hidden import beside_hidden
from accelsim.run.joined_masks import with_joined_masks
from accelsim.run.simulation import wish_of
from accelsim.run.stored_weights import block_by_block, with_stored_weights
from accelsim.run.token_products import computed_outputs, token_matmul
from accelsim.run.walk import filled, steps, tiles
from accelsim.selection.selections import selections_of
from accelsim.selection.sparsify import held_values
from accelsim.sparsity import FORMATS, Mask
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
        operands, real = held_values(
            trace, linear.input, stored, arch.path.x.precision, is_centred=wish.is_centred
        )
        chosen = selections_of(trace, linear.input, [wish])[wish]
        mitigation = "residual" if wish.has_residual else "none"
        machine = arch.running(Method(wish.pattern, mitigation=mitigation))
        mask, weights, hidden = chosen.kept_mask, random_weights(arch, linear), None
        kept = np.where(mask, operands, operands.dtype.type(0))
        rest = PRECISIONS[wish.precision].remainders(real, kept) if wish.has_residual else None
        if arch.diagram.sees_hidden and not wish.pattern.is_dense:
            chosen = beside_hidden(chosen, wish, trace, linear)
            hidden = chosen.hidden_mask
            machine = machine.for_ffn(chosen.ffn_product, chosen.hidden_share)
        yield check_layer(machine, linear, operands, weights, mask, rest=rest, hidden=hidden)


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


def check_layer(  # noqa: PLR0913 - all but four are optional
    machine: LayerMachine,
    linear: Linear,
    operands: Values,
    weights: Values | Packed,
    mask: Mask | None = None,
    *,
    rest: Values | None = None,
    hidden: Mask | None = None,
) -> Check:
    """Compute one layer `[T, K] @ [K, O]` through the modelled machine and compare.

    `mask` says what is kept; by default, what the machine's pattern keeps of the operands; `rest`
    is what goes through in a second, dense pass; `hidden`, which hidden values of the layer's FFN
    are not zero, where only their products are computed. Packed weights are compared as what each
    code and its scale stand for in the multipliers' format.
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
        left = np.zeros_like(wide) if rest is None else rest.astype(np.float64)
        expected = (wide + left) @ heavy
        products = machine.path.stored_values(linear.in_features) + 1
        allowed = products * 2.0**-24 * ((np.abs(wide) + np.abs(left)) @ np.abs(heavy))
    if hidden is not None:
        ways = [token_matmul(machine, operands, weights, hidden)]
        expected = np.where(computed_outputs(machine, hidden, linear.out_features), expected, 0)
    else:
        ways = [machine_matmul(machine, operands, weights, mask, rest)]
    if isinstance(machine.units.get("crossbar"), BankedCrossbar) and machine.path.is_gathered:
        ways.append(with_banked_rows(machine, operands, weights, mask))
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
    groups = filled(path, kept.reshape(-1, path.group_size), path.kept_per_group)
    values = padded[groups.reshape(kept.shape)].reshape(len(padded), -1)
    if machine.pattern.is_dense:
        return Compressed(values, np.zeros((len(groups), 0), np.bool_))
    return Compressed(values, FORMATS[path.metadata_format].encode(groups))


def machine_matmul(
    machine: LayerMachine,
    operands: Values,
    weights: Values | Packed,
    mask: Mask | None = None,
    rest: Values | None = None,
) -> Values:
    """Return `[T, O]` computed in the modelled order, in the accumulator's type."""
    path, (tokens, in_features) = machine.path, operands.shape
    machine, tiling = Planner().fitted(machine, Gemm(tokens, in_features, weights.shape[1]))
    if isinstance(machine.packs, MultipliesTiles):
        masked = np.where(_kept(machine, operands, mask), operands, operands.dtype.type(0))
        return _with_matched_values(machine.packs, machine, tiling, masked, weights)
    if path.is_gathered:
        return with_gathered_rows(machine, operands, weights, _kept(machine, operands, mask))
    if path.w.is_sparse:
        return _with_sparse_weights(machine, tiling, operands, weights, mask)
    return _with_selected_values(machine, tiling, compress(machine, operands, mask), weights, rest)


def _kept(machine: LayerMachine, operands: Values, mask: Mask | None) -> Mask:
    """Return which operands are kept, `[T, K]`: as told, or by the pattern of the machine."""
    return machine.pattern.keep(operands) if mask is None else mask


def _with_selected_values(
    machine: LayerMachine,
    tiling: Tiling,
    stored: Compressed,
    weights: Values | Packed,
    rest: Values | None,
) -> Values:
    """Return `[T, O]` where each stored activation picks its weight by its metadata.

    The `rest` of X, if there is one, is multiplied in a second pass over each tile of W.
    """
    path, tokens = machine.path, len(stored.values)
    in_features, out_features = weights.shape
    offsets = _offsets(machine, stored).reshape(tokens, -1)
    accumulator: Any = np.int32 if stored.values.dtype == np.int8 else np.float32
    outputs = np.zeros((tokens, out_features), accumulator)
    jobs = tile_jobs(Gemm(tokens, in_features, out_features), tiling, path, machine.stores)
    for rows, columns, start, length in tiles(jobs):
        first_group, groups = start // path.group_size, path.groups(length)
        tile = weights[start : start + length, columns]  # unpacks packed ones
        tile = np.pad(tile, [(0, -length % path.group_size), (0, 0)])
        for slots in steps(machine, first_group, groups):
            lanes = stored.values[rows, slots].astype(accumulator)
            base = slots // path.kept_per_group * path.group_size
            routed = tile[base - start + offsets[rows, slots]].astype(accumulator)
            outputs[rows, columns] += np.einsum("rl,rlc->rc", lanes, routed, dtype=accumulator)
        if rest is None:
            continue
        for first in range(0, length, path.lanes):
            lanes = rest[rows, start : start + length][:, first : first + path.lanes]
            routed = tile[first : first + lanes.shape[1]]
            outputs[rows, columns] += np.einsum("rl,lc->rc", lanes, routed, dtype=accumulator)
    return outputs


def _with_matched_values(
    packs: MultipliesTiles,
    machine: LayerMachine,
    tiling: Tiling,
    masked: Values,
    weights: Values | Packed,
) -> Values:
    """Return `[T, O]` where the dataflow says which values of X and W meet, and in which order."""
    path, (tokens, in_features) = machine.path, masked.shape
    gemm = Gemm(tokens, in_features, weights.shape[1])
    accumulator: Any = np.int32 if masked.dtype == np.int8 else np.float32
    outputs = np.zeros((tokens, gemm.out_features), accumulator)
    for rows, columns, start, length in tiles(tile_jobs(gemm, tiling, path, machine.stores)):
        inside = slice(start, start + length)
        outputs[rows, columns] += packs.product(
            masked[rows, inside], weights[inside, columns], path
        )
    return outputs


def _with_sparse_weights(
    machine: LayerMachine,
    tiling: Tiling,
    operands: Values,
    weights: Values | Packed,
    mask: Mask | None,
) -> Values:
    """Return `[T, O]` of machines that store W without its zeros, and X, too, or whole."""
    if machine.path.is_matched:
        return with_joined_masks(machine, tiling, _decoded(machine, operands, mask), weights)
    if machine.path.is_unrolled:
        return block_by_block(machine, tiling, *_in_turns(machine, operands, mask), weights)
    return with_stored_weights(machine, tiling, operands, weights)


def _decoded(machine: LayerMachine, operands: Values, mask: Mask | None) -> tuple[Values, Ints]:
    """Return the values `[T, groups, N]` of the compressed buffer, and their decoded places."""
    path, stored = machine.path, compress(machine, operands, mask)
    n, m = path.kept_per_group, path.group_size
    places = FORMATS[path.metadata_format].decode(stored.bits, n, m).astype(np.int64)
    values = stored.values.reshape(len(operands), -1, n)
    return values, places.reshape(values.shape)


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


def _in_turns(machine: LayerMachine, operands: Values, mask: Mask | None) -> tuple[Values, Ints]:
    """Return activations `[T, blocks, turns]` as lanes take them, and their places in the block."""
    turns, m = machine.path.lane_group
    if machine.pattern.is_dense:
        padded = np.pad(operands, [(0, 0), (0, -operands.shape[1] % m)])
        values = padded.reshape(len(operands), -1, turns)
        return values, np.broadcast_to(np.arange(m), values.shape)
    stored = compress(machine, operands, mask)
    places = FORMATS[machine.path.metadata_format].decode(stored.bits, turns, m).astype(np.int64)
    values = stored.values.reshape(len(operands), -1, turns)
    return values, places.reshape(values.shape)
